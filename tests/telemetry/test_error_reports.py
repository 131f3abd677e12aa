"""Reports to Sentry's protocol: they arrive, and hold no word of a customer and no secret."""

import gzip
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from helpers import Salesbot, wait_for

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI, openai_error
from local.partners.http.exchange import Answer, Request
from local.partners.http.local_server import LocalServer
from local.partners.kommo.server import StandInKommo
from local.processes import ROOT, process_environ, run_bridge

WORDS = "my card number is 4000 0000"

Run = Callable[[str], str]


class Sentry(LocalServer):
    """Takes envelopes: lines of JSON, packed."""

    def __init__(self) -> None:
        super().__init__()
        self.raw: list[str] = []

    def answer(self, request: Request) -> Answer:
        """Unpack and keep it."""
        assert request.path == "/api/1/envelope/"
        packed = request.headers.get("Content-Encoding") == "gzip"
        self.raw.append((gzip.decompress(request.body) if packed else request.body).decode())
        return Answer.json(200, {})

    @property
    def dsn(self) -> str:
        """What `SENTRY_DSN` is set to."""
        return f"http://public@{self.host}/1"

    @property
    def events(self) -> list[dict[str, Any]]:
        """The error events among all that came."""
        lines = [json.loads(line) for raw in self.raw for line in raw.splitlines()]
        return [line for line in lines if "level" in line]

    @property
    def titles(self) -> list[str]:
        """What each event is about."""
        return [event.get("logentry", {}).get("message", "") for event in self.events]


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    with Sentry() as server:
        yield server


@pytest.fixture
def run(sentry: Sentry) -> Run:
    """Run Python with error reports on; they have been sent when it returns."""

    def script(code: str) -> str:
        head = "import logging, sys\n"
        head += "from kommo_bridge.telemetry.error_reports import start_error_reports\n"
        head += "start_error_reports(sys.argv[1])\n"
        done = subprocess.run(
            [sys.executable, "-c", head + code, sentry.dsn, "--access-token=secret-argument"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stderr

    return script


def test_an_error_arrives_with_its_place_and_without_contents(run: Run, sentry: Sentry) -> None:
    run(f"""
def answer(message):
    raise KeyError(message)
try:
    answer({WORDS!r})
except KeyError:
    logging.getLogger("kommo_bridge.jobs").exception("it failed")
""")

    (event,) = sentry.events
    (value,) = event["exception"]["values"]
    assert (value["type"], value["value"]) == ("KeyError", "")
    assert [frame["function"] for frame in value["stacktrace"]["frames"]] == ["<module>", "answer"]
    assert event["release"].startswith("kommo_bridge@")
    assert WORDS not in "".join(sentry.raw)
    assert "secret-argument" not in "".join(sentry.raw)


def test_the_words_of_other_loggers_stay_here(run: Run, sentry: Sentry) -> None:
    run(f"logging.getLogger('rq.registry').error('job(%s) is lost', {WORDS!r})")

    assert sentry.titles == ["an error logged by rq.registry"]
    assert WORDS not in "".join(sentry.raw)


def test_an_uncaught_error_ends_the_process_and_arrives(run: Run, sentry: Sentry) -> None:
    assert "ZeroDivisionError" in run("1 / 0")
    assert [event["exception"]["values"][0]["type"] for event in sentry.events] == [
        "ZeroDivisionError"
    ]


@pytest.mark.usefixtures("acme")
def test_a_failed_job_and_an_error_of_the_web_are_reported(
    settings: Settings,
    salesbot: Salesbot,
    kommo: StandInKommo,
    ai: StandInAI,
    sentry: Sentry,
    acme: Integration,
    tmp_path: Path,
) -> None:
    environ = process_environ(settings) | {"SENTRY_DSN": sentry.dsn}
    url = f"http://127.0.0.1:{environ['PORT']}"
    ai.faults.order(openai_error(401), times=1)

    with run_bridge(environ, tmp_path / "bridge.log"):
        sent = kommo.send_widget_request(url, salesbot.account, WORDS, entity_id=7)
        kommo.wait_for_continuation(sent, 60)
        wait_for(lambda: bool(sentry.events))
        with closing(sqlite3.connect(settings.database_path, isolation_level=None)) as database:
            database.execute("UPDATE integrations SET secret_key = x'00'")  # bytes, no text
        kommo.send_widget_request(url, salesbot.account, WORDS, entity_id=8)
        wait_for(lambda: "unexpected error" in sentry.titles)

    failed = next(event for event in sentry.events if "job failed" in event["logentry"]["message"])
    assert "ContinuedWithFailure" in failed["logentry"]["message"]
    assert failed["extra"]["rq-job"]["job_id"].startswith("wr-")
    everything = "".join(sentry.raw)
    for secret in (WORDS, sent.token, acme.access_token, acme.secret_key, "sk-stand-in"):
        assert secret not in everything


@pytest.mark.parametrize("entry", ["wsgi.py", "worker.py"])
def test_a_wrong_dsn_stops_the_start(entry: str, settings: Settings) -> None:
    environ = process_environ(settings) | {"SENTRY_DSN": "https://sentry.example/without-a-key"}

    done = subprocess.run(
        [sys.executable, entry],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert "SENTRY_DSN is wrong" in done.stderr

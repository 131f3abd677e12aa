"""Every line of a job has its account and its request; an outage is three kinds of lines."""

import json
import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import Ask, wait_for
from redis import Redis
from rq.job import Job

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.queue.own_job import whose
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.logs import JsonFormatter
from local.partners.ai import StandInAI, openai_error
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.processes import process_environ, run_bridge
from local.redis_server import RedisServer


def test_a_line_that_does_not_name_the_account_has_it_all_the_same(
    parts: Parts, ask: Ask, ai: StandInAI, caplog: pytest.LogCaptureFixture
) -> None:
    """`reply shortened` is logged by a room that is handed no request."""
    ai.reply = lambda _messages: "A long reply. " * 600
    lines: list[dict[str, str]] = []
    formatter = JsonFormatter()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(json.loads(formatter.format(record)))  # type: ignore[method-assign]
    logging.getLogger("kommo_bridge").addHandler(handler)

    with caplog.at_level(logging.INFO, "kommo_bridge"):
        answer(ask(request_id="0123456789abcdef"), parts)
    logging.getLogger("kommo_bridge").removeHandler(handler)

    assert "reply shortened" in {line["event"] for line in lines}
    assert {(line["subdomain"], line["request"]) for line in lines} == {
        ("acme", "0123456789abcdef")
    }


@pytest.mark.parametrize("arguments", [[], [5], [{"subdomain": "acme"}]])
def test_a_job_that_is_not_ours_names_nobody(redis: Redis, arguments: list[object]) -> None:
    job = Job.create("worker_jobs.note", connection=redis, args=arguments)

    assert whose(job) == ("", "")


def test_all_lines_of_the_worker_about_a_failed_job_name_its_account(
    settings: Settings,
    acme: Integration,
    ai: StandInAI,
    kommo: StandInKommo,
    account: Account,
    tmp_path: Path,
) -> None:
    ai.faults.order(openai_error(401, "invalid_api_key"), times=None)
    environ = process_environ(settings) | {"LOG_FORMAT": "json"}
    log = tmp_path / "bridge.log"

    with run_bridge(environ, log):
        url = f"http://127.0.0.1:{environ['PORT']}"
        kommo.wait_for(kommo.send_widget_request(url, account, "Hello", entity_id=7), 30)
        wait_for(lambda: "job failed" in log.read_text())

    lines = [json.loads(one) for one in log.read_text().splitlines() if '"job"' in one]
    assert {"AI call failed", "salesbot continued", "job failed"} <= {one["event"] for one in lines}
    assert {one["subdomain"] for one in lines} == {acme.subdomain}
    assert len({one["request"] for one in lines}) == 1


def test_the_worker_says_once_that_redis_is_away_and_once_that_it_is_back(
    settings: Settings, acme: Integration, tmp_path: Path
) -> None:
    """Five or six lines a second would bury everything else."""
    assert acme.enabled
    log = tmp_path / "worker.log"
    with RedisServer(tmp_path / "own-redis") as server:
        environ = process_environ(replace(settings, redis_url=server.url))
        with run_bridge(environ, log, names=("worker",)):
            wait_for(lambda: "worker started" in log.read_text())
            server.kill()
            wait_for(lambda: "redis is away" in log.read_text())
            enough = time.monotonic() + 3  # of ticks and takes that all fail
            wait_for(lambda: time.monotonic() > enough)
            server.start()
            wait_for(lambda: "redis is back" in log.read_text())

    lines = [one for one in log.read_text().splitlines() if "redis" in one]
    assert ["away" in one for one in lines] == [True, False], lines
    assert all(f"address=127.0.0.1:{server.port}/0" in one for one in lines)

"""The figures: added up over processes in Redis, told as Prometheus text, without secrets."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask.testing import FlaskClient
from helpers import Ask, Salesbot
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from werkzeug.test import TestResponse

from kommo_bridge.app import create_app
from kommo_bridge.errors import ContinuedWithFailure
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.metrics import KEY, METRICS, Metrics
from local.partners.ai import StandInAI, openai_error
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH
from local.processes import ROOT, process_environ
from local.redis_server import RedisServer

TOKEN = "metrics-token-for-this-test"
Read = Callable[[], dict[str, float]]


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """One of its own for each test: others bring their figures a second later."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def client(settings: Settings, acme: Integration) -> FlaskClient:
    return create_app(replace(settings, metrics_token=TOKEN)).test_client()


@pytest.fixture
def read(client: FlaskClient) -> Read:
    """All samples by name and labels, once this process has brought its own to Redis."""

    def samples() -> dict[str, float]:
        text = page(client).get_data(as_text=True)
        return {
            sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    return samples


def page(client: FlaskClient, token: str = TOKEN) -> TestResponse:
    return client.get("/metrics", headers={"Authorization": f"Bearer {token}"})


def test_processes_add_up(redis_server: RedisServer, redis: Redis) -> None:
    script = """
import sys
from kommo_bridge.telemetry.metrics import Metrics
from kommo_bridge.redis_client import connect
metrics = Metrics(connect(sys.argv[1]))
for _ in range(1000):
    metrics.count("kommo_bridge_answers", "success")
"""
    command = [sys.executable, "-c", script, redis_server.url]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]

    assert [process.wait(90) for process in running] == [0, 0]
    assert Metrics(redis).read() == {("kommo_bridge_answers", "success"): 2000}


def test_what_redis_could_not_take_is_brought_later(
    redis_server: RedisServer, redis: Redis
) -> None:
    metrics = Metrics(redis)
    redis_server.kill()
    metrics.count("kommo_bridge_answers", "fail")
    metrics.flush()
    redis_server.start()

    metrics.flush()

    assert metrics.read() == {("kommo_bridge_answers", "fail"): 1}


def test_what_a_hanging_redis_took_in_the_end_is_counted_once(redis_server: RedisServer) -> None:
    metrics = Metrics(connect(redis_server.url, timeout_seconds=0.3))
    metrics.count("kommo_bridge_answers", "success")
    redis_server.pause()
    metrics.flush()
    metrics.count("kommo_bridge_answers", "fail")
    redis_server.resume()
    time.sleep(0.2)

    metrics.flush()
    metrics.flush()

    counted = metrics.read()
    assert counted == {
        ("kommo_bridge_answers", "success"): 1,
        ("kommo_bridge_answers", "fail"): 1,
    }


def test_after_a_fork_the_last_batches_are_kept_apart(
    redis_server: RedisServer, redis: Redis
) -> None:
    script = """
import os, sys
from kommo_bridge.telemetry.metrics import Metrics
from kommo_bridge.redis_client import connect
metrics = Metrics(connect(sys.argv[1]))
child = os.fork()
metrics.count("kommo_bridge_answers", "success")
metrics.flush()
if child == 0:
    os._exit(0)
os.wait()
"""
    subprocess.run([sys.executable, "-c", script, redis_server.url], cwd=ROOT, check=True)

    assert Metrics(redis).read() == {("kommo_bridge_answers", "success"): 2}
    assert len(redis.keys(f"{KEY}:*")) == 2


@pytest.mark.usefixtures("acme")
def test_a_plain_rq_worker_brings_its_figures_too(
    settings: Settings, ask: Ask, redis: Redis
) -> None:
    JobQueue(redis, settings).enqueue(ask())
    rq = str(Path(sys.executable).with_name("rq"))

    subprocess.run(
        [rq, "worker", "kommo", "-S", "json", "--burst", "-u", settings.redis_url],
        cwd=ROOT,
        env=process_environ(settings),
        check=True,
        timeout=60,
    )

    assert Metrics(redis).read()["kommo_bridge_answers", "success"] == 1


def test_a_store_that_cannot_be_read_is_told(client: FlaskClient, settings: Settings) -> None:
    assert page(client).status_code == 200
    other = replace(settings, metrics_token=TOKEN, secret_key="another key altogether")

    answer = page(create_app(other).test_client())

    assert (answer.status_code, answer.get_json()["error"]) == (503, "store_unavailable")


def test_a_histogram_counts_each_duration_once(redis: Redis, read: Read) -> None:
    metrics = Metrics(redis)
    for seconds in (0.0, 0.05, 0.06, 3.0, 10_000.0):
        metrics.observe("kommo_bridge_ai_seconds", seconds)
    metrics.flush()

    samples = read()

    assert samples["kommo_bridge_ai_seconds_bucket 0.05"] == 2
    assert samples["kommo_bridge_ai_seconds_bucket 0.1"] == 3
    assert samples["kommo_bridge_ai_seconds_bucket 4.0"] == 4
    assert samples["kommo_bridge_ai_seconds_bucket +Inf"] == 5
    assert samples["kommo_bridge_ai_seconds_count"] == 5
    assert samples["kommo_bridge_ai_seconds_sum"] == pytest.approx(10_003.11)


def test_an_answer_and_a_failure_are_seen(
    parts: Parts, ask: Ask, ai: StandInAI, read: Read
) -> None:
    answer(ask(), parts)
    ai.faults.order(openai_error(401), times=1)
    with pytest.raises(ContinuedWithFailure):
        answer(ask(entity_id=8), parts)
    parts.steps.metrics.flush()

    samples = read()

    assert samples["kommo_bridge_answers_total success"] == 1
    assert samples["kommo_bridge_answers_total fail"] == 1
    assert samples["kommo_bridge_failures_total ai_final"] == 1
    assert samples["kommo_bridge_ai_seconds_count"] == 2
    assert samples["kommo_bridge_continue_seconds_count"] == 2
    assert samples["kommo_bridge_answer_seconds_count"] == 2
    assert samples["kommo_bridge_queue_wait_seconds_count"] == 2
    assert samples["kommo_bridge_tokens_total"] > 0


def test_widget_requests_by_result(client: FlaskClient, salesbot: Salesbot, redis: Redis) -> None:
    content_type, body = salesbot.write()
    for data in (body, body, b"token=forged&data[message]=x&return_url=x"):
        client.post(WIDGET_REQUEST_PATH, data=data, content_type=content_type)

    client.application.metrics.flush()  # type: ignore[attr-defined]

    counted = Metrics(redis).read()
    results = {label: n for (name, label), n in counted.items() if name.endswith("_requests")}
    assert results == {"queued": 1, "repeated": 1, "invalid_token": 1}


def test_what_is_true_now(client: FlaskClient, salesbot: Salesbot, read: Read) -> None:
    content_type, body = salesbot.write()
    client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type)

    samples = read()

    assert samples["kommo_bridge_jobs queued"] == 1
    assert samples["kommo_bridge_open_answers"] == 1
    assert samples["kommo_bridge_workers"] == samples["kommo_bridge_overdue_answers"] == 0


def test_what_alerts_ask_for_is_told_before_it_happens(read: Read) -> None:
    """Of a counter that appears with its first event Prometheus sees no increase."""
    samples = read()

    for name in (
        "kommo_bridge_answers_total success",
        "kommo_bridge_answers_total fail",
        "kommo_bridge_failures_total kommo_401",
        "kommo_bridge_failures_total kommo_403",
        "kommo_bridge_failures_total kommo_429",
        "kommo_bridge_tokens_total",
    ):
        assert samples[name] == 0


def test_a_token_of_a_disabled_integration_concerns_nobody(
    store: IntegrationStore, acme: Integration, read: Read
) -> None:
    """As it is with our own alerts."""
    name = f"kommo_bridge_access_token_days {acme.integration_id} acme"
    token = jwt.encode({"exp": time.time() + 86400}, "k" * 64, "HS512")
    store.save(replace(acme, access_token=token))
    assert read()[name] == pytest.approx(1, abs=0.01)

    store.save(replace(acme, access_token=token, enabled=False))

    assert name not in read()


def test_every_figure_has_its_family(client: FlaskClient) -> None:
    text = page(client).get_data(as_text=True)

    assert [name for name in METRICS if f"# TYPE {name}" not in text] == []


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "ü"])
def test_nobody_reads_without_the_bearer(client: FlaskClient, token: str) -> None:
    answer = page(client, token)

    assert answer.status_code == 401


def test_without_a_token_there_is_no_page(settings: Settings) -> None:
    assert create_app(settings).test_client().get("/metrics").status_code == 404


def test_a_redis_that_is_away_is_told(settings: Settings) -> None:
    away = replace(settings, metrics_token=TOKEN, redis_url="redis://127.0.0.1:1/0")

    answer = page(create_app(away).test_client())

    assert answer.status_code == 503


def test_the_alert_rules_name_figures_that_there_are(client: FlaskClient) -> None:
    text = page(client).get_data(as_text=True)
    rules = (ROOT / "docs/prometheus-alerts.yml").read_text(encoding="utf-8")
    expressions = re.findall(r"kommo_bridge_\w+", rules.replace("name: kommo_bridge\n", ""))

    known = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}

    assert len(expressions) > 8
    assert [name for name in expressions if name not in known] == []


def test_what_the_rules_wait_for_is_told_before_it_happens(client: FlaskClient) -> None:
    """Prometheus sees no increase in a series that begins with its first event."""
    text = page(client).get_data(as_text=True)
    rules = (ROOT / "docs/prometheus-alerts.yml").read_text(encoding="utf-8")

    waited_for = re.findall(r'(kommo_bridge_\w+)\{(\w+="\w+")\}', rules)

    assert len(waited_for) >= 5
    for name, label in waited_for:
        assert f"{name}{{{label}}} 0.0" in text.splitlines()


def test_promtool_lets_every_rule_fire() -> None:
    """Where there is a promtool: a rule may name the right figures and still never fire."""
    promtool = shutil.which("promtool")
    cases = ROOT / "tests/deploy/prometheus-alerts.test.yml"
    rules = (ROOT / "docs/prometheus-alerts.yml").read_text(encoding="utf-8")

    tried = set(re.findall(r"alertname: (\w+)", cases.read_text(encoding="utf-8")))

    assert tried == set(re.findall(r"alert: (\w+)", rules))
    if promtool:
        subprocess.run([promtool, "test", "rules", str(cases)], check=True)


class TestTheGrafanaDashboard:
    @pytest.fixture
    def board(self) -> dict[str, Any]:
        text = (ROOT / "docs/grafana-dashboard.json").read_text(encoding="utf-8")
        read: dict[str, Any] = json.loads(text)
        return read

    def test_it_shows_every_figure_and_names_no_other(
        self, client: FlaskClient, board: dict[str, Any]
    ) -> None:
        text = page(client).get_data(as_text=True)
        known = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}

        named = set(re.findall(r"kommo_bridge_[a-z_]+", json.dumps(board["panels"])))

        assert {name.removesuffix("_bucket") for name in named} == known

    def test_its_labels_are_those_of_the_figures(self, board: dict[str, Any]) -> None:
        for expression in expressions(board):
            of = re.search(r"by \((\w+)\) \(rate\((kommo_bridge_\w+)", expression)
            if of:
                figure = METRICS[of[2].removesuffix("_total").removesuffix("_bucket")]
                assert of[1] == (figure.label or "le"), expression

    def test_its_panels_ask_the_chosen_source_and_do_not_overlap(
        self, board: dict[str, Any]
    ) -> None:
        panels = board["panels"]
        asked = [one["datasource"]["uid"] for one in panels if one["type"] != "row"]
        places = [
            (x, y)
            for place in (one["gridPos"] for one in panels)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]

        assert set(asked) == {"${datasource}"}
        assert len({one["id"] for one in panels}) == len(panels)
        assert len(set(places)) == len(places)
        assert max(x for x, _ in places) < 24


def expressions(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for one in board["panels"] for target in one.get("targets", [])]

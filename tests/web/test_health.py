"""/healthz and /readyz: what the operator's monitoring sees."""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from helpers import Salesbot
from redis import Redis
from rq import SimpleWorker

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.queue.state import work_queue
from kommo_bridge.settings import Settings
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH


@pytest.fixture
def client(settings: Settings, acme: Integration) -> FlaskClient:
    """A bridge that lets one job of an integration in at a time."""
    return create_app(replace(settings, worker_concurrency=1)).test_client()


@pytest.fixture
def worker(redis: Redis) -> Iterator[SimpleWorker]:
    worker = SimpleWorker([work_queue(redis)], connection=redis)
    worker.register_birth()  # type: ignore[no-untyped-call]
    yield worker
    worker.register_death()  # type: ignore[no-untyped-call]


def ready(client: FlaskClient) -> tuple[int, dict[str, Any]]:
    answer = client.get("/readyz")
    return answer.status_code, answer.get_json()


def send(client: FlaskClient, salesbot: Salesbot, continue_id: int) -> None:
    content_type, body = salesbot.write(continue_id)
    assert client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type).status_code == 200


@pytest.fixture
def without_redis(settings: Settings, acme: Integration) -> FlaskClient:
    return create_app(replace(settings, redis_url="redis://127.0.0.1:1/0")).test_client()


@pytest.fixture
def without_store(client: FlaskClient, settings: Settings) -> FlaskClient:
    connection = sqlite3.connect(settings.database_path)
    connection.execute("drop table integrations")
    connection.close()
    return client


class TestHealthz:
    @pytest.mark.parametrize("bridge", ["client", "without_redis", "without_store"])
    def test_it_answers_whatever_is_away(self, request: pytest.FixtureRequest, bridge: str) -> None:
        answer = request.getfixturevalue(bridge).get("/healthz")

        assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})

    def test_it_asks_redis_nothing(self, client: FlaskClient, redis: Redis) -> None:
        before = redis.info("stats")["total_commands_processed"]
        client.get("/healthz")

        assert redis.info("stats")["total_commands_processed"] == before + 1  # our own INFO


class TestReadyz:
    def test_it_tells_what_it_sees_when_all_is_well(self, client: FlaskClient) -> None:
        assert ready(client) == (
            200,
            {
                "status": "ok",
                "redis": "ok",
                "integration_store": "ok",
                "integrations": 1,
                "workers": 0,
                "oldest_queued_job_seconds": 0,
            },
        )

    def test_without_redis_it_is_not_ready(self, without_redis: FlaskClient) -> None:
        status, report = ready(without_redis)

        assert (status, report["status"], report["redis"]) == (503, "error", "unavailable")
        assert report["integration_store"] == "ok"
        assert report["workers"] is None

    def test_without_the_store_it_is_not_ready(self, without_store: FlaskClient) -> None:
        status, report = ready(without_store)

        assert (status, report["status"]) == (503, "error")
        assert (report["redis"], report["integration_store"]) == ("ok", "unavailable")

    @pytest.mark.usefixtures("worker")
    def test_it_counts_workers(self, client: FlaskClient) -> None:
        assert ready(client)[1]["workers"] == 1

    def test_it_does_not_count_workers_that_died(
        self, client: FlaskClient, worker: SimpleWorker, redis: Redis
    ) -> None:
        redis.delete(worker.key)  # as when nobody renews it

        assert ready(client)[1]["workers"] == 0

    def test_it_tells_how_long_the_oldest_job_has_waited(
        self, client: FlaskClient, salesbot: Salesbot
    ) -> None:
        send(client, salesbot, 1)
        time.sleep(0.3)
        send(client, salesbot, 2)

        assert 0.3 <= ready(client)[1]["oldest_queued_job_seconds"] < 2

    def test_a_job_that_is_held_back_waits_too(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis
    ) -> None:
        send(client, salesbot, 1)
        send(client, salesbot, 2)
        redis.delete(work_queue(redis).key)  # the first is taken by a worker
        time.sleep(0.3)

        assert 0.3 <= ready(client)[1]["oldest_queued_job_seconds"] < 2

"""/healthz and /readyz: what the operator's monitoring sees."""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from helpers import Salesbot, wait_for
from redis import Redis
from rq import SimpleWorker

from kommo_bridge import __version__
from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.queue.state import work_queue
from kommo_bridge.settings import Settings
from kommo_bridge.web.health import WRITTEN_KEY
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH
from local.redis_server import RedisServer


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
                "workers": 0,
                "oldest_queued_job_seconds": 0,
                "version": __version__,
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


class TestARedisThatTakesNoJobs:
    def test_a_full_one_is_not_ready(self, client: FlaskClient, redis: Redis) -> None:
        redis.config_set("maxmemory", 1)
        try:
            status, report = ready(client)
        finally:
            redis.config_set("maxmemory", 0)

        assert (status, report["redis"], report["integration_store"]) == (503, "unavailable", "ok")
        assert ready(client)[0] == 200

    def test_a_read_only_one_is_not_ready(self, client: FlaskClient, redis: Redis) -> None:
        redis.replicaof("127.0.0.1", "1")
        try:
            status, report = ready(client)
        finally:
            redis.replicaof("no", "one")

        assert (status, report["redis"]) == (503, "unavailable")

    def test_a_node_of_a_cluster_is_not_ready(self, settings: Settings, tmp_path: Path) -> None:
        with RedisServer(tmp_path, extra_arguments=("--cluster-enabled", "yes")) as node:
            with Redis.from_url(node.url) as redis:
                redis.execute_command("CLUSTER ADDSLOTS", *range(16384))
                wait_for(lambda: redis.execute_command("CLUSTER INFO")["cluster_state"] == "ok")

            status, report = ready(create_app(replace(settings, redis_url=node.url)).test_client())

        assert (status, report["redis"]) == (503, "unavailable")

    def test_the_key_that_it_writes_goes_by_itself(self, client: FlaskClient, redis: Redis) -> None:
        assert ready(client)[0] == 200

        assert 0 < redis.ttl(WRITTEN_KEY) <= 60


class TestAnswers:
    """What an uptime service asks: `GET /readyz?answers=1`."""

    def status(self, client: FlaskClient) -> int:
        return client.get("/readyz?answers=1").status_code

    def test_without_a_worker_nobody_answers(self, client: FlaskClient) -> None:
        assert self.status(client) == 503
        assert client.get("/readyz").status_code == 200

    @pytest.mark.usefixtures("worker")
    def test_with_a_worker_and_no_old_job_somebody_does(self, client: FlaskClient) -> None:
        assert self.status(client) == 200

    @pytest.mark.usefixtures("worker")
    def test_a_job_that_is_older_than_a_minute_is_too_old(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis
    ) -> None:
        send(client, salesbot, 1)
        (job_key,) = redis.keys("rq:job:*")
        redis.hset(job_key, "enqueued_at", "2026-01-31T12:00:00.000000Z")

        assert self.status(client) == 503
        assert client.get("/readyz").status_code == 200


class TestItIsCheap:
    def test_no_job_is_read_and_within_a_second_only_the_write_is_made(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis
    ) -> None:
        for number in range(20):
            send(client, salesbot, number + 1)
        redis.config_resetstat()

        for _ in range(20):
            assert ready(client)[0] == 200

        calls = {name: stat["calls"] for name, stat in redis.info("commandstats").items()}
        assert calls["cmdstat_set"] == 20
        assert calls.get("cmdstat_hgetall", 0) == 0
        # The figures are read once a second; twenty answers may take a few on a busy machine.
        assert calls["cmdstat_zrange"] < 20

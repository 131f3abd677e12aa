"""What a widget request costs Redis: seen on a server that nothing else speaks to."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from helpers import Salesbot
from redis import Redis

from kommo_bridge.app import BridgeApp, create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.metrics import Metrics
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH
from local.redis_server import RedisServer


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def client(settings: Settings, redis_server: RedisServer, acme: Integration) -> FlaskClient:
    return create_app(replace(settings, redis_url=redis_server.url)).test_client()


def post(client: FlaskClient, written: tuple[str, bytes]) -> None:
    content_type, body = written
    answer = client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type)
    assert answer.status_code == 200


def test_a_request_costs_one_round_trip_to_redis(
    client: FlaskClient, salesbot: Salesbot, redis_server: RedisServer
) -> None:
    post(client, salesbot.write(1))  # connects, and brings the script

    assert commands_of(client, salesbot.write(2), redis_server) == ["EVALSHA"]


def test_no_request_waits_for_a_connection_that_a_flush_of_the_metrics_has(
    client: FlaskClient, salesbot: Salesbot, redis_server: RedisServer
) -> None:
    post(client, salesbot.write(1))
    pool = metrics_of(client)._redis.connection_pool
    held = pool.get_connection()

    commands = commands_of(client, salesbot.write(2), redis_server)

    pool.release(held)
    assert commands == ["EVALSHA"]


def metrics_of(client: FlaskClient) -> Metrics:
    assert isinstance(client.application, BridgeApp)
    return client.application.metrics


def commands_of(
    client: FlaskClient, written: tuple[str, bytes], redis_server: RedisServer
) -> list[str]:
    """What Redis is asked while one request is answered and the metrics are not flushed."""
    seen: list[str] = []
    no_flush = metrics_of(client)._flushing
    with Redis.from_url(redis_server.url) as spy, Redis.from_url(redis_server.url) as marker:
        marker.ping()  # connects
        with no_flush, spy.monitor() as monitor:
            post(client, written)
            marker.echo("that was all")
            for command in monitor.listen():
                if "that was all" in command["command"]:
                    return seen
                if command["client_type"] != "lua":
                    seen.append(command["command"].split()[0])
    return seen

"""A PostgreSQL that goes away: what the web answers, and what a job waits for."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from helpers import Ask, Salesbot, wait_for
from redis import Redis

from kommo_bridge.answers.conversation import GIVEN_UP
from kommo_bridge.answers.record import record_key
from kommo_bridge.answers.retries import STORE_WAIT
from kommo_bridge.app import create_app
from kommo_bridge.errors import StoreError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import QUICK_SECONDS, IntegrationStore
from kommo_bridge.jobs import Parts, answer, build_parts
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.queue.state import work_queue
from kommo_bridge.settings import Settings
from local.partners.kommo.server import StandInKommo
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH
from local.postgres_server import PostgresServer


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> str:
    return postgres_server.new_schema()


@pytest.fixture
def client(settings: Settings, acme: Integration) -> FlaskClient:
    return create_app(settings).test_client()


@pytest.fixture
def hurried(settings: Settings, acme: Integration) -> Iterator[Parts]:
    """The parts of a job, whose store waits for its database as briefly as the web's."""
    store = IntegrationStore(settings.store_place, settings.secret_key, QUICK_SECONDS)
    built = build_parts(settings, store)
    yield built
    built.close()
    store.close()


def post(client: FlaskClient, salesbot: Salesbot, number: int, **claims: Any) -> tuple[int, Any]:
    content_type, body = salesbot.write(number, token=salesbot.token(**claims))
    answer = client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type)
    if answer.status_code == 503:
        assert int(answer.headers["Retry-After"]) > 0
    return answer.status_code, answer.get_json().get("error")


@pytest.mark.parametrize("fault", ["stopped", "paused"])
def test_who_is_known_is_acknowledged_and_others_are_told_to_come_again(
    postgres_server: PostgresServer,
    client: FlaskClient,
    salesbot: Salesbot,
    redis: Redis,
    fault: str,
) -> None:
    def store() -> str:
        return str(client.get("/readyz").get_json()["integration_store"])

    wait_for(lambda: post(client, salesbot, 1) == (200, None))

    with getattr(postgres_server, fault)():
        wait_for(lambda: store() == "unavailable")
        assert post(client, salesbot, 2) == (200, None)
        assert post(client, salesbot, 3, subdomain="new") == (503, "store_unavailable")
        queued = work_queue(redis).get_job_ids()

    assert len(queued) == 2
    wait_for(lambda: store() == "ok")
    wait_for(lambda: post(client, salesbot, 4, subdomain="new") == (401, "invalid_token"))


def test_a_job_waits_for_the_store_and_then_answers(
    postgres_server: PostgresServer, hurried: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    request = ask()

    with postgres_server.stopped():
        assert answer(request, hurried) == STORE_WAIT
        assert not kommo.continuations

    wait_for(lambda: answer(request, hurried) is None)
    assert kommo.continuations[0].body["data"]["status"] == "success"


def test_a_job_whose_integration_is_known_does_not_wait(
    postgres_server: PostgresServer, hurried: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    first = ask()
    wait_for(lambda: answer(first, hurried) is None)

    with postgres_server.stopped():
        assert answer(ask(), hurried) is None

    assert len(kommo.continuations) == 2


def test_a_job_gives_up_once_the_continue_deadline_is_over(
    postgres_server: PostgresServer, hurried: Parts, queue: JobQueue, ask: Ask, redis: Redis
) -> None:
    request = ask(accepted_at=time.time() - hurried.settings.continue_deadline_seconds - 1)
    queue.enqueue(request)

    with postgres_server.stopped(), pytest.raises(StoreError):
        answer(request, hurried)

    assert redis.hget(record_key(request.job_id), "state") == GIVEN_UP.encode()

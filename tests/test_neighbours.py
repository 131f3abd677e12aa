"""Neighbours on one bridge: whose AI hangs keeps nobody else waiting."""

import secrets
import threading
from dataclasses import replace

import pytest
from helpers import Bridge, wait_for

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo

AT_ONCE = 4
HANGING = 5


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, worker_concurrency=AT_ONCE)


@pytest.fixture
def hanging(kommo: StandInKommo, store: IntegrationStore) -> list[Account]:
    """Some more businesses."""
    accounts = []
    for number in range(HANGING):
        name, integration_id = f"hanging{number}", f"0b01c2d3-0000-4000-8000-{number:012d}"
        secret, token = secrets.token_hex(32), secrets.token_hex(32)
        accounts.append(kommo.add_account(name, 100 + number, integration_id, secret, token))
        store.add(
            Integration(
                integration_id=integration_id,
                subdomain=name,
                secret_key=secret,
                access_token=token,
                burst_seconds=0,
            )
        )
    return accounts


def test_a_customer_is_answered_while_the_ai_of_many_neighbours_hangs(
    bridge: Bridge, hanging: list[Account], kommo: StandInKommo, ai: StandInAI, account: Account
) -> None:
    released, held = threading.Event(), threading.Semaphore(0)

    def reply(messages: list[dict[str, str]]) -> str:
        if "slow" in messages[-1]["content"]:
            held.release()
            released.wait(200)
        return "fine"

    ai.reply = reply
    try:
        for one in hanging:
            for number in range(AT_ONCE):
                kommo.send_widget_request(bridge.url, one, "slow", entity_id=number, delivery=None)
        for _ in range(2 * AT_ONCE):
            assert held.acquire(timeout=90), "more of them hang than run at once"

        sent = kommo.send_widget_request(bridge.url, account, "hello", entity_id=1, delivery=None)

        assert kommo.wait_for(sent, 90)["data"]["reply"] == "fine"
        assert {one.block.subdomain for one in kommo.continuations} == {"acme"}
    finally:
        released.set()
    wait_for(lambda: len(kommo.continuations) == AT_ONCE * HANGING + 1, 60)

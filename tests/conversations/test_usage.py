"""Caps on what an integration uses, counted in the real Redis."""

from dataclasses import replace

from conftest import Ask
from redis import Redis

from kommo_bridge.conversations.usage import Usage
from kommo_bridge.integrations.integration import SHARED_KEY_REPLIES_PER_DAY, Integration


def test_the_shared_ai_key_is_not_spent_without_bound(
    redis: Redis, acme: Integration, ask: Ask
) -> None:
    usage, shared = Usage(redis), replace(acme, replies_per_hour=0)
    for number in range(SHARED_KEY_REPLIES_PER_DAY):
        assert number % 100 or usage.reached(ask(entity_id=number), shared) is None
        usage.count(ask(entity_id=number), shared, tokens=9)

    reached = usage.reached(ask(entity_id=1), shared)

    assert reached
    assert reached.name == "replies_per_day"
    assert usage.reached(ask(entity_id=1), replace(shared, ai_api_key="sk-own")) is None
    assert usage.reached(ask(entity_id=1), replace(shared, replies_per_day=0)) is None

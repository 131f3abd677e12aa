"""The list of an integration's conversations: kept while they are remembered."""

from dataclasses import replace

from helpers import Ask
from redis import Redis

from kommo_bridge.conversations.keys import (
    conversation_name,
    entity_name,
    integration_key,
    listing_key,
)
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.conversations.newest import Newest
from kommo_bridge.integrations.integration import Integration

HALF_A_YEAR = 180 * 86400


def test_the_newest_comes_first_with_its_last_exchange_and_who_has_it(
    redis: Redis, ask: Ask, acme: Integration
) -> None:
    conversations, newest = Conversations(redis), Newest(redis)
    for number in (7, 8, 7, 9):
        conversations.remember(ask(entity_id=number), acme, f"to {number}", f"from {number}")
    conversations.pause(entity_name(acme, "2", 7), 2, "handoff")

    found = newest.some(acme, 0, 2)

    assert [(one.entity_type, one.entity_id) for one in found] == [("lead", 9), ("lead", 7)]
    assert (found[1].customer, found[1].reply) == ("to 7", "from 7")
    assert found[1].pause is not None
    assert 7100 < found[1].pause.seconds <= 7200
    assert found[0].pause is None
    assert newest.count(acme) == 3
    assert [one.entity_id for one in newest.some(acme, 2, 10)] == [8]


def test_what_is_forgotten_or_too_old_is_not_listed(
    redis: Redis, ask: Ask, acme: Integration
) -> None:
    conversations, newest = Conversations(redis), Newest(redis)
    for number in (7, 8):
        conversations.remember(ask(entity_id=number), acme, "a", "b")
    redis.zincrby(listing_key(integration_key(acme)), -HALF_A_YEAR, "2:8")

    conversations.remember(ask(entity_id=9), acme, "a", "b")
    conversations.forget(conversation_name(ask(entity_id=7)))

    assert [one.entity_id for one in newest.some(acme, 0, 10)] == [9]


def test_lists_are_apart_and_a_chat_at_the_terminal_is_in_none(
    redis: Redis, ask: Ask, acme: Integration
) -> None:
    Conversations(redis).remember(ask(entity_type="chat"), acme, "a", "b")
    Conversations(redis).remember(ask(), acme, "a", "b")

    assert Newest(redis).count(acme) == 1
    assert Newest(redis).count(replace(acme, subdomain="other")) == 0

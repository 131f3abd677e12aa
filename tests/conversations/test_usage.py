"""Caps on what an integration uses."""

from dataclasses import replace

from kommo_bridge.conversations.usage import cap_reached
from kommo_bridge.integrations.integration import SHARED_KEY_REPLIES_PER_DAY, Integration


def counted(replies_today: int) -> tuple[bytes | None, ...]:
    """What Redis holds: of the conversation's hour, and of the day and month."""
    return (b"1", str(replies_today).encode(), b"99", None)


def test_the_shared_ai_key_is_not_spent_without_bound(acme: Integration) -> None:
    limit = SHARED_KEY_REPLIES_PER_DAY

    assert cap_reached(acme, counted(limit - 1)) == ""
    assert cap_reached(acme, counted(limit)) == "replies_per_day"
    assert cap_reached(replace(acme, ai_api_key="sk-own"), counted(limit)) == ""
    assert cap_reached(replace(acme, replies_per_day=0), counted(limit)) == ""


def test_the_first_cap_that_is_reached_is_named(acme: Integration) -> None:
    capped = replace(acme, replies_per_hour=2, replies_per_day=5, tokens_per_month=7)

    assert cap_reached(capped, (b"2", b"5", b"9", b"9")) == "replies_per_hour"
    assert cap_reached(capped, (b"1", b"4", b"9", b"9")) == "tokens_per_month"
    assert cap_reached(capped, (None, None, None, None)) == ""

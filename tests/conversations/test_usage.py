"""Caps on what an integration uses."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from helpers import Ask
from redis import Redis

from kommo_bridge.conversations.money import Paid, cost, shown
from kommo_bridge.conversations.usage import Usage, cap_reached
from kommo_bridge.integrations.integration import SHARED_KEY_REPLIES_PER_DAY, Integration


def counted(replies_today: int) -> tuple[bytes | None, ...]:
    """What Redis holds: of the conversation's hour, and of the day and month."""
    return (b"1", str(replies_today).encode(), b"99", None, None, None)


def test_the_shared_ai_key_is_not_spent_without_bound(acme: Integration) -> None:
    limit = SHARED_KEY_REPLIES_PER_DAY

    assert cap_reached(acme, counted(limit - 1)) == ""
    assert cap_reached(acme, counted(limit)) == "replies_per_day"
    assert cap_reached(replace(acme, ai_api_key="sk-own"), counted(limit)) == ""
    assert cap_reached(replace(acme, replies_per_day=0), counted(limit)) == ""


def test_the_first_cap_that_is_reached_is_named(acme: Integration) -> None:
    capped = replace(acme, replies_per_hour=2, replies_per_day=5, tokens_per_month=7)

    assert cap_reached(capped, (b"2", b"5", b"9", b"9", None, None)) == "replies_per_hour"
    assert cap_reached(capped, (b"1", b"4", b"9", b"9", None, None)) == "tokens_per_month"
    assert cap_reached(capped, (None,) * 6) == ""


PRICED = {"price_input": 2.0, "price_cached_input": 0.5, "price_output": 8.0}


@pytest.mark.parametrize(
    ("prices", "paid", "millionths"),
    [
        (PRICED, Paid(1_500_000, 1_000_000), 6_000_000),
        (PRICED, Paid(1_500_000, 1_000_000, 800_000), 4_800_000),
        (PRICED, Paid(100), 800),
        (PRICED, Paid(1, 1, 1), 0),
        ({**PRICED, "price_cached_input": None}, Paid(100, 100, 80), 200),
        ({**PRICED, "price_output": None}, Paid(100, 50), 0),
        ({**PRICED, "price_input": None}, Paid(100, 50), 0),
        ({}, Paid(100, 50), 0),
    ],
    ids=str,
)
def test_tokens_cost_what_the_prices_say(
    acme: Integration, prices: dict[str, float], paid: Paid, millionths: int
) -> None:
    assert cost(replace(acme, **prices), paid) == millionths  # type: ignore[arg-type]


def test_money_is_shown_to_the_cent_and_a_little_is_not_nothing() -> None:
    assert shown(3_274_999, "USD") == "3.27 USD"
    assert shown(0, "EUR") == "0.00 EUR"
    assert shown(1_234) == "0.001234"


def test_a_cap_on_money_is_reached_by_what_was_paid(
    acme: Integration, redis: Redis, ask: Ask
) -> None:
    priced = replace(acme, **PRICED, money_per_day=0.01, currency="EUR")  # type: ignore[arg-type]
    usage, request = Usage(redis), ask()

    usage.count(request, priced, Paid(1_000, 0))
    assert usage.reached(priced) == []
    usage.count(request, priced, Paid(250, 0))

    [reached] = usage.reached(priced)
    assert (reached.name, reached.text(reached.count)) == ("money_per_day", "0.01 EUR")
    assert usage.warn(priced)
    assert usage.period(priced, f"{datetime.now(UTC):%Y-%m}") == (2, 1_250, 10_000)
    money = (None, None, None, None, b"10000", b"10000")
    assert cap_reached(priced, money) == "money_per_day"
    assert cap_reached(replace(priced, money_per_day=0.02), money) == ""
    assert cap_reached(replace(priced, money_per_day=0, money_per_month=0.01), money)

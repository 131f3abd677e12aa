"""`flask conversations`, `flask usage` and `flask chat`."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from helpers import Ask, both_stores, let_pass, wait_for
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.conversations.keys import conversation_name
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.metrics import KEY as METRICS_KEY
from local.partners.ai import StandInAI, handoff_call, openai_error, tool_call
from local.partners.http.faults import Status
from local.partners.kommo.server import StandInKommo

pytestmark = both_stores


@pytest.fixture
def app(settings: Settings, acme: Integration) -> Flask:
    return create_app(settings)


@pytest.fixture(autouse=True)
def used(redis: Redis) -> None:
    """A bridge has used this Redis."""
    redis.hset(METRICS_KEY, "x", 1)


def run(app: Flask, *arguments: str, typed: str = "") -> Result:
    return app.test_cli_runner().invoke(args=list(arguments), input=typed)


def conversations(app: Flask, command: str, *more: str) -> Result:
    return run(app, "conversations", command, "acme", "--entity-id", "7", *more)


def test_show_prints_what_was_said(app: Flask, parts: Parts, ask: Ask, ai: StandInAI) -> None:
    ai.reply = lambda _: "Yes.\nEvery day."
    answer(ask("Do you deliver?"), parts)

    shown = conversations(app, "show").output

    assert "customer   Do you deliver?" in shown
    assert "assistant  Yes.\n             Every day." in shown
    assert "1 turn remembered." in shown


def test_forget_deletes_it_in_redis(app: Flask, parts: Parts, ask: Ask) -> None:
    answer(ask("Do you deliver?"), parts)

    forgotten = conversations(app, "forget")

    assert forgotten.output == "Forgotten: 1 turn of lead 7.\n"
    assert not parts.steps.memory.exchanges(conversation_name(ask()))


def test_forget_reaches_what_is_under_way_and_the_customer_is_answered_all_the_same(
    app: Flask, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, redis: Redis
) -> None:
    ai.reply = lambda _: "Yes, until Monday."
    kommo.faults.order(Status(500))
    request = ask("Do you deliver?")
    assert answer(request, parts)

    conversations(app, "forget")

    keys = list(redis.scan_iter(f"{PREFIX}conversation:*"))
    assert not [key for key in keys if redis.type(key) in (b"hash", b"list")]
    let_pass(redis, 3)
    wait_for(lambda: answer(request, parts) is None)
    [found] = kommo.continuations
    assert found.body["data"]["status"] == "success"


def test_pause_silences_and_resume_ends_it(
    app: Flask, parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    conversations(app, "pause", "--hours", "2")
    answer(ask(), parts)
    shown = conversations(app, "show").output
    resumed = conversations(app, "resume").output
    answer(ask(), parts)

    assert "Paused for another 2 hours: paused by an operator." in shown
    assert resumed == "The assistant answers again.\n"
    assert [one.body["data"]["status"] for one in kommo.continuations] == ["skip", "success"]


@pytest.mark.parametrize("hours", ["0", "-1", "9999", "many", "nan"])
def test_a_pause_needs_real_hours(app: Flask, hours: str) -> None:
    assert conversations(app, "pause", "--hours", hours).exit_code == 2


def test_an_unknown_integration_is_told(app: Flask) -> None:
    result = run(app, "conversations", "show", "nobody", "--entity-id", "7")

    assert result.exit_code == 1
    assert result.output.startswith("Error: There is no integration 'nobody'")


@pytest.mark.usefixtures("acme")
def test_a_redis_that_is_away_is_told_in_one_sentence(settings: Settings) -> None:
    app = create_app(replace(settings, redis_url="redis://127.0.0.1:1/0"))

    result = run(app, "conversations", "show", "acme", "--entity-id", "7")

    assert result.exit_code == 1
    assert result.output.startswith("Error: Redis cannot be reached")


def test_usage_prints_a_table_beside_the_caps(
    app: Flask, parts: Parts, ask: Ask, acme: Integration
) -> None:
    parts.integrations.save(replace(acme, replies_per_day=50))
    answer(ask(), parts)

    header, row = run(app, "usage", "acme").output.splitlines()

    assert (
        header.split()
        == "INTEGRATION REPLIES TODAY TOKENS TODAY REPLIES MONTH TOKENS MONTH".split()
    )
    host, today, tokens, month, _ = row.split()
    assert (host, today, month) == ("acme.kommo.com", "1/50", "1")
    assert int(tokens) > 0


def test_usage_shows_money_where_prices_are_set(
    app: Flask, parts: Parts, ask: Ask, acme: Integration
) -> None:
    prices = {"price_input": 1000.0, "price_output": 1000.0, "money_per_month": 50.0}
    parts.integrations.save(replace(acme, **prices, currency="EUR"))  # type: ignore[arg-type]
    answer(ask(), parts)

    header, row = run(app, "usage", "acme").output.splitlines()
    [month] = json.loads(run(app, "usage", "--json").output)

    assert header.split()[5:7] == ["MONEY", "TODAY"]
    assert row.split()[4] == "EUR"
    assert row.endswith(" EUR/50.00 EUR")
    assert month["money"] == pytest.approx(month["tokens"] / 1000)
    assert month["currency"] == "EUR"


def test_chat_remembers_hands_over_and_is_forgotten(
    app: Flask, ai: StandInAI, kommo: StandInKommo, redis: Redis
) -> None:
    def reply(messages: list[dict[str, Any]]) -> str | dict[str, Any]:
        wants_human = "human" in messages[-1]["content"]
        return handoff_call("Marta will answer you.") if wants_human else "They are 45 euro."

    ai.reply = reply

    result = run(app, "chat", "acme", typed="How much are roses?\nI want a human\n\n")

    assert result.exit_code == 0
    assert "45" in result.output
    assert "assistant: Marta will answer you." in result.output
    assert "[handoff: customer_request]" in result.output
    assert [one["content"] for one in ai.requests[1]["messages"]][1] == "How much are roses?"
    assert not kommo.continuations
    assert not list(redis.scan_iter("*conversation:*"))


def test_chat_shows_tools_gaps_tokens_money_and_time(
    app: Flask, ai: StandInAI, parts: Parts, acme: Integration
) -> None:
    parts.integrations.save(replace(acme, price_input=1_000.0, price_output=1_000.0))
    said: list[Any] = [tool_call("note_gap", question="Do you repair lamps?"), "I do not know."]
    ai.reply = lambda _messages: said.pop(0)

    result = run(app, "chat", "acme", "--trace", typed="Can you repair my lamp?\n\n")

    lines = [line.strip() for line in result.output.splitlines()]
    assert "[note_gap('Do you repair lamps?'): It is noted." in result.output
    assert "[a gap: Do you repair lamps?]" in lines
    [spent] = [line for line in lines if "tokens (" in line]
    assert re.fullmatch(
        r"\[[\d,]+ tokens \([\d,]+ asked, 0 of them cached\), [\d.]+ USD, [\d.]+ s\]", spent
    )
    assert "assistant: I do not know." in lines


def test_chat_shows_what_a_reply_states_and_nobody_told_it(app: Flask, ai: StandInAI) -> None:
    ai.reply = lambda _messages: "That costs 49.90 EUR."

    result = run(app, "chat", "acme", "--trace", typed="How much?\n\n")

    assert "[stands nowhere: price '49.90 EUR']" in result.output


def test_chat_tells_what_failed(app: Flask, ai: StandInAI) -> None:
    ai.faults.order(openai_error(401), times=None)

    result = run(app, "chat", "acme", typed="Hello\n\n")

    assert "[fail: the AI answered 401 invalid_api_key invalid_request_error]" in result.output


def test_chat_shows_each_failed_try_and_ends_soon(app: Flask, ai: StandInAI) -> None:
    ai.faults.order(openai_error(429), times=None)

    result = run(app, "chat", "acme", typed="Hello\n\n")

    assert result.output.count("[the AI answered 429") == 2
    assert "asked again in 2 s]" in result.output
    assert "[fail: the AI answered 429" in result.output


def test_chat_does_not_wait_where_waiting_is_long(app: Flask, ai: StandInAI) -> None:
    ai.faults.order(openai_error(429, headers={"Retry-After": "60"}), times=None)

    result = run(app, "chat", "acme", typed="Hello\n\n")

    assert ai.count == 1
    assert "[fail: the AI answered 429" in result.output

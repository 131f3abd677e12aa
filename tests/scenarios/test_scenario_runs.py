"""Scenarios through the code that answers customers, against an AI with faults put in."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.jobs import build_assistant
from kommo_bridge.scenarios.read import read_files, read_text
from kommo_bridge.scenarios.run import Run, Trial, plain_checks, run_all
from kommo_bridge.scenarios.scenario import Scenario
from kommo_bridge.scenarios.talk import Talk
from kommo_bridge.settings import Settings
from local.partners.ai import Messages, StandInAI, handoff_call, openai_error
from local.partners.ai_told import told_reply
from local.processes import ROOT

Try = Callable[..., list[Run]]


EXAMPLES = ROOT / "docs" / "scenarios"


@pytest.fixture
def assistant(offline: Settings) -> Iterator[Assistant]:
    built = build_assistant(offline)
    yield built
    built.close()


@pytest.fixture
def clinic(shop: Integration) -> Integration:
    """Dr. Souza's practice."""
    instructions = (EXAMPLES / "clinic.txt").read_text(encoding="utf-8")
    return replace(shop, subdomain="souza", instructions=instructions)


@pytest.fixture
def attempt(assistant: Assistant, offline: Settings) -> Try:
    """Runs scenarios as the command does."""

    def run(integration: Integration, scenarios: list[Scenario], repeat: int = 1) -> list[Run]:
        return run_all(
            [Trial(integration, one) for one in scenarios],
            lambda whose, scenario: Talk(assistant, offline, whose, scenario, _no_sleep).write,
            plain_checks,
            repeat=repeat,
            at_once=8,
            progress=lambda _run: None,
        )

    return run


def _no_sleep(_seconds: float) -> None:
    """The AI that failed is asked again at once."""


def failed(runs: list[Run]) -> dict[str, str]:
    """Which scenarios failed, and by which key."""
    return {
        one.trial.scenario.id: one.difference.misses[0].key
        for one in runs
        if one.difference is not None
    }


def test_the_flower_shops_twenty_scenarios_hold(attempt: Try, shop: Integration) -> None:
    scenarios = read_files([EXAMPLES / "flower-shop.toml"])

    runs = attempt(shop, scenarios, repeat=3)

    assert len(scenarios) == 20
    assert len(runs) == 60
    assert failed(runs) == {}


def test_the_clinics_scenarios_hold(attempt: Try, clinic: Integration) -> None:
    assert failed(attempt(clinic, read_files([EXAMPLES / "clinic.toml"]))) == {}


def wrong_price(messages: Messages) -> str | dict[str, Any]:
    found = told_reply(messages)
    return found.replace("45 euro", "54 euro") if isinstance(found, str) else found


def no_handoff(messages: Messages) -> str | dict[str, Any]:
    found = told_reply(messages)
    return found if isinstance(found, str) else "I have noted it, thank you."


def promise(messages: Messages) -> str | dict[str, Any]:
    found = told_reply(messages)
    return found if isinstance(found, str) else "A colleague will call you back soon."


def wrong_language(messages: Messages) -> str | dict[str, Any]:
    found = told_reply(messages)
    return "Wir verkaufen 21 rote Rosen heute für 45 Euro." if "45" in str(found) else found


FAULTS = {
    "a wrong price": (wrong_price, "contains", {"price-of-21-roses", "price-then-delivery"}),
    "no handoff": (no_handoff, "outcome", {"order", "complaint", "discount", "not-in-the-list"}),
    "a promise alone": (promise, "outcome", {"order", "complaint", "discount"}),
    "a wrong language": (wrong_language, "language", {"price-of-21-roses", "russian-price"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_put_in_is_found(
    fault: str, attempt: Try, shop: Integration, told_ai: StandInAI
) -> None:
    told_ai.reply, key, where = FAULTS[fault]

    found = failed(attempt(shop, read_files([EXAMPLES / "flower-shop.toml"])))

    assert where <= set(found)
    assert {found[one] for one in where} == {key}
    assert "address" not in found


def test_a_promise_without_a_handoff_is_named_as_one(
    attempt: Try, shop: Integration, told_ai: StandInAI
) -> None:
    told_ai.reply = promise

    [run] = attempt(shop, read_text(ONE.format("I want a refund", "handoff"), "one.toml"))

    assert run.difference
    assert "promises a colleague by words alone" in run.difference.misses[0].found


ONE = """
[[scenario]]
id = "one"
[[scenario.turns]]
customer = "{}"
outcome = "{}"
"""


def test_after_a_handoff_the_assistant_is_silent_and_asks_no_ai(
    attempt: Try, shop: Integration, told_ai: StandInAI
) -> None:
    text = ONE.format("A human, please", "handoff")
    text += '[[scenario.turns]]\ncustomer = "Hello?"\noutcome = "silent"\n'

    assert failed(attempt(shop, read_text(text, "one.toml"))) == {}
    assert told_ai.count == 1


def test_the_history_goes_with_the_question(
    attempt: Try, shop: Integration, told_ai: StandInAI
) -> None:
    told_ai.reply = lambda messages: " / ".join(str(one["content"]) for one in messages[1:])
    text = """
    [[scenario]]
    id = "before"
    history = [{customer = "Is it Ana?", reply = "Yes, Ana."}]
    [[scenario.turns]]
    customer = "And now?"
    regex = '^Is it Ana\\? / Yes, Ana\\. / And now\\?$'
    [[scenario.turns]]
    customer = "Later?"
    contains = "Yes, Ana. / And now? / Is it Ana?"
    """

    assert failed(attempt(shop, read_text(text, "one.toml"))) == {}


def test_runs_know_nothing_of_each_other(
    attempt: Try, shop: Integration, told_ai: StandInAI
) -> None:
    told_ai.reply = lambda messages: f"{len(messages)} messages"
    text = ONE.format("Hello", "reply") + 'contains = "2 messages"\n'

    assert failed(attempt(shop, read_text(text, "one.toml"), repeat=8)) == {}


def test_a_failing_ai_is_a_failed_run_and_says_why(
    attempt: Try, shop: Integration, told_ai: StandInAI
) -> None:
    told_ai.faults.order(openai_error(401), times=None)

    [run] = attempt(shop, read_text(ONE.format("Hello", "reply"), "one.toml"))

    assert run.difference
    assert "401" in run.difference.misses[0].found


def test_an_ai_that_comes_back_is_asked_again(
    attempt: Try, shop: Integration, told_ai: StandInAI
) -> None:
    told_ai.faults.order(openai_error(503), times=3)  # the SDK asks twice each time

    assert failed(attempt(shop, read_text(ONE.format("Are you open?", "reply"), "one.toml"))) == {}


def test_the_tokens_are_those_that_the_ai_counted(attempt: Try, shop: Integration) -> None:
    [run] = attempt(shop, read_text(ONE.format("Are you open?", "reply"), "one.toml"))

    assert re.search(r"\bopen\b", shop.instructions)
    assert run.tokens > len(shop.instructions) / 5


@pytest.mark.parametrize(
    ("now", "zone", "shown"),
    [
        ("2026-03-02T10:00:00+01:00", "UTC", "02 March 2026, 09:00 UTC"),
        ("2026-07-15T18:30:00", "Europe/Madrid", "15 July 2026, (?:18:30 Europe/Madrid|16:30 UTC)"),
    ],
)
def test_the_clock_stands_where_the_scenario_says(
    now: str, zone: str, shown: str, attempt: Try, shop: Integration, told_ai: StandInAI
) -> None:
    text = ONE.format("Are you open?", "reply").replace('id = "one"', f'id = "one"\nnow = {now}')

    attempt(replace(shop, time_zone=zone), read_text(text, "one.toml"))

    [asked] = told_ai.requests
    assert re.search(shown, asked["messages"][0]["content"])


def test_facts_are_known_from_the_instructions_and_the_customers_own_words(
    attempt: Try, shop: Integration, told_ai: StandInAI
) -> None:
    text = ONE.format("My number is 600 123 456. The price?", "reply") + 'facts = "known"\n'
    scenarios = read_text(text, "one.toml")
    told_ai.reply = lambda _: "45 euro. We call 600 123 456."
    known = failed(attempt(shop, scenarios))
    told_ai.reply = lambda _: "44 euro. We call 600 123 456."

    assert (known, failed(attempt(shop, scenarios))) == ({}, {"one": "facts"})


def test_the_reason_of_a_handoff_is_the_one_that_the_ai_gave(
    attempt: Try, shop: Integration, told_ai: StandInAI
) -> None:
    told_ai.reply = lambda _: handoff_call("One moment.", "complaint")
    text = ONE.format("It is broken", "handoff") + 'reason = "complaint"\ntool = "handoff"\n'

    assert failed(attempt(shop, read_text(text, "one.toml"))) == {}


def test_each_turn_is_a_minute_later(attempt: Try, shop: Integration, told_ai: StandInAI) -> None:
    text = ONE.format("Are you open?", "reply").replace(
        'id = "one"', 'id = "one"\nnow = 2026-03-02T10:00:00+00:00'
    )
    text += '[[scenario.turns]]\ncustomer = "And on Sunday?"\n'

    attempt(shop, read_text(text, "one.toml"))

    systems = [one["messages"][0]["content"] for one in told_ai.requests]
    assert ["10:00 UTC" in systems[0], "10:01 UTC" in systems[1]] == [True, True]

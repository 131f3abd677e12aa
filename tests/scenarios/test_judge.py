"""The judge: asked only where all else holds, and never believed without a readable verdict."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.jobs import build_assistant
from kommo_bridge.scenarios.checks import Miss
from kommo_bridge.scenarios.judge import Judge, case, verdict
from kommo_bridge.scenarios.run import plain_checks
from kommo_bridge.scenarios.scenario import Expected, Observed, Said, Scenario, ScenarioTurn
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI, openai_error

CRITERIA = ("It is polite.", "It asks for the address.")
TURN = ScenarioTurn("I want roses", Expected(contains=("roses",), criteria=CRITERIA))
SCENARIO = Scenario("one", (TURN,), history=(Said("Hello", "Hello!"),))
SEEN = Observed("reply", 'Which "roses"?', words=("Hello", "I want roses"))
YES = {"1": {"true": True, "because": "it is"}, "2": {"true": True}}


@pytest.fixture
def assistant(offline: Settings) -> Iterator[Assistant]:
    built = build_assistant(offline)
    yield built
    built.close()


@pytest.mark.parametrize("said", [json.dumps(YES), f"```json\n{json.dumps(YES)}\n```"])
def test_what_the_judge_finds_true_holds(said: str) -> None:
    assert verdict(said, CRITERIA) == []


def test_what_it_finds_false_is_a_miss_with_its_reason() -> None:
    said = json.dumps({**YES, "2": {"true": False, "because": "It asks nothing."}})

    assert verdict(said, CRITERIA) == [Miss("criteria", CRITERIA[1], "It asks nothing.")]


@pytest.mark.parametrize(
    "said",
    ["", "Yes, all true.", "{1: true}", "[]", '{"1": true, "2": {"true": "yes"}}', "{" * 9999],
)
def test_a_verdict_that_cannot_be_read_is_a_miss(said: str) -> None:
    misses = verdict(said, CRITERIA)

    assert [one.expected for one in misses] == list(CRITERIA)
    assert all("cannot be read" in one.found for one in misses)


def test_the_judge_reads_the_conversation_the_reply_and_the_criteria() -> None:
    read = case(SCENARIO, SEEN, CRITERIA)

    assert read.index("Hello!") < read.index("I want roses") < read.index('Which \\"roses\\"?')
    assert read.endswith("1. It is polite.\n2. It asks for the address.")


def test_the_judges_model_is_asked_and_its_tokens_are_counted(
    assistant: Assistant, shop: Integration, told_ai: StandInAI
) -> None:
    told_ai.reply = lambda _: json.dumps(YES)
    judge = Judge(assistant, plain_checks, "large")

    assert judge.check(shop, SCENARIO, TURN, SEEN) == []

    [asked] = told_ai.requests
    assert asked["model"] == "large"
    assert "tools" not in asked
    assert judge.tokens > 0


@pytest.mark.parametrize(
    ("seen", "missed"),
    [(Observed("reply", "Hats?"), ["contains"]), (Observed("silent", "roses"), [])],
)
def test_where_nothing_is_left_to_judge_nobody_is_asked(
    seen: Observed, missed: list[Any], assistant: Assistant, shop: Integration, told_ai: StandInAI
) -> None:
    misses = Judge(assistant, plain_checks).check(shop, SCENARIO, TURN, seen)

    assert [one.key for one in misses] == missed
    assert told_ai.count == 0


def test_a_judge_that_fails_judges_nothing(
    assistant: Assistant, shop: Integration, told_ai: StandInAI
) -> None:
    told_ai.faults.order(openai_error(404))

    misses = Judge(assistant, plain_checks).check(shop, SCENARIO, TURN, SEEN)

    assert len(misses) == 2
    assert "not judged: the AI answered 404" in misses[0].found

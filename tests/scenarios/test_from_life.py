"""A scenario of a real conversation: read, masked, pinned and runnable."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from helpers import Ask
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.conversations.keys import conversation_name
from kommo_bridge.conversations.memory import Exchange
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.scenarios.from_life import draft_of, of_one_person
from kommo_bridge.scenarios.masking import Masks
from kommo_bridge.scenarios.read import read_files, read_text
from kommo_bridge.scenarios.write import toml_of
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.metrics import KEY as METRICS_KEY
from local.partners.ai import StandInAI, handoff_call

AT = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
SAID = [
    Exchange("1", "Hello, I'm Ana Lopez", "Hello Ana, how can I help?", AT.timestamp() - 60),
    Exchange("2", "Call me: 600 123 456", "Thank you, we will note it.", AT.timestamp() + 0.7),
]


def test_the_last_message_is_the_turn_and_the_rest_is_history() -> None:
    draft = draft_of(SAID, "flora-1", handed_over=False, masks=Masks())
    [scenario] = read_text(draft.toml, "draft")

    assert scenario.now == AT
    assert [(one.customer, one.reply) for one in scenario.history] == [
        ("Hello, I'm [name]", "Hello [name], how can I help?")
    ]
    [turn] = scenario.turns
    assert turn.customer == "Call me: [phone]"
    assert (turn.expected.outcome, turn.expected.language) == ("reply", "en")
    assert draft.marks == 2
    assert "# It was answered:\n# Thank you, we will note it.\n" in draft.toml


def test_a_conversation_that_was_handed_over_expects_a_handoff() -> None:
    draft = draft_of(SAID[-1:], "flora-1", handed_over=True, masks=Masks())

    [scenario] = read_text(draft.toml, "draft")

    assert scenario.turns[0].expected.outcome == "handoff"
    assert scenario.history == ()


def test_an_exchange_without_words_is_no_history() -> None:
    silent = Exchange("0", "Are you there?", "", AT.timestamp() - 90)

    draft = draft_of([silent, SAID[-1]], "flora-1", handed_over=False, masks=Masks())

    [scenario] = read_text(draft.toml, "draft")
    assert scenario.history == ()


def test_two_people_of_one_lead_never_share_a_scenario() -> None:
    bob = Exchange("3", "Bob here", "Hello.", AT.timestamp(), chat_id="b")

    assert of_one_person([*SAID, bob]) == [bob]


@pytest.mark.hypothesis
@given(st.text(min_size=1), st.text(min_size=1), st.text())
def test_whatever_was_written_is_read_again(customer: str, reply: str, note: str) -> None:
    table: dict[str, Any] = {
        "id": "one",
        "now": AT,
        "history": [{"customer": customer, "reply": reply}],
        "turns": [
            {"customer": reply, "absent": [customer]},
            {"customer": customer, "outcome": "reply", "max_chars": 7},
        ],
    }

    assert tomllib.loads(toml_of(table, note)) == {"scenario": [table]}


@pytest.fixture
def app(settings: Settings, acme: Integration, redis: Redis) -> Flask:
    redis.hset(METRICS_KEY, "x", 1)
    return create_app(settings)


def save_test(app: Flask, output: Path, *more: str, typed: str = "y\n") -> Result:
    arguments = ["conversations", "save-test", "acme", "--entity-id", "7", *more]
    return app.test_cli_runner().invoke(args=[*arguments, "--output", str(output)], input=typed)


def test_a_conversation_is_added_to_a_file_after_it_was_read(
    app: Flask, parts: Parts, ask: Ask, ai: StandInAI, tmp_path: Path
) -> None:
    ai.reply = lambda _: "You can have it on Monday."
    answer(ask("My name is Zoë, deliver to Calle Mayor 5?"), parts)
    output = tmp_path / "tests.toml"

    refused = save_test(app, output, typed="n\n")
    done = save_test(app, output, "--id", "delivery")
    again = save_test(app, output, "--id", "delivery")
    dated = save_test(app, output)

    assert refused.exit_code == 1
    assert done.exit_code == 0, done.output
    assert "Zoë" not in done.output
    assert "Mayor" not in done.output
    assert "Error:" in again.output
    assert "has a scenario 'delivery' already: give an --id." in again.output
    first, second = read_files([output])
    assert first.turns[0].customer == "My name is [name], deliver to [address]?"
    assert second.id.startswith("acme-20")
    assert dated.exit_code == 0


def test_without_a_file_it_is_saved_with_the_integration(
    app: Flask, parts: Parts, ask: Ask, store: IntegrationStore, acme: Integration
) -> None:
    answer(ask("My name is Zoë, do you deliver?"), parts)
    arguments = ["conversations", "save-test", "acme", "--entity-id", "7", "--id", "delivery"]
    runner, saved = app.test_cli_runner(), SavedScenarios(store.database)

    done = runner.invoke(args=arguments, input="y\n")
    again = runner.invoke(args=arguments, input="y\n")

    [table] = saved.of(acme)
    assert table["turns"][0]["customer"] == "My name is [name], do you deliver?"
    assert done.output.endswith("Saved. Run it: flask test acme\n")
    assert "acme has a scenario 'delivery' already" in again.output
    assert saved.forget(acme, "2:7") == 1


def test_what_was_handed_over_and_what_an_operator_paused_are_told_apart(
    app: Flask, parts: Parts, ask: Ask, ai: StandInAI, tmp_path: Path
) -> None:
    ai.reply = lambda _: handoff_call("One moment.")
    answer(ask("A human, please"), parts)

    save_test(app, tmp_path / "handoff.toml")
    parts.steps.memory.pause(conversation_name(ask()), 1, "paused by an operator")
    save_test(app, tmp_path / "paused.toml")

    outcomes = [
        read_files([tmp_path / name])[0].turns[0].expected.outcome
        for name in ("handoff.toml", "paused.toml")
    ]
    assert outcomes == ["handoff", "reply"]


def test_a_name_that_nobody_introduces_can_be_given(
    app: Flask, parts: Parts, ask: Ask, tmp_path: Path
) -> None:
    answer(ask("Zoë again. Do you deliver?"), parts)

    done = save_test(app, tmp_path / "tests.toml", "--name", "zoë")

    assert 'customer = "[name] again. Do you deliver?"' in done.output


def test_what_cannot_be_saved_is_one_sentence(
    app: Flask, parts: Parts, ask: Ask, tmp_path: Path
) -> None:
    nothing = save_test(app, tmp_path / "tests.toml")
    answer(ask("Do you deliver?"), parts)
    (tmp_path / "other.toml").write_text("[other]", encoding="utf-8")

    other = save_test(app, tmp_path / "other.toml")
    nowhere = save_test(app, tmp_path / "none" / "tests.toml")
    no_id = save_test(app, tmp_path / "tests.toml", "--id", "x" * 99)

    assert "Error: Nothing of this conversation is remembered." in nothing.output
    assert "Error: other.toml, line 1: 'other' is not a key" in other.output
    assert "cannot be written: No such file" in nowhere.output
    assert "id must be one line of at most 80 characters" in no_id.output
    assert (tmp_path / "other.toml").read_text(encoding="utf-8") == "[other]"

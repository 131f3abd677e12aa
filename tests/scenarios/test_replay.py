"""Remembered questions once more, through changed instructions."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from helpers import Ask
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.conversations.keys import conversation_name
from kommo_bridge.conversations.listing import remembered
from kommo_bridge.conversations.memory import Exchange
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.scenarios.replay import changes, questions
from kommo_bridge.scenarios.scenario import Observed
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI
from local.partners.ai_told import told_reply

BEFORE = Exchange("1", "The price?", "It is 45 euro: https://flora.example/1", 100.0)


@pytest.mark.parametrize(
    ("seen", "keys"),
    [
        (Observed("reply", "You pay 45 euro. https://flora.example/1"), []),
        (Observed("handoff", "It is 45 euro: https://flora.example/1"), []),
        (Observed("reply", "It is 54 euro: https://flora.example/1"), ["numbers"]),
        (Observed("reply", "It is 45 euro: https://flora.example/1 and www.a.b"), ["links"]),
        (Observed("reply", "Cuesta 45 euros para usted, https://flora.example/1"), ["language"]),
        (Observed("silent"), ["outcome"]),
        (Observed("fail", "Sorry", error="the AI answered 401"), ["outcome"]),
    ],
)
def test_what_counts_is_compared_not_words(seen: Observed, keys: list[str]) -> None:
    assert [one.key for one in changes(BEFORE, seen)] == keys


def test_the_newest_questions_come_with_what_their_person_had_said() -> None:
    first, other = replace(BEFORE, at=1.0), replace(BEFORE, at=2.0, chat_id="b")
    second, newest = replace(BEFORE, at=3.0), replace(BEFORE, at=9.0)

    found = questions([[first, other, second], [newest]], 3)

    assert [one.question for one in found] == [newest, second, other]
    assert [one.before for one in found] == [(), (first,), ()]


def replay(settings: Settings, *more: str) -> Result:
    arguments = ["test", "acme", "--replay", "10", *more]
    return create_app(settings).test_cli_runner().invoke(args=arguments)


def test_only_what_differs_is_shown_and_nothing_is_changed(
    settings: Settings,
    store: IntegrationStore,
    acme: Integration,
    parts: Parts,
    ask: Ask,
    ai: StandInAI,
    redis: Redis,
    tmp_path: Path,
) -> None:
    ai.reply = told_reply
    store.save(replace(acme, instructions="- The roses are 45 euro.\n- We open at 9:00."))
    for number, text in enumerate(["The price of roses?", "When do you open?"]):
        answer(ask(text, entity_id=20 + number), parts)
    parts.steps.metrics.flush()
    kept = {key: redis.dump(key) for key in redis.scan_iter()}
    changed = tmp_path / "changed.txt"
    changed.write_text("- The roses are 47 euro.\n- We open at 9:00.", encoding="utf-8")

    same, done = replay(settings), replay(settings, "--instructions-file", str(changed))

    assert "0 of 2 answers differ" in same.output
    assert "  before     The roses are 45 euro.\n" in done.output
    assert "  now        [reply] The roses are 47 euro.\n" in done.output
    assert "  differs    numbers: 45 -> 47\n" in done.output
    assert "open" not in done.output
    assert "1 of 2 answers differ in exit, numbers, links or language." in done.output
    assert {key: redis.dump(key) for key in redis.scan_iter()} == kept


def test_what_cannot_be_replayed_is_one_sentence(
    settings: Settings, acme: Integration, parts: Parts, ask: Ask, tmp_path: Path
) -> None:
    nothing = replay(settings)
    answer(ask("Do you deliver?"), parts)

    missing = replay(settings, "--instructions-file", str(tmp_path / "none.txt"))

    assert nothing.output == "Error: No conversation of acme is remembered.\n"
    assert "cannot be read as text" in missing.output


def test_conversations_are_listed_newest_first_and_only_those_of_the_integration(
    parts: Parts, acme: Integration, ask: Ask, redis: Redis
) -> None:
    for number in (1, 2, 3):
        answer(ask(f"Question {number}", entity_id=number), parts)
    answer(ask("And now?", entity_id=2), parts)
    answer(ask("Hello", subdomain="acme", entity_type="1", entity_id=2), parts)
    parts.steps.memory.pause(conversation_name(ask(entity_id=1)), 1, "a reason")

    found = remembered(redis, acme)

    named = [(one.entity_type, one.entity_id, len(one.said)) for one in found]
    assert named == [("contact", 2, 1), ("lead", 2, 2), ("lead", 3, 1), ("lead", 1, 1)]
    assert found[-1].pause
    assert remembered(redis, replace(acme, subdomain="acm*")) == []

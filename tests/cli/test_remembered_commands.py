"""`flask conversations list`, `export` and `forget`."""

import json

import pytest
from click.testing import Result
from flask import Flask
from helpers import Ask
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.conversations.keys import conversation_name
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.metrics import KEY as METRICS_KEY
from local.partners.ai import StandInAI, handoff_call
from local.partners.http.faults import Status
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo


@pytest.fixture
def app(settings: Settings, acme: Integration, redis: Redis) -> Flask:
    redis.hset(METRICS_KEY, "x", 1)
    return create_app(settings)


def run(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["conversations", *arguments])


def test_the_list_shows_who_has_each_and_words_only_on_request(
    app: Flask, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo
) -> None:
    answer(ask("Do you deliver on Sundays, and how much is that?" + " please" * 9), parts)
    ai.reply = lambda _: handoff_call("One moment.")
    answer(ask("A human, please", entity_type="1", entity_id=9), parts)
    ai.reply = lambda _: "Yes."
    kommo.faults.order(Status(500))
    answer(ask("Are you there?", entity_id=8), parts)

    plain, words = run(app, "list", "acme"), run(app, "list", "acme", "--words", "--limit", "2")

    header, first, second, third, total = plain.output.splitlines()
    assert header.split("  ")[0] == "LAST ANSWER (UTC)"
    assert "contact 9" in first
    assert "with a human until" in first
    assert second.endswith("lead 7        1      answered")
    assert third.startswith("-")
    assert third.endswith("lead 8        0      being answered")
    assert total == "3 conversations, 3 shown."
    assert "Sundays" not in plain.output
    assert "Do you deliver on Sundays, and how much is that? please ple…" in words.output
    assert "3 conversations, 2 shown." in words.output


def test_a_customer_gets_all_that_is_kept_as_json(
    app: Flask, parts: Parts, ask: Ask, ai: StandInAI, store: IntegrationStore, acme: Integration
) -> None:
    ai.reply = lambda _: handoff_call("One moment, Zoë.")
    answer(ask("I am Zoë. ¿Un humano?", chat_id="c1"), parts)
    SavedScenarios(store.database).save(acme, [{"id": "a", "turns": []}], "2:7")
    SavedScenarios(store.database).save(acme, [{"id": "b", "turns": []}], "2:8")

    found = json.loads(run(app, "export", "acme", "--entity-id", "7").output)

    assert found["account"] == "acme.kommo.com"
    assert found["conversation"] == {"type": "lead", "id": 7}
    [turn] = found["turns"]
    assert (turn["customer"], turn["reply"]) == ("I am Zoë. ¿Un humano?", "One moment, Zoë.")
    assert turn["chat"] == "c1"
    assert found["not_answered_yet"] == []
    assert found["with_a_human"]["seconds"] > 0
    assert found["saved_tests"] == [{"id": "a", "turns": []}]


def test_a_contact_is_forgotten_with_all_its_leads_and_their_saved_tests(
    app: Flask,
    parts: Parts,
    ask: Ask,
    store: IntegrationStore,
    acme: Integration,
    account: Account,
    kommo: StandInKommo,
    redis: Redis,
) -> None:
    kommo.add_contact(account, 5, [7, 8])
    for lead in (7, 8, 9):
        answer(ask("Zoë here", entity_id=lead), parts)
    answer(ask("Zoë again", entity_type="1", entity_id=5), parts)
    saved = SavedScenarios(store.database)
    saved.save(acme, [{"id": "a", "turns": []}], "2:8")

    done = run(app, "forget", "acme", "--contact-id", "5")

    assert done.output.splitlines() == [
        "Forgotten: 1 turn of contact 5.",
        "Forgotten: 1 turn of lead 7.",
        "Forgotten: 1 turn and 1 saved test of lead 8.",
    ]
    assert saved.of(acme) == []
    [left] = redis.scan_iter(f"{PREFIX}conversation:*:turns")
    assert left.decode().endswith(f"{conversation_name(ask(entity_id=9))}:turns")


@pytest.mark.parametrize("status", [401, 403, 500])
def test_nothing_is_forgotten_when_kommo_does_not_list_the_leads(
    status: int, app: Flask, parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    answer(ask("Zoë here", entity_type="1", entity_id=5), parts)
    kommo.faults.order(Status(status), times=None)

    done = run(app, "forget", "acme", "--contact-id", "5")

    assert done.exit_code == 1
    assert "so nothing is forgotten" in done.output
    assert parts.steps.memory.exchanges(conversation_name(ask(entity_type="1", entity_id=5)))


def test_a_contact_that_kommo_does_not_know_may_be_kept_here(
    app: Flask, parts: Parts, ask: Ask
) -> None:
    answer(ask("Zoë here", entity_type="1", entity_id=5), parts)

    assert run(app, "forget", "acme", "--contact-id", "5").output.endswith("contact 5.\n")


def test_one_of_both_numbers_is_needed(app: Flask) -> None:
    for arguments in ([], ["--entity-id", "1", "--contact-id", "1"]):
        assert run(app, "forget", "acme", *arguments).exit_code == 2

"""That an assistant answers is said before the first reply of a conversation, and only then."""

from dataclasses import replace
from typing import Any

import pytest
from helpers import Ask, let_pass, wait_for
from redis import Redis

from kommo_bridge.ai.messenger_text import MAX_UNITS
from kommo_bridge.conversations.keys import conversation_name, disclosed_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.sentences import DISCLOSURE_TEXT, TRANSLATIONS
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.kommo.widget_request import WidgetRequest
from local.partners.ai import StandInAI, handoff_call, openai_error
from local.partners.http.faults import Status
from local.partners.kommo.server import StandInKommo


@pytest.fixture(autouse=True)
def disclosing(parts: Parts, acme: Integration, ai: StandInAI) -> Integration:
    ai.reply = lambda _: "Yes, we do."
    changed = replace(acme, disclosure=DISCLOSURE_TEXT)
    parts.integrations.save(changed)
    return changed


def reply_to(kommo: StandInKommo, request: WidgetRequest) -> str:
    [found] = [one for one in kommo.continuations if one.block.path in request.return_url]
    return str(found.body["data"]["reply"])


FIRST = f"{DISCLOSURE_TEXT}\n\nYes, we do."


def test_it_is_said_once_and_the_ai_does_not_read_it(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
) -> None:
    first, second = ask(), ask("And on Sundays?")
    answer(first, parts)
    answer(second, parts)

    assert [reply_to(kommo, one) for one in (first, second)] == [FIRST, "Yes, we do."]
    assert "assistant answers" not in str(ai.requests)


def test_it_is_said_in_the_customers_language(parts: Parts, ask: Ask, kommo: StandInKommo) -> None:
    request = ask("Hola, ¿hacen entregas?")
    answer(request, parts)

    assert reply_to(kommo, request).startswith(TRANSLATIONS[DISCLOSURE_TEXT]["es"])


def test_each_person_of_a_lead_is_told(parts: Parts, ask: Ask, kommo: StandInKommo) -> None:
    requests = [ask(chat_id=chat) for chat in ("a", "b", "a")]
    for one in requests:
        answer(one, parts)

    assert [reply_to(kommo, one) for one in requests] == [FIRST, FIRST, "Yes, we do."]


def test_a_reply_that_is_sent_again_is_said_with_it_and_the_next_one_without(
    parts: Parts, ask: Ask, kommo: StandInKommo, redis: Redis
) -> None:
    kommo.faults.order(Status(500), times=2)
    request = ask()
    assert answer(request, parts)
    assert not parts.steps.memory.disclosed(request)

    def again() -> bool:
        let_pass(redis, 10)
        return answer(request, parts) is None

    wait_for(again)
    second = ask()
    answer(second, parts)

    assert [reply_to(kommo, one) for one in (request, second)] == [FIRST, "Yes, we do."]


def test_sentences_of_the_bridge_itself_do_not_count_as_a_reply(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    voice, written = ask("🎤"), ask()
    answer(voice, parts)
    answer(written, parts)

    assert DISCLOSURE_TEXT not in reply_to(kommo, voice)
    assert reply_to(kommo, written) == FIRST


def test_what_the_ai_says_when_it_hands_over_counts(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
) -> None:
    ai.reply = lambda _: handoff_call("Marta will answer you.")
    request = ask()
    answer(request, parts)

    assert reply_to(kommo, request) == f"{DISCLOSURE_TEXT}\n\nMarta will answer you."


def test_a_long_reply_leaves_room_for_it(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
) -> None:
    ai.reply = lambda _: "word " * 2_000
    request = ask()
    answer(request, parts)

    reply = reply_to(kommo, request)
    assert reply.startswith(DISCLOSURE_TEXT)
    assert MAX_UNITS * 0.8 < len(reply) <= MAX_UNITS + 2


def test_it_is_said_again_when_the_conversation_is_forgotten(
    parts: Parts, ask: Ask, kommo: StandInKommo, redis: Redis, disclosing: Integration
) -> None:
    first, second = ask(), ask()
    answer(first, parts)
    key = disclosed_key(conversation_name(first))
    assert 0 < redis.ttl(key) <= disclosing.history_days * 86400
    parts.steps.memory.forget(conversation_name(first))
    answer(second, parts)

    assert reply_to(kommo, second) == FIRST


@pytest.mark.parametrize("changes", [{"disclosure": ""}, {"history": 0}], ids=str)
def test_empty_switches_it_off_and_it_needs_no_memory(
    parts: Parts,
    ask: Ask,
    kommo: StandInKommo,
    disclosing: Integration,
    changes: dict[str, Any],
) -> None:
    parts.integrations.save(replace(disclosing, **changes))
    requests = [ask(), ask()]
    for one in requests:
        answer(one, parts)

    said = [DISCLOSURE_TEXT in reply_to(kommo, one) for one in requests]
    assert said == [changes != {"disclosure": ""}, False]


def test_strict_facts_and_a_second_ai_are_wired_into_the_answer(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, disclosing: Integration, caplog: Any
) -> None:
    """One customer's way through all of it: an invented price, corrected, then one that stays."""
    changed = replace(
        disclosing, disclosure="", facts_check="strict", instructions="Roses are 45 euros."
    )
    parts.integrations.save(changed)
    replies = iter(["Roses are 30 euros.", "Roses are 45 euros.", "30 euros.", "31 euros."])
    ai.reply = lambda _: next(replies)
    corrected, refused = ask("Roses?"), ask("Roses, really?")

    with caplog.at_level("INFO"):
        answer(corrected, parts)
        answer(refused, parts)

    assert reply_to(kommo, corrected) == "Roses are 45 euros."
    assert reply_to(kommo, refused) == changed.handoff_text
    assert "30 euros" not in caplog.text
    assert len(ai.requests) == 4
    parts.steps.metrics.flush()
    assert parts.steps.metrics.read()["kommo_bridge_unfounded_facts", "price"] == 2
    assert parts.steps.metrics.read()["kommo_bridge_handoffs", "unknown"] == 1


def test_the_second_ai_is_noted_until_the_first_answers_again(
    parts: Parts, ask: Ask, ai: StandInAI, disclosing: Integration
) -> None:
    with StandInAI(api_key="sk-second") as spare:
        changed = replace(
            disclosing, fallback_ai_api_key="sk-second", fallback_ai_base_url=spare.base_url
        )
        parts.integrations.save(changed)
        ai.faults.order(openai_error(503), times=2)
        answer(ask(), parts)
        assert list(parts.steps.asker.incidents.read()) == ["second_ai"]
        spare.faults.order(openai_error(503), times=2)
        answer(ask(), parts)

    assert parts.steps.asker.incidents.read() == {}
    parts.steps.metrics.flush()
    assert parts.steps.metrics.read()["kommo_bridge_ai_replies", "second"] == 1

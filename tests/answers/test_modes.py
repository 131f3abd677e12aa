"""Hints for staff, and answers for tests alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from helpers import Ask, let_pass, wait_for
from redis import Redis

from kommo_bridge.answers.conversation import (
    SILENT_HANDOFF,
    SKIP,
    Conversation,
    Message,
    Outcome,
    Rules,
)
from kommo_bridge.answers.modes import leaves_as, silenced
from kommo_bridge.answers.plan import plan
from kommo_bridge.answers.rules import rules_of
from kommo_bridge.answers.step import LetGo
from kommo_bridge.conversations.keys import conversation_name
from kommo_bridge.errors import ContinuedWithFailure
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.kommo.crm import Lead
from kommo_bridge.kommo.widget_request import WidgetRequest
from local.partners.ai import StandInAI, handoff_call, openai_error
from local.partners.http.faults import ResetAfter, Status
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo

SAID = Outcome("success", "Yes.")
OWN, HAND_MADE = Message("a", 0.0), Message("a", 0.0, own=False)
RULES = Rules(reply_deadline=120, continue_deadline=900)


@pytest.mark.parametrize(
    ("mode", "message", "outcome", "left"),
    [
        ("live", OWN, SAID, SAID),
        ("test", OWN, SAID, SAID),
        ("hint", OWN, SAID, SKIP),
        ("hint", HAND_MADE, SAID, SILENT_HANDOFF),
        ("hint", OWN, Outcome("handoff", "One moment."), SKIP),
        ("hint", OWN, Outcome("fail", "Sorry.", error="x", source="fallback"), SKIP),
        ("hint", HAND_MADE, SILENT_HANDOFF, SILENT_HANDOFF),
    ],
)
def test_a_hint_says_nothing_to_the_customer(
    mode: Any, message: Message, outcome: Outcome, left: Outcome
) -> None:
    assert leaves_as(outcome, message, replace(RULES, mode=mode)) == left


TAGS: dict[str, Lead | None] = {
    "none": Lead(),
    "paused": Lead(("VIP", " human ")),
    "test": Lead(("AI-test",)),
    "both": Lead(("ai-test", "Human")),
    "unknown": None,
}


@pytest.mark.parametrize(
    ("mode", "pause_tag", "silent"),
    [
        ("live", "", set()),
        ("live", "Human", {"paused", "both"}),
        ("hint", "Human", {"paused", "both"}),
        ("test", "", {"none", "paused", "unknown"}),
        ("test", "Human", {"none", "paused", "unknown", "both"}),
    ],
)
def test_tags_decide_who_is_answered(mode: str, pause_tag: str, silent: set[str]) -> None:
    """When Kommo cannot say, customers are answered; in a test nobody is."""
    integration = Integration("id", "acme", mode=mode, pause_tag=pause_tag)

    assert {name for name, lead in TAGS.items() if silenced(lead, integration)} == silent


def test_where_nobody_is_answered_the_salesbot_leaves_at_once() -> None:
    conversation = Conversation(replace(RULES, silent=True), (replace(OWN, text="Hi"),))

    assert plan(conversation, 1.0) == LetGo("a", SKIP)


@pytest.fixture
def mode(parts: Parts, acme: Integration) -> Callable[..., Integration]:
    """Changes the stored integration."""

    def change(mode: str, **fields: Any) -> Integration:
        changed = replace(acme, mode=mode, **fields)
        parts.integrations.save(changed)
        return changed

    return change


def continued(kommo: StandInKommo) -> list[tuple[str, str]]:
    """Status and reply of each continued Salesbot."""
    return [(one.body["data"]["status"], one.body["data"]["reply"]) for one in kommo.continuations]


class TestHint:
    @pytest.fixture(autouse=True)
    def hint(self, mode: Callable[..., Integration]) -> None:
        mode("hint", handoff_task_minutes=5, handoff_tag="human", handoff_note=False)

    def test_the_reply_becomes_a_note_and_the_salesbot_leaves_by_skip(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        ai.reply = lambda _: "A lamp is **5** euro."

        answer(ask("How much is a lamp?"), parts)
        parts.staff.run()

        assert continued(kommo) == [("skip", "-")]
        [note] = kommo.crm.notes
        assert (note.kind, note.entity_id) == ("leads", 7)
        assert note.text == (
            "The assistant would reply:\nA lamp is *5* euro.\nLast message: How much is a lamp?"
        )

    def test_a_handoff_is_told_and_begins_no_pause(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, account: Account
    ) -> None:
        ai.reply = lambda _: handoff_call("One moment.", "order", "Two lamps.")
        request = ask("I take two.")

        answer(request, parts)
        parts.staff.run()

        assert continued(kommo) == [("skip", "-")]
        assert parts.steps.memory.paused(conversation_name(request)) is None
        [note] = kommo.crm.notes
        assert "The assistant has handed over: an order.\nTwo lamps." in note.text
        assert "The assistant would reply:\nOne moment." in note.text
        assert (kommo.crm.tasks, kommo.crm.entity(account, 7).tags) == ([], [])

    def test_a_hand_made_bot_shows_nothing(
        self, parts: Parts, ask: Ask, kommo: StandInKommo
    ) -> None:
        answer(ask(delivery=None), parts)

        assert [one.shown for one in kommo.continuations] == [[]]
        assert continued(kommo) == [("handoff", "-")]

    def test_neither_a_fallback_nor_the_wish_for_text_is_a_hint(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        answer(ask(""), parts)
        ai.faults.order(openai_error(401), times=None)
        with pytest.raises(ContinuedWithFailure):
            answer(ask("How much?"), parts)
        parts.staff.run()

        assert continued(kommo) == [("skip", "-")] * 2
        assert kommo.crm.notes == []

    def test_the_next_question_comes_with_the_last_hint(
        self, parts: Parts, ask: Ask, ai: StandInAI
    ) -> None:
        ai.reply = lambda _: "5 euro."
        answer(ask("How much is a lamp?"), parts)

        answer(ask("And two?"), parts)

        said = [one["content"] for one in ai.requests[1]["messages"][1:]]
        assert said == ["How much is a lamp?", "5 euro.", "And two?"]


class TestTest:
    @pytest.fixture(autouse=True)
    def test(self, mode: Callable[..., Integration]) -> None:
        mode("test", test_tag="try")

    def test_only_a_tagged_lead_is_answered(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, account: Account
    ) -> None:
        kommo.tag_lead(account, 8, "Try")

        answer(ask("Hello"), parts)
        answer(ask("Hello", entity_id=8), parts)

        assert [status for status, _ in continued(kommo)] == ["skip", "success"]
        assert ai.count == 1

    @pytest.mark.parametrize("message", ["", "a human please"])
    def test_not_even_a_sentence_of_ours_is_said_to_others(
        self,
        parts: Parts,
        ask: Ask,
        kommo: StandInKommo,
        mode: Callable[..., Integration],
        message: str,
    ) -> None:
        mode("test", handoff_phrases="human")

        answer(ask(message), parts)

        assert continued(kommo) == [("skip", "-")]

    def test_nobody_is_answered_when_kommo_cannot_say(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, account: Account
    ) -> None:
        kommo.tag_lead(account, 7, "try")
        kommo.faults.order(Status(500), times=1)

        answer(ask(), parts)

        assert continued(kommo) == [("skip", "-")]

    def test_a_contact_has_no_such_tag(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, account: Account
    ) -> None:
        answer(ask(entity_type="1"), parts)

        assert continued(kommo) == [("skip", "-")]
        assert len(kommo.calls(account)) == 1


@pytest.mark.parametrize("name", ["hint", "test"])
def test_whoever_tries_it_here_is_answered(
    parts: Parts, ask: Ask, mode: Callable[..., Integration], name: str
) -> None:
    request: WidgetRequest = ask(entity_type="chat")

    rules = rules_of(mode(name), parts.settings, request)

    assert (rules.mode, rules.silent, rules.looks_up_tag) == ("live", False, False)


@pytest.fixture
def comes_back(parts: Parts, redis: Redis) -> Callable[[WidgetRequest], None]:
    """Runs a request's job until it has ended."""

    def finish(request: WidgetRequest) -> None:
        def again() -> bool:
            let_pass(redis, 10)
            return answer(request, parts) is None

        wait_for(again)

    return finish


class TestSwitched:
    """The mode changes while a Salesbot waits for its next call."""

    def test_a_reply_that_may_have_arrived_is_no_hint_afterwards(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        kommo: StandInKommo,
        mode: Callable[..., Integration],
        comes_back: Callable[[WidgetRequest], None],
    ) -> None:
        """Staff would write to the customer what the customer has read."""
        ai.reply = lambda _: handoff_call("One moment.", "order", "Two lamps.")
        kommo.faults.order(ResetAfter(), times=1)
        request = ask("I take two.")
        assert answer(request, parts)
        mode("hint")

        comes_back(request)
        parts.staff.run()

        assert continued(kommo) == [("handoff", "One moment.")]
        assert parts.steps.memory.paused(conversation_name(request))
        [note] = kommo.crm.notes
        assert "would reply" not in note.text

    def test_a_hint_that_may_have_arrived_is_no_reply_afterwards(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        kommo: StandInKommo,
        mode: Callable[..., Integration],
        comes_back: Callable[[WidgetRequest], None],
    ) -> None:
        ai.reply = lambda _: handoff_call("One moment.", "order", "Two lamps.")
        mode("hint")
        kommo.faults.order(ResetAfter(), times=1)
        request = ask("I take two.")
        assert answer(request, parts)
        mode("live")

        comes_back(request)
        parts.staff.run()

        assert continued(kommo) == [("skip", "-")]
        assert parts.steps.memory.paused(conversation_name(request)) is None
        [note] = kommo.crm.notes
        assert "would reply" in note.text

    def test_a_hint_that_has_not_arrived_is_a_reply_with_its_disclosure(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        kommo: StandInKommo,
        mode: Callable[..., Integration],
        comes_back: Callable[[WidgetRequest], None],
    ) -> None:
        ai.reply = lambda _: "Yes."
        mode("hint", disclosure="I am an assistant.")
        kommo.faults.order(Status(400), times=1)
        request = ask()
        assert answer(request, parts)
        mode("live", disclosure="I am an assistant.")

        comes_back(request)

        assert continued(kommo) == [("success", "I am an assistant.\n\nYes.")]

    def test_a_reply_without_disclosure_does_not_count_as_disclosed(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        kommo: StandInKommo,
        mode: Callable[..., Integration],
        comes_back: Callable[[WidgetRequest], None],
    ) -> None:
        ai.reply = lambda _: "Yes."
        kommo.faults.order(Status(500), times=1)
        request = ask()
        assert answer(request, parts)
        mode("live", disclosure="I am an assistant.")
        comes_back(request)

        answer(ask("And on Sundays?"), parts)

        said = ["Yes.", "I am an assistant.\n\nYes."]
        assert [reply for _, reply in continued(kommo)] == said

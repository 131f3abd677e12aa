"""A reply whose facts are checked: what is asked again, what is handed over, what only noted."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from kommo_bridge.ai.checked import checked_reply
from kommo_bridge.ai.dialogue import Reply
from kommo_bridge.ai.prompt import Question
from kommo_bridge.ai.tools import ToolUse
from kommo_bridge.conversations.memory import Exchange
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.integration import Integration

ACME = Integration("id", "acme", secret_key="s", instructions="Roses are 45 euros.")
INVENTED = Reply("Tulips are 30 euros.", tokens=10, prompt_tokens=8, cached_tokens=4)
SOUND = Reply("Roses are 45 euros.", tokens=7, prompt_tokens=5)
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)  # a Saturday


@dataclass
class Model:
    """Gives these replies one after the other, then fails."""

    replies: list[Reply]
    asked: list[tuple[Question, Sequence[Exchange]]] = field(default_factory=list)

    def ask(self, question: Question, history: Sequence[Exchange], _seconds: float) -> Reply:
        self.asked.append((question, history))
        if not self.replies:
            raise AssistantError("down", permanent=False)
        return self.replies.pop(0)


def ask(
    model: Model, check: str, said: str = "Tulips?", seconds: float = 30, **known: object
) -> Reply:
    integration = replace(ACME, facts_check=check, open_hours="mo-fr 9-18", time_zone="UTC")
    question = replace(Question(said, now=NOON), **known)  # type: ignore[arg-type]
    return checked_reply(model.ask, integration, question, [], seconds)


@pytest.mark.parametrize(("check", "kinds"), [("off", []), ("warn", ["price"])])
def test_a_warning_changes_nothing(check: str, kinds: list[str]) -> None:
    reply = ask(Model([INVENTED]), check)

    assert replace(reply, unfounded=()) == INVENTED
    assert [one.kind for one in reply.unfounded] == kinds


def test_strict_asks_once_more_and_says_what_stands_nowhere() -> None:
    model = Model([INVENTED, SOUND])

    reply = ask(model, "strict")

    assert (reply.text, reply.handoff) == (SOUND.text, False)
    assert (reply.tokens, reply.prompt_tokens, reply.cached_tokens) == (17, 13, 4)
    [_, (again, history)] = model.asked
    assert "price '30 euros'" in again.text
    assert (history[-1].customer, history[-1].reply) == ("Tulips?", INVENTED.text)


@pytest.mark.parametrize("replies", [[INVENTED, INVENTED], [INVENTED]], ids=["again", "fails"])
def test_strict_hands_over_when_the_second_reply_is_no_better(replies: list[Reply]) -> None:
    model = Model(list(replies))

    reply = ask(model, "strict")

    assert (reply.handoff, reply.reason, reply.text) == (True, "unknown", "")
    assert "price" in reply.summary
    assert "30" not in reply.summary
    assert reply.tokens == 10 * len(replies)
    assert len(model.asked) == 2


def test_strict_hands_over_at_once_without_time_for_another_question() -> None:
    model = Model([INVENTED, SOUND])

    assert ask(model, "strict", seconds=1).handoff
    assert len(model.asked) == 1


def test_a_handoff_keeps_its_reason_but_not_its_invented_sentence() -> None:
    handoff = Reply("Marta calls you at 15:00.", handoff=True, reason="order", summary="Wants 5.")

    reply = ask(Model([handoff]), "strict")

    assert (reply.text, reply.reason, reply.summary) == ("", "order", "Wants 5.")


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("They are 30 euros.", {"knowledge": "Tulips: 30 euros"}),
        ("You have paid 30 euros.", {"lead_facts": (("Paid", "30 EUR"),)}),
        ("We open on Monday, 30 November, at 9:00.", {}),
        ("We close at 18:00. It is 12:00 now.", {}),
    ],
    ids=str,
)
def test_what_the_business_has_said_in_any_place_bears_a_reply_out(
    text: str, known: dict[str, object]
) -> None:
    assert ask(Model([Reply(text)]), "warn", **known).unfounded == ()  # type: ignore[arg-type]


def test_what_a_search_found_bears_a_reply_out() -> None:
    used = (ToolUse("search_knowledge", "tulips", "Tulips 30 euros"),)

    assert ask(Model([replace(INVENTED, used=used)]), "warn").unfounded == ()


def test_a_link_that_only_the_customer_named_is_not_repeated_when_strict() -> None:
    reply = Reply("See https://evil.example.com/x")
    said = "Is https://evil.example.com/x yours?"

    assert ask(Model([reply]), "warn", said).unfounded == ()
    assert ask(Model([reply]), "strict", said).handoff

"""Finds what a turn says: one of the integration's own sentences, or a reply from the AI.

The rules stand in the order of `RULES`; the first that applies decides. Pure, as `plan` is.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kommo_bridge.answers.conversation import SKIP, Conversation, Message, Turn
from kommo_bridge.answers.step import Ask, LetGo, LookUp, Say, Step, Wait
from kommo_bridge.answers.turns import (
    MAX_QUESTIONS,
    growing,
    last_moment,
    question,
    quiet_until,
    with_newer,
)


def find_words(conversation: Conversation, turn: Turn, now: float) -> Step:
    """The first rule that applies; else the AI is asked, at once."""
    texts = with_newer(conversation, turn)
    case = Case(conversation, growing(turn, texts), texts, question(texts), now)
    for rule in RULES:
        if step := rule(case):
            return step
    return Ask(case.turn, case.last_moment - now)


@dataclass(frozen=True)
class Case:
    """A turn that has nothing to say yet: what the rules look at."""

    conversation: Conversation
    turn: Turn
    texts: Sequence[Message]
    said: str
    now: float

    @property
    def last_moment(self) -> float:
        """When the AI's time ends."""
        return last_moment(self.texts, self.conversation.rules)


def _switched_off(case: Case) -> Step | None:
    """The integration was disabled after it had accepted the request."""
    off = not case.conversation.rules.enabled
    return Say(case.turn, "fallback", "fail") if off else None


def _will_not_answer(case: Case) -> Step | None:
    """The AI has failed in a way that asking again cannot help."""
    turn = case.turn
    return Say(turn, "fallback", "fail", error=turn.error) if turn.final else None


def _too_late(case: Case) -> Step | None:
    """The reply deadline of the oldest text has passed."""
    if case.now < case.last_moment:
        return None
    error = f" ({case.turn.error})" if case.turn.error else ""
    return Say(case.turn, "fallback", "fail", error=f"no reply before the deadline{error}")


def _nothing_to_read(case: Case) -> Step | None:
    """Voice messages and pictures: ask for text once in a few minutes, if none has followed."""
    if case.said:
        return None
    first = case.texts[0]
    if case.conversation.no_text_said and first.own:
        left = first.next_at - case.now
        return Wait(left) if left > 0 else LetGo(first.job_id, SKIP)
    quiet = quiet_until(case.texts, case.conversation.rules)
    return Wait(quiet - case.now) if quiet > case.now else Say(case.turn, "no_text", "success")


def _wants_a_human(case: Case) -> Step | None:
    """The customer wrote one of the integration's handoff phrases."""
    if not says_handoff(case.conversation.rules.handoff_phrases, case.said):
        return None
    reason = "the customer asked for it"
    return Say(case.turn, "handoff", "handoff", reason=reason, handoff_reason="customer_request")


def _used_up(case: Case) -> Step | None:
    """A cap of the integration or of the conversation is reached."""
    cap = case.conversation.cap
    if not cap:
        return None
    return Say(case.turn, "handoff", "handoff", reason=f"{cap} reached", handoff_reason="policy")


def _asked_enough(case: Case) -> Step | None:
    """Workers died during this question or lost its reply: the question may be the cause."""
    if case.turn.asked < MAX_QUESTIONS:
        return None
    return Say(case.turn, "fallback", "fail", error="asked three times, no reply was kept")


def _not_yet(case: Case) -> Step | None:
    """The AI failed in a way that may pass."""
    until = min(case.turn.retry_at, case.last_moment)
    return Wait(until - case.now) if until > case.now else None


def _maybe_tagged(case: Case) -> Step | None:
    """Look up the pause tag first, if the integration has one."""
    unknown = case.conversation.rules.looks_up_tag and case.conversation.tagged is None
    return LookUp() if unknown else None


RULES: tuple[Callable[[Case], Step | None], ...] = (
    _switched_off,
    _will_not_answer,
    _too_late,
    _nothing_to_read,
    _wants_a_human,
    _used_up,
    _asked_enough,
    _not_yet,
    _maybe_tagged,
)


def says_handoff(phrases: Sequence[str], text: str) -> bool:
    """Whether one of the phrases is in the text, as whole words."""
    return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text, re.IGNORECASE) for one in phrases)

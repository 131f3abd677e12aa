"""The rules of a turn: one picture of a conversation in, one step out.

    plan(conversation, now) -> Ask | Say | LookUp | Send | LetGo | GiveUp | Close | Wait

Who looks for a rule finds it here:

* a pause is looked at first and last ............ `plan`; `calls`, before a word leaves
* the AI is asked at once ........................ `_find_words`
* the reply is held, a newer text takes it back .. `_hold`
* the turn's deadline is its oldest text's ....... `_too_late`
* the newest Salesbot first, then the next older . `_send` and `turns.target_of`
* `skip` only after the customer was told ........ `_let_go`, marked in `calls` on acceptance
* an unknown outcome keeps its own Salesbot ...... `_send`; it holds the next turn back: `plan`
* a sentence of ours instead of the AI's ......... the functions of `RULES`
* hand-made bots and persons of one lead ......... `turns`, and the picture holds one person alone

No I/O and no clock: `steps` reads the picture, carries out the step and plans again.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kommo_bridge.answers.conversation import (
    SILENT_HANDOFF,
    SKIP,
    Conversation,
    Message,
    Turn,
)
from kommo_bridge.answers.step import (
    Ask,
    Close,
    GiveUp,
    LetGo,
    LookUp,
    Part,
    Say,
    Send,
    Step,
    Wait,
)
from kommo_bridge.answers.turns import (
    MAX_QUESTIONS,
    growing,
    holds_back_until,
    is_over,
    last_minute_first,
    last_moment,
    next_call_at,
    question,
    quiet_until,
    soonest,
    target_of,
    turns_of,
    with_newer,
)


def plan(conversation: Conversation, now: float) -> Step:
    """The next step in a conversation; `now` in seconds since the epoch, by Redis' clock."""
    if conversation.paused or conversation.tagged:
        return _leave_to_the_human(conversation, now)
    waits: list[float] = []
    for turn in last_minute_first(conversation, turns_of(conversation), now):
        step = _carry_on(conversation, turn, now)
        if not isinstance(step, Wait):
            return step
        waits.append(step.seconds or 0.0)
        until = holds_back_until(turn, conversation.rules, now)
        if until:
            waits.append(until - now)
            break
    step = _let_go(conversation, now)
    if not isinstance(step, Wait):
        return step
    waits += [] if step.seconds is None else [step.seconds]
    return Wait(max(0.0, min(waits)) if waits else None)


def says_handoff(phrases: Sequence[str], text: str) -> bool:
    """Whether one of the phrases is in the text, as whole words."""
    return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text, re.IGNORECASE) for one in phrases)


def _carry_on(conversation: Conversation, turn: Turn, now: float) -> Step:
    """The next step of one turn."""
    waiting = _waiting(conversation.members(turn))
    if not waiting:
        return Close(turn)
    over = next((one for one in waiting if is_over(one, conversation.rules, now)), None)
    if over:
        return GiveUp(over.job_id)
    if turn.outcome is None:
        return _find_words(conversation, turn, now)
    return (
        _hold(conversation, turn, now)
        or _part(conversation, turn, now)
        or _send(conversation, turn, now)
    )


def _find_words(conversation: Conversation, turn: Turn, now: float) -> Step:
    """The first rule that applies; else the AI is asked, at once."""
    texts = with_newer(conversation, turn, now)
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
    """The AI refuses for good."""
    turn = case.turn
    return Say(turn, "fallback", "fail", error=turn.error) if turn.final else None


def _too_late(case: Case) -> Step | None:
    """The reply deadline of the oldest text."""
    if case.now < case.last_moment:
        return None
    error = f" ({case.turn.error})" if case.turn.error else ""
    return Say(case.turn, "fallback", "fail", error=f"no reply before the deadline{error}")


def _nothing_to_read(case: Case) -> Step | None:
    """Voice messages and pictures: said once in a few minutes, when no text has followed."""
    if case.said:
        return None
    first = case.texts[0]
    if case.conversation.no_text_said and first.own:
        rests = first.next_at - case.now
        return Wait(rests) if rests > 0 else LetGo(first.job_id, SKIP)
    quiet = quiet_until(case.texts, case.conversation.rules)
    return Wait(quiet - case.now) if quiet > case.now else Say(case.turn, "no_text", "success")


def _wants_a_human(case: Case) -> Step | None:
    """One of the integration's phrases."""
    if not says_handoff(case.conversation.rules.handoff_phrases, case.said):
        return None
    return Say(case.turn, "handoff", "handoff", reason="the customer asked for it")


def _used_up(case: Case) -> Step | None:
    """A cap of the integration or of the conversation."""
    cap = case.conversation.cap
    return Say(case.turn, "handoff", "handoff", reason=f"{cap} reached") if cap else None


def _asked_enough(case: Case) -> Step | None:
    """Workers died over this question, or lost its reply: it may be what kills them."""
    if case.turn.asked < MAX_QUESTIONS:
        return None
    return Say(case.turn, "fallback", "fail", error="asked three times, no reply was kept")


def _not_yet(case: Case) -> Step | None:
    """The AI failed in a way that may pass."""
    until = min(case.turn.retry_at, case.last_moment)
    return Wait(until - case.now) if until > case.now else None


def _maybe_tagged(case: Case) -> Step | None:
    """The human's switch inside Kommo, where the integration uses one."""
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


def _hold(conversation: Conversation, turn: Turn, now: float) -> Step | None:
    """A reply waits until it is quiet; a newer text takes it back, and the AI is asked again.

    Never while a call with it may have arrived, at most twice, and not when asking cannot help.
    None when it is to leave. A sentence of ours, which costs nothing, is found anew.
    """
    if _unknown(conversation, turn):
        return None
    texts = with_newer(conversation, turn, now)
    newer = len(texts) > len(turn.job_ids)
    if turn.outcome and turn.outcome.source != "ai":
        return _find_words(conversation, turn, now) if newer else None
    quiet = quiet_until(texts, conversation.rules)
    if quiet > now:
        return Wait(quiet - now)
    seconds = last_moment(texts, conversation.rules) - now
    again = newer and not turn.final and turn.asked < MAX_QUESTIONS and seconds > 0
    return Ask(growing(turn, texts), seconds) if again else None


def _part(conversation: Conversation, turn: Turn, now: float) -> Step | None:
    """A Salesbot whose outcome stays unknown keeps the reply, but not the others of its turn: when
    their customer has waited for the whole deadline, they go on without it."""
    members, rules = conversation.members(turn), conversation.rules
    unknown = _unknown(conversation, turn)
    if not unknown or len(_waiting(members)) == 1 or now < last_moment(members, rules):
        return None
    return None if holds_back_until(turn, rules, now) else Part(turn, unknown.job_id)


def _send(conversation: Conversation, turn: Turn, now: float) -> Step:
    """To the newest Salesbot that waits; one whose outcome is unknown keeps the reply."""
    rules, waiting = conversation.rules, _waiting(conversation.members(turn))
    target = _unknown(conversation, turn) or target_of(waiting, rules, now)
    if target.next_at > now:
        return Wait(next_call_at(target, waiting, rules, now) - now)
    if rules.looks_up_tag and conversation.tagged is None:
        return LookUp()
    return Send(target.job_id, turn)


def _leave_to_the_human(conversation: Conversation, now: float) -> Step:
    """A human has the conversation: every Salesbot leaves without a word."""
    waiting = [one for one in conversation.messages if one.waits]
    for one in waiting:
        if is_over(one, conversation.rules, now):
            return GiveUp(one.job_id)
        if one.next_at <= now:
            return LetGo(one.job_id, SKIP if one.own else SILENT_HANDOFF)
    if conversation.turns and not waiting:
        return Close(conversation.turns[0])
    return Wait(soonest(waiting, conversation.rules, now))


def _let_go(conversation: Conversation, now: float) -> Step:
    """Those whose customer was told through another Salesbot, or by a human."""
    waiting = [one for one in conversation.messages if one.waits and one.let_go]
    for one in waiting:
        if is_over(one, conversation.rules, now):
            return GiveUp(one.job_id)
        if one.next_at <= now and one.outcome:
            return LetGo(one.job_id, one.outcome)
    return Wait(soonest(waiting, conversation.rules, now))


def _waiting(members: Sequence[Message]) -> list[Message]:
    """Those whose Salesbots still wait for a word."""
    return [one for one in members if one.waits and not one.let_go]


def _unknown(conversation: Conversation, turn: Turn) -> Message | None:
    """The Salesbot that may have got the turn's reply already."""
    waiting = _waiting(conversation.members(turn))
    return next((one for one in waiting if one.unknown_since is not None), None)

"""The rules of a turn: one picture of a conversation in, one step out.

    plan(conversation, now) -> Ask | Say | LookUp | Send | LetGo | GiveUp | Close | Wait

Who finds what here:

* pause first and last ........................ `plan`, and `steps` right before a call leaves
* which texts are answered together ........... `_joined`
* asked at once, held until it is quiet ....... `_quiet_until`, `_hold`
* a newer text takes the reply back, twice .... `_hold`
* the deadline is the oldest text's ........... `_last_moment`
* newest Salesbot first, then the next older .. `_target`
* `skip` only after the customer was told ..... `steps` marks them, `_let_go` sends it
* an unknown outcome keeps its own Salesbot ... `_carry_on`, and holds the next turn back: `_blocks`
* the last call in the last minute ............ `_urgent_at`, `_is_over`

No I/O and no clock: `steps` reads the picture, carries out the step and asks again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kommo_bridge.answers.conversation import (
    NOT_READABLE,
    SILENT_HANDOFF,
    SKIP,
    Conversation,
    Message,
    Outcome,
    Rules,
    Source,
    Turn,
)
from kommo_bridge.answers.retries import (
    ASK_MARGIN,
    ASK_MARGIN_SHARE,
    BURST_SHARE,
    JOIN_SHARE,
    LAST_SECONDS,
    LONGEST_BURST,
    LONGEST_HOLD_BACK,
    TRIES_BEFORE_SHORT,
)
from kommo_bridge.kommo.continuation import Status

# At most three questions are paid for one accepted reply.
MAX_QUESTIONS = 3
# What the AI is asked at once; more would not fit beside the history. The rest is the next turn.
MAX_QUESTION_CHARACTERS = 16_000
# A Salesbot that must rest for longer than this at its very end is blocked by Kommo.
BLOCKED_SECONDS = 5.0


@dataclass(frozen=True)
class Ask:
    """Ask the AI about the turn's texts, within `seconds`."""

    turn: Turn
    seconds: float


@dataclass(frozen=True)
class Say:
    """Find the integration's own sentence for the turn."""

    turn: Turn
    sentence: Source
    status: Status
    error: str = ""
    reason: str = ""


@dataclass(frozen=True)
class LookUp:
    """Ask Kommo whether the lead has the pause tag."""


@dataclass(frozen=True)
class Send:
    """Continue this Salesbot with the turn's outcome."""

    job_id: str
    turn: Turn


@dataclass(frozen=True)
class LetGo:
    """Continue this Salesbot without a word."""

    job_id: str
    outcome: Outcome


@dataclass(frozen=True)
class GiveUp:
    """Nobody tries to continue this Salesbot any more."""

    job_id: str


@dataclass(frozen=True)
class Close:
    """None of the turn's Salesbots waits any more."""

    turn: Turn


@dataclass(frozen=True)
class Wait:
    """Nothing to do for so many seconds; None: nothing is open."""

    seconds: float | None


Step = Ask | Say | LookUp | Send | LetGo | GiveUp | Close | Wait


def plan(conversation: Conversation, now: float) -> Step:
    """The next step in a conversation; `now` in seconds since the epoch, by Redis' clock."""
    if conversation.paused or conversation.tagged:
        return _leave_to_the_human(conversation, now)
    waits: list[float] = []
    for turn in _turns(conversation):
        step = _carry_on(conversation, turn, now)
        if not isinstance(step, Wait):
            return step
        waits += [step.seconds or 0.0]
        if until := _blocks(conversation, turn, now):
            waits.append(until - now)
            break
    step = _let_go(conversation, now)
    if not isinstance(step, Wait):
        return step
    waits += [] if step.seconds is None else [step.seconds]
    return Wait(max(0.0, min(waits)) if waits else None)


def question(texts: Sequence[Message]) -> str:
    """The texts of a turn as one message; empty when there is nothing to read."""
    if not any(one.text for one in texts):
        return ""
    return "\n".join(one.text or NOT_READABLE for one in texts)


def says_handoff(phrases: Sequence[str], text: str) -> bool:
    """Whether one of the phrases is in the text, as whole words."""
    return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text, re.IGNORECASE) for one in phrases)


def last_window(message: Message, rules: Rules) -> tuple[float, float]:
    """When the last call of a Salesbot is due, and when it is given up."""
    end = message.at + rules.continue_deadline
    return end - min(LAST_SECONDS, rules.continue_deadline - rules.reply_deadline), end


def _turns(conversation: Conversation) -> list[Turn]:
    """The turns under way, then the one that begins.

    A Salesbot that is being continued outside of any turn is one by itself: a former version left
    it so.
    """
    taken = {one for turn in conversation.turns for one in turn.job_ids}
    free = [one for one in conversation.messages if one.waits and one.job_id not in taken]
    alone = [
        Turn((one.job_id,), asked=MAX_QUESTIONS, outcome=one.outcome)
        for one in free
        if one.outcome and not one.let_go
    ]
    new = [one for one in free if not one.outcome]
    begun = [Turn(_ids(_joined(conversation.rules, new[:1], new[1:])))] if new else []
    return [*conversation.turns, *alone, *begun]


def _carry_on(conversation: Conversation, turn: Turn, now: float) -> Step:
    """The next step of one turn."""
    rules, members = conversation.rules, conversation.members(turn)
    waiting = [one for one in members if one.waits and not one.let_go]
    if not waiting:
        return Close(turn)
    over = next((one for one in waiting if _is_over(one, rules, now)), None)
    if over:
        return GiveUp(over.job_id)
    if turn.outcome is None:
        return _find_words(conversation, turn, now)
    unknown = next((one for one in waiting if one.unknown_since is not None), None)
    if unknown is None and (held := _hold(conversation, turn, now)):
        return held
    target = unknown or _target(waiting, rules, now)
    if target.next_at > now:
        return Wait(_soonest_of(target, waiting, rules, now) - now)
    if rules.looks_up_tag and conversation.tagged is None:
        return LookUp()
    return Send(target.job_id, turn)


def _find_words(conversation: Conversation, turn: Turn, now: float) -> Step:
    """The reply, or the sentence that takes its place. The AI is asked at once."""
    rules = conversation.rules
    texts = _with_newer(conversation, turn, now)
    turn, last_moment = replace(turn, job_ids=_ids(texts)), _last_moment(texts, rules)
    said = question(texts)
    if not rules.enabled:
        return Say(turn, "fallback", "fail")
    if turn.final or now >= last_moment:
        return Say(turn, "fallback", "fail", error=_why(turn))
    if not said:
        return _ask_for_text(conversation, turn, texts, now)
    if says_handoff(rules.handoff_phrases, said):
        return Say(turn, "handoff", "handoff", reason="the customer asked for it")
    if conversation.cap:
        return Say(turn, "handoff", "handoff", reason=f"{conversation.cap} reached")
    if turn.asked >= MAX_QUESTIONS:
        return Say(turn, "fallback", "fail", error="asked three times, and no reply was kept")
    if turn.retry_at > now:
        return Wait(min(turn.retry_at, last_moment) - now)
    if rules.looks_up_tag and conversation.tagged is None:
        return LookUp()
    return Ask(turn, last_moment - now)


def _ask_for_text(
    conversation: Conversation, turn: Turn, texts: Sequence[Message], now: float
) -> Step:
    """Nothing to read: said once in a few minutes, when no text has followed."""
    if conversation.no_text_said and texts[0].own:
        return LetGo(texts[0].job_id, SKIP)
    quiet = _quiet_until(texts, conversation.rules)
    if quiet > now:
        return Wait(quiet - now)
    return Say(turn, "no_text", "success")


def _hold(conversation: Conversation, turn: Turn, now: float) -> Step | None:
    """A reply waits until it is quiet; a newer text takes it back, and the AI is asked again.

    None when it is to leave. A sentence of ours, which costs nothing, is found anew.
    """
    texts, rules = _with_newer(conversation, turn, now), conversation.rules
    newer = len(texts) > len(turn.job_ids)
    if turn.outcome and turn.outcome.source != "ai":
        return _find_words(conversation, turn, now) if newer else None
    quiet = _quiet_until(texts, rules)
    if quiet > now:
        return Wait(quiet - now)
    seconds = _last_moment(texts, rules) - now
    if not newer or turn.final or turn.asked >= MAX_QUESTIONS or seconds <= 0:
        return None
    return Ask(replace(turn, job_ids=_ids(texts)), seconds)


def _leave_to_the_human(conversation: Conversation, now: float) -> Step:
    """A human has the conversation: every Salesbot leaves without a word."""
    rules = conversation.rules
    waiting = [one for one in conversation.messages if one.waits]
    for one in waiting:
        if _is_over(one, rules, now):
            return GiveUp(one.job_id)
        if one.next_at <= now:
            return LetGo(one.job_id, SKIP if one.own else SILENT_HANDOFF)
    if conversation.turns and not waiting:
        return Close(conversation.turns[0])
    return Wait(_soonest(waiting, rules, now))


def _let_go(conversation: Conversation, now: float) -> Step:
    """Those whose customer was told through another Salesbot, or by a human."""
    rules = conversation.rules
    waiting = [one for one in conversation.messages if one.waits and one.let_go]
    for one in waiting:
        if _is_over(one, rules, now):
            return GiveUp(one.job_id)
        if one.next_at <= now and one.outcome:
            return LetGo(one.job_id, one.outcome)
    return Wait(_soonest(waiting, rules, now))


def _with_newer(conversation: Conversation, turn: Turn, now: float) -> list[Message]:
    """A turn's texts and those that may still join it."""
    members = list(conversation.members(turn))
    rules = conversation.rules
    if not members or now >= members[0].at + rules.reply_deadline * JOIN_SHARE:
        return members
    taken = {one for other in conversation.turns for one in other.job_ids} | set(turn.job_ids)
    free = [
        one
        for one in conversation.messages
        if one.waits and not one.outcome and one.job_id not in taken
    ]
    return _joined(rules, members, free)


def _joined(rules: Rules, members: Sequence[Message], newer: Sequence[Message]) -> list[Message]:
    """Texts of our own widget that come within a third of the oldest one's deadline.

    Hand-made bots do not know `skip`, and without bursts each message is answered alone.
    """
    joined = list(members)
    if not joined or not joined[0].own or rules.burst <= 0:
        return joined
    until = joined[0].at + rules.reply_deadline * JOIN_SHARE
    size = sum(len(one.text or NOT_READABLE) for one in joined)
    for one in newer:
        size += len(one.text or NOT_READABLE)
        if not one.own or one.at > until or size > MAX_QUESTION_CHARACTERS:
            break
        joined.append(one)
    return joined


def _quiet_until(texts: Sequence[Message], rules: Rules) -> float:
    """How long to listen for more: from the newest text, bounded from the oldest."""
    if not texts[0].own:
        return 0.0
    burst = min(rules.burst, rules.reply_deadline * BURST_SHARE)
    return min(texts[-1].at + burst, texts[0].at + LONGEST_BURST)


def _last_moment(texts: Sequence[Message], rules: Rules) -> float:
    """A turn's deadline is that of its oldest text; the fallback needs a moment to leave."""
    margin = min(ASK_MARGIN, rules.reply_deadline * ASK_MARGIN_SHARE)
    return texts[0].at + rules.reply_deadline - margin


def _target(waiting: Sequence[Message], rules: Rules, now: float) -> Message:
    """The newest Salesbot that waits, or an older one whose last minute has come.

    One that Kommo keeps refusing gives way to the next older.
    """
    last = [one for one in waiting if _urgent_at(one, rules) <= now]
    if last:
        return last[0]
    taken = [one for one in waiting if one.failures < TRIES_BEFORE_SHORT]
    return (taken or waiting)[-1]


def _urgent_at(message: Message, rules: Rules) -> float:
    """When its last call is due; never again once that was made."""
    start, _ = last_window(message, rules)
    return max(start, message.next_at) if message.called_at < start else float("inf")


def _soonest_of(target: Message, waiting: Sequence[Message], rules: Rules, now: float) -> float:
    """When the target may be called, or before it something must happen to another one."""
    ends = [last_window(one, rules)[1] for one in waiting]
    urgent = [_urgent_at(one, rules) for one in waiting]
    return min([target.next_at, *(one for one in (*ends, *urgent) if one > now)])


def _is_over(message: Message, rules: Rules, now: float) -> bool:
    """The continue deadline has passed, and the last call was made, or is not allowed."""
    start, end = last_window(message, rules)
    if now < end:
        return False
    return message.called_at >= start or message.next_at > now + BLOCKED_SECONDS


def _blocks(conversation: Conversation, turn: Turn, now: float) -> float:
    """Until when a turn holds the next one back; 0 when it does not."""
    if turn.failed_at is None:
        return float("inf")
    third = conversation.rules.reply_deadline * JOIN_SHARE
    until = turn.failed_at + min(LONGEST_HOLD_BACK, third)
    return until if until > now else 0.0


def _soonest(waiting: Sequence[Message], rules: Rules, now: float) -> float | None:
    """The seconds until one of them may be called, or is over; None without any."""
    times = [min(one.next_at, last_window(one, rules)[1]) for one in waiting]
    return max(0.0, min(times) - now) if times else None


def _why(turn: Turn) -> str:
    """For the operator: what came of the questions."""
    if turn.final:
        return turn.error
    return f"no reply before the deadline{f' ({turn.error})' if turn.error else ''}"


def _ids(messages: Sequence[Message]) -> tuple[str, ...]:
    return tuple(one.job_id for one in messages)

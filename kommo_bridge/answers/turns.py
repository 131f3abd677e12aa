"""Which texts form a turn, and its deadlines. Pure: a conversation and `now` in, facts out."""

from collections.abc import Sequence
from dataclasses import replace

from kommo_bridge.answers.conversation import (
    NOT_READABLE,
    Conversation,
    Message,
    Rules,
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
    ROOM_FOR_A_CALL,
    TRIES_BEFORE_SHORT,
)

# At most three questions are paid for per accepted reply.
MAX_QUESTIONS = 3
# The longest single question: more would not fit beside the history. The rest is the next turn.
MAX_QUESTION_CHARACTERS = 16_000
NEVER = float("inf")


def turns_of(conversation: Conversation) -> list[Turn]:
    """The turns under way, then the one that begins.

    A Salesbot that version 1.0 was continuing outside any turn is a turn by itself.
    """
    free = _free(conversation, conversation.turns)
    alone = [
        Turn((one.job_id,), asked=MAX_QUESTIONS, outcome=one.outcome)
        for one in free
        if one.outcome and not one.let_go
    ]
    new = [one for one in free if not one.outcome]
    begun = [Turn(ids(_joined(conversation.rules, new[:1], new[1:])))] if new else []
    return [*conversation.turns, *alone, *begun]


def with_newer(conversation: Conversation, turn: Turn) -> list[Message]:
    """A turn's texts and those that may still join it."""
    members = list(conversation.members(turn))
    if turn.closed:
        return members
    free = _free(conversation, (*conversation.turns, turn))
    return _joined(conversation.rules, members, [one for one in free if not one.outcome])


def joins_until(texts: Sequence[Message], rules: Rules) -> float:
    """When a turn is closed to newer texts: a third of its deadline after the oldest."""
    return texts[0].at + rules.reply_deadline * JOIN_SHARE


def growing(turn: Turn, texts: Sequence[Message]) -> Turn:
    """The turn with these texts."""
    return replace(turn, job_ids=ids(texts))


def question(texts: Sequence[Message]) -> str:
    """The texts of a turn as one message; empty when there is nothing to read."""
    if not any(one.text for one in texts):
        return ""
    return "\n".join(one.text or NOT_READABLE for one in texts)


def quiet_until(texts: Sequence[Message], rules: Rules) -> float:
    """How long to wait for more texts: counted from the newest, limited from the oldest."""
    if not texts[0].own:
        return 0.0
    burst = min(rules.burst, rules.reply_deadline * BURST_SHARE)
    return min(texts[-1].at + burst, texts[0].at + LONGEST_BURST)


def last_moment(texts: Sequence[Message], rules: Rules) -> float:
    """When the AI's time ends: shortly before the oldest text's deadline, to send the fallback."""
    margin = min(ASK_MARGIN, rules.reply_deadline * ASK_MARGIN_SHARE)
    return texts[0].at + rules.reply_deadline - margin


def target_of(waiting: Sequence[Message], rules: Rules, now: float) -> Message:
    """The newest Salesbot that waits, or an older one whose last call is due.

    If Kommo keeps refusing it, the next older one takes its place.
    """
    last = [one for one in waiting if _last_call_at(one, rules) <= now]
    if last:
        return last[0]
    taken = [one for one in waiting if one.failures < TRIES_BEFORE_SHORT]
    return (taken or waiting)[-1]


def next_call_at(target: Message, waiting: Sequence[Message], rules: Rules, now: float) -> float:
    """When the target may be called, or when another one needs attention before that."""
    times = [_last_call_at(one, rules) for one in waiting]
    times += [_over_at(one, rules) for one in waiting]
    return min([target.next_at, *(one for one in times if one > now)])


def soonest(waiting: Sequence[Message], rules: Rules, now: float) -> float | None:
    """The seconds until one of them may be called or is given up; None if there are none."""
    times = [min(one.next_at, _over_at(one, rules)) for one in waiting]
    return max(0.0, min(times) - now) if times else None


def last_window(message: Message, rules: Rules) -> tuple[float, float]:
    """When the last call to a Salesbot is due, and when it is given up."""
    end = message.at + rules.continue_deadline
    return end - min(LAST_SECONDS, rules.continue_deadline - rules.reply_deadline), end


def is_over(message: Message, rules: Rules, now: float) -> bool:
    """The continue deadline has passed, and the last call was made."""
    return now >= _over_at(message, rules)


def last_minute_first(conversation: Conversation, turns: Sequence[Turn], now: float) -> list[Turn]:
    """The turns, first those with a Salesbot whose last call is due."""
    due = [
        turn
        for turn in turns
        if any(
            one.waits and _last_call_at(one, conversation.rules) <= now
            for one in conversation.members(turn)
        )
    ]
    return [*due, *(turn for turn in turns if turn not in due)]


def holds_back_until(turn: Turn, rules: Rules, now: float) -> float:
    """Until when a turn holds the next one back; 0 when it no longer does."""
    if turn.failed_at is None:
        return NEVER
    until = turn.failed_at + min(LONGEST_HOLD_BACK, rules.reply_deadline * JOIN_SHARE)
    return until if until > now else 0.0


def gives_way(conversation: Conversation, turns: Sequence[Turn], turn: Turn, now: float) -> bool:
    """A turn that failed before lets another one go first that must soon be told something.

    Its next call may hang until that one's deadline has passed. A last call gives way as long as
    there is time for it afterwards.
    """
    rules = conversation.rules
    due = [
        one for one in conversation.members(turn) if one.waits and not _last_call_made(one, rules)
    ]
    if any(now >= _latest_start(one, rules) for one in due):
        return False
    others = [one for one in turns if one is not turn and one.failed_at is None]
    ends = [last_moment(members, rules) for one in others if (members := conversation.members(one))]
    return any(end < now + ROOM_FOR_A_CALL for end in ends)


def _latest_start(message: Message, rules: Rules) -> float:
    """When a last call must begin to end in its time; in a short one, from its middle on."""
    start, end = last_window(message, rules)
    return max((start + end) / 2, end - ROOM_FOR_A_CALL)


def ids(messages: Sequence[Message]) -> tuple[str, ...]:
    """Their job ids."""
    return tuple(one.job_id for one in messages)


def _joined(rules: Rules, members: Sequence[Message], newer: Sequence[Message]) -> list[Message]:
    """Texts of our own widget that come within a third of the oldest one's deadline.

    Hand-made bots do not know `skip`, and without bursts each message is answered alone.
    """
    joined = list(members)
    if not joined or not joined[0].own or rules.burst <= 0:
        return joined
    until = joins_until(joined, rules)
    size = sum(len(one.text or NOT_READABLE) for one in joined)
    for one in newer:
        size += len(one.text or NOT_READABLE)
        if not one.own or one.at > until or size > MAX_QUESTION_CHARACTERS:
            break
        joined.append(one)
    return joined


def _free(conversation: Conversation, turns: Sequence[Turn]) -> list[Message]:
    """Messages that wait and belong to none of these turns."""
    taken = {one for turn in turns for one in turn.job_ids}
    return [one for one in conversation.messages if one.waits and one.job_id not in taken]


def _over_at(message: Message, rules: Rules) -> float:
    """When a Salesbot is given up.

    One that could not be called in the last minute, because another call hung or the account was
    blocked, gets one more minute.
    """
    _, end = last_window(message, rules)
    return end if _last_call_made(message, rules) else end + LAST_SECONDS


def _last_call_at(message: Message, rules: Rules) -> float:
    """When its last call is due; `NEVER` once that was made."""
    start, _ = last_window(message, rules)
    return NEVER if _last_call_made(message, rules) else max(start, message.next_at)


def _last_call_made(message: Message, rules: Rules) -> bool:
    return message.called_at >= last_window(message, rules)[0]

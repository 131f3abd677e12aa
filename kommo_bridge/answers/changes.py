"""What a step changes in an open conversation, as the Redis commands that `state.lua` runs."""

import json
from dataclasses import asdict, dataclass

from kommo_bridge.answers.conversation import Message, Turn
from kommo_bridge.answers.notice import Notice
from kommo_bridge.answers.record import OPEN_KEY, record_fields, record_key, texts_kept_seconds
from kommo_bridge.answers.retries import HOLD, STAFF_SECONDS, SWEEP_MARGIN
from kommo_bridge.answers.view import View
from kommo_bridge.conversations import keys

NO_TEXT_SAID_SECONDS = 180
TAG_REMEMBERED_SECONDS = 4

Command = tuple[str | int | float, ...]


@dataclass(frozen=True)
class Changes:
    """Changes that are kept all together or not at all.

    Attributes:
        turns: The turns from now on; None leaves them as they are.
        messages: Messages as they are from now on.
        error: Why requests among `messages` ended as they did, for their jobs.
        pause_hours, reason: A human has the conversation from now on.
        no_text_said: The customer was asked to write.
        disclosed_days: For how many days the customer knows that an assistant answers.
        tagged: Whether the lead's tags leave it to a human.
        notice: What staff are told on the lead, of the first of `messages`.
        hold: For how many seconds this run keeps the conversation.
        unless_paused: Keep nothing when a human has the conversation.
    """

    turns: tuple[Turn, ...] | None = None
    messages: tuple[Message, ...] = ()
    error: str = ""
    pause_hours: float = 0.0
    reason: str = ""
    no_text_said: bool = False
    disclosed_days: int = 0
    tagged: bool | None = None
    notice: Notice | None = None
    hold: float = HOLD
    unless_paused: bool = False


def commands_of(changes: Changes, view: View, entity: str, person: str) -> list[Command]:
    """The commands that keep the changes.

    Args:
        view: The conversation as it was last read.
        entity, person: Whose conversation it is, as named in the keys.
    """
    rules = view.conversation.rules
    until = view.now + changes.hold
    commands = [command for one in changes.messages for command in _message(one, until)]
    commands.append(("OF", ""))
    if changes.turns is not None:
        seconds = texts_kept_seconds(rules.continue_deadline)
        commands += _turns(keys.open_key(entity), person, changes.turns, seconds)
    if changes.error:
        ended = [one for one in changes.messages if not one.waits]
        commands += [("HSET", record_key(one.job_id), "error", changes.error) for one in ended]
    if unneeded := _unneeded(changes, view):
        commands.append(("HDEL", keys.texts_key(entity), *unneeded))
    if changes.notice:
        commands += _staff(changes.notice, changes.messages[0].job_id, keys.staff_key(entity), view)
    return [*commands, *_marks(changes, entity, person)]


def _message(message: Message, held_until: float) -> list[Command]:
    """A message's record, and when the sweep is to look at it: not while this run works on it."""
    key, values = record_key(message.job_id), record_fields(message)
    kept = [part for name, value in values.items() if value is not None for part in (name, value)]
    gone = [name for name, value in values.items() if value is None]
    commands: list[Command] = [("OF", key)]
    if gone:
        commands.append(("HDEL", key, *gone))
    if kept:
        commands.append(("HSET", key, *kept))
    if not message.waits:
        return [*commands, ("ZREM", OPEN_KEY, message.job_id)]
    look_at = max(held_until, message.next_at) + SWEEP_MARGIN
    return [*commands, ("ZADD", OPEN_KEY, "XX", f"{look_at:.3f}", message.job_id)]


def _turns(key: str, person: str, turns: tuple[Turn, ...], kept_seconds: int) -> list[Command]:
    if not turns:
        return [("HDEL", key, person)]
    text = json.dumps([asdict(turn) for turn in turns], ensure_ascii=False)
    return [("HSET", key, person, text), ("EXPIRE", key, kept_seconds)]


def _staff(notice: Notice, job_id: str, key: str, view: View) -> list[Command]:
    text = json.dumps(asdict(notice) | {"at": view.now}, ensure_ascii=False)
    return [
        ("HSET", key, job_id, text),
        ("EXPIRE", key, int(2 * STAFF_SECONDS)),
        ("ZADD", keys.STAFF_OPEN_KEY, f"{view.now:.3f}", job_id),
    ]


def _unneeded(changes: Changes, view: View) -> list[str]:
    """Texts whose request has ended, and that no turn under way needs."""
    turns = view.conversation.turns if changes.turns is None else changes.turns
    taken = {one for turn in turns for one in turn.job_ids}
    now = view.conversation.by_id | {one.job_id: one for one in changes.messages}
    ended = [one.job_id for one in now.values() if not one.waits and one.job_id not in taken]
    return [*view.stale, *ended]


def _marks(changes: Changes, entity: str, person: str) -> list[Command]:
    """What holds for the whole conversation for a while."""
    commands: list[Command] = []
    if changes.pause_hours:
        milliseconds = max(1, round(changes.pause_hours * 3_600_000))
        commands.append(("SET", keys.pause_key(entity), changes.reason, "PX", milliseconds))
    if changes.no_text_said:
        key = keys.no_text_key(entity, person)
        commands.append(("SET", key, "1", "EX", NO_TEXT_SAID_SECONDS))
    if changes.disclosed_days:
        key = keys.disclosed_key(entity)
        commands.append(("SADD", key, person))
        commands.append(("EXPIRE", key, changes.disclosed_days * 86400))
    if changes.tagged is not None:
        said = "1" if changes.tagged else "0"
        commands.append(("SET", keys.tagged_key(entity), said, "EX", TAG_REMEMBERED_SECONDS))
    return commands

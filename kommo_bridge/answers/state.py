"""Open conversations in Redis: read and changed in one round trip, by one worker at a time.

    state = states.of(request, integration)
    view = state.look()                      # takes the conversation, if nobody else has it
    view = state.keep(Changes(...))          # only while it is still ours; tells how it is now

`state.lua` is the one script behind both. What `plan` says is decided on Redis' own clock, so that
the clocks of web and workers need not agree.
"""

import json
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis import Redis

from kommo_bridge.answers.conversation import Conversation, Message, Outcome, Rules, Turn
from kommo_bridge.answers.record import (
    OPEN_KEY,
    RECORD_PREFIX,
    kept_seconds,
    message_of,
    numbered,
    record_fields,
    record_key,
    request_text,
    texts_kept_seconds,
)
from kommo_bridge.answers.retries import HOLD, SWEEP_MARGIN
from kommo_bridge.conversations import keys
from kommo_bridge.conversations.usage import cap_reached, period_keys
from kommo_bridge.integrations.store import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest

SCRIPT = Path(__file__).with_suffix(".lua")
Command = tuple[str | int | float, ...]
NO_TEXT_SAID_SECONDS = 180
TAG_REMEMBERED_SECONDS = 4

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


@dataclass(frozen=True)
class View:
    """A conversation as it is now.

    Attributes:
        conversation, now: What `plan` looks at.
        mine: We have the conversation; without it nothing that we say is kept.
        kept: The changes were kept.
        ended: What became of the job's own request, empty while it is open; `error` tells why.
        looked_at: How often the job's own request was looked at before.
        requests: The widget requests of the messages, without the customers' words.
        stale: Texts that nobody needs any more.
    """

    conversation: Conversation
    now: float
    mine: bool
    kept: bool
    ended: str
    error: str
    looked_at: int
    requests: dict[str, bytes]
    stale: tuple[str, ...]

    def request_of(self, job_id: str) -> WidgetRequest:
        """The widget request of a message."""
        return WidgetRequest.from_job(json.loads(self.requests[job_id]))


@dataclass(frozen=True)
class Changes:
    """What a step changes; everything is kept together, or nothing.

    Attributes:
        turns: The turns from now on; None leaves them.
        messages: Messages as they are from now on.
        error: Why a request ended as it did, for its job.
        pause_hours, reason: A human has the conversation from now on.
        no_text_said: The customer was asked to write.
        tagged: Whether the lead has the pause tag.
        hold: For how many seconds the conversation stays ours.
        unless_paused: Keep nothing when a human has the conversation.
        commands: More Redis commands: what is remembered and counted.
    """

    turns: tuple[Turn, ...] | None = None
    messages: tuple[Message, ...] = ()
    error: str = ""
    pause_hours: float = 0.0
    reason: str = ""
    no_text_said: bool = False
    tagged: bool | None = None
    hold: float = HOLD
    unless_paused: bool = False
    commands: tuple[Command, ...] = ()


class ConversationState:
    """One conversation, as one run of a job sees it."""

    def __init__(
        self,
        redis: Redis,
        script: Any,
        request: WidgetRequest,
        integration: Integration,
        rules: Rules,
    ) -> None:
        self._redis = redis
        self._script = script
        self._request = request
        self._integration = integration
        self._rules = rules
        self._entity = keys.conversation_name(request)
        self._person = person_digest(request.person)
        self._token = f"{request.job_id}:{uuid4().hex}"
        self._view: View | None = None

    def look(self) -> View:
        """Take the conversation unless another worker has it, and see how it is.

        A request that has no record or no text yet gets both: its job may be of another version.
        """
        first = self._view is None
        commands: list[Command] = []
        if first:
            record = record_key(self._request.job_id)
            commands = [
                ("HINCRBY", record, "attempts", 1),
                ("EXPIRE", record, kept_seconds(self._request)),
            ]
        return self._run(commands, HOLD, unless_paused=False, first=first)

    def keep(self, changes: Changes) -> View:
        """Keep what a step changed, if the conversation is still ours."""
        commands = [*self._changed(changes), *changes.commands]
        return self._run(commands, changes.hold, unless_paused=changes.unless_paused)

    def release(self) -> None:
        """Let others work on it."""
        self._redis.eval(RELEASE, 1, self._lock, self._token)

    @property
    def _lock(self) -> str:
        key = keys.turn_key(self._entity)
        return f"{key}:{self._person}" if self._person else key

    def _run(
        self, commands: list[Command], hold: float, *, unless_paused: bool, first: bool = False
    ) -> View:
        day, month = period_keys(self._integration)
        named = [
            self._lock,
            keys.texts_key(self._entity),
            keys.open_key(self._entity),
            keys.pause_key(self._entity),
            keys.no_text_key(self._entity),
            keys.tagged_key(self._entity),
            keys.hour_key(self._entity),
            day,
            month,
            record_key(self._request.job_id),
        ]
        arguments = [
            self._token,
            int(hold * 1000),
            self._request.job_id,
            RECORD_PREFIX,
            self._person,
            request_text(self._request) if first else "",
            numbered(self._request) if first else "",
            "1" if unless_paused else "",
            json.dumps([[str(part) for part in command] for command in commands]),
        ]
        self._view = self._read(self._script(keys=named, args=arguments))
        return self._view

    def _read(self, found: list[Any]) -> View:
        (
            mine,
            kept,
            seconds,
            microseconds,
            paused,
            no_text,
            tagged,
            turns,
            hour,
            day,
            tokens,
            (ended, error, looked),
            texts,
            records,
        ) = found
        now = seconds + microseconds / 1_000_000
        open_turns = _turns(turns)
        messages, requests, stale = self._messages(texts, records, open_turns)
        conversation = Conversation(
            rules=self._rules,
            messages=messages,
            turns=open_turns,
            paused=bool(paused),
            tagged=None if tagged is None else tagged == b"1",
            no_text_said=bool(no_text),
            cap=cap_reached(self._integration, (hour, *day, tokens)),
        )
        return View(
            conversation=conversation,
            now=now,
            mine=bool(mine),
            kept=bool(kept),
            ended=(ended or b"").decode(),
            error=(error or b"").decode(),
            looked_at=int(looked or 0),
            requests=requests,
            stale=stale,
        )

    def _messages(
        self, texts: list[bytes], records: list[list[bytes | None]], turns: tuple[Turn, ...]
    ) -> tuple[tuple[Message, ...], dict[str, bytes], tuple[str, ...]]:
        """The messages of this person in order of arrival, and the texts nobody needs."""
        taken = {one for turn in turns for one in turn.job_ids}
        found: list[Message] = []
        requests: dict[str, bytes] = {}
        stale: list[str] = []
        for name, value, record in zip(texts[::2], texts[1::2], records, strict=True):
            message, person = message_of(name.decode(), value, record)
            if person_digest(person) != self._person:
                continue
            if record[0] is None or not (message.waits or message.job_id in taken):
                stale.append(message.job_id)
                continue
            found.append(message)
            requests[message.job_id] = record[0]
        return tuple(sorted(found, key=lambda one: one.at)), requests, tuple(stale)

    def _changed(self, changes: Changes) -> list[Command]:
        view = self._view
        assert view is not None, "look comes first"  # noqa: S101
        turns = view.conversation.turns if changes.turns is None else changes.turns
        commands = [command for one in changes.messages for command in _message(one, view.now)]
        if changes.turns is not None:
            commands += self._kept_turns(turns)
        if changes.error:
            commands += [
                ("HSET", record_key(one.job_id), "error", changes.error)
                for one in changes.messages
                if not one.waits
            ]
        if gone := self._unneeded(view, changes.messages, turns):
            commands.append(("HDEL", keys.texts_key(self._entity), *gone))
        return [*commands, *self._marks(changes)]

    def _kept_turns(self, turns: tuple[Turn, ...]) -> list[Command]:
        key = keys.open_key(self._entity)
        if not turns:
            return [("HDEL", key, self._person)]
        text = json.dumps([asdict(turn) for turn in turns], ensure_ascii=False)
        lives = texts_kept_seconds(self._rules.continue_deadline)
        return [("HSET", key, self._person, text), ("EXPIRE", key, lives)]

    def _marks(self, changes: Changes) -> list[Command]:
        commands: list[Command] = []
        if changes.pause_hours:
            milliseconds = max(1, round(changes.pause_hours * 3_600_000))
            key = keys.pause_key(self._entity)
            commands.append(("SET", key, changes.reason, "PX", milliseconds))
        if changes.no_text_said:
            key = keys.no_text_key(self._entity)
            commands.append(("SET", key, self._request.job_id, "EX", NO_TEXT_SAID_SECONDS))
        if changes.tagged is not None:
            key, said = keys.tagged_key(self._entity), "1" if changes.tagged else "0"
            commands.append(("SET", key, said, "EX", TAG_REMEMBERED_SECONDS))
        return commands

    @staticmethod
    def _unneeded(view: View, messages: tuple[Message, ...], turns: tuple[Turn, ...]) -> list[str]:
        """Texts whose request has ended, and that no turn under way needs."""
        taken = {one for turn in turns for one in turn.job_ids}
        now = view.conversation.by_id | {one.job_id: one for one in messages}
        ended = [one.job_id for one in now.values() if not one.waits and one.job_id not in taken]
        return [*view.stale, *ended]


class ConversationStates:
    """All open conversations."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script(SCRIPT.read_text(encoding="utf-8"))

    def of(
        self, request: WidgetRequest, integration: Integration, rules: Rules
    ) -> ConversationState:
        """The conversation that a request belongs to."""
        return ConversationState(self._redis, self._script, request, integration, rules)


def person_digest(person: str) -> str:
    """A person as part of a key: what a request says of them may hold anything."""
    return sha256(person.encode()).hexdigest()[:16] if person else ""


def _message(message: Message, now: float) -> list[Command]:
    key, values = record_key(message.job_id), record_fields(message)
    kept = [part for name, value in values.items() if value is not None for part in (name, value)]
    none = [name for name, value in values.items() if value is None]
    commands: list[Command] = [("HDEL", key, *none)] if none else []
    if kept:
        commands.append(("HSET", key, *kept))
    if message.waits:
        look_at = max(now, message.next_at) + SWEEP_MARGIN
        commands.append(("ZADD", OPEN_KEY, "XX", f"{look_at:.3f}", message.job_id))
    else:
        commands.append(("ZREM", OPEN_KEY, message.job_id))
    return commands


def _turns(kept: bytes | None) -> tuple[Turn, ...]:
    """Keys of a newer version are left out."""
    known = {item.name for item in fields(Turn)}
    turns = []
    for item in json.loads(kept) if kept else []:
        values = {name: value for name, value in item.items() if name in known}
        outcome = values.get("outcome")
        values["outcome"] = Outcome.of(outcome) if outcome else None
        turns.append(Turn(**{**values, "job_ids": tuple(values["job_ids"])}))
    return tuple(turns)

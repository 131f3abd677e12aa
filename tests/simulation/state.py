"""Conversations in memory: what `answers.state` and its script keep in Redis."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from kommo_bridge.conversations.keys import conversation_name

from .heart import Heart
from .world import World


@dataclass
class Record:
    """What is kept of one request."""

    request: Any
    message: Any
    person: str
    ended: str = ""
    error: str = ""
    reported: bool = False
    looked_at: int = 0
    noted: int = 0
    doubtful: bool = False


@dataclass
class Entity:
    """What is kept of one lead: all its persons."""

    texts: dict[str, Any] = field(default_factory=dict)
    turns: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    paused_until: float = 0.0
    tagged: tuple[bool, float] = (False, 0.0)
    no_text_until: dict[str, float] = field(default_factory=dict)
    replies: int = 0


class Store:
    """Everything that Redis holds."""

    def __init__(self, heart: Heart, world: World) -> None:
        self.heart = heart
        self.world = world
        self.records: dict[str, Record] = {}
        self.entities: dict[str, Entity] = {}
        self.locks: dict[tuple[str, str], tuple[str, float]] = {}
        self.renewed_at: dict[tuple[str, str], float] = {}
        self.due: dict[str, float] = {}
        self.runs = 0
        self.on_due: Callable[[float], None] = lambda when: None
        self.on_notice: Callable[[Any, str], None] = lambda notice, job_id: None
        self.on_pause: Callable[[str, float], None] = lambda name, until: None

    def entity(self, name: str) -> Entity:
        """The entity of that name, new if it is not known."""
        found = self.entities.get(name)
        if found is None:
            found = self.entities[name] = Entity()
        return found

    def accept(self, request: Any, look_in: float) -> None:
        """What the web keeps of a request when it queues it."""
        self.record_of(request)
        self.set_due(request.job_id, self.world.now + look_in)

    def record_of(self, request: Any) -> Record:
        """The record and text of a request, made if missing."""
        found = self.records.get(request.job_id)
        if found is None:
            message = self.heart.conversation.Message(
                job_id=request.job_id,
                at=self.world.now,
                text=request.message if request.has_text else "",
                own=request.delivery == "json",
            )
            found = self.records[request.job_id] = Record(request, message, request.person)
        if not found.ended:
            texts = self.entity(conversation_name(request)).texts
            texts.setdefault(request.job_id, found)
        return found

    def set_due(self, job_id: str, when: float) -> None:
        """By when the sweep looks after it."""
        self.due[job_id] = when
        self.on_due(when)

    def pause(self, name: str, until: float) -> None:
        """A human takes over."""
        self.entity(name).paused_until = until
        self.on_pause(name, until)

    def of(self, request: Any, integration: Any, rules: Any, *, by_sweep: bool = False) -> "State":
        """As `ConversationStates.of`."""
        self.runs += 1
        former = "" if by_sweep else f"{request.job_id}:"
        return State(self, request, integration, rules, former, f"{former or 'sweep:'}{self.runs}")


class State:
    """As `ConversationState`: one conversation, as one run of a job sees it."""

    def __init__(
        self,
        store: Store,
        request: Any,
        integration: Any,
        rules: Any,
        former: str,
        token: str,
    ) -> None:
        self._store = store
        self._world = store.world
        self._heart = store.heart
        self._request = request
        self._integration = integration
        self._rules = rules
        self._former = former
        self._token = token
        self._name = conversation_name(request)
        self._key = (self._name, request.person)
        self._hold: float = store.heart.retries.HOLD
        self._view: Any = None

    def look(self) -> Any:
        first = self._view is None
        return self._world.redis(lambda: self._run(None, self._hold, first=first))

    def keep(self, changes: Any) -> Any:
        return self._world.redis(lambda: self._run(changes, changes.hold, first=False))

    def release(self) -> None:
        self._world.redis(self._released)

    def report(self) -> None:
        own = self._store.records[self._request.job_id]
        if self._former:  # the sweep is not the job
            self._world.redis(lambda: setattr(own, "reported", True))

    def _released(self) -> None:
        if self._store.locks.get(self._key, ("",))[0] == self._token:
            del self._store.locks[self._key]

    def _run(self, changes: Any, hold: float, *, first: bool) -> Any:
        """The script."""
        store, now, entity = self._store, self._world.now, self._store.entity(self._name)
        mine = self._take(hold, now, first=first, looks=changes is None)
        if first:
            record = store.record_of(self._request)
            self._requeued(record, now)
            if mine:
                record.looked_at += 1
        kept = mine and not (changes and changes.unless_paused and entity.paused_until > now)
        if kept and changes is not None:
            self._keep(changes, entity)
        self._view = self._read(entity, now, mine=mine, kept=kept)
        return self._view

    def _requeued(self, record: Record, now: float) -> None:
        """The job of a request that was given up runs again: one more try with what is kept."""
        again = record.ended == "given_up" and record.reported and self._former
        if again and record.message.outcome:
            record.ended, record.error, record.reported = "", "", False
            fresh = {"unknown_since": None, "failures": 0, "next_at": 0.0, "called_at": 0.0}
            record.message = replace(record.message, at=now, state="open", **fresh)
            self._store.entity(self._name).texts.setdefault(self._request.job_id, record)
            self._store.set_due(self._request.job_id, now)

    def _take(self, hold: float, now: float, *, first: bool, looks: bool) -> bool:
        held, until = self._store.locks.get(self._key, ("", 0.0))
        held = held if until > now else ""
        silent = now - self._store.renewed_at.get(self._key, 0.0)
        own_former = first and self._former and held.startswith(self._former)
        own_former = own_former and silent >= self._heart.retries.TAKE_OVER_AFTER
        if held == self._token or (looks and (not held or own_former)):
            self._store.locks[self._key] = (self._token, now + hold)
            self._store.renewed_at[self._key] = now
            return True
        return False

    def _keep(self, changes: Any, entity: Entity) -> None:
        """As `commands_of`."""
        view = self._view
        for message in changes.messages:
            self._keep_message(message, view.now + changes.hold)
        if changes.turns is not None:
            entity.turns[self._request.person] = changes.turns
        for one in changes.messages:
            if changes.error and not one.waits:
                self._store.records[one.job_id].error = changes.error
        for job_id in self._unneeded(changes):
            entity.texts.pop(job_id, None)
        self._mark(changes, entity)

    def _unneeded(self, changes: Any) -> list[str]:
        view = self._view
        turns = view.conversation.turns if changes.turns is None else changes.turns
        taken = {one for turn in turns for one in turn.job_ids}
        known = view.conversation.by_id | {one.job_id: one for one in changes.messages}
        ended = [one.job_id for one in known.values() if not one.waits]
        return [*view.stale, *(one for one in ended if one not in taken)]

    def _mark(self, changes: Any, entity: Entity) -> None:
        now = self._world.now
        if changes.pause_hours:
            self._store.pause(self._name, now + changes.pause_hours * 3600)
        if changes.tagged is not None:
            remembered = self._heart.changes.TAG_REMEMBERED_SECONDS
            entity.tagged = changes.tagged, now + remembered
        if changes.notice:
            self._store.on_notice(changes.notice, changes.messages[0].job_id)
        if changes.no_text_said:
            until = now + self._heart.changes.NO_TEXT_SAID_SECONDS
            entity.no_text_until[self._request.person] = until

    def _keep_message(self, message: Any, ours_until: float) -> None:
        store = self._store
        record = store.records[message.job_id]
        if record.ended:
            return
        if message.unknown_since and message.called_at != record.message.called_at:
            record.noted += 1
            record.doubtful = record.doubtful or record.message.unknown_since is not None
        outcome = None if message.state == "continued" else message.outcome
        record.message = replace(message, outcome=outcome)
        record.ended = "" if message.state == "open" else message.state
        if not message.waits:
            store.due.pop(message.job_id, None)
        elif message.job_id in store.due:
            margin = self._heart.retries.SWEEP_MARGIN
            store.set_due(message.job_id, max(ours_until, message.next_at) + margin)

    def _read(self, entity: Entity, now: float, *, mine: bool, kept: bool) -> Any:
        turns = entity.turns.get(self._request.person, ())
        taken = {one for turn in turns for one in turn.job_ids}
        messages, stale = [], []
        for job_id, record in entity.texts.items():
            if record.person != self._request.person:
                continue
            if record.ended and job_id not in taken:
                stale.append(job_id)
            else:
                messages.append(record.message)
        messages.sort(key=lambda one: one.at)
        own = self._store.records[self._request.job_id]
        cap = self._integration.replies_per_hour
        conversation = self._heart.conversation.Conversation(
            rules=self._rules,
            messages=tuple(messages),
            turns=turns,
            paused=entity.paused_until > now,
            tagged=entity.tagged[0] if entity.tagged[1] > now else None,
            no_text_said=entity.no_text_until.get(self._request.person, 0.0) > now,
            cap="replies_per_hour" if 0 < cap <= entity.replies else "",
        )
        return _View(
            conversation=conversation,
            now=now,
            mine=mine,
            kept=kept,
            ended=own.ended,
            error=own.error,
            reported=own.reported,
            looked_at=own.looked_at,
            stale=tuple(stale),
            records=self._store.records,
        )


@dataclass(frozen=True)
class _View:
    """As `View`."""

    conversation: Any
    now: float
    mine: bool
    kept: bool
    ended: str
    error: str
    reported: bool
    looked_at: int
    stale: tuple[str, ...]
    records: dict[str, Record] = field(repr=False)

    def request_of(self, job_id: str) -> Any:
        return self.records[job_id].request

"""One conversation in memory: what `answers.state` and its script keep in Redis.

A run of a scenario has a notebook of its own, so the steps of an answer are the real ones, and
nothing that customers, figures or caps depend on is read or written. One message is open at a time.
"""

import json
from dataclasses import dataclass, field

from kommo_bridge.answers.changes import NO_TEXT_SAID_SECONDS, Changes
from kommo_bridge.answers.conversation import OPEN, Conversation, Message, Rules, Turn
from kommo_bridge.answers.record import is_own_widget
from kommo_bridge.answers.state import ConversationState, ConversationStates
from kommo_bridge.answers.view import View
from kommo_bridge.conversations.memory import Conversations, Exchange
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest


@dataclass
class Clock:
    """A clock that stands still unless it is moved; `now` in seconds since the epoch."""

    now: float

    def forward(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds


@dataclass
class Pages:
    """What is written down of the conversation."""

    messages: dict[str, Message] = field(default_factory=dict)
    requests: dict[str, bytes] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    turns: tuple[Turn, ...] = ()
    paused_until: float = 0.0
    no_text_until: float = 0.0
    tagged: bool | None = None


class Notebook(ConversationStates):
    """The conversation of one run."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.pages = Pages()
        self.held = {}

    def of(
        self,
        request: WidgetRequest,
        integration: Integration,  # noqa: ARG002
        rules: Rules,
        *,
        by_sweep: bool = False,  # noqa: ARG002
    ) -> ConversationState:
        """The conversation, as the steps see it."""
        return _State(self.clock, self.pages, request, rules)


class _State(ConversationState):
    """As `ConversationState`, without other workers."""

    def __init__(self, clock: Clock, pages: Pages, request: WidgetRequest, rules: Rules) -> None:
        self._clock = clock
        self._pages = pages
        self._request = request
        self._rules = rules

    def look(self) -> View:
        """Read the conversation, with the request in it."""
        job_id = self._request.job_id
        if job_id not in self._pages.messages:
            text = self._request.message if self._request.has_text else ""
            own, at = is_own_widget(self._request), self._request.accepted_at
            self._pages.messages[job_id] = Message(job_id, at, text, own)
            self._pages.requests[job_id] = json.dumps(self._request.to_job()).encode()
        return self._read(kept=True)

    def keep(self, changes: Changes) -> View:
        """Keep what a step changed."""
        kept = not (changes.unless_paused and self._paused)
        if kept:
            self._change(changes)
        return self._read(kept=kept)

    def report(self) -> None:
        """Nobody looks at jobs here."""

    def release(self) -> None:
        """There is no other worker."""

    @property
    def _paused(self) -> bool:
        return self._pages.paused_until > self._clock.now

    def _change(self, changes: Changes) -> None:
        pages, now = self._pages, self._clock.now
        for one in changes.messages:
            pages.messages[one.job_id] = one
            if changes.error and not one.waits:
                pages.errors[one.job_id] = changes.error
        if changes.turns is not None:
            pages.turns = changes.turns
        if changes.pause_hours:
            pages.paused_until = now + changes.pause_hours * 3600
        if changes.no_text_said:
            pages.no_text_until = now + NO_TEXT_SAID_SECONDS
        if changes.tagged is not None:
            pages.tagged = changes.tagged

    def _read(self, *, kept: bool) -> View:
        pages, own = self._pages, self._pages.messages[self._request.job_id]
        taken = {one for turn in pages.turns for one in turn.job_ids}
        known = [one for one in pages.messages.values() if one.waits or one.job_id in taken]
        conversation = Conversation(
            rules=self._rules,
            messages=tuple(known),
            turns=pages.turns,
            paused=self._paused,
            tagged=pages.tagged,
            no_text_said=pages.no_text_until > self._clock.now,
        )
        return View(
            conversation=conversation,
            now=self._clock.now,
            kept=kept,
            ended="" if own.state == OPEN else own.state,
            error=pages.errors.get(own.job_id, ""),
            requests=pages.requests,
        )


class Memory(Conversations):
    """What was said in the conversation of one run."""

    def __init__(self, clock: Clock, said: list[Exchange]) -> None:
        self._clock = clock
        self._said = said

    def disclosed(self, request: WidgetRequest) -> bool:  # noqa: ARG002
        """A scenario is about what the assistant says, not about what is said before it."""
        return True

    def exchanges(self, name: str) -> list[Exchange]:  # noqa: ARG002
        """All that was said; there is only one conversation."""
        return list(self._said)

    def remember(
        self, request: WidgetRequest, integration: Integration, customer: str, reply: str
    ) -> None:
        """Keep an exchange."""
        if integration.history:
            now = self._clock.now
            self._said.append(Exchange(request.job_id, customer, reply, now, request.person))
            self._said = self._said[-integration.history :]

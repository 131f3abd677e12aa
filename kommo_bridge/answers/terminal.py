"""A sender for somebody who chats at the terminal: Kommo is not called."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kommo_bridge.ai.dialogue import Reply
from kommo_bridge.answers.asker import Asker
from kommo_bridge.answers.conversation import SKIP, Outcome
from kommo_bridge.answers.lead_facts import Facts
from kommo_bridge.answers.retries import wait_after
from kommo_bridge.answers.sender import Sender
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.continuation import Continuation
from kommo_bridge.kommo.crm import Lead
from kommo_bridge.kommo.results import CallResult
from kommo_bridge.kommo.slot import NotNow, Slot
from kommo_bridge.kommo.widget_request import WidgetRequest

ACCEPTED = 202
# Whoever waits at a terminal learns more from the cause than from another try.
MOST_TRIES = 3
LONGEST_WAIT_SECONDS = 20.0


@dataclass(frozen=True)
class Terminal(Sender):
    """Accepts every outcome, and keeps the last one for whoever asked."""

    said: list[Outcome] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """What the Salesbot would be continued with."""
        return self.said[-1] if self.said else SKIP

    def book(self, integration: Integration, job_id: str) -> Slot | NotNow:  # noqa: ARG002
        """There is no pace to keep."""
        return Slot(integration.host, 0.0, lambda _slot, _rest: None)

    def call(
        self,
        slot: Slot,  # noqa: ARG002
        request: WidgetRequest,  # noqa: ARG002
        body: Continuation,  # noqa: ARG002
        integration: Integration,  # noqa: ARG002
    ) -> CallResult:
        """Always accepted."""
        return CallResult(ACCEPTED)

    def continued(
        self,
        request: WidgetRequest,  # noqa: ARG002
        outcome: Outcome,
        spoken: Outcome,  # noqa: ARG002
    ) -> None:
        """Nothing is counted."""
        self.said.append(outcome)

    def answered(self, *_turn: Any) -> None:
        """Nothing is counted."""

    def note_gaps(self, *_turn: Any) -> None:
        """Whoever tries the assistant sees them in the trace."""

    def lead(self, request: WidgetRequest, integration: Integration) -> Lead | None:  # noqa: ARG002
        """There is no lead."""
        return None


@dataclass(frozen=True)
class TerminalAsker(Asker):
    """Shows each failed try at once, and soon gives up.

    Attributes:
        show: Takes one line for the one who waits.
        trace: Takes each reply with the seconds that it took.
    """

    show: Callable[[str], None]
    trace: Callable[[Reply, float], None] = lambda _reply, _seconds: None
    failed: list[AssistantError] = field(default_factory=list)

    def reply(
        self,
        request: WidgetRequest,
        integration: Integration,
        said: str,
        seconds: float,
        facts: Facts = (),
    ) -> Reply:
        """As the asker, with less patience.

        Raises:
            AssistantError: There is none; permanent also after a few tries.
        """
        started = time.monotonic()
        try:
            reply = super().reply(request, integration, said, seconds, facts)
        except AssistantError as error:
            wait = max(error.retry_after_seconds or 0.0, wait_after(len(self.failed)))
            self.failed.append(error)
            if error.permanent:
                raise
            if len(self.failed) >= MOST_TRIES or wait > LONGEST_WAIT_SECONDS:
                raise AssistantError(str(error), permanent=True) from None
            self.show(f"{error}; asked again in {wait:.0f} s")
            raise
        self.trace(reply, time.monotonic() - started)
        return reply

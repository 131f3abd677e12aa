"""One question to the AI: asked, logged and counted. `plan` decides when it is asked."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.ai.checked import checked_reply
from kommo_bridge.ai.dialogue import Reply
from kommo_bridge.ai.messenger_text import MAX_UNITS, messenger_text
from kommo_bridge.ai.prompt import Question
from kommo_bridge.ai.tools import Search
from kommo_bridge.answers.conversation import Outcome
from kommo_bridge.answers.lead_facts import Facts
from kommo_bridge.answers.wording import Wording
from kommo_bridge.answers.words import says_handoff
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.conversations.memory import Conversations, Exchange
from kommo_bridge.conversations.money import Paid
from kommo_bridge.conversations.usage import Usage
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.knowledge.knowledge import Knowledge, as_text
from kommo_bridge.kommo.text import utf16_units
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.incidents import (
    CAP_REACHED,
    REFUSED_BY_AI,
    SECOND_AI,
    Incidents,
)
from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asker:
    """Asks the AI for the steps."""

    assistant: Assistant
    memory: Conversations
    usage: Usage
    metrics: Metrics
    incidents: Incidents
    knowledge: Knowledge

    def reply(
        self,
        request: WidgetRequest,
        integration: Integration,
        said: str,
        seconds: float,
        facts: Facts = (),
    ) -> Reply:
        """The AI's reply to what a customer said; `facts` are those of the lead.

        Raises:
            AssistantError: There is none; `permanent` is true when asking again cannot help.
        """
        started = time.monotonic()
        try:
            reply = checked_reply(
                partial(self._ask, integration),
                integration,
                replace(self.question(request, integration, said), lead_facts=facts),
                self.memory.history(request, integration),
                seconds,
            )
        except AssistantError as error:
            self._note_failure(request, integration, error)
            raise
        finally:
            self.metrics.observe("kommo_bridge_ai_seconds", time.monotonic() - started)
        log_event(
            logger,
            "reply received",
            job=request.job_id,
            subdomain=request.subdomain,
            milliseconds=round((time.monotonic() - started) * 1000),
            tokens=reply.tokens,
            cached=reply.cached_tokens or None,
            tools=",".join(one.tool for one in reply.used) or None,
            second_ai=reply.second or None,
            unfounded=",".join(one.kind for one in reply.unfounded) or None,
        )
        provider = "second" if reply.second else "first"
        self.metrics.count("kommo_bridge_ai_replies", provider)
        for fact in reply.unfounded:
            self.metrics.count("kommo_bridge_unfounded_facts", fact.kind)
        self.metrics.count("kommo_bridge_tokens", amount=reply.tokens)
        self.metrics.count("kommo_bridge_cached_tokens", amount=reply.cached_tokens)
        for one in reply.used:
            self.metrics.count("kommo_bridge_tool_calls", one.tool)
        bad, good = ((SECOND_AI,), ()) if reply.second else ((), (REFUSED_BY_AI, SECOND_AI))
        self.incidents.note(integration_name(integration), bad=bad, good=good)
        paid = Paid(reply.tokens, reply.prompt_tokens, reply.cached_tokens)
        self.usage.count(request, integration, paid)
        if self.usage.warn(integration):
            self.capped(integration)
        return reply

    def _ask(
        self,
        integration: Integration,
        question: Question,
        history: Sequence[Exchange],
        seconds: float,
    ) -> Reply:
        return self.assistant.reply(
            integration,
            question,
            seconds=seconds,
            history=history,
            search=self.search(integration),
        )

    def question(self, request: WidgetRequest, integration: Integration, said: str) -> Question:
        """What the AI is asked, and what is known at that moment."""
        return Question(
            said,
            request.contact_name,
            request.origin,
            knowledge=self.knowledge.for_prompt(integration),
        )

    def search(self, integration: Integration) -> Search | None:
        """Searches what was told; None when all of it stands in the question."""
        if not self.knowledge.is_searched(integration):
            return None
        return lambda query: as_text(self.knowledge.search(integration, query))

    def capped(self, integration: Integration) -> None:
        """A customer was handed over because of a cap: `watch` looks whether it still holds."""
        self.incidents.note(integration_name(integration), bad=(CAP_REACHED,))

    def _note_failure(
        self, request: WidgetRequest, integration: Integration, error: AssistantError
    ) -> None:
        log_event(
            logger,
            "AI call failed",
            level=logging.WARNING,
            job=request.job_id,
            subdomain=request.subdomain,
            error=str(error),
            permanent=error.permanent,
        )
        self.metrics.count("kommo_bridge_failures", "ai_final" if error.permanent else "ai")
        if error.permanent:
            self.incidents.note(integration_name(integration), bad=(REFUSED_BY_AI,))
        else:
            self.metrics.count("kommo_bridge_retries", "ai")


def outcome_of(
    reply: Reply, phrases: tuple[str, ...], wording: Wording, said: str, opening: str = ""
) -> Outcome | None:
    """The reply as text for a messenger, or the handoff that it asks for; None when it is blank.

    Args:
        opening: Said before it; both are no longer than a reply alone may be.
    """
    limit = max(MAX_UNITS - utf16_units(opening), MAX_UNITS // 2)
    made = messenger_text(reply.text, limit)
    if made.cut:
        log_event(logger, "reply shortened", job=wording.request.job_id)
    if reply.handoff or says_handoff(phrases, reply.text):
        text = made.text or wording.say("handoff", said)
        return Outcome(
            "handoff",
            text,
            reason="the assistant asked for it",
            handoff_reason=reply.reason,
            summary=reply.summary,
            opening=opening,
            gaps=reply.gaps,
        )
    return Outcome("success", made.text, opening=opening, gaps=reply.gaps) if made.text else None

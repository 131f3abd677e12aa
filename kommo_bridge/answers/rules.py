"""What a Salesbot is continued with: the reply, a hand-over, silence, or an honest failure.

The rules stand in the order of `find`. An outcome found is kept by the caller; a wait means that
it is another request's turn, or that the customer may still be writing.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from kommo_bridge.ai.assistant import Assistant, Reply
from kommo_bridge.ai.messenger_text import messenger_text
from kommo_bridge.answers.record import Answer, Answers, Outcome
from kommo_bridge.answers.sender import wait_after
from kommo_bridge.answers.turns import SKIPPED, Place, Turns, is_own_widget
from kommo_bridge.conversations.keys import conversation_name, integration_name
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.conversations.pause_tags import PauseTags
from kommo_bridge.conversations.usage import Usage
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.sentences import language_of, sentence
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.incidents import REFUSED_BY_AI, Incidents
from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.telemetry.metrics import Metrics

# How long to wait for the turn of others: longer, the more of them are in front.
TURN_WAIT_SECONDS = 1.0
MAX_TURN_WAIT_SECONDS = 10.0
SHORTEST_WAIT_SECONDS = 0.05

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcomes:
    """Finds outcomes.

    Attributes:
        reply_deadline_seconds: After it, the customer is told that there is no reply.
        answers, assistant, conversations, turns, usage, pause_tags: What the rules look at.
        metrics, incidents: Where it is counted, and noted for alerts.
    """

    reply_deadline_seconds: float
    answers: Answers
    assistant: Assistant
    conversations: Conversations
    turns: Turns
    usage: Usage
    pause_tags: PauseTags
    metrics: Metrics
    incidents: Incidents

    def find(
        self, request: WidgetRequest, record: Answer, integration: Integration
    ) -> Outcome | float:
        """The outcome, or the seconds until it makes sense to ask again."""
        if self.seconds_left(request) <= 0:
            self.metrics.count("kommo_bridge_failures", "deadline")
            return self._failure(request, integration, "no reply before the deadline")
        if not integration.enabled:
            return self._failure(request, integration)
        if self.conversations.paused(conversation_name(request)):
            return self._silence(request, integration, "conversation paused")
        place = self.turns.place(request, integration)
        if place.superseded(self.reply_deadline_seconds):
            log_event(logger, "answered with a newer message", job=request.job_id)
            return SKIPPED
        quiet = place.quiet_seconds(integration.burst_seconds, self.reply_deadline_seconds)
        if quiet > SHORTEST_WAIT_SECONDS:
            return self._wait(request, quiet)
        return self._in_turn(request, record, integration)

    def last_look(
        self, request: WidgetRequest, integration: Integration
    ) -> Callable[[Outcome], Outcome]:
        """Right before it leaves: a reply gives way to a human, or to a newer message."""

        def look(outcome: Outcome) -> Outcome:
            if outcome.status != "success":
                return outcome
            if self._human_answers(request, integration):
                silence = self._silence(request, integration, "a human took over meanwhile")
                return self.answers.replace_outcome(request.job_id, silence)
            if self.turns.place(request, integration).superseded(self.reply_deadline_seconds):
                log_event(logger, "answered with a newer message", job=request.job_id)
                return self.answers.replace_outcome(request.job_id, SKIPPED)
            return outcome

        return look

    def continued(
        self, request: WidgetRequest, integration: Integration
    ) -> Callable[[Outcome], None]:
        """Kommo has accepted it: remember what was said, and let the next ones go on."""

        def done(outcome: Outcome) -> None:
            if outcome.silent:
                return  # the text, if it waits for an answer, is another request's now
            if outcome.status == "handoff":  # not before: nobody would have told the customer
                name = conversation_name(request)
                self.conversations.pause(name, integration.handoff_hours, outcome.reason)
            place = self.turns.place(request, integration)
            if place.question and outcome.status in ("success", "handoff"):
                self.conversations.remember(request, integration, place.question, outcome.reply)
            self.turns.leave(request, place.answered)

        return done

    def seconds_left(self, request: WidgetRequest) -> float:
        """The time until the reply deadline."""
        return request.accepted_at + self.reply_deadline_seconds - time.time()

    def _in_turn(
        self, request: WidgetRequest, record: Answer, integration: Integration
    ) -> Outcome | float:
        if not self.turns.take(request, self.seconds_left(request)):
            return self._wait(request, TURN_WAIT_SECONDS)
        try:
            place = self.turns.place(request, integration)
            if place.in_front:
                if not self.turns.settle(place):
                    return self._wait(request, len(place.in_front) * TURN_WAIT_SECONDS)
                place = self.turns.place(request, integration)
            return self._reply(request, record, integration, place)
        finally:
            self.turns.release(request)

    def _reply(
        self, request: WidgetRequest, record: Answer, integration: Integration, place: Place
    ) -> Outcome | float:
        if self._human_answers(request, integration):
            return self._silence(request, integration, "a human answers")
        if not place.question:
            return self._ask_for_text(request, integration)
        request = replace(request, message=place.question)
        if self._says_handoff(integration, request.message):
            return self._hand_over(request, integration, reason="the customer asked for it")
        if cap := self.usage.reached(request, integration):
            log_event(
                logger,
                "cap reached",
                level=logging.WARNING,
                job=request.job_id,
                subdomain=request.subdomain,
                cap=cap.name,
            )
            return self._hand_over(request, integration, reason=f"{cap.name} reached")
        return self._ask(request, record, integration)

    def _ask(
        self, request: WidgetRequest, record: Answer, integration: Integration
    ) -> Outcome | float:
        started = time.monotonic()
        history = self.conversations.history(request, integration)
        left = self.seconds_left(request)
        try:
            reply = self.assistant.reply(integration, request, seconds=left, history=history)
        except AssistantError as error:
            self.metrics.observe("kommo_bridge_ai_seconds", time.monotonic() - started)
            return self._after_ai_error(request, record, integration, error)
        self.metrics.observe("kommo_bridge_ai_seconds", time.monotonic() - started)
        self.metrics.count("kommo_bridge_tokens", amount=reply.tokens)
        self.incidents.note(integration_name(integration), good=(REFUSED_BY_AI,))
        log_event(
            logger,
            "reply received",
            job=request.job_id,
            milliseconds=round((time.monotonic() - started) * 1000),
            tokens=reply.tokens,
        )
        self._count(request, integration, reply)
        text = self._shaped(request, reply)
        if not text and not reply.handoff:
            blank = AssistantError("the AI's answer holds nothing visible", permanent=False)
            return self._after_ai_error(request, record, integration, blank)
        if reply.handoff or self._says_handoff(integration, reply.text):
            return self._hand_over(request, integration, text, "the assistant hands over")
        return Outcome("success", text)

    @staticmethod
    def _shaped(request: WidgetRequest, reply: Reply) -> str:
        made = messenger_text(reply.text)
        if made.cut:
            log_event(logger, "reply shortened", job=request.job_id, characters=len(reply.text))
        return made.text

    def _count(self, request: WidgetRequest, integration: Integration, reply: Reply) -> None:
        self.usage.count(request, integration, reply.tokens)
        for near in self.usage.to_warn_of(integration):
            log_event(
                logger,
                "cap nearly reached",
                level=logging.WARNING,
                subdomain=integration.subdomain,
                cap=near.name,
                used=near.count,
                of=near.cap,
            )

    def _after_ai_error(
        self,
        request: WidgetRequest,
        record: Answer,
        integration: Integration,
        error: AssistantError,
    ) -> Outcome | float:
        log_event(
            logger,
            "AI failed",
            level=logging.WARNING,
            job=request.job_id,
            error=str(error),
            permanent=error.permanent,
        )
        self.metrics.count("kommo_bridge_failures", "ai_final" if error.permanent else "ai")
        if error.permanent:
            self.incidents.note(integration_name(integration), bad=(REFUSED_BY_AI,))
        left = self.seconds_left(request)
        if error.permanent or left <= 0:
            return self._failure(request, integration, str(error))
        self.metrics.count("kommo_bridge_retries", "ai")
        return min(max(error.retry_after_seconds or 0.0, wait_after(record.attempts)), left)

    def _human_answers(self, request: WidgetRequest, integration: Integration) -> bool:
        paused = self.conversations.paused(conversation_name(request)) is not None
        return paused or self.pause_tags.paused(request, integration)

    def _hand_over(
        self, request: WidgetRequest, integration: Integration, text: str = "", reason: str = ""
    ) -> Outcome:
        """A human takes over: the customer is told, and then the conversation pauses."""
        log_event(logger, "handed over", job=request.job_id, reason=reason)
        reply = text or self._say(integration.handoff_text, request)
        return Outcome("handoff", reply, reason=reason)

    def _silence(self, request: WidgetRequest, integration: Integration, reason: str) -> Outcome:
        """A human answers: nothing is said, and the text is not answered later either.

        A hand-made bot does not know `skip`; it leaves as at a hand-over, with nothing to show.
        """
        log_event(logger, "left to a human", job=request.job_id, reason=reason)
        self.turns.leave(request, self.turns.place(request, integration).answered)
        if is_own_widget(request):
            return SKIPPED
        text = self._say(integration.handoff_text, request)
        return Outcome("handoff", text, silent=True)

    def _ask_for_text(self, request: WidgetRequest, integration: Integration) -> Outcome:
        if is_own_widget(request) and not self.conversations.may_ask_for_text(request):
            self.turns.leave(request, [])
            return SKIPPED
        return Outcome("success", self._say(integration.no_text_text, request))

    def _failure(
        self, request: WidgetRequest, integration: Integration, error: str = ""
    ) -> Outcome:
        return Outcome("fail", self._say(integration.fallback_text, request), error)

    def _say(self, text: str, request: WidgetRequest) -> str:
        """A sentence of the integration in the language of the conversation so far."""
        turns = self.conversations.turns(conversation_name(request))
        said = [request.message, *(turn.customer for turn in reversed(turns))]
        return sentence(text, language_of(said))

    @staticmethod
    def _says_handoff(integration: Integration, text: str) -> bool:
        """Whether one of the integration's phrases is in the text, as whole words."""
        phrases = [one.strip() for one in integration.handoff_phrases.splitlines() if one.strip()]
        return any(
            re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text, re.IGNORECASE) for one in phrases
        )

    def _wait(self, request: WidgetRequest, seconds: float) -> float:
        """Wait without a thread; not an attempt, so that waits after failures do not grow."""
        self.answers.not_an_attempt(request.job_id)
        return min(seconds, MAX_TURN_WAIT_SECONDS, max(0.0, self.seconds_left(request)))

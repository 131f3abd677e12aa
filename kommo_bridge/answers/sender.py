"""Delivery: an outcome reaches the waiting Salesbot once, at Kommo's pace.

What Kommo's answers mean for us is decided here: done, again later, or given up. Before a call
leaves, the record notes that its outcome is unknown; only then can a later 404 tell that it had
arrived. A wait is returned to the caller, who asks RQ for it: no thread sleeps for long.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from kommo_bridge.answers.record import CLAIM_SECONDS, CONTINUED, GIVEN_UP, Answer, Answers, Outcome
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.errors import IntegrationError, KommoError
from kommo_bridge.integrations.store import Integration, IntegrationStore
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.continuation import Continuation, continuation
from kommo_bridge.kommo.results import CallResult
from kommo_bridge.kommo.slot import NotNow, Slot
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.incidents import (
    ANSWERS_FAIL,
    BLOCKED_BY_KOMMO,
    TOKEN_REFUSED,
    Incidents,
)
from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.telemetry.metrics import Metrics

# Seconds before the second, third ... attempt; the last one repeats until the deadline.
WAITS = (2, 5, 10, 20, 40, 60)
# What the sweep leaves to the job itself: its call may just be on its way.
SWEEP_MARGIN_SECONDS = 3.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """Continues Salesbots.

    Attributes:
        integrations: Where a token that changed meanwhile is found.
        answers, client, metrics: The records, the calls, the figures.
        incidents: Where it is noted what operators are alerted of.
        continue_deadline_seconds: How long after the acknowledgement a failing call is repeated.
    """

    integrations: IntegrationStore
    answers: Answers
    client: KommoClient
    continue_deadline_seconds: float
    metrics: Metrics
    incidents: Incidents

    def deliver(
        self,
        request: WidgetRequest,
        outcome: Outcome,
        integration: Integration,
        *,
        last_look: Callable[[Outcome], Outcome] = lambda outcome: outcome,
        continued: Callable[[Outcome], None] = lambda _: None,
    ) -> float | None:
        """Send the outcome, never from two workers at a time.

        Args:
            request, outcome, integration: Who waits, for what, and how it is sent.
            last_look: Asked right before a first call leaves: what is to be sent after all.
            continued: Told once Kommo has accepted it, before the answer counts as done.

        Returns:
            None when the Salesbot is continued, else the seconds after which to call again.

        Raises:
            KommoError: The Salesbot cannot be continued any more.
        """
        slot = self.client.book(integration.host, request.job_id)
        if isinstance(slot, NotNow):
            return self._later(request, slot.seconds)
        with slot:
            return self._deliver(
                request, outcome, integration, slot, last_look=last_look, continued=continued
            )

    def _deliver(
        self,
        request: WidgetRequest,
        outcome: Outcome,
        integration: Integration,
        slot: Slot,
        *,
        last_look: Callable[[Outcome], Outcome],
        continued: Callable[[Outcome], None],
    ) -> float | None:
        claim = self.answers.claim(request.job_id)
        if claim is None:
            return self._later(request, CLAIM_SECONDS / 5)
        try:
            record = self.answers.find(request.job_id)
            if record and record.state == CONTINUED:
                return None
            if record and record.outcome:  # another worker may have changed it meanwhile
                outcome = record.outcome
            if not (record and record.uncertain):
                outcome = last_look(outcome)
                if not self.answers.renew(request.job_id, claim):  # it may have asked Kommo
                    return self._later(request, CLAIM_SECONDS / 5)
            before = self.answers.sending(request)
            later = self._send(request, before, outcome, integration, claim=claim, slot=slot)
            if later is None:
                continued(outcome)
                self.answers.close(request.job_id, CONTINUED)
            return later
        finally:
            self.answers.release(request.job_id, claim)

    def find_integration(self, request: WidgetRequest) -> Integration:
        """The integration as it is stored now.

        Raises:
            IntegrationError: It was removed, or has no access token: nobody can continue the bot.
        """
        found = self.integrations.find(
            request.integration_id, request.account_id, request.subdomain
        )
        if found is None or not found.access_token:
            self.give_up(request)
            missing = "the integration was removed" if found is None else "no access token stored"
            raise IntegrationError(f"{missing}: {request.subdomain} cannot be continued")
        return found

    def _send(
        self,
        request: WidgetRequest,
        record: Answer,
        outcome: Outcome,
        integration: Integration,
        *,
        claim: str,
        slot: Slot,
    ) -> float | None:
        delivery = request.delivery or integration.delivery
        body = continuation(outcome.status, outcome.reply, delivery)
        if outcome.silent:
            body = body.without_handlers()
        elif delivery == "show" and not body.shows:
            log_event(logger, "reply too long for show, sent in data alone", job=request.job_id)
        started = time.monotonic()
        try:
            result = self._call(request, body, integration, claim, slot)
        except KommoError:  # the job came through Redis, and the account's host may change
            self.give_up(request)
            raise
        # A 404 after a call without an answer: nobody waits any more, so that one had arrived.
        if not (result.accepted or (result.status == HTTPStatus.NOT_FOUND and record.uncertain)):
            return self._after_error(request, record, result)
        self._note_well(request, outcome)
        self.metrics.count("kommo_bridge_answers", outcome.status)
        self.metrics.observe("kommo_bridge_continue_seconds", time.monotonic() - started)
        self.metrics.observe("kommo_bridge_answer_seconds", time.time() - request.accepted_at)
        log_event(
            logger,
            "salesbot continued",
            job=request.job_id,
            status=outcome.status,
            milliseconds=round((time.monotonic() - started) * 1000),
            seconds_in_all=round(time.time() - request.accepted_at, 3),
        )
        return None

    def _note_well(self, request: WidgetRequest, outcome: Outcome) -> None:
        """Kommo takes our calls; whether that is a good answer, the outcome tells."""
        good: tuple[str, ...] = (TOKEN_REFUSED, BLOCKED_BY_KOMMO)
        if outcome.status in ("success", "handoff"):
            good = (*good, ANSWERS_FAIL)
        self.incidents.note(
            integration_name(request), bad=(ANSWERS_FAIL,) if outcome.error else (), good=good
        )

    def _call(
        self,
        request: WidgetRequest,
        body: Continuation,
        integration: Integration,
        claim: str,
        slot: Slot,
    ) -> CallResult:
        """One call, repeated at once only where a second one differs from the first."""
        token = integration.access_token
        result = self.client.continue_salesbot(slot, request.return_url, body, token)
        if result.status == HTTPStatus.BAD_REQUEST and body.shows:
            codes = ",".join(result.codes)
            log_event(logger, "handlers refused", job=request.job_id, codes=codes)
            body = body.without_handlers()
        elif result.status == HTTPStatus.UNAUTHORIZED:
            token = self.find_integration(request).access_token
            if token == integration.access_token:
                return result
        else:
            return result
        second = self.client.book(integration.host)
        if isinstance(second, NotNow):
            wait = second.seconds
            return CallResult(None, retry_after_seconds=wait, error="paused by Kommo")
        with second:
            if not self.answers.renew(request.job_id, claim):
                return CallResult(None, may_have_arrived=True, error="another worker sends")
            return self.client.continue_salesbot(second, request.return_url, body, token)

    def _after_error(self, request: WidgetRequest, record: Answer, result: CallResult) -> float:
        """Give up, or tell the wait before the next try."""
        log_event(
            logger,
            "continue call failed",
            level=logging.WARNING,
            job=request.job_id,
            error=result.error,
            codes=",".join(result.codes) or None,
        )
        status = result.status
        self.metrics.count("kommo_bridge_failures", f"kommo_{status or 'no_answer'}")
        if status == HTTPStatus.UNAUTHORIZED:
            self.incidents.note(integration_name(request), bad=(TOKEN_REFUSED,))
        if result.blocked:
            self.incidents.note(integration_name(request), bad=(BLOCKED_BY_KOMMO,))
        if not result.may_have_arrived and not record.uncertain:
            self.answers.not_sent(request.job_id)
        asked = result.retry_after_seconds or 0.0
        error = KommoError(result.error, permanent=True, status=status, codes=result.codes)
        if status == HTTPStatus.TOO_MANY_REQUESTS or result.blocked:
            return self._later(request, asked, error)
        if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self.give_up(request)
            raise error
        return self._later(request, max(asked, wait_after(record.attempts)), error)

    def give_up(self, request: WidgetRequest) -> None:
        """Nobody tries to continue this Salesbot any more."""
        self.answers.close(request.job_id, GIVEN_UP)
        self.metrics.count("kommo_bridge_failures", "given_up")
        self.incidents.note(integration_name(request), bad=(ANSWERS_FAIL,))

    def _later(self, request: WidgetRequest, wait: float, error: KommoError | None = None) -> float:
        """Wait, unless the last moment for a continue call has passed."""
        left = request.accepted_at + self.continue_deadline_seconds - time.time()
        if left <= 0:
            self.give_up(request)
            reason = error or "paused by Kommo"
            raise KommoError(f"not continued before the deadline ({reason})", permanent=True)
        wait = min(wait, left + 1)
        self.metrics.count("kommo_bridge_retries", "kommo")
        self.answers.postpone(request.job_id, time.time() + wait + 2 * SWEEP_MARGIN_SECONDS)
        return wait


def wait_after(attempts: int) -> float:
    """The seconds to wait after that many earlier attempts."""
    return float(WAITS[min(attempts, len(WAITS) - 1)])

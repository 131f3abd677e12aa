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
from kommo_bridge.errors import IntegrationError, KommoError, RefusedRequest
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.continuation import Continuation, continuation
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.widget_request import WidgetRequest, check_return_url
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
PAUSE_AFTER_429_SECONDS = 10.0
# Whatever a Retry-After says: the second in which there were too many must pass.
SHORTEST_PAUSE_SECONDS = 1.0
PAUSE_AFTER_BLOCK_SECONDS = 300.0
# What the sweep leaves to the job itself: its call may just be on its way.
SWEEP_MARGIN_SECONDS = 3.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """Continues Salesbots.

    Attributes:
        integrations: Where a token that changed meanwhile is found.
        answers, client, pacer, metrics: The records, the calls, their pace, the figures.
        incidents: Where it is noted what operators are alerted of.
        continue_deadline_seconds: How long after the acknowledgement a failing call is repeated.
        extra_hosts: `KOMMO_EXTRA_HOSTS`.
    """

    integrations: IntegrationStore
    answers: Answers
    client: KommoClient
    pacer: Pacer
    continue_deadline_seconds: float
    extra_hosts: frozenset[str]
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
        self._check_host(request, integration)
        wait, booked = self.pacer.reserve(integration.host)
        if not booked:
            return self._later(request, wait)
        claim = self.answers.claim(request.job_id)
        if claim is None:
            return self._later(request, CLAIM_SECONDS / 5)
        try:
            time.sleep(wait)
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
            later = self._send(request, before, outcome, integration, claim)
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

    def _check_host(self, request: WidgetRequest, integration: Integration) -> None:
        """The web edge has checked it, but the job came through Redis and the host may change."""
        try:
            check_return_url(request.return_url, integration.host, self.extra_hosts)
        except RefusedRequest:
            self.give_up(request)
            raise KommoError("the return URL is not the account's own", permanent=True) from None

    def _send(
        self,
        request: WidgetRequest,
        record: Answer,
        outcome: Outcome,
        integration: Integration,
        claim: str,
    ) -> float | None:
        delivery = request.delivery or integration.delivery
        body = continuation(outcome.status, outcome.reply, delivery)
        if outcome.silent:
            body = body.without_handlers()
        elif delivery == "show" and not body.shows:
            log_event(logger, "reply too long for show, sent in data alone", job=request.job_id)
        started = time.monotonic()
        try:
            self._call(request, body, integration, claim)
        except KommoError as error:
            if not (error.status == HTTPStatus.NOT_FOUND and record.uncertain):
                return self._after_error(request, record, integration, error)
            # An earlier call got no answer and nobody waits any more: it had arrived.
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
        self, request: WidgetRequest, body: Continuation, integration: Integration, claim: str
    ) -> None:
        """One call, repeated at once only where a second one differs from the first."""
        token = integration.access_token
        try:
            self.client.continue_salesbot(request.return_url, body, token)
        except KommoError as error:
            if error.status == HTTPStatus.BAD_REQUEST and body.shows:
                codes = ",".join(error.codes)
                log_event(logger, "handlers refused", job=request.job_id, codes=codes)
                body = body.without_handlers()
            elif error.status == HTTPStatus.UNAUTHORIZED:
                token = self.find_integration(request).access_token
                if token == integration.access_token:
                    raise
            else:
                raise
            self._keep_pace(integration)
            if not self.answers.renew(request.job_id, claim):
                raise KommoError("another worker sends", permanent=False, arrived=True) from None
            self.client.continue_salesbot(request.return_url, body, token)

    def _keep_pace(self, integration: Integration) -> None:
        """Wait for a second slot in the same run."""
        wait, booked = self.pacer.reserve(integration.host)
        if not booked:
            raise KommoError("paused by Kommo", permanent=False, retry_after_seconds=wait)
        time.sleep(wait)

    def _after_error(
        self, request: WidgetRequest, record: Answer, integration: Integration, error: KommoError
    ) -> float:
        """Give up, or tell the wait before the next try."""
        log_event(
            logger,
            "continue call failed",
            level=logging.WARNING,
            job=request.job_id,
            error=str(error),
            codes=",".join(error.codes) or None,
        )
        self.metrics.count("kommo_bridge_failures", f"kommo_{error.status or 'no_answer'}")
        if error.status == HTTPStatus.UNAUTHORIZED:
            self.incidents.note(integration_name(request), bad=(TOKEN_REFUSED,))
        if not error.arrived and not record.uncertain:
            self.answers.not_sent(request.job_id)
        wait = max(error.retry_after_seconds or 0.0, wait_after(record.attempts))
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            wait = max(error.retry_after_seconds or PAUSE_AFTER_429_SECONDS, SHORTEST_PAUSE_SECONDS)
            self.pacer.pause(integration.host, wait)
        elif error.status == HTTPStatus.FORBIDDEN and self.pacer.was_limited(integration.host):
            wait = PAUSE_AFTER_BLOCK_SECONDS
            self.pacer.pause_all(wait)
            self.incidents.note(integration_name(request), bad=(BLOCKED_BY_KOMMO,))
        elif error.permanent:
            self.give_up(request)
            raise error
        return self._later(request, wait, error)

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

"""One call to Kommo: booked at its pace, made, logged and counted; `verdict` reads the result."""

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from kommo_bridge.answers.conversation import Outcome
from kommo_bridge.answers.lead_facts import STAGE, Facts, StageNames, facts_of, wanted
from kommo_bridge.conversations.days import Answered, Days
from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.conversations.keys import conversation_name, integration_name, person_digest
from kommo_bridge.errors import KommoError, StoreError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.continuation import Continuation, continuation
from kommo_bridge.kommo.crm import Crm, Lead
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

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sender:
    """Calls Kommo for the steps."""

    client: KommoClient
    integrations: IntegrationStore
    metrics: Metrics
    incidents: Incidents
    days: Days
    gaps: Gaps
    stages: StageNames = field(default_factory=StageNames)

    def book(self, integration: Integration, job_id: str) -> Slot | NotNow:
        """Book the next free call to the account; on `NotNow` the request keeps its place."""
        booked = self.client.book(integration.host, waiter=job_id)
        if isinstance(booked, NotNow):
            self.metrics.count("kommo_bridge_retries", "kommo")
        return booked

    def call(
        self, slot: Slot, request: WidgetRequest, body: Continuation, integration: Integration
    ) -> CallResult:
        """Continue one Salesbot; a failure is part of the result."""
        started = time.monotonic()
        token = integration.access_token
        try:
            result = self.client.continue_salesbot(slot, request.return_url, body, token)
        except KommoError as error:  # not the account's host: it gets no token
            result = CallResult(HTTPStatus.FORBIDDEN, error=str(error))
        if result.accepted:
            seconds = time.monotonic() - started
            self.metrics.observe("kommo_bridge_continue_seconds", seconds)
            return result
        log_event(
            logger,
            "continue call failed",
            level=logging.WARNING,
            job=request.job_id,
            subdomain=request.subdomain,
            error=result.error,
            codes=",".join(result.codes) or None,
        )
        self.metrics.count("kommo_bridge_failures", f"kommo_{result.status or 'no_answer'}")
        bad = ((TOKEN_REFUSED,) if result.status == HTTPStatus.UNAUTHORIZED else ()) + (
            (BLOCKED_BY_KOMMO,) if result.blocked else ()
        )
        if bad:
            self.incidents.note(integration_name(request), bad=bad)
        return result

    def body(
        self, request: WidgetRequest, outcome: Outcome, integration: Integration, *, plain: bool
    ) -> Continuation:
        """The body of the call: with handlers only for a hand-made bot that shows something."""
        delivery = request.delivery or integration.delivery
        made = continuation(outcome.status, outcome.spoken, delivery)
        if outcome.silent or plain:
            return made.without_handlers()
        if delivery == "show" and not made.shows:
            log_event(logger, "reply too long for show, sent in data only", job=request.job_id)
        return made

    def continued(self, request: WidgetRequest, outcome: Outcome, spoken: Outcome) -> None:
        """Note an accepted call; only a reply or a handoff resolves `answers_fail`.

        Args:
            outcome: What was found for the customer.
            spoken: What the Salesbot was continued with: nothing, where replies are hints.
        """
        good: tuple[str, ...] = (TOKEN_REFUSED, BLOCKED_BY_KOMMO)
        if outcome.status in ("success", "handoff") and not outcome.silent:
            good = (*good, ANSWERS_FAIL)
        bad = (ANSWERS_FAIL,) if outcome.error else ()
        self.incidents.note(integration_name(request), bad=bad, good=good, reason=outcome.error)
        self.metrics.count("kommo_bridge_answers", spoken.status)
        if outcome.status == "handoff" and not outcome.silent:
            self.metrics.count("kommo_bridge_handoffs", outcome.handoff_reason)
        seconds = time.time() - request.accepted_at
        self.metrics.observe("kommo_bridge_answer_seconds", seconds)
        log_event(
            logger,
            "salesbot continued",
            job=request.job_id,
            subdomain=request.subdomain,
            status=spoken.status,
            seconds_in_all=round(seconds, 3),
        )

    def answered(
        self,
        request: WidgetRequest,
        integration: Integration,
        outcome: Outcome,
        since: float,
        now: float,
    ) -> None:
        """Count a turn for the owner's week, once its end is kept; `since` is its oldest text."""
        turn = Answered(
            f"{conversation_name(request)}:{person_digest(request.person)}",
            seconds=now - since,
            handoff=outcome.handoff_reason if outcome.status == "handoff" else "",
            failed=outcome.source == "fallback",
        )
        self.days.answered(integration, turn, now)

    def note_gaps(self, integration: Integration, outcome: Outcome, now: float) -> None:
        """Note what the AI had no answer to, once its reply is accepted: one that a newer message
        took back has noted nothing."""
        for gap in outcome.gaps:
            self.gaps.note(integration, gap, now)

    def given_up(
        self, request: WidgetRequest, reason: str, integration: Integration | None = None
    ) -> None:
        """Note that this Salesbot was given up and its customer has no reply."""
        self.metrics.count("kommo_bridge_failures", "given_up")
        if integration:
            self.days.given_up(integration, time.time())
        self.incidents.note(integration_name(request), bad=(ANSWERS_FAIL,), reason=reason)
        log_event(
            logger,
            "answer given up",
            level=logging.WARNING,
            job=request.job_id,
            subdomain=request.subdomain,
            reason=reason,
        )

    def token_changed(self, request: WidgetRequest, integration: Integration) -> Integration | None:
        """The integration with another access token than the one just refused, or None."""
        try:
            found = self.integrations.find(
                request.integration_id, request.account_id, request.subdomain
            )
        except StoreError:  # nobody knows of another one
            return None
        changed = found and found.access_token and found.access_token != integration.access_token
        return found if changed else None

    def crm(self, request: WidgetRequest, integration: Integration) -> Crm:
        """The CRM of the request's account, where its Salesbot waits too."""
        place = urlsplit(request.return_url)
        base_url = f"{place.scheme}://{place.netloc}"
        return Crm(self.client, integration.host, integration.access_token, base_url)

    def lead(self, request: WidgetRequest, integration: Integration) -> Lead | None:
        """The lead of the request; None when Kommo cannot say."""
        try:
            return self.crm(request, integration).lead(request.entity_id)
        except KommoError as error:
            log_event(
                logger,
                "lead lookup failed",
                level=logging.WARNING,
                job=request.job_id,
                subdomain=request.subdomain,
                error=str(error),
            )
            return None

    def lead_facts(self, request: WidgetRequest, integration: Integration, lead: Lead) -> Facts:
        """What the model is told of the lead; without the stage when Kommo does not name it."""
        names, stage = wanted(integration.lead_fields), ""
        if lead.stage and STAGE in map(str.casefold, names):
            number, crm = lead.stage, self.crm(request, integration)
            with suppress(KommoError):
                stage = self.stages.get(crm.host, number, lambda: crm.stage_name(number))
        return facts_of(lead, names, stage)

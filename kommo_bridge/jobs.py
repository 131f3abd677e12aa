"""What RQ calls, and the wiring of the parts.

`answer_widget_request` is the job. It may be called again at any moment, by a retry or by another
worker: `answers.steps` goes on from where the conversation is. A wait is returned to RQ, which
schedules the job again, so no thread sleeps for long.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Retry, get_current_job

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.ai.second import TwoAIs
from kommo_bridge.answers.asker import Asker
from kommo_bridge.answers.record import close_record
from kommo_bridge.answers.retries import STORE_WAIT
from kommo_bridge.answers.rules import rules_of
from kommo_bridge.answers.sender import Sender
from kommo_bridge.answers.staff import Staff
from kommo_bridge.answers.state import ConversationStates
from kommo_bridge.answers.steps import Steps
from kommo_bridge.answers.sweep import Sweep
from kommo_bridge.conversations.days import Days
from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.conversations.preferred import Preferred
from kommo_bridge.conversations.usage import Usage
from kommo_bridge.errors import BridgeError, IntegrationError, StoreError
from kommo_bridge.integrations.ai_server import shared_second_ai
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.open_store import store_of
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.knowledge.knowledge import Knowledge
from kommo_bridge.knowledge.nightly import refresh_all
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.incidents import Incidents
from kommo_bridge.telemetry.logs import log_event, request_logged
from kommo_bridge.telemetry.metrics import Metrics

# The longest wait that a plain `rq worker`, which may run without a scheduler, sleeps through.
MAX_SLEPT_SECONDS = 10.0
# RQ demands a limit on a job's retries; the deadlines of `answers` are reached long before it.
MAX_RETRIES = 10_000
# A failed job holds customers' words, and once its Salesbot is gone it is soon of no use.
FAILURE_TTL_SECONDS = 24 * 3600

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a job needs to do its work."""

    settings: Settings
    redis: Redis
    integrations: IntegrationStore
    steps: Steps
    client: KommoClient
    assistant: Assistant
    knowledge: Knowledge
    staff: Staff

    def close(self) -> None:
        """Close the connections to both partners."""
        self.client.close()
        self.assistant.close()


def answer_widget_request(payload: Mapping[str, Any]) -> Retry | None:
    """The job that RQ runs. Returns a Retry when there is something to wait for.

    Raises:
        BridgeError: The Salesbot could not be continued, or only with `fail`. RQ keeps the job as
            failed and does not retry it.
    """
    try:
        return _run(WidgetRequest.from_job(payload))
    finally:
        if _has_process_of_its_own():  # no ticker beside it; RQ ends that process without `atexit`
            with suppress(RedisError, StoreError):  # the next job writes it
                process_parts().staff.run()
            flush_metrics()


def refresh_knowledge() -> int:
    """The job of a night: look at all pages again. Returns how many there were."""
    parts = process_parts()
    return refresh_all(parts.integrations.all(), parts.knowledge, parts.steps.sender.incidents)


def flush_metrics() -> None:
    """Flush this process's metrics to Redis before it ends."""
    process_parts().steps.metrics.flush()


def before_exit() -> None:
    """What must not be lost before this process hands its jobs back and ends.

    Raises:
        RedisError: Redis is away.
    """
    flush_metrics()
    process_parts().steps.states.release_all()


def answer(request: WidgetRequest, parts: Parts, *, by_sweep: bool = False) -> float | None:
    """Take one request's conversation as far as possible now.

    Returns:
        None when the request has ended, otherwise the seconds after which to call again.

    Raises:
        ContinuedWithFailure: The AI failed for good; the Salesbot was continued with `fail`.
        KommoError: The Salesbot can no longer be continued.
        IntegrationError: The integration was removed, or has no access token.
        StoreError: The store was away until the continue deadline was over.
    """
    with request_logged(request.request_id, request.subdomain):
        try:
            integration = _integration_of(request, parts)
        except StoreError as error:
            return _until_the_store_is_back(request, parts, error)
        rules = rules_of(integration, parts.settings, request)
        return parts.steps.run(request, integration, rules, by_sweep=by_sweep)


def sweep(parts: Parts) -> int:
    """Complete the overdue requests; returns how many there were."""
    look_after = partial(answer, parts=parts, by_sweep=True)
    return Sweep(parts.redis, look_after, parts.settings.continue_deadline_seconds).run()


class _Process:
    """The parts for the jobs of this process: RQ calls a job with its stored arguments only."""

    parts: Parts | None = None


def use_parts(parts: Parts | None) -> None:
    """Set the parts for the jobs of this process; its entry point does so once."""
    _Process.parts = parts


def process_parts() -> Parts:
    """The parts of this process; under a plain `rq worker` the first job builds them."""
    if _Process.parts is None:
        _Process.parts = build_parts(Settings.from_env(os.environ))
    return _Process.parts


def build_parts(settings: Settings, integrations: IntegrationStore | None = None) -> Parts:
    """Build the real parts from the settings, with the store if the process already has one."""
    redis = connect(settings.redis_url)
    integrations = integrations or store_of(settings)
    client = KommoClient(Pacer(redis), settings.kommo_extra_hosts)
    metrics, incidents, memory = Metrics(redis), Incidents(redis), Conversations(redis)
    assistant, knowledge = build_assistant(settings, redis), Knowledge(integrations.database)
    sender = Sender(client, integrations, metrics, incidents, Days(redis), Gaps(redis))
    steps = Steps(
        states=ConversationStates(redis),
        asker=Asker(assistant, memory, Usage(redis), metrics, incidents, knowledge),
        sender=sender,
        memory=memory,
        metrics=metrics,
    )
    staff = Staff(redis, integrations, sender, metrics)
    return Parts(settings, redis, integrations, steps, client, assistant, knowledge, staff)


def build_assistant(settings: Settings, redis: Redis | None = None) -> Assistant:
    """Build the AI from the settings; with Redis, which of two is asked first is shared."""
    return TwoAIs(
        second=shared_second_ai(settings),
        preferred=Preferred(redis),
        reply_deadline=settings.reply_deadline_seconds,
        api_key=settings.openai_api_key,
        base_url=settings.openai_base_url,
        model=settings.openai_model,
        timeout_seconds=settings.ai_timeout_seconds,
    )


def _integration_of(request: WidgetRequest, parts: Parts) -> Integration:
    found = parts.integrations.find(request.integration_id, request.account_id, request.subdomain)
    if found is None or not found.access_token:
        missing = "the integration was removed" if found is None else "no access token is stored"
        close_record(parts.redis, request.job_id, missing)
        parts.steps.sender.given_up(request, missing)
        raise IntegrationError(f"{missing}: {request.subdomain} cannot be continued")
    return found


def _until_the_store_is_back(request: WidgetRequest, parts: Parts, error: StoreError) -> float:
    """Nothing of the conversation is known without its integration; afterwards all goes on."""
    log_event(
        logger,
        "answer waits for the integration store",
        level=logging.WARNING,
        job=request.job_id,
        subdomain=request.subdomain,
        error=str(error),
    )
    if time.time() > request.accepted_at + parts.settings.continue_deadline_seconds:
        close_record(parts.redis, request.job_id, "the integration store was away")
        parts.steps.sender.given_up(request, "the integration store was away")
        raise error
    return STORE_WAIT


def _run(request: WidgetRequest) -> Retry | None:
    try:
        seconds = answer(request, process_parts())
        while seconds is not None and seconds <= MAX_SLEPT_SECONDS and _has_process_of_its_own():
            time.sleep(seconds)
            seconds = answer(request, process_parts())
    except BridgeError:
        if job := get_current_job():
            job.retries_left = 0  # RQ cannot tell final errors from others: no retry
            job.failure_ttl = FAILURE_TTL_SECONDS
        raise
    return None if seconds is None else Retry(MAX_RETRIES, interval=max(1, math.ceil(seconds)))


def _has_process_of_its_own() -> bool:
    """True under a plain `rq worker`; our own worker runs jobs in threads."""
    return threading.current_thread() is threading.main_thread()

"""The job: from a queued widget request to a continued Salesbot.

`answer_widget_request` is what RQ calls; it wires the real parts. `answer` is the work: it takes
its parts as arguments, keeps every step in the record of `answers`, and may be called again at any
moment, by a retry, by another worker or by the sweep: it goes on where the record stands.
A planned wait is told to RQ, which schedules the job anew, so that no thread sleeps for long.
"""

import logging
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

from redis.exceptions import RedisError
from rq import Retry, get_current_job

from kommo_bridge.answers import CONTINUED, Answer, Answers, Outcome
from kommo_bridge.assistant import Assistant
from kommo_bridge.delivery import SWEEP_MARGIN_SECONDS, Delivery, wait_after
from kommo_bridge.errors import AssistantError, IntegrationError, PartnerError
from kommo_bridge.integrations import Integration, IntegrationStore
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.logs import log_event
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings

# RQ wants a bound for the retries a job asks for; the deadlines of `answer` come first.
MAX_RETRIES = 10_000
SWEEP_THREADS = 16
# How long an answer rests that the sweep could not even begin.
SWEEP_AGAIN_SECONDS = 30.0
# An answer that took longer tells that its Kommo hangs: the pace alone costs two seconds at most.
SWEEP_SLOW_SECONDS = 3.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What the work is done with."""

    settings: Settings
    integrations: IntegrationStore
    answers: Answers
    assistant: Assistant
    delivery: Delivery

    def close(self) -> None:
        """Close the connections to both partners."""
        self.delivery.client.close()
        self.assistant.close()


def answer_widget_request(payload: Mapping[str, Any]) -> Retry | None:
    """RQ's job. Returns a Retry when there is something to wait for.

    Raises:
        PartnerError: The Salesbot could not be continued, or only with a failure; the failed job
            then stays visible and is not repeated.
    """
    request = WidgetRequest.from_job(payload)
    try:
        seconds = answer(request, process_parts())
    except (PartnerError, IntegrationError):
        if job := get_current_job():
            job.retries_left = 0  # final: RQ has no rule per kind of error
        raise
    return None if seconds is None else Retry(MAX_RETRIES, interval=max(1, round(seconds)))


def answer(request: WidgetRequest, parts: Parts) -> float | None:
    """Bring one answer as far as it goes now.

    Returns:
        None when the Salesbot is continued, else the seconds after which to call again.

    Raises:
        AssistantError: The AI failed for good; the Salesbot was continued with `fail`.
        KommoError: The Salesbot cannot be continued any more.
        IntegrationError: The integration was removed, and its access token with it.
    """
    record = parts.answers.begin(request)
    if record.state == CONTINUED:
        log_event(logger, "already continued", job=request.job_id)
        return None
    integration = parts.delivery.find_integration(request)
    if record.outcome is None:
        found = _find_outcome(request, record, integration, parts)
        if not isinstance(found, Outcome):
            return found
        outcome = parts.answers.keep_outcome(request.job_id, found)
    else:
        outcome = record.outcome
    wait = parts.delivery.deliver(request, outcome, integration)
    if wait is None and outcome.error:
        raise AssistantError(f"continued with fail: {outcome.error}", permanent=True)
    return wait


def sweep(parts: Parts, now: float) -> int:
    """Continue Salesbots that nobody brought to an end in time; returns how many were due.

    Their jobs may wait in a long queue, be scheduled, failed, deleted, or have died unseen. What
    the record knows is enough: a kept reply is sent, and without one the fallback sentence.
    Several at a time, and an account whose Kommo hangs is left for the next look, so that it does
    not hold up the others.
    """
    hanging: set[str] = set()
    due = parts.answers.due(now - SWEEP_MARGIN_SECONDS)
    if due:
        with ThreadPoolExecutor(SWEEP_THREADS, thread_name_prefix="sweep") as pool:
            list(pool.map(lambda job_id: _sweep_or_postpone(job_id, parts, now, hanging), due))
    return len(due)


def _sweep_or_postpone(job_id: str, parts: Parts, now: float, hanging: set[str]) -> None:
    """One that nobody foresaw, such as a record of another version, must not stop the others."""
    try:
        _sweep_one(job_id, parts, now, hanging)
    except RedisError:
        raise
    except Exception:
        logger.exception("overdue answer cannot be worked on: %s", job_id)
        parts.answers.postpone(job_id, now + SWEEP_AGAIN_SECONDS)


def _sweep_one(job_id: str, parts: Parts, now: float, hanging: set[str]) -> None:
    record = parts.answers.find(job_id)
    if record is None:
        parts.answers.forget(job_id)
        return
    if record.outcome is None and _seconds_left(record.request, parts) > 0:
        # Queued under a shorter deadline than ours. Without the customer's words, which only the
        # job has, there is nothing to do before ours is over.
        parts.answers.postpone(job_id, now + _seconds_left(record.request, parts))
        return
    if record.request.subdomain in hanging:
        parts.answers.postpone(job_id, time.time())  # behind those that wait already
        return
    log_event(logger, "overdue answer", level=logging.WARNING, job=job_id)
    started = time.monotonic()
    try:
        answer(record.request, parts)
    except (PartnerError, IntegrationError) as error:
        log_event(
            logger, "overdue answer failed", level=logging.ERROR, job=job_id, error=str(error)
        )
    if time.monotonic() - started > SWEEP_SLOW_SECONDS:
        hanging.add(record.request.subdomain)


@cache
def process_parts() -> Parts:
    """The parts of this process, built at its first job."""
    return build_parts(Settings.from_env(os.environ))


def build_parts(settings: Settings) -> Parts:
    """Build the real parts from the settings."""
    redis = connect(settings.redis_url)
    integrations = IntegrationStore(settings.database_path, settings.secret_key)
    answers = Answers(redis)
    return Parts(
        settings=settings,
        integrations=integrations,
        answers=answers,
        assistant=Assistant(
            api_key=settings.openai_api_key,
            base_url=settings.openai_base_url,
            model=settings.openai_model,
            timeout_seconds=settings.ai_timeout_seconds,
        ),
        delivery=Delivery(
            integrations=integrations,
            answers=answers,
            client=KommoClient(),
            pacer=Pacer(redis),
            continue_deadline_seconds=settings.continue_deadline_seconds,
            extra_hosts=settings.kommo_extra_hosts,
        ),
    )


def _find_outcome(
    request: WidgetRequest, record: Answer, integration: Integration, parts: Parts
) -> Outcome | float:
    """What to continue with, or the seconds until it makes sense to ask the AI again."""
    left = _seconds_left(request, parts)
    if left <= 0:
        return Outcome("fail", integration.fallback_text, "no reply before the deadline")
    if not integration.enabled:
        return Outcome("fail", integration.fallback_text)
    if not request.has_text:
        return Outcome("success", integration.no_text_text)
    started = time.monotonic()
    try:
        reply = parts.assistant.reply(integration, request, seconds=left)
    except AssistantError as error:
        return _after_ai_error(request, record, integration, error, _seconds_left(request, parts))
    log_event(
        logger,
        "reply received",
        job=request.job_id,
        milliseconds=round((time.monotonic() - started) * 1000),
        tokens=reply.tokens,
    )
    return Outcome("success", reply.text)


def _after_ai_error(
    request: WidgetRequest,
    record: Answer,
    integration: Integration,
    error: AssistantError,
    left: float,
) -> Outcome | float:
    log_event(
        logger,
        "AI failed",
        level=logging.WARNING,
        job=request.job_id,
        error=str(error),
        permanent=error.permanent,
    )
    if error.permanent or left <= 0:
        return Outcome("fail", integration.fallback_text, str(error))
    return min(error.retry_after_seconds or wait_after(record.attempts), left)


def _seconds_left(request: WidgetRequest, parts: Parts) -> float:
    """The time until the reply deadline."""
    return request.accepted_at + parts.settings.reply_deadline_seconds - time.time()

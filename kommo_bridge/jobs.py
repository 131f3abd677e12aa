"""The job: from a queued widget request to a continued Salesbot.

`answer_widget_request` is what RQ calls; it wires the real parts. `answer` is the work: it takes
its parts as arguments, keeps every step in the record of `answers`, and may be called again at any
moment, by a retry, by another worker or by the sweep: it goes on where the record stands.
A planned wait is told to RQ, which schedules the job anew, so that no thread sleeps for long.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError
from rq import Retry, get_current_job

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.answers.record import CONTINUED, Answers, Outcome
from kommo_bridge.answers.rules import Outcomes
from kommo_bridge.answers.sender import SWEEP_MARGIN_SECONDS, Delivery
from kommo_bridge.answers.turns import Turns
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.conversations.pause_tags import PauseTags
from kommo_bridge.conversations.usage import Usage
from kommo_bridge.errors import AssistantError, IntegrationError, PartnerError
from kommo_bridge.integrations.store import Integration, IntegrationStore
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.incidents import Incidents
from kommo_bridge.telemetry.logs import log_event, request_logged
from kommo_bridge.telemetry.metrics import Metrics

# Waits of a classical worker that are slept through: a burst, or another one's turn.
SLEPT_SECONDS = 10.0
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
    outcomes: Outcomes
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
    try:
        return _run(WidgetRequest.from_job(payload))
    finally:
        if _has_process_of_its_own():  # RQ's own ends it without `atexit`
            flush_figures()


def flush_figures() -> None:
    """Bring the figures of this process to Redis before it ends."""
    process_parts().delivery.metrics.flush()


def _run(request: WidgetRequest) -> Retry | None:
    try:
        seconds = answer(request, process_parts())
        while seconds is not None and seconds <= SLEPT_SECONDS and _has_process_of_its_own():
            time.sleep(seconds)
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
    with request_logged(request.request_id):
        return _answer(request, parts)


def _answer(request: WidgetRequest, parts: Parts) -> float | None:
    outcomes = parts.outcomes
    record = parts.answers.begin(request)
    if record.first:
        waited = time.time() - request.accepted_at
        outcomes.metrics.observe("kommo_bridge_queue_wait_seconds", waited)
    if record.state == CONTINUED:
        log_event(logger, "already continued", job=request.job_id)
        return None
    integration = parts.delivery.find_integration(request)
    if record.outcome is None:
        found = outcomes.find(request, record, integration)
        if not isinstance(found, Outcome):
            return found
        outcome = parts.answers.keep_outcome(request.job_id, found)
    else:
        outcome = record.outcome
    wait = parts.delivery.deliver(
        request,
        outcome,
        integration,
        last_look=outcomes.last_look(request, integration),
        continued=outcomes.continued(request, integration),
    )
    if wait is None and outcome.error:
        raise AssistantError(f"continued with fail: {outcome.error}", permanent=True)
    return wait


def talk(request: WidgetRequest, integration: Integration, parts: Parts) -> Outcome:
    """What `answer` would continue a Salesbot with, for somebody who waits at the terminal."""
    record = parts.answers.begin(request)
    found = parts.outcomes.find(request, record, integration)
    while not isinstance(found, Outcome):
        time.sleep(found)
        found = parts.outcomes.find(request, parts.answers.begin(request), integration)
    parts.outcomes.continued(request, integration)(found)
    parts.answers.close(request.job_id, CONTINUED)
    return found


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
        _give_up_in_the_end(job_id, parts, now)


def _give_up_in_the_end(job_id: str, parts: Parts, now: float) -> None:
    """What fails in a way that nobody foresaw is not tried for ever; an unreadable one expires."""
    with suppress(TypeError, ValueError, LookupError):
        record = parts.answers.find(job_id)
        if record and now > record.request.accepted_at + parts.settings.continue_deadline_seconds:
            parts.delivery.give_up(record.request)


def _sweep_one(job_id: str, parts: Parts, now: float, hanging: set[str]) -> None:
    record = parts.answers.find(job_id)
    if record is None:
        parts.answers.forget(job_id)
        return
    left = parts.outcomes.seconds_left(record.request)
    if record.outcome is None and left > 0:
        # Queued under a shorter deadline than ours. Without the customer's words, which only the
        # job has, there is nothing to do before ours is over.
        parts.answers.postpone(job_id, now + left)
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


def _has_process_of_its_own() -> bool:
    """True in RQ's own workers, which may run without a scheduler; ours runs jobs in threads."""
    return threading.current_thread() is threading.main_thread()


class _Process:
    """What the jobs of this process work with; RQ calls them without arguments of ours."""

    parts: Parts | None = None


def use_parts(parts: Parts | None) -> None:
    """Tell the jobs of this process what to work with: its entry does, once."""
    _Process.parts = parts


def process_parts() -> Parts:
    """The parts of this process; RQ's own worker, whose entry is not ours, builds them late."""
    if _Process.parts is None:
        _Process.parts = build_parts(Settings.from_env(os.environ))
    return _Process.parts


def build_parts(settings: Settings, integrations: IntegrationStore | None = None) -> Parts:
    """Build the real parts from the settings, with the store that the process has already."""
    redis = connect(settings.redis_url)
    integrations = integrations or IntegrationStore(settings.database_path, settings.secret_key)
    answers, client, pacer = Answers(redis), KommoClient(), Pacer(redis)
    metrics, incidents = Metrics(redis), Incidents(redis)
    assistant = Assistant(
        api_key=settings.openai_api_key,
        base_url=settings.openai_base_url,
        model=settings.openai_model,
        timeout_seconds=settings.ai_timeout_seconds,
    )
    outcomes = Outcomes(
        reply_deadline_seconds=settings.reply_deadline_seconds,
        answers=answers,
        assistant=assistant,
        conversations=Conversations(redis),
        turns=Turns(redis, answers),
        usage=Usage(redis),
        pause_tags=PauseTags(redis, client, pacer, settings.kommo_extra_hosts),
        metrics=metrics,
        incidents=incidents,
    )
    delivery = Delivery(
        integrations=integrations,
        answers=answers,
        client=client,
        pacer=pacer,
        continue_deadline_seconds=settings.continue_deadline_seconds,
        extra_hosts=settings.kommo_extra_hosts,
        metrics=metrics,
        incidents=incidents,
    )
    return Parts(settings, integrations, answers, assistant, outcomes, delivery)

"""Failed jobs whose kept reply is worth another try: Kommo refused the token, which is mended."""

from http import HTTPStatus
from typing import Any

from redis import Redis
from rq.exceptions import InvalidJobOperation, NoSuchJobError

from kommo_bridge.answers.conversation import GIVEN_UP
from kommo_bridge.answers.record import record_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.queue.own_job import OwnJob, whose
from kommo_bridge.queue.state import work_queue

REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)


def requeue_refused(redis: Redis, integration: Integration) -> int:
    """Queue again what of this integration Kommo refused; returns how many.

    The reply that is kept with each is sent, and not paid for twice.

    Raises:
        RedisError: Redis is away.
    """
    registry = work_queue(redis).failed_job_registry
    registry.job_class = OwnJob
    done = 0
    for job_id in registry.get_job_ids():
        try:
            job = OwnJob.fetch(job_id, redis, registry.serializer)
            if _is_of(job, integration) and _was_refused(redis, job_id):
                registry.requeue(job)
                done += 1
        except (NoSuchJobError, InvalidJobOperation):  # gone, or requeued by somebody else
            continue
    return done


def _is_of(job: OwnJob | Any, integration: Integration) -> bool:
    subdomain = whose(job)[1]
    if subdomain != integration.subdomain:
        return False
    return bool(job.args[0].get("integration_id") == integration.integration_id)


def _was_refused(redis: Redis, job_id: str) -> bool:
    """It was given up with its reply kept, because Kommo refused this account."""
    kept: list[Any] = redis.hmget(record_key(job_id), ["state", "error", "outcome"])
    state, error, outcome = ((one or b"").decode() for one in kept)
    refused = any(error.endswith(f"answered {status:d}") for status in REFUSED)
    return state == GIVEN_UP and bool(outcome) and refused

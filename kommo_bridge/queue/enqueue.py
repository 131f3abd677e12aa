"""The queue, the same for web and worker: plain JSON jobs that any RQ worker can run.

`JobQueue.enqueue` is one atomic round trip to Redis. Four things have to happen together, and RQ's
own unique enqueue does only one: recognise a repeat (even after its job expired), count the rate
limit, create the record, and keep any integration from filling the queue. For the last one, RQ's
concurrency limit per key is used, with RQ's own keys: RQ itself then starts an integration's next
job when one has ended.
"""

import json
import time
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, RedisError
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job
from rq.job import Retry as RetryPolicy
from rq.rate_limit import RateLimitRegistry
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from kommo_bridge.answers.record import (
    OPEN_KEY,
    kept_seconds,
    record_key,
    request_text,
    text_value,
    texts_kept_seconds,
)
from kommo_bridge.conversations.keys import conversation_name, integration_key, texts_key
from kommo_bridge.errors import QueueUnavailable, RateLimited
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.shares import SHARE_KEY
from kommo_bridge.queue.state import QUEUE_NAME, WIDGET_VERSIONS_KEY
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.settings import RateLimit, Settings

FUNCTION = "kommo_bridge.jobs.answer_widget_request"

# Jobs hold customers' words, so they expire when no longer needed.
JOB_TTL_SECONDS = 24 * 3600
RESULT_TTL_SECONDS = 3600
FAILURE_TTL_SECONDS = 7 * 24 * 3600
# For jobs whose worker died: immediately, then with growing waits.
CRASH_RETRIES = RetryPolicy(8, interval=[0, 0, 5, 15, 30, 60, 60, 60])
RETRY_AFTER_OUTAGE_SECONDS = 5
MAX_VERSION_CHARACTERS = 40
# One entity may use a fifth of `RATE_LIMIT`, but always at least this many requests.
ENTITY_SHARE = 5
MIN_ENTITY_COUNT = 20
# How much of Redis a request may take on average: three times the longest usual message. Without a
# limit, an integration that sends only the longest texts would fill Redis for all others.
BYTES_PER_REQUEST = 7 * 1024
MIN_BYTES = 1024 * 1024

SCRIPT = Path(__file__).with_suffix(".lua")


class JobQueue:
    """The queue `kommo`.

    Args:
        redis: A client with short timeouts, because Kommo gives up after 2 s.
        settings: Deadlines, `RATE_LIMIT` and `WORKER_CONCURRENCY`.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._enqueue = redis.register_script(SCRIPT.read_text(encoding="utf-8"))
        # The arguments that are the same in every call come last, and are built once.
        self._shared = _shared(settings, redis)

    def enqueue(self, request: WidgetRequest) -> bool:
        """Queue one widget request; False when it is a repeat, which is not queued again.

        Raises:
            RateLimited: The integration sent more than `RATE_LIMIT` allows, one entity more
                than its share of that, or too many bytes.
            QueueUnavailable: Redis is unreachable, slow or full.
        """
        name, job_id = integration_key(request), request.job_id
        keys = self._keys(request, name, job_id)
        try:
            result = self._run([*keys, *self._args(request, name, job_id)], len(keys))
        except RedisError as error:
            raise QueueUnavailable(
                "The queue cannot be reached. Please send the request again.",
                reason=f"redis: {type(error).__name__}",
                retry_after_seconds=RETRY_AFTER_OUTAGE_SECONDS,
            ) from error
        if result[0] == b"limited":
            raise RateLimited(
                "Too many widget requests from this integration.",
                retry_after_seconds=int(result[1]),
            )
        return bool(result[0] == b"queued")

    def _run(self, values: list[Any], keys: int) -> Any:
        try:
            return self._redis.evalsha(self._enqueue.sha, keys, *values)
        except NoScriptError:  # Redis was restarted
            return self._enqueue(keys=values[:keys], args=values[keys:])

    @staticmethod
    def _keys(request: WidgetRequest, name: str, job_id: str) -> list[str]:
        rate = f"{PREFIX}rate:{name}"
        limit = f"{RQ_KEY_PREFIX}:rl:{name}"  # RQ's RateLimitRegistry
        return [
            record_key(job_id),
            Job.redis_job_namespace_prefix + job_id,
            rate,
            limit,
            f"{limit}:allowed",
            f"{limit}:rate_limited",
            texts_key(conversation_name(request)),
            OPEN_KEY,
            Queue.redis_queue_namespace_prefix + QUEUE_NAME,
            Queue.redis_queues_keys,
            RateLimitRegistry.rl_keys_key,
            WORKERS_BY_QUEUE_KEY % QUEUE_NAME,
            WIDGET_VERSIONS_KEY,
            SHARE_KEY,
            f"{rate}:{request.entity_type}:{request.entity_id}",
            f"{rate}:bytes",
        ]

    def _args(self, request: WidgetRequest, name: str, job_id: str) -> list[Any]:
        moment = utcformat(now())
        return [
            job_id,
            request_text(request),
            kept_seconds(request),
            self._settings.reply_deadline_seconds,
            time.time(),
            name,
            text_value(request),
            request.widget_version[:MAX_VERSION_CHARACTERS],
            # As RQ writes it, but not compressed, which RQ reads as well.
            json.dumps((FUNCTION, None, (request.to_job(),), {}), ensure_ascii=False),
            f"{request.subdomain} {request.entity_type}:{request.entity_id}",
            moment,
            *self._shared,
        ]


def entity_count(limit: RateLimit) -> int:
    """How many widget requests of one entity are accepted within the window of `RATE_LIMIT`."""
    return min(limit.count, max(MIN_ENTITY_COUNT, limit.count // ENTITY_SHARE))


def max_bytes(limit: RateLimit) -> int:
    """How many bytes of one integration are accepted within the window of `RATE_LIMIT`."""
    return max(MIN_BYTES, limit.count * BYTES_PER_REQUEST)


def _shared(settings: Settings, redis: Redis) -> list[Any]:
    """The settings, and the fields that are the same in all jobs, as RQ writes them."""
    job = Job.create(
        FUNCTION,
        connection=redis,
        origin=QUEUE_NAME,
        # Above the time limits of the AI and of Kommo, which normally end a run.
        timeout=int(settings.reply_deadline_seconds) + 60,
        ttl=JOB_TTL_SECONDS,
        result_ttl=RESULT_TTL_SECONDS,
        failure_ttl=FAILURE_TTL_SECONDS,
        retry=CRASH_RETRIES,
        serializer=JSONSerializer,
    )
    own = {"data", "description", "created_at", "enqueued_at", "status"}
    fields = {
        name: value
        for name, value in job.to_dict().items()
        if name not in own and value not in (None, "")  # RQ reads a missing field as empty
    }
    return [
        settings.rate_limit.count,
        settings.rate_limit.window_seconds,
        entity_count(settings.rate_limit),
        max_bytes(settings.rate_limit),
        settings.worker_concurrency,
        texts_kept_seconds(settings.continue_deadline_seconds),
        JOB_TTL_SECONDS,
        *(one for pair in fields.items() for one in pair),
    ]

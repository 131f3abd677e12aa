"""The queue, the same for web and worker: plain JSON jobs that any RQ worker can run.

`JobQueue.enqueue` is one atomic round trip to Redis. RQ's own unique enqueue does one thing of
four that have to happen together: know a repeat (also after its job expired), count the rate
limit, keep the record of the answer, and let no integration fill the queue. For the last, RQ's
concurrency limit per key is used, with RQ's own keys, so that RQ itself lets the next job of an
integration in when one has ended.
"""

import time
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job, JobStatus
from rq.job import Retry as RetryPolicy
from rq.rate_limit import RateLimitRegistry
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker_registration import WORKERS_BY_QUEUE_KEY, get_keys

from kommo_bridge.answers import OPEN_KEY, kept_seconds, record_key, request_text
from kommo_bridge.conversations import conversation_name, texts_key
from kommo_bridge.errors import QueueUnavailable, RateLimited
from kommo_bridge.integrations import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.settings import Settings
from kommo_bridge.turns import MAX_TEXTS, TEXTS_KEPT_SECONDS, text_value

QUEUE_NAME = "kommo"
FUNCTION = "kommo_bridge.jobs.answer_widget_request"

# They hold customers' words, so they go when nobody needs them any more.
JOB_TTL_SECONDS = 24 * 3600
RESULT_TTL_SECONDS = 3600
FAILURE_TTL_SECONDS = 7 * 24 * 3600
# For jobs whose worker died: at once, then with growing waits.
CRASH_RETRIES = RetryPolicy(8, interval=[0, 0, 5, 15, 30, 60, 60, 60])
RETRY_AFTER_OUTAGE_SECONDS = 5
WIDGET_VERSIONS_KEY = f"{PREFIX}widget_versions"
MAX_VERSION_CHARACTERS = 40

# KEYS: record, job, queue, open answers, rate counter, RQ's set of queues, RQ's set of limits,
#       limit, jobs let in, jobs held back, workers of the queue, versions of the widgets,
#       texts of the conversation
# ARGV: id, queue key name, limit key name, now, sweep time, kept seconds, request of the record,
#       rate count, rate window, answers at once per worker, job ttl, version of the widget,
#       text, most texts, their lifetime, then the job's fields
# Returns {"repeat"}, {"limited", seconds} or {"queued"}.
ENQUEUE = """
local id = ARGV[1]
if redis.call('EXISTS', KEYS[1]) == 1 then return {'repeat'} end
local used = redis.call('INCR', KEYS[5])
if used == 1 then redis.call('EXPIRE', KEYS[5], ARGV[9]) end
if used > tonumber(ARGV[8]) then
  return {'limited', math.max(1, redis.call('TTL', KEYS[5]))}
end
redis.call('HSET', KEYS[1], 'request', ARGV[7])
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('ZADD', KEYS[4], ARGV[5], id)
redis.call('HSET', KEYS[2], unpack(ARGV, 16))
redis.call('EXPIRE', KEYS[2], ARGV[11])
redis.call('SADD', KEYS[6], ARGV[2])
redis.call('SADD', KEYS[7], ARGV[3])
if ARGV[12] ~= '' then redis.call('HSET', KEYS[12], ARGV[3], ARGV[12]) end
if redis.call('HLEN', KEYS[13]) < tonumber(ARGV[14]) then
  local time = redis.call('TIME')
  local number = string.format('%.0f', time[1] * 1000000 + time[2])
  redis.call('HSET', KEYS[13], id, number .. '|' .. ARGV[13])
  redis.call('EXPIRE', KEYS[13], ARGV[15])
end
local workers = redis.call('SMEMBERS', KEYS[11])
local alive = #workers > 0 and redis.call('EXISTS', unpack(workers)) or 0
local at_once = tonumber(ARGV[10]) * math.max(1, alive)
redis.call('HSET', KEYS[8], 'concurrency', at_once)
redis.call('HSET', KEYS[2], 'rate_limit_concurrency', at_once)
if redis.call('ZCARD', KEYS[10]) == 0 and redis.call('ZCARD', KEYS[9]) < at_once then
  redis.call('ZADD', KEYS[9], ARGV[4], id)
  redis.call('RPUSH', KEYS[3], id)
else
  redis.call('HSET', KEYS[2], 'status', 'rate_limited')
  redis.call('ZADD', KEYS[10], ARGV[4], id)
end
return {'queued'}
"""


class JobQueue:
    """The queue `kommo`.

    Args:
        redis: A client with short timeouts: Kommo gives up after 2 s.
        settings: Deadlines, `RATE_LIMIT` and `WORKER_CONCURRENCY`.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._enqueue = redis.register_script(ENQUEUE)

    def enqueue(self, request: WidgetRequest) -> bool:
        """Queue one widget request; False when it is a repeat, which is not queued again.

        Raises:
            RateLimited: The integration sent more than `RATE_LIMIT` allows.
            QueueUnavailable: Redis is away, slow or full.
        """
        job = self._job(request)
        try:
            answer = self._enqueue(keys=self._keys(request, job), args=self._args(request, job))
        except RedisError as error:
            raise QueueUnavailable(
                "The queue cannot be reached. Please send the request again.",
                reason=f"redis: {type(error).__name__}",
                retry_after_seconds=RETRY_AFTER_OUTAGE_SECONDS,
            ) from error
        if answer[0] == b"limited":
            raise RateLimited(
                "Too many widget requests of this integration.", retry_after_seconds=int(answer[1])
            )
        return bool(answer[0] == b"queued")

    def _job(self, request: WidgetRequest) -> Job:
        settings = self._settings
        job = Job.create(
            FUNCTION,
            args=(request.to_job(),),
            id=request.job_id,
            connection=self._redis,
            origin=QUEUE_NAME,
            status=JobStatus.QUEUED,
            description=f"{request.subdomain} {request.entity_type}:{request.entity_id}",
            # Above the budgets of the AI and of Kommo, which bound a run themselves.
            timeout=int(settings.reply_deadline_seconds) + 60,
            ttl=JOB_TTL_SECONDS,
            result_ttl=RESULT_TTL_SECONDS,
            failure_ttl=FAILURE_TTL_SECONDS,
            retry=CRASH_RETRIES,
            serializer=JSONSerializer,
        )
        job.enqueued_at = now()
        job.rate_limit_key = limit_name(request)
        return job

    def _keys(self, request: WidgetRequest, job: Job) -> list[str]:
        limit = RateLimitRegistry(limit_name(request), self._redis)
        return [
            record_key(job.id),
            job.key,
            Queue.redis_queue_namespace_prefix + QUEUE_NAME,
            OPEN_KEY,
            f"{PREFIX}rate:{limit_name(request)}",
            Queue.redis_queues_keys,
            RateLimitRegistry.rl_keys_key,
            limit.config_key,
            limit.allowed_key,
            limit.rate_limited_key,
            WORKERS_BY_QUEUE_KEY % QUEUE_NAME,
            WIDGET_VERSIONS_KEY,
            texts_key(conversation_name(request)),
        ]

    def _args(self, request: WidgetRequest, job: Job) -> list[Any]:
        settings = self._settings
        fields: list[Any] = []
        for name, value in job.to_dict().items():
            if value is not None:
                fields += [name, value]
        return [
            job.id,
            Queue.redis_queue_namespace_prefix + QUEUE_NAME,
            job.rate_limit_key,
            time.time(),
            request.accepted_at + settings.reply_deadline_seconds,
            kept_seconds(request),
            request_text(request),
            settings.rate_limit.count,
            settings.rate_limit.window_seconds,
            settings.worker_concurrency,
            JOB_TTL_SECONDS,
            request.widget_version[:MAX_VERSION_CHARACTERS],
            text_value(request),
            MAX_TEXTS,
            TEXTS_KEPT_SECONDS,
            *fields,
        ]


def limit_name(speaker: WidgetRequest | Integration) -> str:
    """What is counted per integration: inbound rate, jobs at once, the widget's version."""
    return f"{speaker.integration_id}:{speaker.subdomain}"


def last_widget_version(redis: Redis, integration: Integration) -> str:
    """The version of our widget that last sent a request; empty when none did."""
    version = redis.hget(WIDGET_VERSIONS_KEY, limit_name(integration))
    return version.decode(errors="replace") if isinstance(version, bytes) else ""


def work_queue(redis: Redis) -> Queue:
    """The same queue as RQ's object, for the worker, the health page and the dashboard."""
    return Queue(QUEUE_NAME, connection=redis, serializer=JSONSerializer)


def live_workers(queue: Queue) -> int:
    """How many workers of this queue are alive; RQ also lists those that died a while ago."""
    keys = get_keys(queue)
    return int(queue.connection.exists(*keys)) if keys else 0


def oldest_queued_seconds(queue: Queue) -> float:
    """How long the oldest job has waited, queued or held back, 0 when none does."""
    job_ids = queue.get_job_ids(0, 1)
    job = queue.fetch_job(job_ids[0]) if job_ids else None
    since = [job.enqueued_at.timestamp()] if job and job.enqueued_at else []
    with queue.connection.pipeline(transaction=False) as pipeline:
        for limit in RateLimitRegistry.all(queue.connection):
            pipeline.zrange(limit.rate_limited_key, 0, 0, withscores=True)
        since += [score for first in pipeline.execute() for _, score in first]
    return max(0.0, time.time() - min(since)) if since else 0.0

"""The queue, the same for web and worker: plain JSON jobs that any RQ worker can run.

`JobQueue.enqueue` is one atomic round trip to Redis. RQ's own unique enqueue does one thing of
four that have to happen together: know a repeat (also after its job expired), count the rate
limit, keep the record of the answer, and let no integration fill the queue. For the last, RQ's
concurrency limit per key is used, with RQ's own keys, so that RQ itself lets the next job of an
integration in when one has ended.
"""

import json
import time
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

from kommo_bridge.answers.record import OPEN_KEY, kept_seconds, record_key, request_text
from kommo_bridge.answers.turns import MAX_TEXTS, TEXTS_KEPT_SECONDS, text_value
from kommo_bridge.conversations.keys import conversation_name, integration_key, texts_key
from kommo_bridge.errors import QueueUnavailable, RateLimited
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.state import QUEUE_NAME, WIDGET_VERSIONS_KEY
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.settings import Settings

FUNCTION = "kommo_bridge.jobs.answer_widget_request"

# They hold customers' words, so they go when nobody needs them any more.
JOB_TTL_SECONDS = 24 * 3600
RESULT_TTL_SECONDS = 3600
FAILURE_TTL_SECONDS = 7 * 24 * 3600
# For jobs whose worker died: at once, then with growing waits.
CRASH_RETRIES = RetryPolicy(8, interval=[0, 0, 5, 15, 30, 60, 60, 60])
RETRY_AFTER_OUTAGE_SECONDS = 5
MAX_VERSION_CHARACTERS = 40

# KEYS: record, job, rate counter, limit, jobs let in, jobs held back, texts of the conversation.
# ARGV: id, request of the record, kept seconds, sweep time, now, limit's name, text, version of the
#       widget, and data, description and time of the job. What all jobs share stands in the text.
# The limit (how many of an integration at once) follows the live workers, looked at once a second.
# Returns {"repeat"}, {"limited", seconds} or {"queued"}.
ENQUEUE = """
local id = ARGV[1]
if redis.call('HSETNX', KEYS[1], 'request', ARGV[2]) == 0 then return {'repeat'} end
local used = redis.call('INCR', KEYS[3])
if used == 1 then redis.call('EXPIRE', KEYS[3], %(rate_window)d) end
if used > %(rate_count)d then
  redis.call('DEL', KEYS[1])
  return {'limited', math.max(1, redis.call('TTL', KEYS[3]))}
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', '%(open)s', ARGV[4], id)
local time = redis.call('TIME')
local limit = redis.call('HMGET', KEYS[4], 'concurrency', 'looked_at')
local at_once = limit[1]
if limit[2] ~= time[1] then
  local workers = redis.call('SMEMBERS', '%(workers)s')
  local alive = #workers > 0 and redis.call('EXISTS', unpack(workers)) or 0
  at_once = %(concurrency)d * math.max(1, alive)
  redis.call('HSET', KEYS[4], 'concurrency', at_once, 'looked_at', time[1])
  redis.call('SADD', '%(limits)s', ARGV[6])
  redis.call('SADD', '%(queues)s', '%(queue)s')
  if ARGV[8] ~= '' then redis.call('HSET', '%(versions)s', ARGV[6], ARGV[8]) end
end
if redis.call('HLEN', KEYS[7]) < %(max_texts)d then
  local number = string.format('%%.0f', time[1] * 1000000 + time[2])
  redis.call('HSET', KEYS[7], id, number .. '|' .. ARGV[7])
  redis.call('EXPIRE', KEYS[7], %(texts_kept)d)
end
local status = 'rate_limited'
if redis.call('ZCARD', KEYS[6]) == 0 and redis.call('ZCARD', KEYS[5]) < tonumber(at_once) then
  status = 'queued'
  redis.call('ZADD', KEYS[5], ARGV[5], id)
  redis.call('RPUSH', '%(queue)s', id)
else
  redis.call('ZADD', KEYS[6], ARGV[5], id)
end
redis.call('HSET', KEYS[2], %(fields)s, 'status', status, 'rate_limit_concurrency', at_once,
  'rate_limit_key', ARGV[6], 'data', ARGV[9], 'description', ARGV[10], 'created_at', ARGV[11],
  'enqueued_at', ARGV[11])
redis.call('EXPIRE', KEYS[2], %(job_ttl)d)
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
        self._enqueue = redis.register_script(_script(settings, redis))

    def enqueue(self, request: WidgetRequest) -> bool:
        """Queue one widget request; False when it is a repeat, which is not queued again.

        Raises:
            RateLimited: The integration sent more than `RATE_LIMIT` allows.
            QueueUnavailable: Redis is away, slow or full.
        """
        name, job_id = integration_key(request), request.job_id
        keys = self._keys(request, name, job_id)
        try:
            answer = self._run([*keys, *self._args(request, name, job_id)], len(keys))
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

    def _run(self, values: list[Any], keys: int) -> Any:
        try:
            return self._redis.evalsha(self._enqueue.sha, keys, *values)
        except NoScriptError:  # a Redis that was restarted
            return self._enqueue(keys=values[:keys], args=values[keys:])

    @staticmethod
    def _keys(request: WidgetRequest, name: str, job_id: str) -> list[str]:
        limit = f"{RQ_KEY_PREFIX}:rl:{name}"  # RQ's RateLimitRegistry
        return [
            record_key(job_id),
            Job.redis_job_namespace_prefix + job_id,
            f"{PREFIX}rate:{name}",
            limit,
            f"{limit}:allowed",
            f"{limit}:rate_limited",
            texts_key(conversation_name(request)),
        ]

    def _args(self, request: WidgetRequest, name: str, job_id: str) -> list[Any]:
        moment = utcformat(now())
        return [
            job_id,
            request_text(request),
            kept_seconds(request),
            request.accepted_at + self._settings.reply_deadline_seconds,
            time.time(),
            name,
            text_value(request),
            request.widget_version[:MAX_VERSION_CHARACTERS],
            # As RQ writes it, unpacked, which RQ reads as well.
            json.dumps((FUNCTION, None, (request.to_job(),), {})),
            f"{request.subdomain} {request.entity_type}:{request.entity_id}",
            moment,
        ]


def _script(settings: Settings, redis: Redis) -> str:
    """ENQUEUE with the settings and with what all jobs share, as RQ itself writes a job."""
    job = Job.create(
        FUNCTION,
        connection=redis,
        origin=QUEUE_NAME,
        # Above the budgets of the AI and of Kommo, which bound a run themselves.
        timeout=int(settings.reply_deadline_seconds) + 60,
        ttl=JOB_TTL_SECONDS,
        result_ttl=RESULT_TTL_SECONDS,
        failure_ttl=FAILURE_TTL_SECONDS,
        retry=CRASH_RETRIES,
        serializer=JSONSerializer,
    )
    own = {"data", "description", "created_at", "enqueued_at", "status"}
    shared = {
        name: value
        for name, value in job.to_dict().items()
        if name not in own and value not in (None, "")  # RQ reads what is missing as empty
    }
    pairs = [json.dumps(str(one)) for pair in shared.items() for one in pair]
    return ENQUEUE % {
        "rate_count": settings.rate_limit.count,
        "rate_window": settings.rate_limit.window_seconds,
        "concurrency": settings.worker_concurrency,
        "open": OPEN_KEY,
        "workers": WORKERS_BY_QUEUE_KEY % QUEUE_NAME,
        "limits": RateLimitRegistry.rl_keys_key,
        "queues": Queue.redis_queues_keys,
        "queue": Queue.redis_queue_namespace_prefix + QUEUE_NAME,
        "versions": WIDGET_VERSIONS_KEY,
        "max_texts": MAX_TEXTS,
        "texts_kept": TEXTS_KEPT_SECONDS,
        "job_ttl": JOB_TTL_SECONDS,
        "fields": ", ".join(pairs),
    }

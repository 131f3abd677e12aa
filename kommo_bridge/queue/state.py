"""What the queue looks like: waiting jobs, live workers. Only reads, changes nothing."""

import time
from itertools import islice

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.rate_limit import RateLimitRegistry
from rq.serializers import JSONSerializer
from rq.utils import utcparse
from rq.worker_registration import get_keys

from kommo_bridge.conversations.keys import integration_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.redis_client import PREFIX

QUEUE_NAME = "kommo"
WIDGET_VERSIONS_KEY = f"{PREFIX}widget_versions"
# An id stays in the queue when its job expires: how many ids are checked for one that still exists.
MAX_CHECKED_IDS = 50


def last_widget_version(redis: Redis, integration: Integration) -> str:
    """The version of our widget that sent the latest request; empty without any."""
    version = redis.hget(WIDGET_VERSIONS_KEY, integration_key(integration))
    return version.decode(errors="replace") if isinstance(version, bytes) else ""


def work_queue(redis: Redis) -> Queue:
    """The same queue as RQ's object, for the worker, the health page and the dashboard."""
    return Queue(QUEUE_NAME, connection=redis, serializer=JSONSerializer)


def live_workers(queue: Queue) -> int:
    """How many workers of this queue are alive; RQ's list also has some that died."""
    keys = get_keys(queue)
    return int(queue.connection.exists(*keys)) if keys else 0


def oldest_queued_seconds(queue: Queue) -> float:
    """How long the oldest job has waited, queued or held back; 0 when none waits."""
    job_ids = queue.get_job_ids(0, MAX_CHECKED_IDS)
    with queue.connection.pipeline(transaction=False) as pipeline:
        for job_id in job_ids:  # not the whole job: it may be large
            pipeline.hget(Job.key_for(job_id), "enqueued_at")
        for limit in RateLimitRegistry.all(queue.connection):
            pipeline.zrange(limit.rate_limited_key, 0, 0, withscores=True)
        found = pipeline.execute()
    # The first that still exists: a job expires after a day, its id stays in the queue.
    queued, held = filter(None, found[: len(job_ids)]), found[len(job_ids) :]
    since = [utcparse(moment.decode()).timestamp() for moment in islice(queued, 1)]
    since += [score for first in held for _, score in first]
    return max(0.0, time.time() - min(since)) if since else 0.0

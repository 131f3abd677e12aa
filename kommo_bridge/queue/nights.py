"""Queues the nightly look at the pages that businesses have named: once a night, by any worker.

It is a job like others, so a worker that dies hands it on. It takes one thread, and threads for
answers are never short of that one (`shares.most_threads`).
"""

from datetime import datetime

from redis import Redis

from kommo_bridge.knowledge.knowledge import Knowledge
from kommo_bridge.knowledge.nightly import night_of
from kommo_bridge.queue.enqueue import CRASH_RETRIES, JOB_TTL_SECONDS, RESULT_TTL_SECONDS
from kommo_bridge.queue.state import work_queue
from kommo_bridge.redis_client import PREFIX

REFRESH_FUNCTION = "kommo_bridge.jobs.refresh_knowledge"
# Thousands of pages; what is not done by then is done in the next night.
REFRESH_SECONDS = 4 * 3600
NIGHT_KEPT_SECONDS = 3 * 86400


def queue_refresh(redis: Redis, knowledge: Knowledge, now: datetime) -> bool:
    """Queue the night's job, unless somebody has done so or there are no pages.

    A bridge that was down at that hour does it when it starts.

    Returns:
        Whether it was queued.

    Raises:
        StoreError: The store is away.
    """
    night = night_of(now)
    key = f"{PREFIX}knowledge:night:{night}"
    if redis.exists(key) or not knowledge.has_pages():
        return False
    if not redis.set(key, "1", nx=True, ex=NIGHT_KEPT_SECONDS):
        return False
    work_queue(redis).enqueue(
        REFRESH_FUNCTION,
        job_id=f"knowledge-{night}",
        description=f"pages, night of {night}",
        job_timeout=REFRESH_SECONDS,
        ttl=JOB_TTL_SECONDS,
        result_ttl=RESULT_TTL_SECONDS,
        failure_ttl=JOB_TTL_SECONDS,
        retry=CRASH_RETRIES,
    )
    return True

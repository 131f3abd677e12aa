"""Brings jobs that asked to wait back to the queue: RQ's scheduler, run by the ticker."""

import logging
from typing import Any

from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.registry import ScheduledJobRegistry
from rq.scheduler import RQScheduler

from kommo_bridge.queue.own_job import OwnJob
from kommo_bridge.queue.shares import kept_share
from kommo_bridge.queue.ticker import Task

BIRTH_SECONDS = 10.0

logger = logging.getLogger(__name__)


class Schedule(RQScheduler):
    """RQ's scheduler, except that one unreadable job does not stop its whole batch.

    Args:
        queue: The one queue.
        lock_seconds: For how long a killed worker's lock can stop all scheduled jobs.
    """

    def __init__(self, queue: Queue, lock_seconds: int) -> None:
        super().__init__(
            [queue],
            connection=queue.connection,
            serializer=queue.serializer,
            interval=lock_seconds - 60,  # RQ adds a minute
        )
        self._queue = queue
        self._registry = ScheduledJobRegistry(queue=queue)

    def tasks(self, lock_every_seconds: float) -> list[Task]:
        """Its tasks for the ticker."""
        return [
            Task("birth", BIRTH_SECONDS, self.register_birth),
            Task("locks", lock_every_seconds, self.acquire_locks),
            Task("schedule", 0.0, self._run),
        ]

    def _run(self) -> None:
        if self.acquired_locks:
            self.heartbeat()
            self.enqueue_scheduled_jobs()

    def enqueue_scheduled_jobs(self) -> None:
        """Queue what is due, each job with its integration's current share."""
        due = self._registry.get_jobs_to_schedule()
        share = kept_share(self._queue.connection) if due else None
        for job_id in due:
            try:
                self._enqueue(job_id, share)
            except RedisError:
                raise
            except Exception:  # one job must not stop the others
                logger.exception("scheduled job cannot be queued: %s", job_id)

    def _enqueue(self, job_id: str, share: int | None) -> None:
        connection, queue = self._queue.connection, self._queue
        try:
            job = OwnJob.fetch(job_id, connection=connection, serializer=queue.serializer)
        except NoSuchJobError:
            connection.zrem(self._registry.key, job_id)
            return
        with connection.pipeline() as pipeline:
            pipeline.zrem(self._registry.key, job_id)
            enqueue: Any = queue._enqueue_job
            if job.has_rate_limit:
                job.rate_limit_concurrency = share or job.rate_limit_concurrency
                enqueue = queue._enqueue_rate_limited_job
            enqueue(job, pipeline=pipeline, at_front=job.should_enqueue_at_front())
            pipeline.execute()

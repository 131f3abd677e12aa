"""Runs the jobs of dead workers again, on whichever worker looks first.

RQ's own maintenance runs every ten minutes, and its lock stays for a quarter of an hour when its
worker dies; this one runs every few seconds, and its lock lasts no longer than that.
"""

import logging
import time

from rq import Queue
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimitRegistry
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.worker_registration import clean_worker_registry

from kommo_bridge.queue.own_job import OwnJob
from kommo_bridge.telemetry.logs import log_event

# A job that left the queue but was never started: back to the front, only if still there.
# KEYS: the intermediate queue, the queue, the job. A job that no longer exists is dropped.
HAND_BACK = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 and redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('LPUSH', KEYS[2], ARGV[1])
  return 1
end
return 0
"""

logger = logging.getLogger(__name__)


class Recovery:
    """Looks after the jobs of dead workers.

    Args:
        queue: The one queue.
        lease_seconds: How long a running job's worker may be silent.
        every_seconds: How often `run` is called, by each worker.
    """

    def __init__(self, queue: Queue, lease_seconds: float, every_seconds: float) -> None:
        self._queue = queue
        self._lease_seconds = lease_seconds
        self._every_seconds = every_seconds
        self._hand_back = queue.connection.register_script(HAND_BACK)
        self._seen: dict[str, float] = {}

    def run(self) -> None:
        """Requeue jobs whose lease has ended; only one worker at a time does so."""
        lock = self._queue.key + ":recovery"
        lives = int(self._every_seconds * 1000) - 100
        if self._queue.connection.set(lock, "1", nx=True, px=lives):
            StartedJobRegistry(queue=self._queue, job_class=OwnJob).cleanup()
        self._look_for_stranded()

    def clean(self) -> None:
        """The rest of RQ's maintenance, besides the started jobs."""
        serializer = self._queue.serializer
        FinishedJobRegistry(queue=self._queue, serializer=serializer).cleanup()
        FailedJobRegistry(queue=self._queue, serializer=serializer).cleanup()
        for limit in RateLimitRegistry.all(self._queue.connection):
            limit.cleanup()
        clean_worker_registry(self._queue)

    def hand_back(self, job_id: str) -> bool:
        """Put a job that was taken but not started back to the front; False when it is gone."""
        keys = [self._queue.intermediate_queue.key, self._queue.key, Job.key_for(job_id)]
        return bool(self._hand_back(keys=keys, args=[job_id]))

    def give_back(self, job: Job, execution: Execution) -> None:
        """Put a running job back to the front without spending a retry."""
        with self._queue.connection.pipeline() as pipeline:
            execution.delete(job=job, pipeline=pipeline)
            job.set_status(JobStatus.QUEUED, pipeline=pipeline)
            self._queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
            pipeline.execute()

    def _look_for_stranded(self) -> None:
        """Jobs that a worker took and died before starting them."""
        stranded = set(self._queue.intermediate_queue.get_job_ids())
        self._seen = {one: seen for one, seen in self._seen.items() if one in stranded}
        for job_id in stranded:
            seen = self._seen.setdefault(job_id, time.monotonic())
            if time.monotonic() - seen > self._lease_seconds / 2:
                started = job_id in self._queue.started_job_registry
                if not started and self.hand_back(job_id):
                    log_event(logger, "stranded job handed back", job=job_id)

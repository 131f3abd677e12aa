"""Takes jobs off the queue, and only our own."""

import logging
from collections.abc import Collection

from rq import Queue
from rq.exceptions import DequeueTimeout
from rq.job import Job

from kommo_bridge.queue.job_timeout import TickedDeathPenalty
from kommo_bridge.queue.own_job import OwnJob, foreign_function
from kommo_bridge.telemetry.logs import log_event

logger = logging.getLogger(__name__)


class Intake:
    """Takes jobs off the queue, each moved to the intermediate queue until it is started.

    Args:
        queue: The one queue.
        functions: What a job may call, by full name; any other job is dropped.
        wait_seconds: How long to wait for a job.
    """

    def __init__(self, queue: Queue, functions: Collection[str], wait_seconds: int) -> None:
        self._queue = queue
        self._functions = functions
        self._wait_seconds = wait_seconds

    def take(self) -> Job | None:
        """The next job; None when there was none or it was not ours."""
        try:
            found = Queue.dequeue_any(
                [self._queue],
                self._wait_seconds,
                connection=self._queue.connection,
                job_class=OwnJob,
                serializer=self._queue.serializer,
                death_penalty_class=TickedDeathPenalty,
            )
        except DequeueTimeout:
            return None
        return found[0] if found and self._is_ours(found[0]) else None

    def _is_ours(self, job: Job) -> bool:
        """Whether it calls one of our functions; otherwise it is deleted and never run."""
        function = foreign_function(job, self._functions)
        if function is None:
            return True
        level = logging.ERROR
        log_event(logger, "foreign job dropped", level=level, job=job.id, function=function)
        self._queue.intermediate_queue.remove(job.id)
        job.delete()
        return False

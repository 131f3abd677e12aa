"""ThreadWorker: an RQ worker that runs many waiting jobs in the threads of one process.

A job waits for the network nearly all the time, so a thread per job is enough. The main thread
takes jobs from the queue, but only when a thread is free; the ticker renews the leases of running
jobs, moves scheduled jobs, requeues jobs of dead workers and sweeps overdue requests. The jobs are
ordinary RQ jobs.

Built on internals of RQ 3.0: `tests/queue/test_thread_worker.py` fails when they change.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType, MappingProxyType
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job
from rq.logutils import setup_loghandlers
from rq.worker import BaseWorker, WorkerStatus

from kommo_bridge.errors import BridgeError
from kommo_bridge.queue.intake import Intake
from kommo_bridge.queue.job_timeout import TickedDeathPenalty
from kommo_bridge.queue.own_job import OwnJob, Running, whose
from kommo_bridge.queue.recovery import Recovery
from kommo_bridge.queue.schedule import Schedule
from kommo_bridge.queue.shares import LOOK_SECONDS, Shares, most_threads
from kommo_bridge.queue.ticker import Task, Ticker, in_background
from kommo_bridge.telemetry.logs import error_text, log_event, request_logged
from kommo_bridge.telemetry.outage import Outage

TICK_SECONDS = 1.0
HEARTBEAT_SECONDS = 4.0
# A job whose worker is silent for this long goes to another worker.
LEASE_SECONDS = 14
RECOVERY_SECONDS = 4.0
DEQUEUE_SECONDS = 1
WORKER_TTL_SECONDS = 30
WEDGED_SECONDS = 30.0
CLEAN_SECONDS = 60.0
NIGHTLY_SECONDS = 60.0

logger = logging.getLogger(__name__)


class ThreadWorker(BaseWorker):
    """Runs up to `concurrency` jobs at once, and more where an integration has none running.

    Args:
        queue: The one queue.
        connection: Redis; its socket timeout is raised above the blocking dequeue by RQ.
        concurrency: `WORKER_CONCURRENCY`.
        grace_seconds: How long SIGTERM waits for running jobs before it hands them back.
        functions: What a job may call, by full name; any other job is dropped.
        beside: What is done beside the jobs in a thread of its own, by name: after how many
            seconds again, and what.
        before_exit: Called before running jobs are handed back, where the process ends without
            `atexit`.
        outage: What this process knows of Redis.
        wedged_seconds: How long a thread may ignore its job's timeout before the process ends.
    """

    death_penalty_class = TickedDeathPenalty

    def __init__(
        self,
        queue: Queue,
        *,
        connection: Redis,
        concurrency: int,
        grace_seconds: float,
        functions: Collection[str],
        beside: Mapping[str, tuple[float, Callable[[], object]]] = MappingProxyType({}),
        before_exit: Callable[[], object] = lambda: None,
        outage: Outage | None = None,
        wedged_seconds: float = WEDGED_SECONDS,
    ) -> None:
        super().__init__(
            [queue],
            connection=connection,
            serializer=queue.serializer,
            job_class=OwnJob,
            worker_ttl=WORKER_TTL_SECONDS,
            job_monitoring_interval=int(HEARTBEAT_SECONDS),
        )
        self.queue = queue
        self.concurrency = concurrency
        self.threads = most_threads(concurrency)
        self._intake = Intake(queue, functions, DEQUEUE_SECONDS)
        self.grace_seconds = grace_seconds
        self.log_job_description = False
        self.log_result_lifespan = False
        self.wedged_seconds = wedged_seconds
        self.wedged = False
        self._before_exit = before_exit
        self._outage = outage or Outage(logger, "redis")
        self._running: dict[str, Running] = {}
        self._slots = threading.Semaphore(self.threads)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="job")
        self._recovery = Recovery(queue, LEASE_SECONDS, RECOVERY_SECONDS)
        schedule = Schedule(queue, LEASE_SECONDS)
        tasks = [*self._tasks(beside), *schedule.tasks(RECOVERY_SECONDS)]
        self._ticker = Ticker(tasks, at_end=schedule.stop, outage=self._outage)

    @property
    def dequeue_timeout(self) -> int:
        """Seconds of one blocking dequeue: short, so that a stop is noticed."""
        return DEQUEUE_SECONDS

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002
        """The lease of a running job in seconds, renewed by the ticker."""
        return LEASE_SECONDS

    def subscribe(self) -> None:
        """RQ's commands (stop, kill a job) cannot reach into a thread: no subscription."""

    def work(self, *_args: Any, **_options: Any) -> bool:
        """Run until SIGTERM or SIGINT, through outages of Redis. True when jobs were run."""
        setup_loghandlers("WARNING", name="rq.worker")
        self._install_signal_handlers()
        with suppress(RedisError):  # else the ticker does it, at its first heartbeat
            self.register_birth()
        self._ticker.start()
        log_event(logger, "worker started", worker=self.name, at_once=self.concurrency)
        while not self._stop_requested:
            if self._slots.acquire(timeout=TICK_SECONDS):
                self._take_one()
        self.teardown()
        return bool(self.successful_job_count)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """SIGTERM or SIGINT: take no more jobs; a second signal ends the grace."""
        if self._stop_requested:
            self.grace_seconds = 0
        self._stop_requested = True

    def _take_one(self) -> None:
        """With a slot held: take one job and start it, or give the slot back."""
        taken = False
        try:
            job = self._intake.take()
            self._outage.back()
            if job and self._stop_requested:
                self._recovery.hand_back(job.id)
            elif job:
                self.execute_job(job, self.queue)
                taken = True
        except Exception as error:  # no job may end the worker
            if isinstance(error, RedisError):
                self._outage.lost(error)
            else:
                logger.exception("job could not be taken")
            time.sleep(TICK_SECONDS)
        finally:
            if not taken:
                self._slots.release()

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Start a job in a thread of the pool."""
        execution = self.prepare_execution(job)
        running = Running(job, queue, execution)
        self._running[execution.id] = running
        self._pool.submit(self._run, running)

    def _run(self, running: Running) -> None:
        try:
            with request_logged(*whose(running.job)):
                self.perform_job(running.job, running.queue, running.execution)
            self._outage.back()
        except RedisError as error:
            # Redis went away in the midst: the lease ends by itself and the job runs again.
            fields = {"job": running.job.id, "error": type(error).__name__}
            log_event(logger, "job result not stored", level=logging.WARNING, **fields)
        finally:
            self._running.pop(running.execution.id, None)
            self.executions.pop(running.execution.id, None)
            self._slots.release()

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """One line instead of RQ's, which prints the arguments beside the traceback."""
        error = exc_info[1]
        traced = None if isinstance(error, BridgeError) else error
        fields = {"fields": {"job": job.id, "error": error_text(error)}}
        logger.error("job failed", exc_info=traced, extra=fields)

    def set_state(self, state: str, pipeline: Any = None) -> None:
        """Busy as long as any thread is: RQ knows one job per worker."""
        super().set_state(WorkerStatus.BUSY if self._running else state, pipeline)

    def _tasks(self, beside: Mapping[str, tuple[float, Callable[[], object]]]) -> list[Task]:
        """What the ticker does beside the jobs."""
        own = [
            Task("timeouts", 0.0, self._watch_timeouts),
            Task("heartbeat", HEARTBEAT_SECONDS, self._keep_leases),
            Task("shares", LOOK_SECONDS, Shares(self.queue, self.concurrency).run),
            Task("recover", RECOVERY_SECONDS, self._recovery.run),
            Task("clean", CLEAN_SECONDS, self._recovery.clean),
        ]
        for name, (seconds, action) in beside.items():
            own.append(Task(name, seconds, in_background(name, action, self._outage)))
        return own

    def _keep_leases(self) -> None:
        if not self.connection.exists(self.key):  # expired while Redis was away
            self.register_birth()
        self.set_state(WorkerStatus.IDLE)
        for running in list(self._running.values()):
            self.maintain_heartbeats(running.job, running.execution)
        self.heartbeat(WORKER_TTL_SECONDS)  # last: RQ's own gives the worker a minute
        self._outage.back()  # also while no thread is free to take a job

    def _watch_timeouts(self) -> None:
        """A thread that ignores its timeout cannot be ended: the process is, and starts anew."""
        if TickedDeathPenalty.tick() > self.wedged_seconds and not self.wedged:
            self.wedged = True
            log_event(logger, "thread is stuck, worker stops", level=logging.ERROR)
            os.kill(os.getpid(), signal.SIGTERM)

    def teardown(self) -> None:
        """Wait for running jobs, hand back the rest, and leave."""
        log_event(logger, "worker stops", worker=self.name, running=len(self._running))
        started = time.monotonic()
        while self._running and time.monotonic() - started < self.grace_seconds:
            time.sleep(0.05)
        left = list(self._running.values())
        try:
            if left:
                self._before_exit()
            for running in left:
                self._recovery.give_back(running.job, running.execution)
            self._ticker.stop()
            self.register_death()
        except RedisError as error:
            log_event(logger, "jobs not handed back", error=type(error).__name__)
        log_event(logger, "worker stopped", worker=self.name, handed_back=len(left))
        if left:
            # A thread blocked in a call cannot be ended, and its job is another worker's now.
            logging.shutdown()
            os._exit(1 if self.wedged else 0)

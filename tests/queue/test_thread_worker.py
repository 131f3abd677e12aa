"""ThreadWorker: many jobs in one process. What a job does is `tests/test_jobs.py`."""

import inspect
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rq
from helpers import wait_for
from redis import Redis
from rq import Queue
from rq.executions import Execution
from rq.job import Job
from rq.rate_limit import RateLimit, RateLimitRegistry
from rq.registry import StartedJobRegistry
from rq.scheduler import RQScheduler
from rq.timeouts import BaseDeathPenalty, JobTimeoutException
from rq.worker import BaseWorker

from kommo_bridge.queue.job_timeout import TickedDeathPenalty
from kommo_bridge.queue.recovery import Recovery
from kommo_bridge.queue.state import live_workers, work_queue
from kommo_bridge.queue.thread_worker import ThreadWorker
from local.redis_server import RedisServer

HERE = Path(__file__).parent
RATE_LIMIT_ARGUMENTS = ["self", "concurrency", "enqueued_at", "pipeline"]
JOBS = """
import os, sys, threading, time
from redis import Redis
from rq import Retry
from kommo_bridge.telemetry.logs import set_up_logging
from kommo_bridge.queue.thread_worker import ThreadWorker
from kommo_bridge.queue.recovery import Recovery
from kommo_bridge.queue.state import work_queue

REDIS = Redis.from_url(os.environ["REDIS_URL"])

def note(name, seconds=0.0):
    REDIS.rpush("started", name)
    time.sleep(seconds)
    REDIS.rpush("ended", name)

def later(name):
    if REDIS.incr(f"tries:{name}") < 3:
        return Retry(9, interval=1)
    REDIS.rpush("ended", name)

def fail():
    raise ValueError(os.environ["MESSAGE"])

def called(*_):
    REDIS.set("called", "1")

def endless():
    REDIS.rpush("started", "endless")
    while True:
        time.sleep(0.05)

if __name__ == "__main__":
    set_up_logging("INFO", "text")
    sys.modules["worker_jobs"] = sys.modules["__main__"]
    connection = Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)
    ThreadWorker(work_queue(connection), connection=connection,
                 concurrency=int(sys.argv[1]), grace_seconds=float(sys.argv[2]),
                 functions=[f"worker_jobs.{one}" for one in ("note", "later", "fail", "endless")],
                 before_exit=lambda: REDIS.set("before_exit", "1"), wedged_seconds=2).work()
"""

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path, redis_server: RedisServer, redis: Redis) -> Iterator[Start]:
    """Starts a worker process whose jobs are those above."""
    script = tmp_path / "worker_jobs.py"
    script.write_text(JOBS)
    processes = []

    def make(concurrency: int = 4, grace: float = 5) -> "subprocess.Popen[bytes]":
        environ = os.environ | {
            "REDIS_URL": redis_server.url,
            "MESSAGE": "a customer's words",
            "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{tmp_path}",
        }
        command = [sys.executable, str(script), str(concurrency), str(grace)]
        processes.append(subprocess.Popen(command, env=environ))
        return processes[-1]

    yield make
    for process in processes:
        process.kill()
        process.wait()


def test_jobs_of_one_integration_run_side_by_side_up_to_the_concurrency(
    start: Start, redis: Redis
) -> None:
    queue = work_queue(redis)
    for number in range(12):
        limit = RateLimit("acme", concurrency=4)
        queue.enqueue("worker_jobs.note", f"{number}", 1.5, rate_limit=limit)

    start(concurrency=4)

    wait_for(lambda: redis.llen("started") == 4)
    time.sleep(0.3)
    assert redis.llen("started") == 4
    wait_for(lambda: redis.llen("ended") == 12)


def test_a_job_that_asks_for_time_is_run_again_by_the_scheduler_inside(
    start: Start, redis: Redis
) -> None:
    work_queue(redis).enqueue("worker_jobs.later", "a")

    start()

    wait_for(lambda: redis.llen("ended") == 1)
    assert redis.get("tries:a") == b"3"


def test_a_failed_job_is_kept_and_what_it_said_is_not_logged(
    start: Start, redis: Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    queue = work_queue(redis)
    job = queue.enqueue("worker_jobs.fail")

    start()

    wait_for(lambda: job.id in queue.failed_job_registry.get_job_ids(cleanup=False))
    log = ""
    while "job failed" not in log:
        log += capfd.readouterr().err
    assert "ValueError" in log
    assert "customer's words" not in log


def test_a_job_over_its_timeout_is_ended_and_the_worker_goes_on(start: Start, redis: Redis) -> None:
    queue = work_queue(redis)
    job = queue.enqueue("worker_jobs.endless", job_timeout=1)

    process = start()

    wait_for(lambda: job.id in queue.failed_job_registry.get_job_ids(cleanup=False))
    queue.enqueue("worker_jobs.note", "after")
    wait_for(lambda: redis.llen("ended") == 1)
    assert process.poll() is None


def test_a_wedged_thread_ends_the_process_and_its_job_is_another_workers(
    start: Start, redis: Redis
) -> None:
    """The thread sleeps in one call and never sees its timeout; a supervisor starts us anew."""
    queue = work_queue(redis)
    job = queue.enqueue("worker_jobs.note", "wedged", 60, job_timeout=1, retry=rq.Retry(3))

    process = start(grace=1)

    assert process.wait(45) == 1
    assert queue.get_job_ids() == [job.id]


def test_what_must_not_be_lost_is_brought_before_a_hard_end(start: Start, redis: Redis) -> None:
    """With a job that cannot be ended, the process leaves without `atexit`."""
    work_queue(redis).enqueue("worker_jobs.note", "blocked", 60, retry=rq.Retry(3))
    process = start(grace=0.1)
    wait_for(lambda: redis.llen("started"))

    process.terminate()

    assert process.wait(45) == 0
    assert redis.get("before_exit") == b"1"


def test_a_job_that_rq_cannot_read_does_not_end_the_worker(start: Start, redis: Redis) -> None:
    queue = work_queue(redis)
    redis.hset("rq:job:poison", mapping={"created_at": "yesterday", "status": "nonsense"})
    queue.push_job_id("poison")
    queue.enqueue("worker_jobs.note", "after")

    process = start()

    wait_for(lambda: redis.llen("ended") == 1)
    assert process.poll() is None


def test_a_job_of_another_function_is_dropped_and_never_run(
    start: Start, redis: Redis, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever can write to Redis must not run code in the worker."""
    queue = work_queue(redis)
    mark = tmp_path / "ran"
    foreign = queue.enqueue("os.mkdir", str(mark))
    queue.enqueue("worker_jobs.note", "after")

    start()

    wait_for(lambda: redis.llen("ended") == 1)
    assert not mark.exists()
    assert not redis.exists(foreign.key)
    assert queue.intermediate_queue.get_job_ids() == []
    assert "foreign job dropped" in capfd.readouterr().err


def test_what_a_job_names_besides_its_function_is_not_called(start: Start, redis: Redis) -> None:
    queue = work_queue(redis)
    callback = rq.Callback("worker_jobs.called")
    queue.enqueue("worker_jobs.note", "a", on_success=callback, on_failure=callback)
    queue.enqueue("worker_jobs.fail", on_success=callback, on_failure=callback)

    start()

    wait_for(lambda: redis.llen("ended") == 1)
    wait_for(lambda: queue.failed_job_registry.get_job_count(cleanup=False) == 1)
    assert not redis.exists("called")


def test_a_scheduled_job_that_cannot_be_read_does_not_stop_the_others(
    start: Start, redis: Redis
) -> None:
    queue = work_queue(redis)
    redis.hset("rq:job:odd", mapping={"created_at": "nonsense", "data": "x", "origin": "kommo"})
    redis.zadd(queue.scheduled_job_registry.key, {"odd": 1, "missing": 1})
    queue.enqueue("worker_jobs.later", "a")

    start()

    wait_for(lambda: redis.llen("ended") == 1)
    assert not redis.exists("rq:job:odd")
    assert queue.scheduled_job_registry.get_job_ids() == []


def test_a_started_job_that_cannot_be_read_does_not_stop_the_recovery(redis: Redis) -> None:
    queue = work_queue(redis)
    job = queue.enqueue("worker_jobs.note", "a", retry=rq.Retry(3))
    queue.remove(job)
    redis.hset(job.key, "status", "started")
    redis.hset("rq:job:odd", mapping={"created_at": "nonsense", "data": "x", "status": "started"})
    redis.zadd(queue.started_job_registry.key, {"odd:1": 1, f"{job.id}:2": 2})

    Recovery(queue, 14, 4).run()

    assert queue.get_job_ids() == [job.id]


def test_a_stranded_job_that_is_gone_is_forgotten(redis: Redis) -> None:
    queue = work_queue(redis)
    redis.rpush(queue.intermediate_queue.key, "gone")

    assert not Recovery(queue, 14, 4).hand_back("gone")

    assert queue.get_job_ids() == queue.intermediate_queue.get_job_ids() == []


@pytest.mark.parametrize("neighbours", [2, 5, 20])
def test_neighbours_that_hang_keep_nobody_waiting(
    start: Start, redis: Redis, neighbours: int
) -> None:
    """Four answers at once, and more jobs that hang: the healthy one ends before any of them."""
    queue = work_queue(redis)
    process = start(concurrency=4, grace=0)
    wait_for(lambda: live_workers(queue) == 1)
    for number in range(4 * neighbours):
        limit = RateLimit(f"hanging{number % neighbours}", concurrency=4)
        queue.enqueue("worker_jobs.note", "hanging", 60, rate_limit=limit, retry=rq.Retry(3))
    wait_for(lambda: redis.llen("started") >= 2 * neighbours)

    queue.enqueue("worker_jobs.note", "well", rate_limit=RateLimit("well", concurrency=4))

    wait_for(lambda: redis.lrange("ended", 0, -1) == [b"well"])
    assert process.poll() is None


def test_the_state_that_the_dashboard_shows_is_right(start: Start, redis: Redis) -> None:
    queue = work_queue(redis)
    start()
    wait_for(lambda: live_workers(queue) == 1)
    [worker] = rq.Worker.all(queue=queue)
    assert worker.get_state() != "busy"

    queue.enqueue("worker_jobs.note", "long", 4)

    wait_for(lambda: rq.Worker.all(queue=queue)[0].get_state() == "busy")
    wait_for(lambda: redis.llen("ended") == 1)
    wait_for(lambda: rq.Worker.all(queue=queue)[0].get_state() == "idle")


def test_a_second_sigterm_ends_the_grace(start: Start, redis: Redis) -> None:
    queue = work_queue(redis)
    job = queue.enqueue("worker_jobs.note", "long", 30, retry=rq.Retry(3))
    process = start(grace=30)
    wait_for(lambda: redis.llen("started") == 1)

    process.terminate()
    time.sleep(1.5)
    assert process.poll() is None
    process.terminate()

    assert process.wait(20) == 0
    assert queue.get_job_ids() == [job.id]


def test_the_timeout_reaches_a_thread_and_only_that_one() -> None:
    ended: list[str] = []

    def run(name: str, seconds: float) -> None:
        try:
            with TickedDeathPenalty(seconds, JobTimeoutException):  # type: ignore[no-untyped-call]
                for _ in range(40):
                    time.sleep(0.02)
            ended.append(name)
        except JobTimeoutException:
            ended.append(f"{name} timed out")

    threads = [threading.Thread(target=run, args=args) for args in (("a", 0.1), ("b", 30))]
    for thread in threads:
        thread.start()
    for _ in range(60):
        TickedDeathPenalty.tick()
        time.sleep(0.02)
    for thread in threads:
        thread.join()

    assert sorted(ended) == ["a timed out", "b"]
    assert not TickedDeathPenalty.by_thread


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (BaseWorker, "prepare_execution", ["self", "job"]),
        (BaseWorker, "perform_job", ["self", "job", "queue", "execution"]),
        (BaseWorker, "maintain_heartbeats", ["self", "job", "execution"]),
        (BaseWorker, "get_heartbeat_ttl", ["self", "job", "working_time"]),
        (BaseWorker, "handle_exception", ["self", "job", "exc_info"]),
        (BaseWorker, "set_state", ["self", "state", "pipeline"]),
        (BaseWorker, "heartbeat", ["self", "timeout", "pipeline"]),
        (BaseWorker, "register_birth", ["self"]),
        (BaseWorker, "register_death", ["self"]),
        (Execution, "delete", ["self", "job", "pipeline"]),
        (StartedJobRegistry, "cleanup", ["self", "timestamp", "exception_handlers"]),
        (RQScheduler, "acquire_locks", ["self", "auto_start"]),
        (RQScheduler, "enqueue_scheduled_jobs", ["self"]),
        (RQScheduler, "heartbeat", ["self"]),
        (BaseDeathPenalty, "setup_death_penalty", ["self"]),
        (BaseDeathPenalty, "cancel_death_penalty", ["self"]),
        (Job, "to_dict", ["self", "include_meta", "include_result"]),
        (Job, "restore", ["self", "raw_data"]),
        (Job, "fetch", ["id", "connection", "serializer"]),
        (Queue, "push_job_id", ["self", "job_id", "pipeline", "at_front"]),
        (Queue, "_enqueue_job", ["self", "job", "pipeline", "at_front", "unique"]),
        (Queue, "_enqueue_rate_limited_job", ["self", "job", "pipeline", "at_front"]),
        (RateLimitRegistry, "acquire_and_enqueue", RATE_LIMIT_ARGUMENTS),
    ],
)
def test_the_internals_of_rq_that_we_build_on_are_as_they_were(
    owner: type, name: str, parameters: list[str]
) -> None:
    """When this fails RQ has changed: read its new source before raising the pin."""
    assert rq.__version__.startswith("3.0.")
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def test_the_worker_overrides_only_what_rq_has() -> None:
    for name in ("work", "subscribe", "execute_job", "request_stop", "teardown", "dequeue_timeout"):
        assert hasattr(BaseWorker, name)
        assert name in vars(ThreadWorker)

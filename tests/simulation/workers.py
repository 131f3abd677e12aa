"""The queue and its workers: threads that run jobs, retries, leases, and the sweep."""

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from kommo_bridge.errors import BridgeError

from .state import Store
from .world import Actor, Broken, World

TICK = 0.25
LEASE = 14.0
SWEEP_EVERY = 1.0
AT_ONCE = 16


class Worker:
    """One process with its threads."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.threads = threads
        self.alive = True
        self.jobs: dict[str, Actor] = {}
        self.sweeps: set[Actor] = set()
        self.died: list[tuple[float, float]] = []


class Job:
    """One queued request."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.crashes = 0
        self.ended = False


class Office:
    """All workers and what they share."""

    def __init__(
        self, world: World, store: Store, answer: Callable[..., float | None],
        workers: int, threads: int,
    ) -> None:  # fmt: skip
        self.world = world
        self.store = store
        self.answer = answer
        self.workers = [Worker(f"worker {n + 1}", threads) for n in range(workers)]
        self.queue: deque[Job] = deque()
        self.next_sweep = math.inf
        self.jobs: dict[str, Job] = {}
        world.on_kill = self._kill
        store.on_due = self._due

    def put(self, job: Job) -> None:
        """Queue a job."""
        self.jobs[job.request.job_id] = job
        self.queue.append(job)
        self._dispatch()

    def _dispatch(self) -> None:
        world = self.world
        if world.redis_is_away:
            world.at(world.redis_back_at + 0.01, self._dispatch)
            return
        while self.queue:
            free = [one for one in self.workers if one.alive and len(one.jobs) < one.threads]
            if not free:
                return
            worker = world.random.choice(free) if len(free) > 1 else free[0]
            job = self.queue.popleft()
            if job.request.job_id in worker.jobs:  # its former run on this worker has not ended
                world.at(world.now + TICK, partial(self.put, job))
                continue
            worker.jobs[job.request.job_id] = world.start(worker, self._work(worker, job))

    def _work(self, worker: Worker, job: Job) -> Callable[[], None]:
        def run() -> None:
            try:
                seconds = self.answer(job.request)
            except BridgeError:
                job.ended = True
            except RedisError:
                self._left_to_its_lease(job)
            except Broken:
                raise
            except Exception as error:
                raise Broken("unforeseen", f"{type(error).__name__}: {error}") from error
            else:
                self._later(job, seconds)
            del worker.jobs[job.request.job_id]
            self._dispatch()

        return run

    def _later(self, job: Job, seconds: float | None) -> None:
        if seconds is None:
            job.ended = True
            return
        when = self.world.now + max(1, math.ceil(seconds))
        self.world.at(math.ceil(when / TICK) * TICK, lambda: self._moved(job))

    def _moved(self, job: Job) -> None:
        """The scheduler of any worker that lives puts it back into the queue."""
        if any(one.alive for one in self.workers) and not self.world.redis_is_away:
            self.put(job)
        else:
            self.world.at(self.world.now + TICK, lambda: self._moved(job))

    def _left_to_its_lease(self, job: Job) -> None:
        job.crashes += 1
        if job.crashes <= 8:
            wait = (0, 0, 5, 15, 30, 60, 60, 60)[job.crashes - 1]
            again = self.world.now + LEASE + self.world.random.uniform(0, 4) + wait
            self.world.at(again, lambda: self._moved(job))

    def _kill(self, worker: Worker) -> None:
        world = self.world
        world.tell("{} dies", worker.name)
        worker.alive = False
        jobs = list(worker.jobs)
        for actor in (*worker.jobs.values(), *worker.sweeps):
            actor.dead = True
        worker.jobs, worker.sweeps = {}, set()
        for job_id in jobs:
            self._left_to_its_lease(self.jobs[job_id])
        back = world.now + world.random.choice((1.0, 5.0, 20.0))
        worker.died.append((world.now, back))
        world.at(back, lambda: self._revive(worker))

    def _revive(self, worker: Worker) -> None:
        self.world.tell("{} is back", worker.name)
        worker.alive = True
        self._dispatch()
        self._due(self.world.now)

    def _due(self, when: float) -> None:
        """The sweep looks once a second; looks at nothing are left out."""
        tick = max(math.floor(self.world.now) + SWEEP_EVERY, math.ceil(when))
        if tick < self.next_sweep:
            self.next_sweep = tick
            self.world.at(tick, lambda: self._tick(tick))

    def _tick(self, tick: float) -> None:
        if tick != self.next_sweep:
            return
        self.next_sweep = math.inf
        world, due = self.world, self.store.due
        idle = [one for one in self.workers if one.alive and not one.sweeps]
        overdue = sorted((when, job_id) for job_id, when in due.items() if when <= world.now)
        if overdue and idle and not world.redis_is_away:
            worker = world.random.choice(idle)
            for _, job_id in overdue[:AT_ONCE]:
                self._look_after(worker, job_id)
        if due:
            self._due(max(world.now + SWEEP_EVERY, min(due.values())))

    def _look_after(self, worker: Worker, job_id: str) -> None:
        record, began = self.store.records[job_id], self.world.now
        if record.ended:
            self.store.due.pop(job_id, None)
            return

        def run() -> None:
            try:
                wait = self.answer(record.request, by_sweep=True)
                if wait is not None and job_id in self.store.due:
                    self.store.set_due(job_id, began + wait)
            except (BridgeError, RedisError):
                pass
            except Broken:
                raise
            except Exception as error:
                raise Broken("unforeseen", f"{type(error).__name__}: {error}") from error
            worker.sweeps.discard(actor)

        actor = self.world.start(worker, run)
        worker.sweeps.add(actor)

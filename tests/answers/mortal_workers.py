"""Workers in threads that run answers as RQ's would, and may die at any moment.

Each has parts of its own, as a process has, which go with it when it dies; its job is then run
again by another one.
"""

import ctypes
import heapq
import itertools
import random
import sys
import threading
import time
from contextlib import suppress

from redis.exceptions import RedisError

from kommo_bridge.errors import BridgeError
from kommo_bridge.jobs import answer, build_parts, sweep
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.settings import Settings

AFTER_REDIS_SECONDS = 0.5
# As long as RQ waits for the lease of a worker that is silent.
LEASE_SECONDS = 10.0
SWEEP_SECONDS = 1.0


class Died(BaseException):
    """Reaches a worker's thread wherever it is."""


class MortalWorkers:
    """A few workers and the sweep.

    Args:
        settings: As each worker's process would read them.
        count: How many.
    """

    def __init__(self, settings: Settings, count: int) -> None:
        self.settings = settings
        self.over = threading.Event()
        self.errors: list[BaseException] = []
        self._due: list[tuple[float, int, WidgetRequest]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._workers = [_Worker(self) for _ in range(count)]
        self._sweep = threading.Thread(target=self._look_after, name="sweep")

    def start(self) -> None:
        for one in (*self._workers, self._sweep):
            one.start()

    def stop(self) -> None:
        self.over.set()
        for one in (*self._workers, self._sweep):
            one.join()

    def put(self, request: WidgetRequest, seconds: float = 0.0) -> None:
        """Run a request's job after so long."""
        with self._lock:
            due = time.monotonic() + seconds, next(self._numbers), request
            heapq.heappush(self._due, due)

    def take(self) -> WidgetRequest | None:
        """The job that has been due for longest."""
        with self._lock:
            if self._due and self._due[0][0] <= time.monotonic():
                return heapq.heappop(self._due)[2]
        return None

    @property
    def idle(self) -> bool:
        return not self._due and not any(one.current for one in self._workers)

    def kill(self, dice: random.Random) -> WidgetRequest | None:
        """Let one that works die; returns whose job it ran."""
        busy = [(one, one.current) for one in self._workers if one.current]
        if not busy:
            return None
        worker, request = dice.choice(busy)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_long(worker.ident or 0), ctypes.py_object(Died)
        )
        return request

    def _look_after(self) -> None:
        parts = build_parts(self.settings)
        while not self.over.wait(SWEEP_SECONDS):
            with suppress(RedisError):
                sweep(parts)
        parts.close()


class _Worker(threading.Thread):
    """One worker, over all its lives."""

    def __init__(self, workers: MortalWorkers) -> None:
        super().__init__(name="worker")
        self.workers = workers
        self.current: WidgetRequest | None = None

    def run(self) -> None:
        while not self.workers.over.is_set():
            try:
                self._live()
            except Died:
                request, self.current = self.current, None
                if request:
                    self.workers.put(request, LEASE_SECONDS)

    def _live(self) -> None:
        sys.settrace(None)  # one that died with the lock of coverage would stop all others
        parts = build_parts(self.workers.settings)
        try:
            while not self.workers.over.is_set():
                self.current = self.workers.take()
                if self.current is None:
                    time.sleep(0.02)
                    continue
                try:
                    again = answer(self.current, parts)
                except BridgeError:  # final: RQ does not run it again
                    again = None
                except RedisError:
                    again = AFTER_REDIS_SECONDS
                except Exception as error:
                    self.workers.errors.append(error)
                    again = None
                if again is not None:
                    self.workers.put(self.current, again)
                self.current = None
        finally:
            parts.close()

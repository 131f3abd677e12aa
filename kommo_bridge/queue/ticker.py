"""The ticker: one thread beside the jobs that runs small tasks, each at its own interval.

It is given its tasks and knows nothing about workers. No task can stop another one: what a task
raises is logged, and the next one runs.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from redis.exceptions import RedisError

from kommo_bridge.telemetry.outage import Outage

# The scheduler waits out a burst's quiet time, so customers notice any delay added here.
TICK_SECONDS = 0.25

logger = logging.getLogger(__name__)


@dataclass
class Task:
    """Something small to do every `seconds`; 0 means at every tick."""

    name: str
    seconds: float
    action: Callable[[], object]
    next_at: float = 0.0

    def run_if_due(self, now: float) -> None:
        """Run it if its interval has passed since the last run."""
        if now >= self.next_at:
            self.next_at = now + self.seconds
            self.action()


class Ticker:
    """Runs tasks in a thread until it is stopped.

    Args:
        tasks: Checked in this order at every tick.
        at_end: Called once in the same thread, after the last tick.
        outage: Who says that Redis is away, once for all tasks.
    """

    def __init__(self, tasks: Sequence[Task], at_end: Callable[[], object], outage: Outage) -> None:
        self._tasks = tasks
        self._at_end = at_end
        self._outage = outage
        self._done = threading.Event()

    def start(self) -> None:
        """Begin to tick."""
        threading.Thread(target=self._tick_until_done, name="ticker", daemon=True).start()

    def stop(self) -> None:
        """Tick no more; does not wait for a task that is running."""
        self._done.set()

    def _tick_until_done(self) -> None:
        while not self._done.wait(TICK_SECONDS):
            for task in self._tasks:
                _guarded(task.name, partial(task.run_if_due, time.monotonic()), self._outage)
        _guarded("end", self._at_end, self._outage)


def in_background(name: str, action: Callable[[], object], outage: Outage) -> Callable[[], None]:
    """A task that runs in a thread of its own, one at a time: it may call partners."""
    running = threading.Lock()

    def run() -> None:
        try:
            _guarded(name, action, outage)
        finally:
            running.release()

    def start() -> None:
        if running.acquire(blocking=False):
            threading.Thread(target=run, name=name, daemon=True).start()

    return start


def _guarded(name: str, action: Callable[[], object], outage: Outage) -> None:
    try:
        action()
    except RedisError as error:
        outage.lost(error)
    except Exception:  # the ticker must outlive any fault of one task
        logger.exception("task failed: %s", name)

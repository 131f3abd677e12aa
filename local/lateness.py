"""How late this machine is: what a promise about time must be forgiven while others use it."""

import threading
import time
from types import TracebackType
from typing import Self

INTERVAL_SECONDS = 0.02
# Such a delay is no sign of a busy machine.
USUAL_SECONDS = 0.01


class Lateness:
    """Wakes all the time, and notes how much later than it wanted."""

    def __init__(self) -> None:
        self._notes: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lateness", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def between(self, start: float, end: float) -> float:
        """All the seconds that were lost between two moments of the monotonic clock, doubled.

        What waits its turn many times, as an answer does between its steps, loses more than one
        who only wakes.
        """
        return 2 * sum(late for at, late in list(self._notes) if start <= at <= end + 1)

    def _watch(self) -> None:
        while not self._over.is_set():
            before = time.monotonic()
            self._over.wait(INTERVAL_SECONDS)
            now = time.monotonic()
            if (late := now - before - INTERVAL_SECONDS) > USUAL_SECONDS:
                self._notes.append((now, late))

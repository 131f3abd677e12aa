"""The servers that refuse tools."""

import threading
import time
from collections.abc import Callable, Hashable

# How long tools are not offered after a server refused them: it may be updated meanwhile.
REFUSED_SECONDS = 3600.0


class RefusedTools:
    """Where tools were refused within the last hour; shared by all threads.

    Args:
        clock: Seconds, never running backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def __contains__(self, place: Hashable) -> bool:
        with self._lock:
            return self._until.get(place, 0.0) > self._clock()

    def add(self, place: Hashable) -> None:
        """Remember it for an hour, and forget those whose hour is over."""
        with self._lock:
            now = self._clock()
            self._until = {one: until for one, until in self._until.items() if until > now}
            self._until[place] = now + REFUSED_SECONDS

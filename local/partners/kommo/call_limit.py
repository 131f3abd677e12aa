"""Kommo's limit of calls: https://developers.kommo.com/docs/limitations .

The page gives neither the unit nor the numbers of the block: calls are counted per account here,
a block is for everybody who calls from the same address, and it lasts until it is lifted.
"""

import threading
import time
from bisect import bisect_left
from collections import defaultdict
from http import HTTPStatus


class CallLimit:
    """Counts calls and says which of them are too many; thread-safe.

    Args:
        calls_per_second: More than these within any one second are answered 429.
        strikes: After so many 429 within `strike_seconds` everything is answered 403.
        strike_seconds: See `strikes`.
        enforce: False counts only.
    """

    def __init__(
        self, *, calls_per_second: int, strikes: int, strike_seconds: float, enforce: bool
    ) -> None:
        self._calls_per_second = calls_per_second
        self._strikes_max = strikes
        self._strike_seconds = strike_seconds
        self._enforce = enforce
        self._calls: dict[int, list[float]] = defaultdict(list)
        self._strikes: list[float] = []
        self._blocked = False
        self._lock = threading.Lock()

    def count(self, account_id: int) -> None:
        """Count one call of an account."""
        with self._lock:
            self._calls[account_id].append(time.monotonic())

    def refusal(self, account_id: int) -> HTTPStatus | None:
        """Return 429 when the call just counted is one too many; it then is a strike."""
        with self._lock:
            now = time.monotonic()
            in_time = _since(self._calls[account_id], now - 1) <= self._calls_per_second
            if in_time or not self._enforce:
                return None
            self._strike(now)
            return HTTPStatus.TOO_MANY_REQUESTS

    def calls(self, account_id: int) -> tuple[float, ...]:
        """Return when an account called (`time.monotonic()`), refused calls included."""
        with self._lock:
            return tuple(self._calls.get(account_id, ()))

    @property
    def blocked(self) -> bool:
        """Whether everything is answered 403."""
        with self._lock:
            return self._blocked

    def lift_block(self) -> None:
        """Forget the block and all that led to it."""
        with self._lock:
            self._blocked = False
            self._strikes.clear()

    def _strike(self, now: float) -> None:
        self._strikes.append(now)
        if _since(self._strikes, now - self._strike_seconds) >= self._strikes_max:
            self._blocked = True


def busiest_second(times: tuple[float, ...]) -> int:
    """Return the greatest number of calls within any one second; `times` in order."""
    return max(
        (index + 1 - bisect_left(times, at - 1) for index, at in enumerate(times)), default=0
    )


def _since(times: list[float], start: float) -> int:
    return len(times) - bisect_left(times, start)

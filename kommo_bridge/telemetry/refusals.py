"""Refused widget requests of integrations that we know, counted in Redis for some minutes.

The web process notes them; `watch` turns them into an alert when they come again and again.
"""

import threading
import time
from collections import Counter
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.redis_client import PREFIX
from kommo_bridge.telemetry.health import note_refused

WINDOW_SECONDS = 300
# So many in a window are "again and again"; more are not worth a round trip each.
ENOUGH = 5


class Refusals:
    """Counts by integration and code; safe in all threads."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._lock = threading.Lock()
        self._window = 0
        self._noted: Counter[str] = Counter()

    def note(self, name: str, code: str, reason: str = "", now: float | None = None) -> None:
        """Count one refusal; an unreachable Redis is ignored, since nothing waits for it."""
        window = _window(time.time() if now is None else now)
        field = f"{code} {name}"
        with self._lock:
            if window != self._window:
                self._window, self._noted = window, Counter()
            self._noted[field] += 1
            if self._noted[field] > ENOUGH:
                return
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.hincrby(_key(window), field, 1)
                pipeline.expire(_key(window), 3 * WINDOW_SECONDS)
                note_refused(pipeline, name, code, reason)
                pipeline.execute()
        except RedisError:
            return

    def often(self, now: float) -> set[tuple[str, str]]:
        """Code and integration of what came at least `ENOUGH` times in one of the last two windows.

        Raises:
            RedisError: Redis is away.
        """
        found: set[tuple[str, str]] = set()
        for window in (_window(now) - 1, _window(now)):
            counts: dict[Any, Any] = self._redis.hgetall(_key(window))
            for field, count in counts.items():
                code, _, name = field.decode().partition(" ")
                if int(count) >= ENOUGH:
                    found.add((code, name))
        return found


def _window(now: float) -> int:
    return int(now // WINDOW_SECONDS)


def _key(window: int) -> str:
    return f"{PREFIX}refused:{window}"

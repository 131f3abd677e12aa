"""What goes wrong at which integration, kept in Redis until it is resolved.

Workers note it beside their work; `watch` turns it into alerts. An incident is a count since the
last success, so that "three in a row" is counted over all workers together.
"""

import logging
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.redis_client import PREFIX
from kommo_bridge.telemetry.health import note_answered, note_failed
from kommo_bridge.telemetry.logs import log_event

KEY = f"{PREFIX}incidents"

ANSWERS_FAIL = "answers_fail"
TOKEN_REFUSED = "token_refused"  # noqa: S105  the name of an incident
BLOCKED_BY_KOMMO = "blocked_by_kommo"
REFUSED_BY_AI = "refused_by_ai"
CAP_REACHED = "cap_reached"
SECOND_AI = "second_ai"
PAGES_FAIL = "pages_fail"

logger = logging.getLogger(__name__)


class Incidents:
    """Notes of all processes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def note(
        self,
        name: str,
        *,
        bad: tuple[str, ...] = (),
        good: tuple[str, ...] = (),
        reason: str = "",
    ) -> None:
        """Count what is bad, for a reason, forget what is good. An unreachable Redis is logged."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for kind in bad:
                    pipeline.hincrby(KEY, f"{kind} {name}", 1)
                if good:
                    pipeline.hdel(KEY, *(f"{kind} {name}" for kind in good))
                if ANSWERS_FAIL in good:
                    note_answered(pipeline, name)
                if reason:
                    note_failed(pipeline, name, reason)
                pipeline.execute()
        except RedisError as error:
            log_event(logger, "incident not noted", error=type(error).__name__)

    def read(self) -> dict[str, dict[str, int]]:
        """Counts by kind and integration name.

        Raises:
            RedisError: Redis is away.
        """
        kept: dict[Any, Any] = self._redis.hgetall(KEY)
        found: dict[str, dict[str, int]] = {}
        for field, count in kept.items():
            kind, _, name = field.decode().partition(" ")
            found.setdefault(kind, {})[name] = int(count)
        return found

    def forget(self, kind: str, name: str) -> None:
        """Its integration is gone."""
        self._redis.hdel(KEY, f"{kind} {name}")

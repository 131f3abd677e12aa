"""What was last sent of each kind of alert, and the rule for when the next message is due."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

from redis import Redis
from redis.exceptions import ResponseError

from kommo_bridge.monitoring.kinds import Kind
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.telemetry.logs import log_event

KEY = f"{PREFIX}alerts"
HOUR = 3600.0
REMINDER_SECONDS = 24 * HOUR

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AlertState:
    """How far one kind is.

    Attributes:
        is_open: An alert was sent and it is not resolved yet.
        at: When the last alert was sent (seconds since the epoch).
        subjects: Whom it named.
        retry_at: Nothing is sent before, after a message that could not be delivered.
        tries: How often it could not.
    """

    is_open: bool = False
    at: float = 0.0
    subjects: tuple[str, ...] = ()
    retry_at: float = 0.0
    tries: int = 0


def due(
    kind: Kind, state: AlertState, subjects: Mapping[str, str], now: float
) -> Literal["alert", "resolved"] | None:
    """What to send now: at most one alert of a kind in an hour, and one message when resolved."""
    if now < state.retry_at:
        return None
    if not subjects:
        return "resolved" if state.is_open else None
    if 0 <= now - state.at < HOUR:  # below 0, a clock was wrong
        return None
    is_new = not state.is_open or bool(set(subjects) - set(state.subjects))
    reminder = kind.reminds and not now - state.at < REMINDER_SECONDS
    return "alert" if is_new or reminder else None


class AlertStates:
    """The states of all kinds, kept in Redis for all processes.

    A Redis that refuses writes must not silence the alert about it: until it takes them again each
    process remembers its own, so each process sends its own message.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._unsaved: dict[str, AlertState] = {}

    def load(self, name: str) -> AlertState:
        """The state of one kind; what cannot be read is logged and counts as none.

        Raises:
            RedisError: Redis is away.
        """
        if name in self._unsaved:
            self.save(name, self._unsaved[name])
        if name in self._unsaved:
            return self._unsaved[name]
        kept = self._redis.hget(KEY, name)
        if not isinstance(kept, bytes):
            return AlertState()
        try:
            return _read(kept)
        except (ValueError, TypeError, AttributeError) as error:  # the other kinds go on
            log_event(
                logger,
                "alert state unreadable",
                level=logging.ERROR,
                kind=name,
                error=type(error).__name__,
            )
            return AlertState()

    def save(self, name: str, state: AlertState) -> None:
        """Keep it.

        Raises:
            RedisError: Redis is away.
        """
        try:
            self._redis.hset(KEY, name, json.dumps(asdict(state)))
        except ResponseError:
            self._unsaved[name] = state
        else:
            self._unsaved.pop(name, None)


def _read(kept: bytes) -> AlertState:
    values = json.loads(kept)
    known = {item.name for item in fields(AlertState)}  # a newer version may keep more
    state = AlertState(**{name: value for name, value in values.items() if name in known})
    return replace(
        state,
        at=float(state.at),
        subjects=tuple(map(str, state.subjects)),
        retry_at=float(state.retry_at),
        tries=int(state.tries),
    )

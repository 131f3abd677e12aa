"""A few facts of each integration, kept in Redis for its doctor and for `list`.

When it last answered, since when it fails and why, and what was refused. They are written in the
same round trip as the incidents and the refusals. Reasons are ours: no customer's words.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis import Redis

from kommo_bridge.redis_client import PREFIX

KEPT_SECONDS = 30 * 86400
REFUSALS_KEPT_SECONDS = 86400
MAX_REASON = 200


@dataclass(frozen=True)
class Refused:
    """Widget requests that were refused with one code: at least so many, the last one at `at`."""

    code: str
    count: int
    at: float
    reason: str


@dataclass(frozen=True)
class Health:
    """What is known of one integration; times in seconds since the epoch, 0 when never."""

    answered_at: float = 0.0
    failed_at: float = 0.0
    failing_since: float = 0.0
    failed_because: str = ""


def note_answered(pipeline: Any, name: str) -> None:
    """A customer got a reply, or was handed over."""
    pipeline.hset(_key(name), "answered_at", f"{time.time():.0f}")
    pipeline.hdel(_key(name), "failing_since")
    pipeline.expire(_key(name), KEPT_SECONDS)


def note_failed(pipeline: Any, name: str, reason: str) -> None:
    """An answer failed."""
    now = f"{time.time():.0f}"
    pipeline.hset(_key(name), mapping={"failed_at": now, "failed_because": reason[:MAX_REASON]})
    pipeline.hsetnx(_key(name), "failing_since", now)
    pipeline.expire(_key(name), KEPT_SECONDS)


def note_refused(pipeline: Any, name: str, code: str, reason: str) -> None:
    """A widget request was refused; `code` is one of a few."""
    key = _refused_key(name)
    pipeline.hincrby(key, f"count {code}", 1)
    pipeline.hset(
        key, mapping={f"at {code}": f"{time.time():.0f}", f"why {code}": reason[:MAX_REASON]}
    )
    pipeline.expire(key, REFUSALS_KEPT_SECONDS)


def read_health(redis: Redis, names: Iterable[str]) -> list[Health]:
    """The facts of each, in the same order.

    Raises:
        RedisError: Redis is away.
    """
    with redis.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.hgetall(_key(name))
        found: list[dict[bytes, bytes]] = pipeline.execute()
    return [
        Health(
            answered_at=float(kept.get(b"answered_at", 0)),
            failed_at=float(kept.get(b"failed_at", 0)),
            failing_since=float(kept.get(b"failing_since", 0)),
            failed_because=kept.get(b"failed_because", b"").decode(errors="replace"),
        )
        for kept in found
    ]


def read_refused(redis: Redis, name: str) -> list[Refused]:
    """What was refused lately, the newest first; forgotten a day after the last one.

    Raises:
        RedisError: Redis is away.
    """
    kept: dict[Any, Any] = redis.hgetall(_refused_key(name))
    texts = {field.decode(): value.decode(errors="replace") for field, value in kept.items()}
    codes = [field.partition(" ")[2] for field in texts if field.startswith("count ")]
    found = [
        Refused(
            code=code,
            count=int(texts[f"count {code}"]),
            at=float(texts.get(f"at {code}", 0)),
            reason=texts.get(f"why {code}", ""),
        )
        for code in codes
    ]
    return sorted(found, key=lambda one: -one.at)


def _key(name: str) -> str:
    return f"{PREFIX}health:{name}"


def _refused_key(name: str) -> str:
    return f"{PREFIX}health:{name}:refused"

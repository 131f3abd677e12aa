"""What an integration has used, and the caps on it: counted in Redis for all processes.

Days and months are in UTC. A reply counts once it is written, sent or not: it was paid for.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis
from redis.exceptions import ResponseError

from kommo_bridge.conversations.keys import conversation_name, hour_key, period_key
from kommo_bridge.integrations.integration import CAPS, Integration
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.logs import log_event

HOUR_SECONDS = 3600
DAY_KEPT_SECONDS = 40 * 86400
MONTH_KEPT_SECONDS = 400 * 86400
WARN_SHARE = 0.8
# The counters that `answers/state.lua` reads, in this order.
COUNTED = ("replies_per_hour", "replies_per_day", "tokens_per_day", "tokens_per_month")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Used:
    """One counter beside its cap (0: none); `name` is the integration's field."""

    name: str
    count: int
    cap: int

    @property
    def reached(self) -> bool:
        """Whether the cap is reached."""
        return 0 < self.cap <= self.count

    @property
    def nearly(self) -> bool:
        """Whether four fifths of the cap are used."""
        return 0 < self.cap * WARN_SHARE <= self.count


class Usage:
    """The counters."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def count(
        self, request: WidgetRequest, integration: Integration, tokens: int, cached: int = 0
    ) -> None:
        """Count one reply, its tokens, and those of them that the provider had in its cache."""
        hour = hour_key(conversation_name(request))
        day, month = period_keys(integration)
        with self._redis.pipeline() as pipeline:
            pipeline.set(hour, 0, nx=True, ex=HOUR_SECONDS)
            pipeline.incr(hour)
            for key, kept in ((day, DAY_KEPT_SECONDS), (month, MONTH_KEPT_SECONDS)):
                pipeline.hincrby(key, "replies", 1)
                pipeline.hincrby(key, "tokens", tokens)
                if cached:
                    pipeline.hincrby(key, "cached_tokens", cached)
                pipeline.expire(key, kept)
            try:
                pipeline.execute()
            except ResponseError as error:  # a failure to count must not lose a paid reply
                log_event(logger, "usage not counted", level=logging.ERROR, error=str(error))

    def reached(self, integration: Integration) -> list[Used]:
        """The caps of the whole integration that are reached; a conversation's hour is none."""
        return [one for one in self._capped(integration) if one.reached]

    def month(self, integration: Integration, month: str) -> tuple[int, int]:
        """Replies and tokens of one month, such as `2026-10`; kept for 400 days."""
        key = period_key(integration, month)
        replies, tokens = self._redis.hmget(key, ["replies", "tokens"])
        return int(replies or 0), int(tokens or 0)

    def used(self, integration: Integration) -> list[Used]:
        """What the whole integration has used today and this month."""
        day, month = period_keys(integration)
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hmget(day, "replies", "tokens")
            pipeline.hmget(month, "replies", "tokens")
            (replies, tokens), (month_replies, month_tokens) = pipeline.execute()
        return [
            Used("replies_per_day", int(replies or 0), integration.cap("replies_per_day")),
            Used("tokens_per_day", int(tokens or 0), integration.tokens_per_day),
            Used("replies_per_month", int(month_replies or 0), 0),
            Used("tokens_per_month", int(month_tokens or 0), integration.tokens_per_month),
        ]

    def warn(self, integration: Integration) -> bool:
        """Log once a period that a cap is nearly reached; returns whether one is reached."""
        capped = self._capped(integration)
        for near in self._to_warn_of(integration, capped):
            log_event(
                logger,
                "cap nearly reached",
                level=logging.WARNING,
                subdomain=integration.subdomain,
                cap=near.name,
                used=near.count,
                of=near.cap,
            )
        return any(one.reached for one in capped)

    def _to_warn_of(self, integration: Integration, capped: list[Used]) -> list[Used]:
        """Caps nearly reached that were not warned of in this period."""
        day, _ = period_keys(integration)
        near = [one for one in capped if one.nearly]
        return [
            one
            for one in near
            if self._redis.set(f"{day}:warned:{one.name}", "1", nx=True, ex=86400)
        ]

    def _capped(self, integration: Integration) -> list[Used]:
        """The counters that have a cap."""
        return self.used(integration) if any(map(integration.cap, CAPS)) else []


def cap_reached(integration: Integration, counted: Sequence[bytes | None]) -> str:
    """The first cap that is reached, or empty.

    Args:
        counted: What Redis holds, in the order of `COUNTED`.
    """
    for name, count in zip(COUNTED, counted, strict=True):
        if 0 < integration.cap(name) <= int(count or 0):
            return name
    return ""


def period_keys(integration: Integration) -> tuple[str, str]:
    """The Redis keys of today's and this month's counters."""
    now = datetime.now(UTC)
    return period_key(integration, f"{now:%Y-%m-%d}"), period_key(integration, f"{now:%Y-%m}")

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
from kommo_bridge.conversations.money import Paid, cost, shown
from kommo_bridge.integrations.integration import CAPS, Integration
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.logs import log_event

HOUR_SECONDS = 3600
DAY_KEPT_SECONDS = 40 * 86400
MONTH_KEPT_SECONDS = 400 * 86400
WARN_SHARE = 0.8
FIGURES = ("replies", "tokens", "millionths")
# The counters that `answers/state.lua` reads, in this order.
COUNTED = (
    *("replies_per_hour", "replies_per_day", "tokens_per_day", "tokens_per_month"),
    *("money_per_day", "money_per_month"),
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Used:
    """One counter beside its cap (0: none); `name` is the integration's field.

    Money is in millionths of `currency`.
    """

    name: str
    count: int
    cap: int
    currency: str = ""

    def text(self, amount: int) -> str:
        """One of the two, for people."""
        return shown(amount, self.currency) if self.currency else str(amount)

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

    def count(self, request: WidgetRequest, integration: Integration, paid: Paid) -> None:
        """Count one reply, its tokens, and what they cost."""
        added = {
            "tokens": paid.tokens,
            "cached_tokens": paid.cached,
            "millionths": cost(integration, paid),
        }
        hour = hour_key(conversation_name(request))
        day, month = period_keys(integration)
        with self._redis.pipeline() as pipeline:
            pipeline.set(hour, 0, nx=True, ex=HOUR_SECONDS)
            pipeline.incr(hour)
            for key, kept in ((day, DAY_KEPT_SECONDS), (month, MONTH_KEPT_SECONDS)):
                pipeline.hincrby(key, "replies", 1)
                for name, amount in added.items():
                    if amount:
                        pipeline.hincrby(key, name, amount)
                pipeline.expire(key, kept)
            try:
                pipeline.execute()
            except ResponseError as error:  # a failure to count must not lose a paid reply
                log_event(logger, "usage not counted", level=logging.ERROR, error=str(error))

    def reached(self, integration: Integration) -> list[Used]:
        """The caps of the whole integration that are reached; a conversation's hour is none."""
        return [one for one in self._capped(integration) if one.reached]

    def period(self, integration: Integration, period: str) -> tuple[int, int, int]:
        """Replies, tokens and money (in millionths) of a month such as `2026-10`, kept for 400
        days, or of a day such as `2026-10-31`, kept for 40."""
        replies, tokens, money = self._redis.hmget(period_key(integration, period), *FIGURES)
        return int(replies or 0), int(tokens or 0), int(money or 0)

    def used(self, integration: Integration) -> list[Used]:
        """What the whole integration has used today and this month."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for key in period_keys(integration):
                pipeline.hmget(key, *FIGURES)
            periods = zip(("day", "month"), pipeline.execute(), strict=True)
        return [
            Used(
                name := f"{what}_per_{period}",
                int(count or 0),
                integration.cap(name) if name in CAPS else 0,
                integration.currency if what == "money" else "",
            )
            for period, counts in periods
            for what, count in zip(("replies", "tokens", "money"), counts, strict=True)
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
                used=near.text(near.count),
                of=near.text(near.cap),
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

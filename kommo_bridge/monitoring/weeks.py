"""Reads the weeks of an integration from its counters."""

import time
from collections.abc import Iterable
from datetime import date, timedelta

from redis import Redis

from kommo_bridge.conversations.days import Days, day_of
from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.conversations.money import shown
from kommo_bridge.conversations.usage import Usage
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.monitoring.week import DAYS, Week, days_of


class Weeks:
    """The weeks."""

    def __init__(self, redis: Redis) -> None:
        self._days = Days(redis)
        self._usage = Usage(redis)
        self._gaps = Gaps(redis)

    def read(self, integration: Integration, first: date) -> Week:
        """The week that begins with this Monday, and the one before it.

        Raises:
            RedisError: Redis is away.
        """
        now, before = days_of(first), days_of(first - timedelta(DAYS))
        return Week(
            first,
            self._days.read(integration, now),
            self._days.read(integration, before),
            cost=self._cost(integration, now),
            cost_before=self._cost(integration, before),
            gaps=self._asked(integration, now),
        )

    def _asked(self, integration: Integration, days: list[date]) -> tuple[str, ...]:
        """The gaps that were last asked on these days, the most frequent first."""
        found = self._gaps.list(integration, time.time())
        return tuple(one.question for one in found if day_of(integration, one.at) in days)

    def _cost(self, integration: Integration, days: Iterable[date]) -> str:
        """What the AI cost, by days in UTC; empty where nothing was counted."""
        money = sum(self._usage.period(integration, f"{day}")[2] for day in days)
        return shown(money, integration.currency) if money else ""

"""The week of an account as its owner reads it, with the days as small bars."""

import time
from dataclasses import dataclass
from datetime import date, timedelta

from flask import request

from kommo_bridge.conversations.days import Days, day_of
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.monitoring.week import DAYS, days_of, monday_of, rows_of
from kommo_bridge.monitoring.weeks import Weeks
from kommo_bridge.web.console.pages import Console, page

# Nothing was counted before.
EARLIEST = date(2026, 1, 5)
TALLEST = 100  # the height of the highest bar, in the units of the picture


@dataclass(frozen=True)
class Bar:
    """One day: how many conversations, and how many of them the assistant answered alone.

    Attributes:
        height, alone_height: In the units of the picture.
    """

    day: date
    conversations: int
    alone: int
    height: int
    alone_height: int


def show(console: Console, integration: Integration) -> tuple[str, int]:
    """The week that is asked for by one of its days; else this one."""
    this_week = monday_of(day_of(integration, time.time()))
    first = _first(this_week)
    week = Weeks(console.redis).read(integration, first)
    return page(
        "week",
        integration=integration,
        week=week,
        rows=rows_of(week, "en"),
        bars=_bars(console, integration, first),
        earlier=first - timedelta(DAYS),
        later=first + timedelta(DAYS) if first < this_week else None,
        is_running=first == this_week,
    )


def _first(this_week: date) -> date:
    try:
        asked = date.fromisoformat(request.args.get("day", ""))
        return max(EARLIEST, min(monday_of(asked), this_week))
    except (ValueError, OverflowError):
        return this_week


def _bars(console: Console, integration: Integration, first: date) -> list[Bar]:
    days = Days(console.redis)
    counted = [(day, days.read(integration, [day])) for day in days_of(first)]
    most = max(1, *(counts.conversations for _, counts in counted))
    return [
        Bar(
            day,
            counts.conversations,
            counts.alone,
            round(TALLEST * counts.conversations / most),
            round(TALLEST * min(counts.alone, counts.conversations) / most),
        )
        for day, counts in counted
    ]

"""A week of one integration, as its owner reads it. Pure: counters in, lines out.

Nothing is compared in percent below 30 conversations: a rate of seven is an accident.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from kommo_bridge.conversations.days import Counts
from kommo_bridge.monitoring.week_words import WORDS, Words

DAYS = 7
ENOUGH_FOR_RATES = 30
MOST_GAPS = 10


@dataclass(frozen=True)
class Week:
    """Seven days from a Monday, and the seven before them.

    Attributes:
        first: The Monday.
        now, before: What was counted.
        cost, cost_before: What the AI cost, with the currency; empty where prices are not set.
        gaps: Questions that nothing given answers, the most frequent first.
    """

    first: date
    now: Counts
    before: Counts
    cost: str = ""
    cost_before: str = ""
    gaps: Sequence[str] = ()

    @property
    def last(self) -> date:
        """The Sunday."""
        return self.first + timedelta(DAYS - 1)

    @property
    def is_empty(self) -> bool:
        """Nothing happened: there is nothing to tell."""
        return not (self.now.turns or self.now.failures)


@dataclass(frozen=True)
class Row:
    """One figure beside that of the week before."""

    label: str
    now: str
    before: str


def monday_of(day: date) -> date:
    """The Monday of its week."""
    return day - timedelta(day.weekday())


def days_of(first: date) -> list[date]:
    """The seven days that begin with this one."""
    return [first + timedelta(number) for number in range(DAYS)]


def rows_of(week: Week, language: str) -> list[Row]:
    """The figures, in one of the languages of `WORDS`; English for any other."""
    words = WORDS.get(language, WORDS["en"])
    now, before = week.now, week.before
    rows = [
        Row(words.conversations, str(now.conversations), str(before.conversations)),
        Row(words.alone, _alone(now), _alone(before)),
        Row(words.handoffs, _handoffs(now, words), _handoffs(before, words)),
        Row(words.failures, str(now.failures), str(before.failures)),
        Row(words.half, _seconds(now, 0.5, words), _seconds(before, 0.5, words)),
        Row(words.most, _seconds(now, 0.9, words), _seconds(before, 0.9, words)),
    ]
    cost = Row(words.cost, week.cost, week.cost_before)
    return [*rows, cost] if week.cost or week.cost_before else rows


def as_json(week: Week) -> dict[str, Any]:
    """The same for programs; times in seconds, None where there was no answer."""
    return {
        "first": week.first.isoformat(),
        "last": week.last.isoformat(),
        **_figures(week.now, week.cost),
        "gaps": list(week.gaps[:MOST_GAPS]),
        "before": _figures(week.before, week.cost_before),
    }


def _figures(counts: Counts, cost: str) -> dict[str, Any]:
    return {
        "conversations": counts.conversations,
        "answered_alone": counts.alone,
        "handoffs": dict(counts.handoffs),
        "failures": counts.failures,
        "seconds_p50": _rounded(counts.seconds_at(0.5)),
        "seconds_p90": _rounded(counts.seconds_at(0.9)),
        "cost": cost or None,
    }


def _alone(counts: Counts) -> str:
    if counts.conversations < ENOUGH_FOR_RATES:
        return str(counts.alone)
    return f"{counts.alone} ({counts.alone / counts.conversations:.0%})"


def _handoffs(counts: Counts, words: Words) -> str:
    """`3 (order 2, complaint 1)`, the most frequent reason first."""
    total = sum(counts.handoffs.values())
    ordered = sorted(counts.handoffs.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{words.reasons.get(name, name)} {number}" for name, number in ordered)
    return f"{total} ({named})" if named else str(total)


def _seconds(counts: Counts, share: float, words: Words) -> str:
    found = _rounded(counts.seconds_at(share))
    return "-" if found is None else f"{found:g} {words.second}"


def _rounded(seconds: float | None) -> float | None:
    """A counter knows a time to a tenth: more digits would lie."""
    if seconds is None:
        return None
    return round(seconds) if seconds >= 10 else round(seconds, 1)  # noqa: PLR2004

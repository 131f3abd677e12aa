"""When a business is open, as its integration says: read strictly, and looked up without a clock.

Hours belong to the day on which they begin: `fr 22-2` is open until two on Saturday, also when that
Saturday is a closed day. Times are those of a clock on the wall. One that is skipped in spring
counts as the same moment before the clock was changed; of two alike in autumn the first is meant.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")
DAY_MINUTES = 24 * 60
SEARCHED_DAYS = 400
_DAYS = re.compile(r"([a-z]{2})(?:-([a-z]{2}))?")
_SPAN = re.compile(r"([0-9]{1,2})(?::([0-5][0-9]))?-([0-9]{1,2})(?::([0-5][0-9]))?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BETWEEN_DATES = re.compile(r"[\s,;]+")

# Minutes since midnight, from and to; an end after midnight is above 1,440.
Span = tuple[int, int]


@dataclass(frozen=True)
class Hours:
    """The hours of one business.

    Attributes:
        week: For each day from Monday on when it is open; empty when it is always open.
        closed: Days on which nothing begins.
    """

    week: tuple[tuple[Span, ...], ...]
    closed: frozenset[date]
    zone: ZoneInfo

    def is_open(self, now: datetime) -> bool:
        """Whether the business is open.

        Args:
            now: With its time zone, as below.
        """
        today = now.astimezone(self.zone).date()
        spans = (span for day in (-1, 0) for span in self._spans(today + timedelta(days=day)))
        return any(begin <= now < end for begin, end in spans)

    def opens_next(self, now: datetime) -> datetime | None:
        """When it opens next, in its own zone.

        Returns:
            None when it is always open, or stays closed for more than a year.
        """
        if not self.week and not self.closed:
            return None
        today = now.astimezone(self.zone).date()
        for day in range(SEARCHED_DAYS):
            begins = [begin for begin, end in self._spans(today + timedelta(days=day))]
            if later := [begin for begin in begins if begin > now]:
                return min(later).astimezone(self.zone)
        return None

    def _spans(self, day: date) -> list[tuple[datetime, datetime]]:
        """The moments between which it is open, of what begins on that day."""
        if day in self.closed:
            return []
        spans = self.week[day.weekday()] if self.week else ((0, DAY_MINUTES),)
        found = [(self._moment(day, begin), self._moment(day, end)) for begin, end in spans]
        return [(begin, end) for begin, end in found if begin < end]

    def _moment(self, day: date, minutes: int) -> datetime:
        days, minutes = divmod(minutes, DAY_MINUTES)
        at = time(*divmod(minutes, 60), tzinfo=self.zone)
        return datetime.combine(day + timedelta(days=days), at).astimezone(UTC)


@lru_cache(maxsize=256)
def read_hours(open_hours: str, closed_days: str, time_zone: str) -> Hours:
    """The hours from the fields of an integration.

    Raises:
        ValueError, OSError, KeyError: One of them cannot be read.
    """
    return Hours(read_week(open_hours), read_closed_days(closed_days), ZoneInfo(time_zone))


def read_week(text: str) -> tuple[tuple[Span, ...], ...]:
    """The hours of each day from Monday on, of `mo-fr 9-18; sa 10-14`; empty for none.

    Raises:
        ValueError: It is written in another way.
    """
    week: list[list[Span]] = [[] for _ in DAYS]
    for part in text.lower().split(";") if text.strip() else ():
        days, _, spans = part.strip().partition(" ")
        for day in _read_days(days):
            week[day].extend(_read_span(span.strip()) for span in spans.split(","))
    return tuple(tuple(sorted(spans)) for spans in week) if any(week) else ()


def read_closed_days(text: str) -> frozenset[date]:
    """The dates, such as `2026-12-25, 2026-12-26`.

    Raises:
        ValueError: One is not a date.
    """
    words = [word for word in _BETWEEN_DATES.split(text) if word]
    if not all(map(_DATE.fullmatch, words)):  # Python reads more than these
        raise ValueError(text)
    return frozenset(map(date.fromisoformat, words))


def _read_days(text: str) -> list[int]:
    """The numbers of `mo-we,sa`, Monday being 0; `sa-mo` goes on over Sunday."""
    found: list[int] = []
    for part in text.split(","):
        match = _DAYS.fullmatch(part)
        if not match:
            raise ValueError(part)
        first, last = DAYS.index(match[1]), DAYS.index(match[2] or match[1])
        found.extend((first + step) % 7 for step in range((last - first) % 7 + 1))
    return found


def _read_span(text: str) -> Span:
    match = _SPAN.fullmatch(text)
    if not match:
        raise ValueError(text)
    begin, end = _minutes(match[1], match[2]), _minutes(match[3], match[4])
    if begin in (end, DAY_MINUTES):
        raise ValueError(text)
    return begin, end if end > begin else end + DAY_MINUTES


def _minutes(hour: str, minute: str | None) -> int:
    minutes = int(hour) * 60 + int(minute or 0)
    if minutes > DAY_MINUTES:
        raise ValueError(hour)
    return minutes

"""The kinds of fields that say when: zones, hours, days. See `kinds`."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from kommo_bridge.integrations.hours import read_closed_days, read_week
from kommo_bridge.integrations.kinds import Kind


@dataclass(frozen=True)
class TimeZone(Kind):
    """A name of https://www.iana.org/time-zones ."""

    @property
    def must(self) -> str:
        return "be the name of a time zone such as America/Sao_Paulo"

    def fits(self, value: Any) -> bool:
        try:
            return bool(value) and bool(ZoneInfo(value))
        except (ValueError, OSError, KeyError):  # not a name, a folder, unknown
            return False


@dataclass(frozen=True)
class OpenHours(Kind):
    """The hours of a week."""

    @property
    def must(self) -> str:
        return (
            "be hours such as mo-fr 9-13, 14-18:30; sa 22-2 "
            "(days are mo, tu, we, th, fr, sa, su; hours 0 to 24)"
        )

    def fits(self, value: Any) -> bool:
        return _can_be(read_week, value)


@dataclass(frozen=True)
class ClosedDays(Kind):
    """Some dates."""

    @property
    def must(self) -> str:
        return "be dates such as 2026-12-25, 2026-12-26"

    def fits(self, value: Any) -> bool:
        return _can_be(read_closed_days, value)


def _can_be(read: Any, value: Any) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True

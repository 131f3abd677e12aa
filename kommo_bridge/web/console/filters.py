"""How templates write what they show."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kommo_bridge.english import counted

HOUR, DAY = 3600, 86400


def moment(at: float, zone: str = "UTC") -> str:
    """A moment in seconds since the epoch, by the clock of a time zone."""
    try:
        known = ZoneInfo(zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        zone, known = "UTC", ZoneInfo("UTC")
    return f"{datetime.fromtimestamp(at, known):%d %b %Y, %H:%M}" + (
        " UTC" if zone == "UTC" else ""
    )


def duration(seconds: float) -> str:
    """About how long: `2 hours`."""
    if seconds < HOUR:
        return counted(max(1, round(seconds / 60)), "minute")
    return (
        counted(round(seconds / HOUR), "hour")
        if seconds < 2 * DAY
        else counted(round(seconds / DAY), "day")
    )


def plain_number(value: float) -> str:
    """`12`, `0.5`."""
    return f"{value:g}"

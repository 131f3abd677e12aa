"""How templates write what they show."""

from datetime import UTC, datetime


def moment(at: float) -> str:
    """A moment in seconds since the epoch, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%d %b %Y, %H:%M} UTC"

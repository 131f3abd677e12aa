"""What the model is told of the moment: date, time, and whether the business is open. Pure."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from kommo_bridge.integrations.hours import Hours, read_hours
from kommo_bridge.integrations.integration import Integration

CLOSED = "The business is closed now: a colleague can answer only when it is open again"


def moment(integration: Integration, now: datetime) -> str:
    """Sentences in the time of the integration's zone; `now` has a zone of its own."""
    try:
        zone = ZoneInfo(integration.time_zone)
        hours = read_hours(integration.open_hours, integration.closed_days, integration.time_zone)
    except (ValueError, OSError, KeyError):  # a zone that only another machine knows
        return f"Today is {_said(now.astimezone(UTC))} UTC."
    today = f"Today is {_said(now.astimezone(zone))} {integration.time_zone}."
    return " ".join([today, *_opening(hours, now)])


def _opening(hours: Hours, now: datetime) -> list[str]:
    """Nothing for a business without hours."""
    if not hours.week and not hours.closed:
        return []
    if hours.is_open(now):
        return ["The business is open now."]
    opens = hours.opens_next(now)
    return [f"{CLOSED}, on {_said(opens)}." if opens else f"{CLOSED}."]


def _said(at: datetime) -> str:
    return f"{at:%A, %d %B %Y}, {at:%H:%M}"

"""What happened to this integration lately: answers, failures, refused requests, caps."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.conversations.money import UNCOUNTED, uncounted_money
from kommo_bridge.conversations.usage import Usage
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.monitoring.check import Context, Finding
from kommo_bridge.redis_client import connect
from kommo_bridge.telemetry.health import Health, Refused, read_health, read_refused

TIMEOUT_SECONDS = 5
CAUSES = {
    "signature does not fit": "the stored secret_key is not that of the integration in Kommo",
    "unknown or disabled integration": "disabled, another account, or a subdomain renamed in Kommo",
}


def check_health(context: Context) -> Iterator[Finding]:
    integration = context.integration
    redis: Redis
    try:
        with connect(context.settings.redis_url, timeout_seconds=TIMEOUT_SECONDS) as redis:
            [health] = read_health(redis, [integration_name(integration)])
            refused = read_refused(redis, integration_name(integration))
            yield from _caps(redis, integration)
    except RedisError as error:
        text = f"not known: Redis cannot be used ({type(error).__name__})"
        yield Finding("last answer", "warning", text)
        return
    yield from _answers(health)
    yield from _refused(refused)


def _answers(health: Health) -> Iterator[Finding]:
    """The last answer, and the last failure beside it."""
    text = ago(health.answered_at) if health.answered_at else "none in the last 30 days"
    yield Finding("last answer", "ok" if health.answered_at else "warning", text)
    if not health.failed_at:
        return
    text = f"{ago(health.failed_at)}: {health.failed_because}"
    if health.failing_since:
        yield Finding(
            "last failure", "fault", f"{text} (failing since {_at(health.failing_since)})"
        )
    else:
        yield Finding("last failure", "ok", f"{text}; answered since")


def _refused(refused: list[Refused]) -> Iterator[Finding]:
    """Widget requests that were refused in the last day."""
    if not refused:
        yield Finding("refused", "ok", "no widget request in the last day")
    for one in refused:
        cause = CAUSES.get(one.reason, "")
        text = f"{one.code}, {one.count} or more, last {ago(one.at)}: {one.reason}"
        yield Finding("refused", "warning", f"{text}: {cause}" if cause else text)


def _caps(redis: Redis, integration: Integration) -> Iterator[Finding]:
    reached = Usage(redis).reached(integration)
    if not reached:
        yield Finding("caps", "ok", "none is reached")
    if uncounted_money(integration):
        yield Finding("caps", "warning", UNCOUNTED)
    for one in reached:
        text = (
            f"{one.name} is reached ({one.text(one.count)} of {one.text(one.cap)}): "
            "every customer is handed over; "
            f"flask integrations set {integration.subdomain} {one.name}=..."
        )
        yield Finding("caps", "fault", text)


def ago(moment: float) -> str:
    """A moment, and how long ago it was."""
    seconds = max(0, time.time() - moment)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{_at(moment)}, {seconds // size:.0f} {unit} ago"
    return f"{_at(moment)}, now"


def _at(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"

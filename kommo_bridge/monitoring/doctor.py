"""`flask integrations check`: what works, what does not, and what to do about it.

Each check is a small function that yields findings, in a file per partner: `check_bridge` (our own
web process and widget), `check_redis`, `check_health` (what
happened lately), `check_kommo`, `check_ai`. A check that cannot be made is a
finding too. No secret is ever printed.
"""

from collections.abc import Callable, Iterator

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.monitoring.check import Context, Finding
from kommo_bridge.monitoring.check_about import check_about
from kommo_bridge.monitoring.check_ai import check_ai
from kommo_bridge.monitoring.check_bridge import (
    check_enabled,
    check_public_url,
    check_secret,
    check_widget,
)
from kommo_bridge.monitoring.check_health import check_health
from kommo_bridge.monitoring.check_kommo import check_kommo
from kommo_bridge.monitoring.check_redis import check_redis
from kommo_bridge.settings import Settings

CHECKS: tuple[Callable[[Context], Iterator[Finding]], ...] = (
    check_about,
    check_enabled,
    check_public_url,
    check_secret,
    check_redis,
    check_widget,
    check_health,
    check_kommo,
    check_ai,
)


def examine(integration: Integration, settings: Settings, token: str) -> Iterator[Finding]:
    """All findings about one integration, one check after another."""
    own_url = settings.public_url or f"http://127.0.0.1:{settings.port}"
    context = Context(integration, settings, token, own_url)
    for check in CHECKS:
        yield from check(context)

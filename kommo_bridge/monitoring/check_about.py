"""Which bridge this is: its version, its Redis and its store."""

from collections.abc import Iterator

from kommo_bridge import __version__
from kommo_bridge.integrations.database import address as store_address
from kommo_bridge.monitoring.check import Context, Finding
from kommo_bridge.redis_client import address
from kommo_bridge.settings import Settings


def about(settings: Settings) -> dict[str, str]:
    """What a command speaks to, without any password."""
    return {
        "version": __version__,
        "Redis": address(settings.redis_url),
        "store": store_address(settings.store_place),
    }


def check_about(context: Context) -> Iterator[Finding]:
    text = ", ".join(f"{name} {value}" for name, value in about(context.settings).items())
    yield Finding("bridge", "ok", text)

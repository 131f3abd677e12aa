"""How every process of ours begins: settings, then logs, then error reports."""

import logging
from collections.abc import Mapping
from dataclasses import fields
from urllib.parse import parse_qs, urlsplit

from kommo_bridge import __version__
from kommo_bridge.english import did_you_mean
from kommo_bridge.settings import Settings, is_loopback
from kommo_bridge.telemetry.error_reports import start_error_reports
from kommo_bridge.telemetry.logs import log_event, set_up_logging

# How near: 9 of 10 letters, or two of twelve that changed places.
NEARLY = 0.9

logger = logging.getLogger(__name__)


def start(environ: Mapping[str, str], process: str = "") -> Settings:
    """Read and check the settings, and log as they say from now on.

    Args:
        process: Named in the first line of the log, with the version; a command has no such line.

    Raises:
        SettingsError: A variable is missing or wrong; the message names it.
    """
    settings = Settings.from_env(environ)
    set_up_logging(settings.log_level, settings.log_format)
    if settings.sentry_dsn:
        start_error_reports(settings.sentry_dsn)
    if process:
        log_event(logger, f"{process} starts", version=__version__)
    for warning in misspelt(environ):
        log_event(logger, warning, level=logging.WARNING)
    for warning in redis_warnings(settings.redis_url):
        log_event(logger, warning, level=logging.WARNING)
    return settings


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """Variables that are nearly the name of a setting which is not set."""
    unset = [name for item in fields(Settings) if not environ.get(name := item.name.upper())]
    known = {item.name.upper() for item in fields(Settings)}
    found = [(name, did_you_mean(name, unset, NEARLY)) for name in environ if name not in known]
    return [f"{name} is not a setting. {meant}" for name, meant in found if meant]


def redis_warnings(url: str) -> list[str]:
    """What is unsafe about a Redis on another machine: who can write to it decides what is said."""
    parts = urlsplit(url)
    asked = parse_qs(parts.query)
    if parts.scheme == "unix" or is_loopback(parts.hostname or ""):
        return []
    found = []
    if not parts.password and "password" not in asked:
        found.append("REDIS_URL leads to another machine without a password")
    if parts.scheme == "rediss" and asked.get("ssl_cert_reqs", ["none"]) == ["none"]:
        found.append("REDIS_URL is encrypted, but the server's certificate is not checked")
    return found

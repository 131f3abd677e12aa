"""How every process of ours begins: settings, then logs, then error reports."""

import logging
from collections.abc import Mapping

from kommo_bridge.settings import Settings, redis_warnings
from kommo_bridge.telemetry.error_reports import start_error_reports
from kommo_bridge.telemetry.logs import log_event, set_up_logging

logger = logging.getLogger(__name__)


def start(environ: Mapping[str, str]) -> Settings:
    """Read and check the settings, and log as they say from now on.

    Raises:
        SettingsError: A variable is missing or wrong; the message names it.
    """
    settings = Settings.from_env(environ)
    set_up_logging(settings.log_level, settings.log_format)
    if settings.sentry_dsn:
        start_error_reports(settings.sentry_dsn)
    for warning in redis_warnings(settings.redis_url):
        log_event(logger, warning, level=logging.WARNING)
    return settings

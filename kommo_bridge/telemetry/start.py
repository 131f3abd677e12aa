"""How every process of ours begins: settings, then logs, then error reports."""

from collections.abc import Mapping

from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.error_reports import start_error_reports
from kommo_bridge.telemetry.logs import set_up_logging


def start(environ: Mapping[str, str]) -> Settings:
    """Read and check the settings, and log as they say from now on.

    Raises:
        SettingsError: A variable is missing or wrong; the message names it.
    """
    settings = Settings.from_env(environ)
    set_up_logging(settings.log_level, settings.log_format)
    if settings.sentry_dsn:
        start_error_reports(settings.sentry_dsn)
    return settings

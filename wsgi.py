"""gunicorn's entry, and the one that the `flask` command finds: settings, logging, app."""

import os
import sys

from dotenv import load_dotenv

from kommo_bridge.app import create_app
from kommo_bridge.errors import SettingsError
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.error_reports import start_error_reports
from kommo_bridge.telemetry.logs import set_up_logging

load_dotenv(".env")
try:
    settings = Settings.from_env(os.environ)
    set_up_logging(settings.log_level, settings.log_format)
    if settings.sentry_dsn:
        start_error_reports(settings.sentry_dsn)
    app = create_app(settings)
except SettingsError as error:
    print(f"kommo_bridge does not start. {error}", file=sys.stderr)  # noqa: T201
    # gunicorn's code for an application that cannot boot, so that it does not try for ever
    sys.exit(4)

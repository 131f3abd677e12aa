"""gunicorn's entry, and the one that the `flask` command finds: settings, logging, app."""

import os
import sys

from dotenv import load_dotenv

from kommo_bridge.app import create_app
from kommo_bridge.errors import SettingsError
from kommo_bridge.telemetry.start import start

load_dotenv(".env")
try:
    app = create_app(start(os.environ))
except SettingsError as error:
    print(f"kommo_bridge does not start. {error}", file=sys.stderr)  # noqa: T201
    # gunicorn's code for an application that cannot boot, so that it stops trying

    sys.exit(4)

"""gunicorn's entry, and the one that the `flask` command finds: settings, logging, app."""

import os
import sys

import click
from dotenv import load_dotenv

from kommo_bridge.app import create_app
from kommo_bridge.cli.running import command_environ
from kommo_bridge.errors import SettingsError
from kommo_bridge.telemetry.start import start

load_dotenv(".env")
is_command = click.get_current_context(silent=True) is not None
try:
    app = create_app(start(command_environ(os.environ) if is_command else os.environ))
except SettingsError as error:
    print(f"kommo_bridge does not start. {error}", file=sys.stderr)  # noqa: T201
    # gunicorn's code for an application that cannot boot, so that it stops trying

    sys.exit(4)

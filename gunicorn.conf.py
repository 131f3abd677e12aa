"""gunicorn's settings, found by itself in the working directory; `PORT` it reads on its own."""

import logging
import os
import sys
from typing import Any

from dotenv import load_dotenv

from kommo_bridge import __version__
from kommo_bridge.errors import SettingsError
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.logs import log_event, set_up_logging

load_dotenv(".env")
try:
    settings = Settings.from_env(os.environ)
except SettingsError as error:
    print(f"kommo_bridge does not start. {error}", file=sys.stderr)  # noqa: T201
    sys.exit(4)
set_up_logging(settings.log_level, settings.log_format)
log_event(logging.getLogger("kommo_bridge.web"), "web starts", version=__version__)

worker_class = "kommo_bridge.web.gunicorn_worker.DeadlineWorker"
logger_class = "kommo_bridge.web.gunicorn_worker.PlainLogger"
workers = settings.web_concurrency
# A request needs a thread for about a millisecond; the rest is for senders that are slow, each
# held for a thread's deadline of 2 s. Idle threads are not even started.
threads = 64
# Hosts such as Heroku kill 30 s after SIGTERM.
graceful_timeout = 20
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Each process watches; one at a time looks."""
    if watch := getattr(worker.wsgi, "watch", None):  # the benchmarks serve another application
        watch.start()

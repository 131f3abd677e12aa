"""gunicorn's settings, found by itself in the working directory; `PORT` it reads on its own."""

import os
from typing import Any

worker_class = "kommo_bridge.web.gunicorn_worker.DeadlineWorker"
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
# A request needs a thread for about a millisecond; the rest is for senders that are slow, each
# held for a thread's deadline of 2 s. Idle threads are not even started.
threads = 64
# Hosts such as Heroku kill 30 s after SIGTERM.
graceful_timeout = 20
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Each process watches; one at a time looks."""
    worker.wsgi.config["KOMMO_BRIDGE_WATCH"].start()

"""gunicorn's settings, found by itself in the working directory; `PORT` it reads on its own."""

import os

worker_class = "kommo_bridge.web.server.DeadlineWorker"
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
# A request needs a thread for about a millisecond; the rest is for senders that are slow, each
# held for a thread's deadline of 2 s. Idle threads are not even started.
threads = 64
# Hosts such as Heroku kill 30 s after SIGTERM.
graceful_timeout = 20
control_socket_disable = True

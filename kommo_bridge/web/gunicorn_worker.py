"""gunicorn's thread worker with a deadline for slow clients.

gunicorn sets no deadline for headers and body, lets a silent connection hold a thread, and waits on
its one main thread for clients to close: a few dozen slow clients would block the bridge, and no
setting changes that. Built on internals of gunicorn 27; `tests/web/test_gunicorn.py` sends slowly
and fails when they change.
"""

import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.workers.gthread import _DEFER, TConn, ThreadWorker

# Kommo waits 2 s itself: a request that is still being sent after that is useless.
REQUEST_SECONDS = 2.0
LINGER_SECONDS = 0.5
DRAIN_BYTES = 16 * 1024


class DeadlineWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn is not annotated
    """A `gthread` worker that slow, silent and half-closed clients cannot keep busy."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading_until: dict[TConn, float] = {}

    def handle(self, conn: TConn) -> Any:
        """Serve one request in a thread; a connection without data goes back at once."""
        if not conn.initialized and not conn.wait_for_data(0):
            return _DEFER
        self._reading_until[conn] = time.monotonic() + REQUEST_SECONDS
        try:
            keep = super().handle(conn)
        finally:
            del self._reading_until[conn]
        if not keep:
            _part(conn.sock)
        return keep

    def murder_pending(self) -> None:
        """Called every second by the main thread: also end reads that take too long.

        The blocked thread then reads an end of file, drops what it has, and may still respond.
        """
        super().murder_pending()
        for conn, until in list(self._reading_until.items()):
            if time.monotonic() > until:
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)


class PlainLogger(Logger):  # type: ignore[misc]
    """gunicorn's own log lines, written like all others by the one handler of the process."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn at its start and after HUP."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def _part(client: socket.socket) -> None:
    """Let the client read its response and close, so the main thread need not wait for it."""
    until = time.monotonic() + LINGER_SECONDS
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        client.settimeout(LINGER_SECONDS)
        while client.recv(DRAIN_BYTES) and time.monotonic() < until:
            pass
    with suppress(OSError):
        client.shutdown(socket.SHUT_RD)

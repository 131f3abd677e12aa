"""The version of a database, read by a thread so that no request waits for a server."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from kommo_bridge.errors import StoreError
from kommo_bridge.telemetry.outage import Outage

POLL_SECONDS = 0.5


class PolledVersion:
    """What the newest look found; the first use in a process looks and starts the thread.

    Args:
        read: Reads it, within a time limit of its own; raises StoreError.
        logger, place: For the lines about an outage.
    """

    def __init__(self, read: Callable[[], int], logger: logging.Logger, place: str) -> None:
        self._read = weakref.WeakMethod(read)
        self._outage = Outage(logger, "integration store", address=place)
        self._lock = threading.Lock()
        self._process = 0
        self._closed = threading.Event()
        self._found: int | StoreError | None = None
        self.well_at = 0.0

    def get(self) -> int:
        """The version as of the last look.

        Raises:
            StoreError: The last look failed.
        """
        if self._process != os.getpid():
            self._start()
        if isinstance(self._found, int):
            return self._found
        raise self._found or StoreError("The integration store is closed.")

    def note(self, version: int) -> None:
        """This process has just written this version."""
        if self._process:
            self._found = version

    def close(self) -> None:
        """End the thread; the next use starts another."""
        with self._lock:
            self._closed.set()
            self._process = 0

    def _start(self) -> None:
        with self._lock:
            if self._process == os.getpid():
                return
            self._look()
            self._closed = threading.Event()
            threading.Thread(
                target=_keep_looking,
                args=(weakref.ref(self), self._closed),
                name="store-version",
                daemon=True,
            ).start()
            self._process = os.getpid()

    def _look(self) -> bool:
        """One look; False when there is no database any more."""
        read = self._read()
        if read is None:
            return False
        try:
            self._found = read()
        except StoreError as error:
            self._found = error
            self._outage.lost(error)
        else:
            self.well_at = time.monotonic()
            self._outage.back()
        return True


def _keep_looking(poll: "weakref.ref[PolledVersion]", closed: threading.Event) -> None:
    """Until the database is closed or forgotten."""
    while not closed.wait(POLL_SECONDS):
        one: Any = poll()
        if one is None or not one._look():
            return
        del one

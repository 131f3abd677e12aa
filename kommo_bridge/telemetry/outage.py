"""An outage in the log: one line when a service is lost, one each minute, one when it is back."""

import logging
import threading
import time
from typing import Any

from kommo_bridge.telemetry.logs import log_event

REPEAT_SECONDS = 60.0


class Outage:
    """What a process knows of one service; all its threads report here.

    Args:
        name: The service, such as `redis`.
        fields: Shown in each line, such as its address.
    """

    def __init__(self, logger: logging.Logger, name: str, **fields: Any) -> None:
        self._logger = logger
        self._name = name
        self._fields = fields
        self._lock = threading.Lock()
        self._since: float | None = None
        self._logged_at = 0.0

    def lost(self, error: Exception, now: float | None = None) -> None:
        """A call failed; `now` as `time.monotonic` has it."""
        now = time.monotonic() if now is None else now
        with self._lock:
            if self._since is not None and now - self._logged_at < REPEAT_SECONDS:
                return
            self._since = now if self._since is None else self._since
            self._logged_at = now
            away = round(now - self._since)
        self._log(f"{self._name} is away", error=type(error).__name__, seconds=away or None)

    def back(self, now: float | None = None) -> None:
        """A call succeeded."""
        if self._since is None:  # nearly always: no lock for that
            return
        now = time.monotonic() if now is None else now
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            self._log(
                f"{self._name} is back",
                seconds=round(now - since),
            )

    def _log(self, event: str, **fields: Any) -> None:
        log_event(self._logger, event, level=logging.WARNING, **self._fields, **fields)

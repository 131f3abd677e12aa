"""What a process has found in the store, kept until the store changes, and while it is away."""

import time
from collections.abc import Callable

from kommo_bridge.errors import StoreError
from kommo_bridge.integrations.database import Database
from kommo_bridge.integrations.integration import Integration

# Far more than one bridge usually serves.
MAX_KEPT = 1000
# So long those that are known are served while the store is away; who is switched off, too.
KEPT_SECONDS = 3600.0

Key = tuple[str, str, int]  # integration id, subdomain, account id
Known = dict[Key, Integration | None]


class Found:
    """Asks the store once for each key, until the store changes.

    Args:
        database: Whose version tells whether it has changed.
        look_up: Asks the store.
        kept_seconds: How long those that are known are served while the store is away.
    """

    def __init__(
        self,
        database: Database,
        look_up: Callable[[Key], Integration | None],
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        self._database = database
        self._look_up = look_up
        self._kept_seconds = kept_seconds
        self._scope = database.scope()

    def get(self, key: Key) -> Integration | None:
        """The integration with this key, or None.

        Raises:
            StoreError: The store is away; and it was not asked for this key since it last changed,
                or has been away for an hour.
        """
        try:
            known = self._current()
        except StoreError:
            known = self._last_known()
            if key not in known:
                raise
        if key not in known:
            known[key] = self._look_up(key)
        return known[key]

    def _current(self) -> Known:
        version = self._database.version()
        found, known = getattr(self._scope, "known", (None, {}))
        if found != version or len(known) >= MAX_KEPT:
            known = {}
            self._scope.known = (version, known)
        return known

    def _last_known(self) -> Known:
        if time.monotonic() - self._database.well_at > self._kept_seconds:
            return {}
        _, known = getattr(self._scope, "known", (None, {}))
        return known

"""Which integration a refused token may mean: looked up by id or subdomain, briefly cached."""

import logging
import threading
import time

from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.errors import BridgeError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.telemetry.logs import error_text, log_event

KEPT_SECONDS = 10.0

logger = logging.getLogger(__name__)


class KnownNames:
    """Looked up with unverified claims, so it reads the store rarely, however often it is used."""

    def __init__(self, integrations: IntegrationStore) -> None:
        self._integrations = integrations
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}
        self._read_at = 0.0

    def find(self, integration_id: str, subdomain: str) -> str:
        """`subdomain/integration-id` of the one with this id or subdomain; empty without one.

        A renamed account keeps its id, and a newly created integration its subdomain.
        """
        with self._lock:
            now = time.monotonic()
            if not self._read_at or now - self._read_at > KEPT_SECONDS:
                self._names, self._read_at = self._read(), now
            return self._names.get(integration_id) or self._names.get(subdomain, "")

    def _read(self) -> dict[str, str]:
        try:
            items = [item for item in self._integrations.all() if item.enabled]
        except BridgeError as error:  # the request is refused all the same
            log_event(logger, "store cannot be read", level=logging.ERROR, error=error_text(error))
            return {}
        by_subdomain = {item.subdomain: integration_name(item) for item in items}
        return by_subdomain | {item.integration_id: integration_name(item) for item in items}

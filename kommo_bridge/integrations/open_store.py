"""Opens the store at the start of a process."""

import json

from kommo_bridge.errors import IntegrationError, SettingsError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings


def open_store(settings: Settings) -> IntegrationStore:
    """The integration store, migrated, and filled from `KOMMO_INTEGRATIONS` when that is set.

    Raises:
        SettingsError: Naming the variable at fault.
    """
    store = IntegrationStore(settings.database_path, settings.secret_key)
    store.migrate()
    if settings.kommo_integrations:
        try:
            items = json.loads(settings.kommo_integrations)
            store.fill(items if isinstance(items, list) else [items])
        except (ValueError, IntegrationError) as error:
            reason = str(error) if isinstance(error, IntegrationError) else "it is not JSON"
            raise SettingsError(f"KOMMO_INTEGRATIONS is wrong: {reason}") from None
    return store

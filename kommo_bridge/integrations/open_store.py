"""Opens the one store of a process, as the settings describe it."""

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


def require_ai_key(settings: Settings, store: IntegrationStore) -> None:
    """Check that every integration has an AI key: its own or the shared one.

    Raises:
        SettingsError: `OPENAI_API_KEY` is not set, and an integration has none of its own.
    """
    integrations = store.all()
    if not settings.openai_api_key and not (
        integrations and all(item.ai_api_key for item in integrations)
    ):
        raise SettingsError(
            "OPENAI_API_KEY is not set, and not every integration has an ai_api_key of its own."
        )

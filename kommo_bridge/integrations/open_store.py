"""Opens the one store of a process, as the settings describe it."""

import json
from typing import Any

from kommo_bridge.errors import IntegrationError, SettingsError
from kommo_bridge.integrations.ai_server import OPENAI_URL, AIServer
from kommo_bridge.integrations.integration import KEY_COLUMNS, Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings


def open_store(settings: Settings) -> IntegrationStore:
    """The integration store, migrated, and filled from `KOMMO_INTEGRATIONS` when that is set.

    Raises:
        SettingsError: Naming the variable at fault.
    """
    store = IntegrationStore(settings.store_place, settings.secret_key)
    store.migrate()
    if settings.kommo_integrations:
        try:
            store.fill(_items(settings.kommo_integrations))
        except (ValueError, IntegrationError) as error:
            reason = str(error) if isinstance(error, IntegrationError) else "it is not JSON"
            raise SettingsError(f"KOMMO_INTEGRATIONS is wrong: {reason}") from None
    return store


def refuse_if_overwritten(settings: Settings, before: Integration, after: Integration) -> None:
    """A change that the next start, of any process or command, would undo is none.

    Raises:
        IntegrationError: `KOMMO_INTEGRATIONS` names a field that changes.
    """
    key = (before.integration_id, before.subdomain)
    for item in _items(settings.kommo_integrations or "[]"):
        if tuple(str(item[name]).lower() for name in KEY_COLUMNS) != key:
            continue
        for name in item:
            if getattr(before, name) != getattr(after, name):
                raise IntegrationError(
                    f"KOMMO_INTEGRATIONS names {name} of {before.host} and would put its own value "
                    "back at the next start: change it there."
                )


def _items(text: str) -> list[Any]:
    items = json.loads(text)
    return items if isinstance(items, list) else [items]


def require_ai_key(settings: Settings, store: IntegrationStore) -> None:
    """Every integration needs an AI server that can answer (`ai_server`).

    Raises:
        SettingsError: `OPENAI_API_KEY` is not set, and somebody needs it.
    """
    shared = AIServer(settings.openai_api_key, settings.openai_base_url or OPENAI_URL)
    if shared.usable:
        return
    integrations = store.all()
    if not integrations or any(not (one.ai_api_key or one.ai_base_url) for one in integrations):
        raise SettingsError(
            "OPENAI_API_KEY is not set, and not every integration has an ai_api_key or an "
            "ai_base_url of its own. (A server that needs no key: set OPENAI_BASE_URL.)"
        )

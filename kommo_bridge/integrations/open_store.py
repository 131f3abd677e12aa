"""Opens the one store of a process, as the settings describe it."""

from kommo_bridge.errors import IntegrationError, SettingsError, StoreError
from kommo_bridge.integrations.ai_server import OPENAI_URL, AIServer
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.reader import TIMEOUT_SECONDS
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.variable import fill_from_variable, overwritten
from kommo_bridge.settings import Settings


def store_of(settings: Settings, timeout_seconds: float = TIMEOUT_SECONDS) -> IntegrationStore:
    """The store that the settings name; nothing is opened yet."""
    return IntegrationStore(
        settings.store_place,
        settings.secret_key,
        timeout_seconds,
        previous_key=settings.secret_key_previous or "",
    )


def open_store(settings: Settings) -> IntegrationStore:
    """The integration store, migrated, and filled from `KOMMO_INTEGRATIONS` when that is set.

    Raises:
        SettingsError: Naming the variable at fault.
    """
    store = store_of(settings)
    store.migrate()
    if settings.kommo_integrations:
        try:
            fill_from_variable(store, settings.kommo_integrations)
        except StoreError as error:
            raise SettingsError(f"KOMMO_INTEGRATIONS cannot be stored: {error}") from error
    return store


def refuse_if_overwritten(
    settings: Settings, before: Integration, after: Integration | None
) -> None:
    """A change that the next start, of any process or command, would undo is none.

    Raises:
        IntegrationError: `KOMMO_INTEGRATIONS` says otherwise, and would win.
    """
    reason = overwritten(settings.kommo_integrations, before, after)
    if reason:
        raise IntegrationError(f"{reason}: change it there.")


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

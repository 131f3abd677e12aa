"""Kommo's number of an integration's widget, asked of Kommo; what to do when it cannot be told."""

from kommo_bridge.errors import BotFileError, KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.return_url import base_url_of
from kommo_bridge.kommo.widgets import widget_numbers
from kommo_bridge.monitoring.check_kommo import token_advice
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings

REDIS_SECONDS = 5
BY_HAND = (
    "or give --widget-id N (in Kommo, put the block into any bot, choose </> View source, and read "
    "widget_id)"
)


def widget_number(
    integration: Integration, settings: Settings, given: int | None = None
) -> tuple[int, str]:
    """Kommo's number of the integration's widget, and where it comes from.

    Raises:
        BotFileError: It is not known; the message says what to do.
        RedisError: The pace of calls cannot be kept.
    """
    if given is not None:
        return given, "given by --widget-id, not compared with Kommo's list"
    name = integration.subdomain
    if not integration.access_token:
        hint = f"flask integrations set {name} access_token=..."
        raise BotFileError(f"No access token is stored to ask Kommo with: {hint}, {BY_HAND}.")
    numbers = _ask_kommo(integration, settings)
    if not numbers:
        raise BotFileError(
            f"{integration.host} lists no widget of this integration: upload and install it, and "
            f"save its settings once, {BY_HAND}."
        )
    if len(numbers) > 1:
        listed = ", ".join(map(str, numbers))
        raise BotFileError(
            f"{integration.host} lists several widgets of this integration ({listed}): see which "
            f"one the designer uses, {BY_HAND}."
        )
    return numbers[0], f"{integration.host} lists it for this integration (GET /api/v4/widgets)"


def _ask_kommo(integration: Integration, settings: Settings) -> list[int]:
    host, token = integration.host, integration.access_token
    base_url = base_url_of(host, settings.kommo_extra_hosts)
    with connect(settings.redis_url, timeout_seconds=REDIS_SECONDS) as redis:
        client = KommoClient(Pacer(redis), settings.kommo_extra_hosts)
        try:
            return widget_numbers(
                client, host, token, integration.integration_id, base_url=base_url
            )
        except KommoError as error:
            advice = token_advice(error, integration)
            raise BotFileError(f"The widget's number is not known. Kommo: {advice}.") from None
        finally:
            client.close()

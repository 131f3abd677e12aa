"""The widgets of an account, and which of them is an integration's own."""

from http import HTTPStatus
from typing import Any

from kommo_bridge.errors import KommoError
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.response import object_of

PAGE_SIZE = 250
MOST_PAGES = 20
# An entry brings the template of its settings.
MAX_PAGE_BYTES = 4 * 1024 * 1024


def widget_numbers(
    client: KommoClient,
    host: str,
    access_token: str,
    integration_id: str,
    *,
    base_url: str | None = None,
) -> list[int]:
    """Kommo's numbers of an integration's widgets, most often one.

    By `client_uuid` alone: the list also has the public catalogue, and was seen to call none of its
    widgets active. https://developers.kommo.com/reference/widgets-list

    Args:
        host, base_url: As in `KommoClient.account`.

    Raises:
        KommoError: Kommo did not answer, or refused, or the account is paused.
    """
    found: set[int] = set()
    for page in range(1, MOST_PAGES + 1):
        path = f"/api/v4/widgets?limit={PAGE_SIZE}&page={page}"
        response = client.get(host, path, access_token, base_url, max_bytes=MAX_PAGE_BYTES)
        if response.status_code == HTTPStatus.NO_CONTENT:
            return sorted(found)
        body = object_of(response)
        found |= {number for one in _listed(body) if (number := _own(one, integration_id))}
        links = body.get("_links")
        if not (isinstance(links, dict) and links.get("next")):
            return sorted(found)
    raise KommoError(f"the list of widgets has more than {MOST_PAGES} pages", permanent=True)


def _listed(body: dict[str, Any]) -> list[Any]:
    embedded = body.get("_embedded")
    listed = embedded.get("widgets") if isinstance(embedded, dict) else None
    return listed if isinstance(listed, list) else []


def _own(entry: object, integration_id: str) -> int | None:
    """The entry's number if it is the integration's."""
    if not isinstance(entry, dict):
        return None
    number, owner = entry.get("id"), entry.get("client_uuid")
    same = isinstance(owner, str) and owner.lower() == integration_id.lower()
    return number if same and isinstance(number, int) and number > 0 else None

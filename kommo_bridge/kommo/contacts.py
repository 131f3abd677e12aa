"""The leads of a contact, as Kommo lists them."""

from http import HTTPStatus

from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.crm import LOOKUP_SECONDS
from kommo_bridge.kommo.response import object_of

# An id takes about a hundred bytes beside its links; a contact may have some thousand leads.
MAX_CONTACT_BYTES = 4 * 1024 * 1024


def leads_of_contact(
    client: KommoClient,
    host: str,
    contact_id: int,
    access_token: str,
    *,
    base_url: str | None = None,
) -> list[int]:
    """The numbers of all leads of a contact; none when Kommo does not know the contact.

    https://developers.kommo.com/reference/get-contact

    Args:
        host, base_url: As in `KommoClient.account`.

    Raises:
        KommoError: Kommo did not answer, or refused, or the account is paused.
    """
    response = client.get(
        host,
        f"/api/v4/contacts/{contact_id}?with=leads",
        access_token,
        base_url,
        seconds=LOOKUP_SECONDS,
        max_bytes=MAX_CONTACT_BYTES,
    )
    if response.status_code == HTTPStatus.NO_CONTENT:
        return []
    embedded = object_of(response).get("_embedded")
    leads = embedded.get("leads") if isinstance(embedded, dict) else None
    listed = leads if isinstance(leads, list) else []
    found = [one.get("id") for one in listed if isinstance(one, dict)]
    return sorted(one for one in found if isinstance(one, int) and one > 0)

"""What Kommo's ids, keys and tokens look like.

Another shape is a warning, never a refusal: Kommo promises none of them.
"""

import re
from collections.abc import Iterable, Iterator

from kommo_bridge.integrations.integration import Integration

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECRET_KEY = re.compile("[A-Za-z0-9]{64}")
# A JWT: https://developers.kommo.com/docs/long-lived-token
TOKEN = re.compile(r"[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}", re.ASCII)


def shape_warnings(integration: Integration, names: Iterable[str]) -> Iterator[str]:
    """One sentence for each of these fields whose value does not look like Kommo's; no secret."""
    for name in names:
        value = getattr(integration, name)
        if name in SHAPES and value and not SHAPES[name][0].fullmatch(value):
            yield f"{name} does not look like Kommo's: {SHAPES[name][1]}; this has {len(value)}."


SHAPES = {
    "integration_id": (UUID, "an integration id is a UUID of 36 characters"),
    "secret_key": (SECRET_KEY, "a secret key has 64 letters and digits"),
    "access_token": (
        TOKEN,
        "a long-lived token is three long parts joined by dots, hundreds of characters",
    ),
}

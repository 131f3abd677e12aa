"""An integration as a row of the table, its secrets encrypted, and back."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from kommo_bridge.integrations.encryption import Cipher
from kommo_bridge.integrations.integration import FIELDS, KINDS, SECRETS, Integration

KEPT_ROWS = 1000


class Rows:
    """Writes and reads rows.

    Args:
        cipher: For the secrets.
    """

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        # A row that has not changed need not be decrypted again.
        self.read = lru_cache(KEPT_ROWS)(self._read)

    def write(self, integration: Integration) -> dict[str, Any]:
        """The columns of an integration."""
        row = {name: getattr(integration, name) for name in FIELDS}
        encrypted = {name: self._cipher.encrypt(row[name]) for name in SECRETS}
        return {**row, **encrypted, "updated_at": timestamp()}

    def _read(self, names: tuple[str, ...], values: tuple[Any, ...]) -> Integration:
        row = dict(zip(names, values, strict=True))
        known = {name: KINDS[name].stored(row[name]) for name in FIELDS if name in row}
        secrets = {name: self._cipher.decrypt(known[name]) for name in SECRETS}
        return Integration(**{**known, **secrets})


def timestamp() -> str:
    """Now, as the table keeps it."""
    return datetime.now(UTC).isoformat(timespec="seconds")

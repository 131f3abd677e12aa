"""An integration as a row of the table, its secrets encrypted, and back."""

import sqlite3
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from kommo_bridge.integrations.encryption import Cipher
from kommo_bridge.integrations.integration import FIELDS, KINDS, SECRETS, Integration

# Decrypted rows that a thread keeps in memory; far more than one bridge usually serves.
MAX_CACHED_ROWS = 1000


class Rows:
    """Writes and reads rows.

    Args:
        cipher: For the secrets.
    """

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        # A row that has not changed need not be decrypted again.
        self.read = lru_cache(MAX_CACHED_ROWS)(self._read)

    def write(self, integration: Integration) -> dict[str, Any]:
        """The columns of an integration."""
        row = {name: getattr(integration, name) for name in FIELDS}
        encrypted = {name: self._cipher.encrypt(row[name]) for name in SECRETS}
        return {**row, **encrypted, "updated_at": timestamp()}

    def read_without_secrets(self, row: sqlite3.Row) -> Integration:
        """The integration without its secrets, readable with any `SECRET_KEY`."""
        return Integration(**{**_known(row), **dict.fromkeys(SECRETS, "")})

    def _read(self, row: sqlite3.Row) -> Integration:
        known = _known(row)
        secrets = {name: self._cipher.decrypt(known[name]) for name in SECRETS}
        return Integration(**{**known, **secrets})


def _known(row: sqlite3.Row) -> dict[str, Any]:
    columns = set(row.keys())
    return {name: KINDS[name].stored(row[name]) for name in FIELDS if name in columns}


def timestamp() -> str:
    """Now, as the table keeps it."""
    return datetime.now(UTC).isoformat(timespec="seconds")

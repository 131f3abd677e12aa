"""An integration as a row of the table, its secrets encrypted, and back."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from kommo_bridge.integrations.database import Row
from kommo_bridge.integrations.encryption import Cipher
from kommo_bridge.integrations.integration import (
    FIELDS,
    KEY_COLUMNS,
    KINDS,
    SECRETS,
    Integration,
)

# Decrypted rows that are kept in memory; far more than one bridge usually serves.
MAX_CACHED_ROWS = 1000


class Rows:
    """Writes and reads rows.

    Args:
        cipher: For the secrets.
    """

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        # A row that has not changed need not be decrypted again.
        self._remembered = lru_cache(MAX_CACHED_ROWS)(self._decrypted)

    def write(self, integration: Integration) -> dict[str, Any]:
        """The columns of an integration."""
        row = {name: getattr(integration, name) for name in FIELDS}
        encrypted = {name: self._cipher.encrypt(row[name], _place(row, name)) for name in SECRETS}
        return {**row, **encrypted, "updated_at": timestamp()}

    def read(self, row: Row) -> Integration:
        """The integration.

        Raises:
            SettingsError: Its secrets were encrypted with another `SECRET_KEY`.
        """
        return self._remembered(tuple(row.items()))

    def is_current(self, row: Row) -> bool:
        """Whether all its secrets are encrypted with `SECRET_KEY` itself, and for their place."""
        return all(self._cipher.is_current(row[name], _place(row, name)) for name in SECRETS)

    def read_without_secrets(self, row: Row) -> Integration:
        """The integration without its secrets, readable with any `SECRET_KEY`."""
        return Integration(**{**_known(row), **dict.fromkeys(SECRETS, "")})

    def _decrypted(self, columns: tuple[tuple[str, Any], ...]) -> Integration:
        known = _known(dict(columns))
        secrets = {name: self._cipher.decrypt(known[name], _place(known, name)) for name in SECRETS}
        return Integration(**{**known, **secrets})


def _place(row: Row, name: str) -> tuple[str, ...]:
    """Where a secret stands."""
    return (*(str(row[column]) for column in KEY_COLUMNS), name)


def _known(row: Row) -> dict[str, Any]:
    return {name: KINDS[name].stored(row[name]) for name in FIELDS if name in row}


def timestamp() -> str:
    """Now, as the table keeps it."""
    return datetime.now(UTC).isoformat(timespec="seconds")

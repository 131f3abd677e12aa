"""The integrations, read: one that a request claims, one that an operator names, or all."""

import logging
from pathlib import Path
from typing import Any

from kommo_bridge.errors import IntegrationError, SettingsError, StoreError
from kommo_bridge.integrations.database import Row, open_database
from kommo_bridge.integrations.encryption import NOT_DECRYPTED, Cipher
from kommo_bridge.integrations.found import Found, Key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.kinds import UNSTORABLE
from kommo_bridge.integrations.rows import Rows
from kommo_bridge.integrations.tables import INTEGRATIONS
from kommo_bridge.integrations.writing import Read, find_stored
from kommo_bridge.telemetry.logs import error_text, log_event

TIMEOUT_SECONDS = 5.0

logger = logging.getLogger(__name__)


class IntegrationReader:
    """The integrations in one database, read only; safe from several threads and processes.

    Every method raises StoreError when the database cannot be used.

    Args:
        place: The file of a SQLite database, whose folder is created when missing, or a
            `postgres://` URL.
        secret_key: `SECRET_KEY`, from which the keys of the encrypted columns are derived.
        timeout_seconds: The longest that one call waits, for other writers or for the server.
        previous_key: `SECRET_KEY_PREVIOUS`; what it encrypted can be read.
    """

    def __init__(
        self,
        place: Path | str,
        secret_key: str,
        timeout_seconds: float = TIMEOUT_SECONDS,
        *,
        previous_key: str = "",
    ) -> None:
        self.database = open_database(place, timeout_seconds)
        self.rows = Rows(Cipher(secret_key, previous_key))
        self._found = Found(self.database, self._look_up)

    def find(self, integration_id: str, account_id: int, subdomain: str) -> Integration | None:
        """The integration that the claims name, or None.

        The subdomain must match, and so must the account id once it is bound: a renamed account is
        logged as unknown until `flask integrations set` gives its new subdomain. While the store is
        away, what was found before it went away is served for an hour.

        Raises:
            StoreError: The store is away, or its secrets were encrypted with another `SECRET_KEY`.
        """
        return self._found.get((integration_id.lower(), subdomain.lower(), account_id))

    def get(self, name: str) -> Integration:
        """The integration an operator names: by subdomain, or `subdomain/integration-id`.

        Raises:
            IntegrationError: None or more than one has this name.
            SettingsError: Its secrets were encrypted with another `SECRET_KEY`.
        """
        return self.rows.read(self._row_named(name))

    def get_without_secrets(self, name: str) -> Integration:
        """The same, whatever `SECRET_KEY` its secrets were encrypted with; all of them are empty.

        Raises:
            IntegrationError: None or more than one has this name.
        """
        return self.rows.read_without_secrets(self._row_named(name))

    def all(self) -> list[Integration]:
        """All integrations, by subdomain; those that cannot be decrypted are logged and left out.

        Raises:
            SettingsError: None of them can be decrypted: `SECRET_KEY` is wrong.
        """
        found = self._readable(self._where("true order by subdomain, integration_id"))
        if not found and self.count():
            raise SettingsError(NOT_DECRYPTED)
        return found

    def count(self) -> int:
        """How many integrations there are; fails when the store cannot be read."""
        [row] = self.database.read(f"select count(*) as found from {INTEGRATIONS}")  # noqa: S608
        return int(row["found"])

    def find_stored(self, read: Read, key: tuple[str, str]) -> Integration | None:
        """The integration with this key, read by the database or within a transaction."""
        return find_stored(read, self.rows, key)

    def _row_named(self, name: str) -> Row:
        """The row of the one that an operator names."""
        subdomain, _, start = name.lower().partition("/")
        rows = self._where("subdomain = ?", (subdomain,))
        found = [row for row in rows if row["integration_id"].startswith(start)]
        found = [row for row in found if row["integration_id"] == start] or found
        if not found:
            raise IntegrationError(
                f"There is no integration {name!r}. See `flask integrations list`."
            )
        if len(found) > 1:
            known = ", ".join(f"{subdomain}/{row['integration_id']}" for row in found)
            raise IntegrationError(f"{name!r} names several integrations: give one of {known}.")
        return found[0]

    def _readable(self, rows: list[Row]) -> list[Integration]:
        """Those that can be decrypted; one that cannot is logged and left out."""
        found = []
        for row in rows:
            try:
                found.append(self.rows.read(row))
            except SettingsError as error:
                log_event(
                    logger,
                    "integration skipped",
                    level=logging.ERROR,
                    subdomain=row["subdomain"],
                    error=error_text(error),
                )
        return found

    def _where(self, condition: str, values: tuple[Any, ...] = ()) -> list[Row]:
        query = f"select * from {INTEGRATIONS} where {condition}"  # noqa: S608
        return self.database.read(query, values)

    def _look_up(self, key: Key) -> Integration | None:
        condition = (
            "integration_id = ? and subdomain = ? and (account_id is null or account_id = ?)"
        )
        if UNSTORABLE.search("".join(key[:2])):  # an unverified token may claim anything
            return None
        rows = self._where(condition, key)
        found = self._readable(rows)
        if rows and not found:  # it is not gone: another process may know the key already
            raise StoreError(NOT_DECRYPTED)
        return found[0] if found else None

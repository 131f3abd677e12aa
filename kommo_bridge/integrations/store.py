"""The integrations in their database: who may use the bridge, with which secrets and settings.

One row per integration and account. Secrets are encrypted at rest, decrypted only into an
Integration in memory and never printed. The store knows neither Flask nor the environment, so web,
jobs and commands all use it.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kommo_bridge.errors import IntegrationError, RowExists, SettingsError, StoreError
from kommo_bridge.integrations.database import Row, open_database
from kommo_bridge.integrations.encryption import NOT_DECRYPTED, Cipher
from kommo_bridge.integrations.filling import Change, merged, read_entries
from kommo_bridge.integrations.found import Found, Key
from kommo_bridge.integrations.integration import Integration, check_integration
from kommo_bridge.integrations.kinds import UNSTORABLE
from kommo_bridge.integrations.rows import Rows, timestamp
from kommo_bridge.integrations.tables import INTEGRATIONS
from kommo_bridge.integrations.writing import Read, Writing, find_stored
from kommo_bridge.telemetry.logs import error_text, log_event

TIMEOUT_SECONDS = 5.0
COMMAND = "command"  # who changes something, unless a caller says so
QUICK_SECONDS = 0.4  # Kommo waits two seconds for an acknowledgement

logger = logging.getLogger(__name__)


class IntegrationStore:
    """The integrations in one database; safe from several threads and processes.

    Every method raises StoreError when the database cannot be used.

    Args:
        place: The file of a SQLite database, whose folder is created when missing, or a
            `postgres://` URL.
        secret_key: `SECRET_KEY`, from which the key of the encrypted columns is derived.
        timeout_seconds: The longest that one call waits, for other writers or for the server.
    """

    def __init__(
        self, place: Path | str, secret_key: str, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.database = open_database(place, timeout_seconds)
        self._rows = Rows(Cipher(secret_key))
        self._found = Found(self.database, self._look_up)

    def migrate(self) -> None:
        """Bring the tables up to date; a file is created when missing.

        Raises:
            SettingsError: `DATABASE_PATH` or `DATABASE_URL` cannot be written.
        """
        try:
            self.database.migrate()
        except StoreError as error:
            raise SettingsError(f"{self.database.variable} {error}") from error

    def close(self) -> None:
        """Let go of all connections; the next use opens them again."""
        self.database.close()

    def find(self, integration_id: str, account_id: int, subdomain: str) -> Integration | None:
        """The integration that the claims name, or None.

        The subdomain must match, and so must the account id once it is bound: a renamed account is
        logged as unknown until `flask integrations set` gives its new subdomain. While the store is
        away, what was found before it went away is served for an hour.
        """
        return self._found.get((integration_id.lower(), subdomain.lower(), account_id))

    def get(self, name: str) -> Integration:
        """The integration an operator names: by subdomain, or `subdomain/integration-id`.

        Raises:
            IntegrationError: None or more than one has this name.
            SettingsError: Its secrets were encrypted with another `SECRET_KEY`.
        """
        return self._rows.read(self._row_named(name))

    def get_without_secrets(self, name: str) -> Integration:
        """The same, whatever `SECRET_KEY` its secrets were encrypted with; all of them are empty.

        Raises:
            IntegrationError: None or more than one has this name.
        """
        return self._rows.read_without_secrets(self._row_named(name))

    def all(self) -> list[Integration]:
        """All integrations, by subdomain; those that cannot be decrypted are logged and left out.

        Raises:
            SettingsError: None of them can be decrypted: `SECRET_KEY` is wrong.
        """
        found = self._readable("true order by subdomain, integration_id", ())
        if not found and self.count():
            raise SettingsError(NOT_DECRYPTED)
        return found

    def count(self) -> int:
        """How many integrations there are; fails when the store cannot be read."""
        [row] = self.database.read(f"select count(*) as found from {INTEGRATIONS}")  # noqa: S608
        return int(row["found"])

    def backup(self, target: Path) -> int:
        """Copy the database as it is now, even while in use; returns the number of integrations.

        Raises:
            IntegrationError: The file exists already or cannot be written; or the store is in
                PostgreSQL, which has a tool of its own.
        """
        self.database.backup(target)
        return self.count()

    @contextmanager
    def writing(self, by: str) -> Iterator[Writing]:
        """One transaction on the integrations; `by` says who changes them, such as `command`."""
        with self.database.writing() as writer:
            yield Writing(writer, self._rows, by)

    def add(self, integration: Integration, *, by: str = COMMAND) -> None:
        """Add one.

        Raises:
            IntegrationError: It is not complete or not valid, or exists already.
        """
        check_integration(integration)
        try:
            with self.writing(by) as writing:
                writing.insert(integration)
        except RowExists as error:
            raise IntegrationError(
                f"{integration.subdomain} has this integration already. "
                f"Use `flask integrations set {integration.subdomain} KEY=VALUE`."
            ) from error

    def save(self, integration: Integration, *, by: str = COMMAND) -> None:
        """Add or replace one.

        Raises:
            IntegrationError: It is not complete or not valid.
        """
        check_integration(integration)
        with self.writing(by) as writing:
            writing.save(integration)

    def rename(self, integration: Integration, changed: Integration, *, by: str = COMMAND) -> None:
        """Save `changed` in place of `integration`, also when its key columns differ.

        Raises:
            IntegrationError: It is not valid, takes another one's place, or is gone.
        """
        check_integration(changed)
        try:
            with self.writing(by) as writing:
                if not writing.replace(integration, changed):
                    raise IntegrationError(f"There is no integration {integration.host} any more.")
        except RowExists as error:
            raise IntegrationError(f"{changed.subdomain} has this integration already.") from error

    def remove(self, integration: Integration) -> None:
        """Forget one, its secrets and all that belongs to it included."""
        with self.writing(COMMAND) as writing:
            writing.delete(integration)

    def bind_account(self, integration: Integration, account_id: int) -> None:
        """Keep the account id that the first verified request named.

        A failure is only logged: the customer is answered anyway, and the next request tries again.
        """
        key = (integration.integration_id, integration.subdomain)
        try:
            with self.database.writing() as writer:
                writer.run(
                    f"update {INTEGRATIONS} set account_id = ?, updated_at = ? "  # noqa: S608
                    "where integration_id = ? and subdomain = ? and account_id is null",
                    (account_id, timestamp(), *key),
                )
        except StoreError as error:
            _log("account id not stored", integration.subdomain, error)

    def fill(self, items: Iterable[Mapping[str, Any]]) -> list[Change]:
        """Add or update from the objects that `export` prints; returns what each one changed.

        Fields that an object does not name keep their stored value, secrets only if they can be
        decrypted. All or nothing is stored.

        Raises:
            IntegrationError: An object is not complete or not valid; nothing is stored.
        """
        entries = read_entries(items)
        with self.writing(COMMAND) as writing:
            stored = [(entry, writing.find(entry.key)) for entry in entries]
            changes = [Change(before, merged(entry, before)) for entry, before in stored]
            for change in changes:
                if change.fields:
                    writing.save(change.after)
        return changes

    def find_stored(self, read: Read, key: tuple[str, str]) -> Integration | None:
        """The integration with this key, read by the database or within a transaction."""
        return find_stored(read, self._rows, key)

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

    def _readable(self, condition: str, values: tuple[Any, ...]) -> list[Integration]:
        """Those that can be decrypted; one that cannot is logged and left out."""
        found = []
        for row in self._where(condition, values):
            try:
                found.append(self._rows.read(row))
            except SettingsError as error:
                _log("integration skipped", row["subdomain"], error)
        return found

    def _where(self, condition: str, values: tuple[Any, ...]) -> list[Row]:
        query = f"select * from {INTEGRATIONS} where {condition}"  # noqa: S608
        return self.database.read(query, values)

    def _look_up(self, key: Key) -> Integration | None:
        condition = (
            "integration_id = ? and subdomain = ? and (account_id is null or account_id = ?)"
        )
        if UNSTORABLE.search("".join(key[:2])):  # an unverified token may claim anything
            return None
        found = self._readable(condition, key)
        return found[0] if found else None


def _log(event: str, subdomain: str, error: Exception) -> None:
    log_event(logger, event, level=logging.ERROR, subdomain=subdomain, error=error_text(error))

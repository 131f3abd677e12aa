"""The integrations in SQLite: which accounts may use the bridge, their secrets and settings.

One row per integration and account. Secrets are encrypted at rest, decrypted only into an
Integration in memory and never printed. The store knows neither Flask nor the environment, so web,
jobs and commands all use it.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlite_utils.db import NotFoundError

from kommo_bridge.errors import IntegrationError, SettingsError
from kommo_bridge.integrations.encryption import NOT_DECRYPTED, Cipher
from kommo_bridge.integrations.filling import Change, Entry, merged, read_entries
from kommo_bridge.integrations.integration import (
    KEY_COLUMNS,
    Integration,
    check_integration,
)
from kommo_bridge.integrations.migrations import TABLE
from kommo_bridge.integrations.rows import MAX_CACHED_ROWS, Rows, timestamp
from kommo_bridge.integrations.sqlite_file import SqliteFile
from kommo_bridge.telemetry.logs import error_text, log_event

BUSY_TIMEOUT_SECONDS = 5.0
WEB_BUSY_TIMEOUT_SECONDS = 0.5  # Kommo waits two seconds for an acknowledgement

logger = logging.getLogger(__name__)


class IntegrationStore:
    """The integrations in one SQLite file; safe from several threads and processes.

    Args:
        path: The database file; its folder is created when missing.
        secret_key: `SECRET_KEY`, from which the key of the encrypted columns is derived.
        busy_timeout_seconds: How long to wait while somebody else writes.
    """

    def __init__(
        self, path: Path, secret_key: str, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS
    ) -> None:
        self._file = SqliteFile(path, busy_timeout_seconds)
        self._rows = Rows(Cipher(secret_key))
        self._local = threading.local()

    def migrate(self) -> None:
        """Create the file when missing and bring its tables up to date.

        Raises:
            SettingsError: `DATABASE_PATH` cannot be written.
        """
        self._file.migrate()

    def find(self, integration_id: str, account_id: int, subdomain: str) -> Integration | None:
        """The integration that the claims name, or None.

        The subdomain must match, and so must the account id once it is bound: a renamed account is
        logged as unknown until `flask integrations set` gives its new subdomain.
        """
        key = (integration_id.lower(), subdomain.lower(), account_id)
        known = self._known()
        if key not in known:
            found = self._readable(
                "integration_id = ? and subdomain = ? and (account_id is null or account_id = ?)",
                key,
            )
            known[key] = found[0] if found else None
        return known[key]

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
        found = self._readable("1 order by subdomain, integration_id", ())
        if not found and self.count():
            raise SettingsError(NOT_DECRYPTED)
        return found

    def count(self) -> int:
        """How many integrations there are; fails when the store cannot be read."""
        return self._file.count()

    def backup(self, target: Path) -> int:
        """Copy the database as it is now, even while in use; returns the number of integrations.

        Raises:
            IntegrationError: The file exists already, or cannot be written.
        """
        return self._file.backup(target)

    def add(self, integration: Integration) -> None:
        """Add one.

        Raises:
            IntegrationError: It is not complete or not valid, or exists already.
        """
        check_integration(integration)
        try:
            with self._file.writing() as table:
                table.insert({**self._rows.write(integration), "created_at": timestamp()})
        except sqlite3.IntegrityError as error:
            raise IntegrationError(
                f"{integration.subdomain} has this integration already. "
                f"Use `flask integrations set {integration.subdomain} KEY=VALUE`."
            ) from error

    def save(self, integration: Integration) -> None:
        """Add or replace one.

        Raises:
            IntegrationError: It is not complete or not valid.
        """
        check_integration(integration)
        with self._file.writing() as table:
            table.upsert(self._rows.write(integration), pk=KEY_COLUMNS)

    def rename(self, integration: Integration, changed: Integration) -> None:
        """Save `changed` in place of `integration`, also when its key columns differ.

        Raises:
            IntegrationError: It is not valid, takes another one's place, or is gone.
        """
        check_integration(changed)
        try:
            with self._file.writing() as table:
                key = (integration.integration_id, integration.subdomain)
                table.update(key, self._rows.write(changed))
        except NotFoundError as error:
            raise IntegrationError(
                f"There is no integration {integration.host} any more."
            ) from error
        except sqlite3.IntegrityError as error:
            raise IntegrationError(f"{changed.subdomain} has this integration already.") from error

    def remove(self, integration: Integration) -> None:
        """Forget one, its secrets included."""
        with self._file.writing() as table:
            table.delete((integration.integration_id, integration.subdomain))

    def bind_account(self, integration: Integration, account_id: int) -> None:
        """Keep the account id that the first verified request named.

        A failure is only logged: the customer is answered anyway, and the next request tries again.
        """
        key = (integration.integration_id, integration.subdomain)
        try:
            with self._file.writing() as table:
                table.db.conn.execute(
                    f"update {TABLE} set account_id = ?, updated_at = ? "  # noqa: S608
                    "where integration_id = ? and subdomain = ? and account_id is null",
                    (account_id, timestamp(), *key),
                )
        except sqlite3.Error as error:
            _log("account id not stored", integration.subdomain, error)

    def fill(self, items: Iterable[Mapping[str, Any]]) -> list[Change]:
        """Add or update from the objects that `export` prints; returns what each one changed.

        Fields that an object does not name keep their stored value, secrets only if they can be
        decrypted. All or nothing is stored.

        Raises:
            IntegrationError: An object is not complete or not valid; nothing is stored.
        """
        entries = read_entries(items)
        with self._file.writing() as table:
            changes = [self._change(entry) for entry in entries]
            for change in changes:
                if change.fields:
                    table.upsert(self._rows.write(change.after), pk=KEY_COLUMNS)
        return changes

    def _change(self, entry: Entry) -> Change:
        for row in self._where("integration_id = ? and subdomain = ?", entry.key):
            try:
                stored = self._rows.read(row)
            except SettingsError:
                stored = self._rows.read_without_secrets(row)
            return Change(stored, merged(entry, stored))
        return Change(None, merged(entry, None))

    def _row_named(self, name: str) -> sqlite3.Row:
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

    def _where(self, condition: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
        return self._file.read(f"select * from {TABLE} where {condition}", values)  # noqa: S608

    def _known(self) -> dict[tuple[str, str, int], Integration | None]:
        """What this thread has found since the file was last changed."""
        version, local = self._file.version(), self._local
        if getattr(local, "version", None) != version or len(local.known) >= MAX_CACHED_ROWS:
            local.version, local.known = version, {}
        return local.known  # type: ignore[no-any-return]


def _log(event: str, subdomain: str, error: Exception) -> None:
    log_event(logger, event, level=logging.ERROR, subdomain=subdomain, error=error_text(error))

"""The integrations in SQLite: who may speak to us, with which secrets, answered how.

One row per integration and account. Secrets are encrypted at rest, decrypted only into an
Integration in memory and never printed. The store knows neither Flask nor the environment and
serves web, job and command line alike.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlite_utils.db import NotFoundError

from kommo_bridge.errors import IntegrationError, SettingsError
from kommo_bridge.integrations.encryption import Cipher
from kommo_bridge.integrations.integration import (
    KEY,
    Integration,
    check_integration,
    from_mapping,
)
from kommo_bridge.integrations.migrations import TABLE
from kommo_bridge.integrations.rows import KEPT_ROWS, Rows, timestamp
from kommo_bridge.integrations.sqlite_file import SqliteFile
from kommo_bridge.settings import Settings


class IntegrationStore:
    """The integrations in one SQLite file; safe from several threads and processes.

    Args:
        path: The database file; its folder is made when missing.
        secret_key: `SECRET_KEY`, from which the key of the encrypted columns is derived.
    """

    def __init__(self, path: Path, secret_key: str) -> None:
        self._file = SqliteFile(path)
        self._rows = Rows(Cipher(secret_key))
        self._local = threading.local()

    def migrate(self) -> None:
        """Create the file when missing and bring its tables up to date.

        Raises:
            SettingsError: `DATABASE_PATH` cannot be written.
        """
        self._file.migrate()

    def find(self, integration_id: str, account_id: int, subdomain: str) -> Integration | None:
        """The integration that claims speak of, or None.

        A bound account id must agree, and so must the subdomain: a renamed account is told to the
        log as unknown until `flask integrations set` names it anew.
        """
        key = (integration_id.lower(), subdomain.lower(), account_id)
        known = self._known()
        if key not in known:
            found = self._where(
                "integration_id = ? and subdomain = ? and (account_id is null or account_id = ?)",
                key,
            )
            known[key] = found[0] if found else None
        return known[key]

    def get(self, name: str) -> Integration:
        """The integration an operator names: by subdomain, or `subdomain/integration-id`.

        Raises:
            IntegrationError: None or more than one has this name.
        """
        subdomain, _, integration_id = name.lower().partition("/")
        found = [
            item
            for item in self._where("subdomain = ?", (subdomain,))
            if item.integration_id.startswith(integration_id)
        ]
        exact = [item for item in found if item.integration_id == integration_id]
        if exact:
            return exact[0]
        if not found:
            raise IntegrationError(
                f"There is no integration {name!r}. See `flask integrations list`."
            )
        if len(found) > 1:
            names = ", ".join(f"{item.subdomain}/{item.integration_id}" for item in found)
            raise IntegrationError(f"{name!r} names several integrations: say one of {names}.")
        return found[0]

    def all(self) -> list[Integration]:
        """All integrations, by subdomain."""
        return self._where("1 order by subdomain, integration_id", ())

    def count(self) -> int:
        """How many integrations there are; fails when the store cannot be read."""
        return self._file.count()

    def backup(self, target: Path) -> int:
        """Copy the database as it is now, however much it is read and written; returns how many.

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
            table.upsert(self._rows.write(integration), pk=KEY)

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
        """Keep the account id that the first verified request named."""
        with self._file.writing() as table:
            table.db.conn.execute(
                f"update {TABLE} set account_id = ?, updated_at = ? "  # noqa: S608
                "where integration_id = ? and subdomain = ? and account_id is null",
                (account_id, timestamp(), integration.integration_id, integration.subdomain),
            )

    def fill(self, items: Iterable[Mapping[str, Any]]) -> int:
        """Add or update from the objects that `export` prints; returns how many.

        Fields that an object does not name keep their stored value. All or nothing is stored.

        Raises:
            IntegrationError: An object is not complete or not valid; nothing is stored.
        """
        with self._file.writing() as table:
            integrations = [self._merged(item) for item in items]
            for integration in integrations:
                check_integration(integration)
                table.upsert(self._rows.write(integration), pk=KEY)
        return len(integrations)

    def _merged(self, item: Mapping[str, Any]) -> Integration:
        given = from_mapping(item)
        stored = self._where(
            "integration_id = ? and subdomain = ?", (given.integration_id, given.subdomain)
        )
        if not stored:
            return given
        return replace(stored[0], **{name: getattr(given, name) for name in item})

    def _where(self, condition: str, values: tuple[Any, ...]) -> list[Integration]:
        cursor = self._file.read(f"select * from {TABLE} where {condition}", values)  # noqa: S608
        names = tuple(column[0] for column in cursor.description)
        return [self._rows.read(names, row) for row in cursor]

    def _known(self) -> dict[tuple[str, str, int], Integration | None]:
        """What this thread has found since the file was last changed, by whomever."""
        version, local = self._file.version(), self._local
        if getattr(local, "version", None) != version or len(local.known) >= KEPT_ROWS:
            local.version, local.known = version, {}
        return local.known  # type: ignore[no-any-return]


def open_store(settings: Settings) -> IntegrationStore:
    """The integration store, migrated, and filled from `KOMMO_INTEGRATIONS` when that is set.

    Raises:
        SettingsError: Naming the variable at fault.
    """
    store = IntegrationStore(settings.database_path, settings.secret_key)
    store.migrate()
    if settings.kommo_integrations:
        try:
            items = json.loads(settings.kommo_integrations)
            store.fill(items if isinstance(items, list) else [items])
        except (ValueError, IntegrationError) as error:
            reason = str(error) if isinstance(error, IntegrationError) else "it is not JSON"
            raise SettingsError(f"KOMMO_INTEGRATIONS is wrong: {reason}") from None
    return store

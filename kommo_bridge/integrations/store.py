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
from kommo_bridge.integrations.filling import Change, merged, read_entries
from kommo_bridge.integrations.integration import Integration, check_integration
from kommo_bridge.integrations.reader import IntegrationReader
from kommo_bridge.integrations.rows import timestamp
from kommo_bridge.integrations.tables import INTEGRATIONS
from kommo_bridge.integrations.writing import Writing
from kommo_bridge.telemetry.logs import error_text, log_event

COMMAND = "command"  # who changes something, unless a caller says so
QUICK_SECONDS = 0.4  # Kommo waits two seconds for an acknowledgement

logger = logging.getLogger(__name__)


class IntegrationStore(IntegrationReader):
    """The integrations in one database, read and written; safe from several threads and processes.

    Every method raises StoreError when the database cannot be used.
    """

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
            yield Writing(writer, self.rows, by)

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
            log_event(
                logger,
                "account id not stored",
                level=logging.ERROR,
                subdomain=integration.subdomain,
                error=error_text(error),
            )

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

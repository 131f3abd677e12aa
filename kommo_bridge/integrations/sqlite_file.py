"""One SQLite file that many threads and processes read and write at once."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from kommo_bridge.errors import IntegrationError, SettingsError
from kommo_bridge.integrations.migrations import TABLE, migrations


class SqliteFile:
    """The file; each thread has a connection of its own.

    Args:
        path: Its folder is created when missing.
        busy_timeout_seconds: How long to wait while somebody else writes.
    """

    def __init__(self, path: Path, busy_timeout_seconds: float) -> None:
        self._path = path
        self._busy_timeout_seconds = busy_timeout_seconds
        self._local = threading.local()

    def migrate(self) -> None:
        """Create the file when missing and bring its tables up to date.

        Raises:
            SettingsError: `DATABASE_PATH` cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._enable_wal()
            with self.writing():  # one process migrates at a time
                migrations.apply(self._db)
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"DATABASE_PATH {self._path} cannot be opened for writing: {error}"
            ) from error

    def read(self, query: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """The rows of a query."""
        cursor = self._db.conn.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """The table, within one transaction that asks for the write lock first.

        A transaction that reads before it writes fails at once, whatever the busy timeout, when
        somebody else has written in between: https://www.sqlite.org/isolation.html
        """
        with self._db.conn as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield self._db.table(TABLE)
        self._local.writes = getattr(self._local, "writes", 0) + 1

    def version(self) -> tuple[int, int]:
        """Changes for this thread whenever the file has changed, by whichever process."""
        (of_others,) = self._db.conn.execute("pragma data_version").fetchone()
        return of_others, getattr(self._local, "writes", 0)

    def backup(self, target: Path) -> int:
        """Copy the database as it is now, even while in use; returns the number of integrations.

        Raises:
            IntegrationError: The file exists already, or cannot be written.
        """
        try:
            target.touch(mode=0o600, exist_ok=False)
            with closing(sqlite3.connect(target)) as copy:
                self._db.conn.backup(copy)
                return count(copy)
        except FileExistsError:
            raise IntegrationError(f"{target} exists already: name a new file.") from None
        except (OSError, sqlite3.Error) as error:
            reason = type(error).__name__
            raise IntegrationError(f"{target} cannot be written ({reason}).") from None

    def count(self) -> int:
        """How many rows there are."""
        return count(self._db.conn)

    @property
    def _db(self) -> Database:
        """This thread's own connection."""
        if not hasattr(self._local, "db"):
            connection = sqlite3.connect(self._path, timeout=self._busy_timeout_seconds)
            connection.execute("pragma synchronous = normal")
            self._local.db = Database(connection)
        return self._local.db  # type: ignore[no-any-return]

    def _enable_wal(self) -> None:
        """The journal mode stays with the file: writers then never block readers.

        While another connection changes it too, SQLite fails at once: it has no busy timeout here.
        """
        ends_at = time.monotonic() + self._busy_timeout_seconds
        while self._db.journal_mode != "wal":
            try:
                self._db.enable_wal()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > ends_at:
                    raise
                time.sleep(0.01)


def count(connection: sqlite3.Connection) -> int:
    """How many integrations a database holds."""
    return int(connection.execute(f"select count(*) from {TABLE}").fetchone()[0])  # noqa: S608

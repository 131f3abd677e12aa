"""One SQLite file that many threads and processes read and write at once."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils import Database, Migrations

from kommo_bridge.errors import IntegrationError, RowExists, StoreError
from kommo_bridge.integrations.database import Read, Row, Values, Writer, address, rows_of, unusable
from kommo_bridge.integrations.migrations import NAME, STEPS
from kommo_bridge.integrations.operations import (
    AddColumns,
    CreateTable,
    MakeOptional,
    Operation,
    Run,
)
from kommo_bridge.integrations.tables import KEYS

SAME_KEY = {sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE}


class SqliteDatabase:
    """The file; each thread has a connection of its own.

    Args:
        path: Its folder is created when missing.
        timeout_seconds: How long to wait while somebody else writes.
    """

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._local = threading.local()

    @property
    def variable(self) -> str:
        """The setting that names it."""
        return "DATABASE_PATH"

    @property
    def place(self) -> str:
        """The absolute path."""
        return address(self._path)

    @property
    def well_at(self) -> float:
        """When this thread last read the version."""
        return getattr(self._local, "well_at", 0.0)

    def scope(self) -> threading.local:
        """A version is this thread's own."""
        return threading.local()

    def migrate(self) -> None:
        """Create the file when missing and bring its tables up to date."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._enable_wal()
            with self._transaction():  # one process migrates at a time
                migrations().apply(self._db)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self._path} cannot be opened for writing: {error}") from error

    def read(self, query: str, values: Values = ()) -> list[Row]:
        """The rows of a query."""
        with _as_store_errors():
            return rows_of(self._db.conn.execute(query, values))

    @contextmanager
    def snapshot(self) -> Iterator[Read]:
        """Several queries that all see the database as it was at the first one."""
        with self._db.conn as connection:
            connection.execute("begin")
            yield self.read

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """One transaction that has the write lock from its start."""
        with _as_store_errors(), self._transaction() as connection:

            def execute(statement: str, values: Values = ()) -> sqlite3.Cursor:
                return connection.execute(statement, values)

            yield Writer(execute)

    def version(self) -> tuple[int, int]:
        """Changes for this thread whenever the file has changed, by whichever process."""
        with _as_store_errors():
            (of_others,) = self._db.conn.execute("pragma data_version").fetchone()
        self._local.well_at = time.monotonic()
        return of_others, getattr(self._local, "writes", 0)

    def backup(self, target: Path) -> None:
        """Copy the database as it is now, even while in use.

        Raises:
            IntegrationError: The file exists already, or cannot be written.
        """
        try:
            target.touch(mode=0o600, exist_ok=False)
            with closing(sqlite3.connect(target)) as copy:
                self._db.conn.backup(copy)
        except FileExistsError:
            raise IntegrationError(f"{target} exists already: name a new file.") from None
        except (OSError, sqlite3.Error) as error:
            reason = type(error).__name__
            raise IntegrationError(f"{target} cannot be written ({reason}).") from None

    def close(self) -> None:
        """Close this thread's connection."""
        if hasattr(self._local, "db"):
            self._local.db.close()
            del self._local.db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Asks for the write lock first.

        A transaction that reads before it writes fails at once, whatever the busy timeout, when
        somebody else has written in between: https://www.sqlite.org/isolation.html
        """
        with self._db.conn as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
        self._local.writes = getattr(self._local, "writes", 0) + 1

    @property
    def _db(self) -> Database:
        """This thread's own connection."""
        if not hasattr(self._local, "db"):
            connection = sqlite3.connect(self._path, timeout=self._timeout_seconds)
            connection.execute("pragma synchronous = normal")
            self._local.db = Database(connection)
        return self._local.db  # type: ignore[no-any-return]

    def _enable_wal(self) -> None:
        """The journal mode stays with the file: writers then never block readers.

        While another connection changes it too, SQLite fails at once: it has no busy timeout here.
        """
        ends_at = time.monotonic() + self._timeout_seconds
        while self._db.journal_mode != "wal":
            try:
                self._db.enable_wal()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > ends_at:
                    raise
                time.sleep(0.01)


def migrations() -> Migrations:
    """The steps as sqlite-utils applies and records them."""
    made = Migrations(NAME)
    for name, operations in STEPS.items():

        def step(db: Database, operations: tuple[Operation, ...] = operations) -> None:
            for operation in operations:
                _apply(db, operation)

        made(name=name)(step)
    return made


def _apply(db: Database, operation: Operation) -> None:
    match operation:
        case CreateTable(table, columns):
            key = KEYS[table]
            db.table(table).create(dict(columns), pk=key, not_null=set(key))
        case AddColumns(table, columns):
            for name, default in columns.items():
                if isinstance(default, type):
                    db.table(table).add_column(name, default)
                else:
                    db.table(table).add_column(name, type(default), not_null_default=default)
        case MakeOptional(table, column):
            db.table(table).transform(not_null={column: False}, defaults={column: None})
        case Run(statement):
            db.execute(statement)


@contextmanager
def _as_store_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) in SAME_KEY:
            raise RowExists from error
        raise unusable(str(error)) from error

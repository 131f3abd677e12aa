"""A PostgreSQL database that processes on many machines read and write at once."""

import logging
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout

from kommo_bridge.errors import IntegrationError, RowExists, StoreError
from kommo_bridge.integrations import postgres_steps
from kommo_bridge.integrations.database import (
    Cursor,
    Read,
    Row,
    Values,
    Writer,
    address,
    rows_of,
    unusable,
)
from kommo_bridge.integrations.polled_version import PolledVersion
from kommo_bridge.integrations.postgres_connection import (
    BoundedConnection,
    TimedOut,
    connection_options,
    connection_pool,
)

START_SECONDS = 10.0  # a process that starts waits longer for its database
# What it would log of lost connections, our own lines say once; theirs may name more.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

logger = logging.getLogger(__name__)


class PostgresDatabase:
    """The database at a `postgres://` or `postgresql://` URL.

    Args:
        url: With user, password, database and libpq's options, such as `sslmode`.
        timeout_seconds: The longest that one read or one transaction takes in all.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._pool: ConnectionPool[BoundedConnection] | None = None
        self._version = PolledVersion(self._read_mark, logger, self.place)

    @property
    def variable(self) -> str:
        """The setting that names it."""
        return "DATABASE_URL"

    @property
    def place(self) -> str:
        """`postgresql://host:port/database`, without user and password."""
        return address(self._url)

    @property
    def well_at(self) -> float:
        """When the version was last read."""
        return self._version.well_at

    def scope(self) -> SimpleNamespace:
        """A version is the whole process's."""
        return SimpleNamespace()

    def migrate(self) -> None:
        """Bring the tables up to date, one process at a time."""
        try:
            conninfo_to_dict(self._url)
        except psycopg.Error:  # its message may hold a part of the password
            raise StoreError(
                f"{self.place} is wrong: PostgreSQL does not take its options. Special characters "
                "of the password must be percent-encoded."
            ) from None
        seconds = max(self._timeout_seconds, START_SECONDS)
        try:
            with BoundedConnection.connect(self._url, **connection_options()) as connection:
                connection.ends_at = time.monotonic() + seconds
                with connection.transaction():
                    postgres_steps.apply(connection)
        except psycopg.Error as error:
            raise StoreError(
                f"{self.place} cannot be opened for writing: {self._reason(error)}."
            ) from None

    def read(self, query: str, values: Values = ()) -> list[Row]:
        """The rows of a query."""
        with self._connection() as connection:
            return rows_of(_execute(connection, query, values))

    @contextmanager
    def snapshot(self) -> Iterator[Read]:
        """Several queries that all see the database as it was at the first one."""
        with self._connection() as connection, connection.transaction():
            connection.execute("set transaction isolation level repeatable read, read only")
            yield lambda query: rows_of(_execute(connection, query))

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """One transaction; the row of the version keeps other writers waiting from its start."""
        mark = secrets.randbits(62)
        with self._connection() as connection:
            with connection.transaction():
                connection.execute("update _version set mark = %s", (mark,))

                def execute(statement: str, values: Values = ()) -> Cursor:
                    return _execute(connection, statement, values)

                yield Writer(execute)
            self._version.note(mark)

    def version(self) -> int:
        """Changes within a second of any change by any process; no query."""
        return self._version.get()

    def backup(self, target: Path) -> NoReturn:
        """PostgreSQL has its own tool for that.

        Raises:
            IntegrationError: Always; it names the tool.
        """
        raise IntegrationError(
            f"The integrations are in PostgreSQL: `pg_dump --format=custom --file={target} "
            '"$DATABASE_URL"` copies them, or your host\'s own backups do.'
        )

    def close(self) -> None:
        """Close the pool, and stop looking at the version."""
        self._version.close()
        with self._lock:
            pool, self._pool = self._pool, None
        if pool:
            pool.close()

    def _read_mark(self) -> int:
        [row] = self.read("select mark from _version")
        return int(row["mark"])

    @contextmanager
    def _connection(self) -> Iterator[BoundedConnection]:
        """A connection that has what is left of the time limit."""
        ends_at = time.monotonic() + self._timeout_seconds
        try:
            with self._opened_pool().connection(timeout=self._timeout_seconds) as connection:
                connection.ends_at = ends_at
                yield connection
        except psycopg.errors.UniqueViolation as error:
            raise RowExists from error
        except psycopg.Error as error:
            where = f"PostgreSQL at {self.place}"
            raise unusable(f"{where}: {self._reason(error)}") from error

    def _opened_pool(self) -> ConnectionPool[BoundedConnection]:
        with self._lock:
            if self._pool is None:
                self._pool = connection_pool(self._url, self._timeout_seconds / 2)
            return self._pool

    def _reason(self, error: psycopg.Error) -> str:
        """What failed, without any value of a row, user or password."""
        if isinstance(error, PoolTimeout | TimedOut):
            return "it does not answer in time"
        if error.diag.message_primary:
            return f"it refuses that ({error.diag.message_primary})"
        if isinstance(error, psycopg.DataError):  # found by psycopg itself
            return f"it does not take this value ({error})"
        return f"it cannot be reached ({_why(error)})"


def _execute(connection: BoundedConnection, statement: str, values: Values = ()) -> Cursor:
    """Run what was written for both databases; PostgreSQL keeps a flag as a number, as SQLite."""
    statement = statement.replace("%", "%%").replace("?", "%s")
    numbers = [int(value) if isinstance(value, bool) else value for value in values]
    return connection.execute(statement, numbers)


def _why(error: psycopg.Error) -> str:
    """The end of libpq's sentence, without address and user."""
    [first, *_] = str(error).splitlines() or [type(error).__name__]
    reason = first.rpartition("failed: ")[2].partition(" for user ")[0]
    return reason.removeprefix("FATAL:").strip()

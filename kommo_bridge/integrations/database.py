"""What the store asks of a database; SQLite and PostgreSQL both give it.

Queries are written once, in the SQL that both understand, with `?` for values. A new table needs
nothing here: `database.read("select ...", values)`, and in `with database.writing() as writer` the
four verbs of `Writer`, which know each table's key.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from kommo_bridge.errors import StoreError
from kommo_bridge.integrations.tables import KEYS

MOST_VALUES = 5000  # in one statement; SQLite takes 32,766, PostgreSQL 65,535

Row = dict[str, Any]
Values = Sequence[Any]


class Cursor(Protocol):
    """The part of a DB-API cursor that is used here."""

    @property
    def description(self) -> Any: ...

    @property
    def rowcount(self) -> int: ...

    def fetchall(self) -> list[Any]: ...


class Execute(Protocol):
    """Runs one statement; `?` stands for each value."""

    def __call__(self, statement: str, values: Values = ...) -> Cursor: ...


class Writer:
    """One transaction: nothing else is written meanwhile, and all of it is stored or nothing."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    def read(self, query: str, values: Values = ()) -> list[Row]:
        """The rows of a query, with what this transaction has written so far."""
        return rows_of(self._execute(query, values))

    def run(self, statement: str, values: Values = ()) -> int:
        """Any other statement; returns how many rows it changed."""
        return self._execute(statement, values).rowcount

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Add a row.

        Raises:
            RowExists: There is one with this key.
        """
        self._execute(_insert(table, row), tuple(row.values()))

    def insert_all(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows that all have the same columns, many at once.

        Raises:
            RowExists: There is one with the key of one of them.
        """
        step = max(1, MOST_VALUES // len(rows[0])) if rows else 1
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            values = [value for row in some for value in row.values()]
            self._execute(_insert(table, some[0], len(some)), values)

    def upsert(self, table: str, row: Mapping[str, Any]) -> None:
        """Add a row, or change the given columns of the one with its key."""
        key = KEYS[table]
        changes = ", ".join(f"{name} = excluded.{name}" for name in row if name not in key)
        action = f"update set {changes}" if changes else "nothing"
        conflict = f" on conflict ({', '.join(key)}) do {action}"
        self._execute(_insert(table, row) + conflict, tuple(row.values()))

    def update(self, table: str, key: Values, row: Mapping[str, Any]) -> int:
        """Change the given columns of the row with this key; returns 0 when there is none.

        Raises:
            RowExists: Another row has the new key.
        """
        changes = ", ".join(f"{name} = ?" for name in row)
        statement = f"update {table} set {changes} where {_is_key(table)}"  # noqa: S608
        return self.run(statement, (*row.values(), *key))

    def delete(self, table: str, key: Values) -> int:
        """Remove the row with this key; returns 0 when there is none."""
        return self.run(f"delete from {table} where {_is_key(table)}", key)  # noqa: S608


Read = Callable[[str], list[Row]]


class Database(Protocol):
    """The tables of one store; safe from several threads and processes.

    Every method raises StoreError when the database cannot be used.
    """

    @property
    def variable(self) -> str:
        """The setting that names it."""

    @property
    def place(self) -> str:
        """Where it is, for people: no password."""

    @property
    def well_at(self) -> float:
        """When `version` last succeeded within the scope, as `time.monotonic` has it."""

    def scope(self) -> Any:
        """An object for what was read: a version is comparable within one scope only."""

    def migrate(self) -> None:
        """Bring the tables up to date, one process at a time; a file is created when missing."""

    def read(self, query: str, values: Values = ()) -> list[Row]:
        """The rows of a query."""

    def snapshot(self) -> AbstractContextManager[Read]:
        """Several queries that all see the database as it was at the first one."""

    def writing(self) -> AbstractContextManager[Writer]:
        """One transaction; writers wait for each other from its start."""

    def version(self) -> Hashable:
        """Changes within a second of any change by any process; costs no query to a server."""

    def backup(self, target: Path) -> None:
        """Copy the database as it is now, even while in use, to a new file.

        Raises:
            IntegrationError: The file exists, cannot be written, or another tool does this.
        """

    def close(self) -> None:
        """Let go of all connections; the next use opens them again."""


def open_database(place: Path | str, timeout_seconds: float) -> Database:
    """The database at a path (SQLite) or at a `postgres://` URL; nothing is opened yet."""
    if not is_url(place):
        from kommo_bridge.integrations.sqlite_database import SqliteDatabase  # noqa: PLC0415

        return SqliteDatabase(Path(place), timeout_seconds)
    # Only who uses PostgreSQL pays for loading psycopg.
    from kommo_bridge.integrations.postgres_database import PostgresDatabase  # noqa: PLC0415

    return PostgresDatabase(str(place), timeout_seconds)


def is_url(place: Path | str) -> bool:
    """Whether it is a server's address, and not the path of a file."""
    return isinstance(place, str) and "://" in place


def address(place: Path | str) -> str:
    """Where a store is, for people: an absolute path, or a URL without user and password."""
    if not is_url(place):
        return str(Path(place).absolute())
    parts = urlsplit(str(place))
    port = f":{parts.port}" if parts.port else ""
    return f"postgresql://{parts.hostname or ''}{port}{parts.path}"


def rows_of(cursor: Cursor) -> list[Row]:
    """All rows, by column."""
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def unusable(reason: str) -> StoreError:
    """The sentence of every failure; the reason holds no value of a row and no password."""
    return StoreError(f"The integration store cannot be used: {reason}.")


def _insert(table: str, row: Mapping[str, Any], count: int = 1) -> str:
    places = ", ".join("?" for _ in row)
    rows = ", ".join([f"({places})"] * count)
    return f"insert into {table} ({', '.join(row)}) values {rows}"  # noqa: S608


def _is_key(table: str) -> str:
    return " and ".join(f"{name} = ?" for name in KEYS[table])

"""The steps of the tables in PostgreSQL: applied in one transaction, by one process at a time."""

from datetime import UTC, datetime
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from kommo_bridge.integrations.migrations import STEPS
from kommo_bridge.integrations.operations import (
    AddColumns,
    CreateTable,
    MakeOptional,
    Operation,
    Run,
)
from kommo_bridge.integrations.tables import KEYS

LOCK = 0x6B6F6D6D6F  # of who migrates; any number that nobody else takes
TYPES = {str: "text", int: "bigint", float: "double precision", bytes: "bytea"}
# `_version` has one row, whose mark every writer changes first: so they also wait for each other.
OURS = """
create table if not exists _migrations (name text primary key, applied_at text not null);
create table if not exists _version (mark bigint not null);
insert into _version select 0 where not exists (select from _version)
"""


def apply(connection: Connection[Any]) -> None:
    """Apply what is missing; to be called in a transaction.

    A database that has all of it is not written to: it may be read-only for a while.
    """
    if _applied(connection) >= STEPS.keys():
        return
    connection.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
    connection.execute(OURS)
    applied = _applied(connection)
    for name, operations in STEPS.items():
        if name not in applied:
            for operation in operations:
                for statement in _statements(operation):
                    connection.execute(statement)
            at = datetime.now(UTC).isoformat(timespec="seconds")
            connection.execute("insert into _migrations values (%s, %s)", (name, at))


def _applied(connection: Connection[Any]) -> set[str]:
    exists = connection.execute("select to_regclass('_migrations') is not null").fetchone()
    if not exists or not exists[0]:
        return set()
    return {name for (name,) in connection.execute("select name from _migrations")}


def _statements(operation: Operation) -> list[Composed | SQL]:
    match operation:
        case CreateTable(table, columns):
            return [_create(table, {name: _type(of) for name, of in columns.items()})]
        case AddColumns(table, columns):
            return [
                SQL("alter table {} add column {} {}").format(
                    Identifier(table), Identifier(name), _column(default)
                )
                for name, default in columns.items()
            ]
        case MakeOptional(table, column):
            return [
                SQL(
                    "alter table {} alter column {} drop not null, alter column {} drop default"
                ).format(Identifier(table), Identifier(column), Identifier(column))
            ]
        case Run(statement):
            return [SQL(statement)]


def _create(table: str, columns: dict[str, Composable]) -> Composed:
    lines = [SQL("{} {}").format(Identifier(name), of) for name, of in columns.items()]
    key = SQL(", ").join(Identifier(name) for name in KEYS[table])
    lines.append(SQL("primary key ({})").format(key))
    return SQL("create table {} ({})").format(Identifier(table), SQL(", ").join(lines))


def _column(default: Any) -> Composable:
    if isinstance(default, type):
        return _type(default)
    return SQL("{} not null default {}").format(_type(type(default)), Literal(default))


def _type(of: type) -> Composable:
    return SQL(TYPES[of])

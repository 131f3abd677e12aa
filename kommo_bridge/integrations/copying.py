"""Everything of one store into another, secrets included as they are encrypted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.database import Database, Row, address, is_url, open_database
from kommo_bridge.integrations.tables import KEYS

# Nobody waits for this but the one who typed the command.
COPY_SECONDS = 600.0

SCHEMES = ("postgres://", "postgresql://")

Tables = Mapping[str, Sequence[Row]]


def copy_store(source: str, target: str, *, replace: bool) -> dict[str, int]:
    """Copy all tables, and compare them afterwards.

    Args:
        source, target: Paths of SQLite files, or `postgres://` URLs.
        replace: Whether everything that the target holds is removed first.

    Returns:
        The number of rows of each table.

    Raises:
        IntegrationError: There is no such source, the target is not empty, or what was copied is
            not what was read. Then the target is as it was before.
        StoreError: One of them cannot be used.
    """
    for place in (source, target):
        if is_url(place) and not place.startswith(SCHEMES):
            raise IntegrationError(
                f"A {place.partition(':')[0]} URL is neither a path nor a postgres:// URL."
            )
    if not is_url(source) and not Path(source).is_file():
        raise IntegrationError(f"There is no file {source}.")
    if _same(source, target):
        raise IntegrationError("Both names lead to the same store.")
    databases = [open_database(place, COPY_SECONDS) for place in (source, target)]
    try:
        return _copy(*databases, replace=replace)
    finally:
        for database in databases:
            database.close()


def _same(source: str, target: str) -> bool:
    if is_url(source) or is_url(target):
        return source == target
    return address(source) == address(target)


def _copy(source: Database, target: Database, *, replace: bool) -> dict[str, int]:
    source.migrate()  # as the next start would
    target.migrate()
    with source.snapshot() as read:
        tables = {table: read(f"select * from {table}") for table in KEYS}  # noqa: S608
    with target.writing() as writer:
        for table, rows in tables.items():
            if writer.read(f"select 1 from {table} limit 1"):  # noqa: S608
                if not replace:
                    raise IntegrationError(
                        f"{target.place} is not empty ({table}): name an empty one, or say "
                        "--replace to remove everything that it holds."
                    )
                writer.run(f"delete from {table}")  # noqa: S608
            writer.insert_all(table, rows)
        copied = {table: writer.read(f"select * from {table}") for table in KEYS}  # noqa: S608
        if table := first_difference(tables, copied):
            raise IntegrationError(
                f"{table} in {target.place} is not what {source.place} holds: nothing was copied."
            )
    return {table: len(rows) for table, rows in tables.items()}


def first_difference(tables: Tables, copied: Tables) -> str:
    """The first table whose rows are not the same in both; empty when all are."""
    for table, rows in tables.items():
        by_key, copied_by_key = _by_key(table, rows), _by_key(table, copied[table])
        if by_key != copied_by_key:
            return table
    return ""


def _by_key(table: str, rows: Sequence[Row]) -> dict[tuple[object, ...], Row]:
    return {tuple(row[name] for name in KEYS[table]): row for row in rows}

"""The tables: declared once, and the same in both databases."""

import threading
from pathlib import Path

import pytest

from kommo_bridge.errors import RowExists, StoreError
from kommo_bridge.integrations.database import Database, open_database
from kommo_bridge.integrations.migrations import STEPS
from kommo_bridge.integrations.operations import CreateTable
from kommo_bridge.integrations.tables import INTEGRATIONS, KEYS
from local.postgres_server import PostgresServer

KEY = {"integration_id": "0b01", "subdomain": "acme"}


@pytest.fixture
def database(place: Path | str) -> Database:
    database = open_database(place, 5)
    database.migrate()
    return database


def test_each_table_has_a_key_and_a_step_that_creates_it() -> None:
    created = [
        operation.table
        for operations in STEPS.values()
        for operation in operations
        if isinstance(operation, CreateTable)
    ]

    assert sorted(created) == sorted(KEYS)


def test_steps_are_numbered_in_their_order() -> None:
    assert [name.partition("_")[0] for name in STEPS] == [
        f"m{number:03}" for number in range(1, len(STEPS) + 1)
    ]


def test_both_databases_have_the_same_columns_and_defaults(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    rows = []
    for place in (tmp_path / "bridge.db", postgres_server.new_schema()):
        database = open_database(place, 5)
        database.migrate()
        with database.writing() as writer:
            writer.insert(INTEGRATIONS, KEY)
        rows += database.read(f"select * from {INTEGRATIONS}")
        database.close()

    of_sqlite, of_postgres = rows
    assert of_sqlite == of_postgres
    kinds = [{name: type(value) for name, value in row.items()} for row in rows]
    assert kinds[0] == kinds[1]


def test_each_table_of_a_database_is_in_the_list(database: Database, place: Path | str) -> None:
    """Otherwise `flask store copy` would leave it behind."""
    query = "select name from sqlite_master where type = 'table' and name not like 'sqlite%'"
    if isinstance(place, str):
        query = (
            "select table_name as name from information_schema.tables "
            "where table_schema = current_schema()"
        )

    names = {str(row["name"]) for row in database.read(query)}

    assert {name for name in names if not name.startswith("_")} == KEYS.keys()


def test_a_writer_adds_changes_and_removes_rows_by_their_key(database: Database) -> None:
    with database.writing() as writer:
        writer.insert(INTEGRATIONS, {**KEY, "name": "one", "enabled": True})
        writer.upsert(INTEGRATIONS, {**KEY, "name": "two"})
        writer.upsert(INTEGRATIONS, {**KEY, "subdomain": "other", "name": "100%?"})
        assert writer.update(INTEGRATIONS, ("0b01", "acme"), {"model": "m"}) == 1
        assert writer.update(INTEGRATIONS, ("0b01", "nobody"), {"model": "m"}) == 0
        assert writer.delete(INTEGRATIONS, ("0b01", "nobody")) == 0
        seen_before_it_is_stored = len(writer.read(f"select * from {INTEGRATIONS}"))

    columns = "subdomain, name, model, enabled"
    query = f"select {columns} from {INTEGRATIONS} where name like 't%' or name = ?"
    rows = database.read(query, ("100%?",))
    assert seen_before_it_is_stored == 2
    assert sorted(rows, key=str) == [
        {"subdomain": "acme", "name": "two", "model": "m", "enabled": 1},
        {"subdomain": "other", "name": "100%?", "model": None, "enabled": None},
    ]
    with database.writing() as writer:
        assert writer.delete(INTEGRATIONS, ("0b01", "acme")) == 1
    assert len(database.read(f"select * from {INTEGRATIONS}")) == 1


def test_a_row_that_exists_is_another_error_than_a_store_that_fails(database: Database) -> None:
    def insert(*rows: dict[str, str]) -> None:
        with database.writing() as writer:
            for row in rows:
                writer.insert(INTEGRATIONS, row)

    with pytest.raises(RowExists):
        insert({**KEY, "name": "one"}, {**KEY, "name": "two"})
    assert database.read(f"select * from {INTEGRATIONS}") == []  # all or nothing

    with pytest.raises(StoreError) as caught:
        insert({"subdomain": "half a key"})
    assert not isinstance(caught.value, RowExists)


def test_what_one_writer_reads_no_other_changes_before_it_has_written(database: Database) -> None:
    """So that a rule over several rows, such as a number that grows, needs no lock of its own."""

    def add_one() -> None:
        with database.writing() as writer:
            [row] = writer.read(f"select count(*) as found from {INTEGRATIONS}")
            writer.insert(INTEGRATIONS, {**KEY, "subdomain": f"acme{row['found']}"})

    threads = [threading.Thread(target=add_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(database.read(f"select * from {INTEGRATIONS}")) == 8


def test_a_snapshot_sees_nothing_that_is_written_meanwhile(
    database: Database, place: Path | str
) -> None:
    """So what changes together in two tables is copied together."""
    query, other = f"select * from {INTEGRATIONS}", open_database(place, 5)

    with database.snapshot() as read:
        assert read(query) == []
        with other.writing() as writer:
            writer.insert(INTEGRATIONS, KEY)
        assert read(query) == []

    assert len(database.read(query)) == 1
    other.close()

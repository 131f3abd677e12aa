"""`flask store copy`: everything from one store to another, between files and PostgreSQL."""

import secrets
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from kommo_bridge.app import create_app
from kommo_bridge.integrations.copying import first_difference
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.tables import INTEGRATIONS
from kommo_bridge.settings import Settings
from local.postgres_server import QUOTED, PostgresServer

SECRET_KEY = secrets.token_hex(32)
ACME = Integration(
    integration_id="0b01",
    subdomain="acme",
    account_id=2**40,
    secret_key="plain-secret",
    access_token="plain-token",
    instructions="Be kind, 100 %?\n'; drop table integrations; -- 👍",
    temperature=0.5,
    enabled=False,
)
OTHER = replace(ACME, subdomain="other", account_id=None, temperature=None, enabled=True)


@pytest.fixture
def target(request: pytest.FixtureRequest, place: Path | str, tmp_path: Path) -> str:
    """A place for another store, in each database when asked for."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return str(tmp_path / "target.db")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_schema()


def store_at(place: Path | str, *integrations: Integration) -> IntegrationStore:
    store = IntegrationStore(place, SECRET_KEY)
    store.migrate()
    for integration in integrations:
        store.add(integration)
    return store


def copy(tmp_path: Path, source: Path | str, target: str, *options: str) -> Result:
    """Run the command in a bridge whose own store is another one."""
    own = Settings(secret_key=SECRET_KEY, database_path=tmp_path / "own.db")
    arguments = ["store", "copy", "--from", str(source), "--to", target, *options]
    return create_app(own).test_cli_runner().invoke(args=arguments)


@pytest.mark.parametrize("target", ["sqlite", "postgres"], indirect=True)
def test_everything_is_copied_secrets_included(
    tmp_path: Path, place: Path | str, target: str
) -> None:
    source = store_at(place, ACME, OTHER)

    done = copy(tmp_path, place, target)

    assert done.exit_code == 0, done.output
    assert "integrations: 2 rows\n" in done.output
    assert done.output.endswith("and compared: the same.\n")
    copied = store_at(target)
    assert copied.all() == [ACME, OTHER]
    query = f"select * from {INTEGRATIONS} order by subdomain"
    assert copied.database.read(query) == source.database.read(query)
    assert "plain-" not in done.output
    assert QUOTED not in done.output


def test_a_target_that_holds_something_is_kept_unless_told_otherwise(
    tmp_path: Path, place: Path | str, target: str
) -> None:
    store_at(place, ACME)
    held = store_at(target, OTHER)

    refused = copy(tmp_path, place, target)

    assert refused.exit_code == 1
    assert "is not empty (integrations)" in refused.output
    assert "--replace" in refused.output
    assert held.all() == [OTHER]
    assert copy(tmp_path, place, target, "--replace").exit_code == 0
    assert held.all() == [ACME]


def test_a_backup_of_postgres_names_its_own_tool(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    settings = Settings(secret_key=SECRET_KEY, database_url=postgres_server.new_schema())
    target = tmp_path / "copy.db"

    done = (
        create_app(settings).test_cli_runner().invoke(args=["integrations", "backup", str(target)])
    )

    assert done.exit_code == 1
    assert done.output.startswith("Error: The integrations are in PostgreSQL: `pg_dump ")
    assert QUOTED not in done.output
    assert not target.exists()


def test_what_cannot_be_copied_is_one_sentence(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    store_at(tmp_path / "there.db", ACME)
    there, missing = str(tmp_path / "there.db"), str(tmp_path / "missing.db")
    away = "postgres://bridge:pass%20word@127.0.0.1:1/x"

    for source, target, reason in (
        (missing, there, f"There is no file {missing}."),
        (there, there, "Both names lead to the same store."),
        (
            there,
            away,
            "postgresql://127.0.0.1:1/x cannot be opened for writing: it cannot be reached",
        ),
        (there, f"{away}?sslmode=odd", "cannot be opened for writing"),
        (there, f"{away}?odd=1", "PostgreSQL does not take its options"),
        (there, "mysql://bridge:pass@127.0.0.1/x", "is neither a path nor a postgres:// URL"),
        (there, postgres_server.url("nowhere"), 'database "nowhere" does not exist'),
    ):
        done = copy(tmp_path, source, target)

        assert done.exit_code == 1
        assert reason in done.output
        assert done.output.count("\n") == 1
        assert "pass" not in done.output.replace("password", "")
    assert not Path(missing).exists()


def test_a_row_that_differs_or_is_missing_is_found() -> None:
    row = {"integration_id": "0b01", "subdomain": "acme", "name": "Acme"}
    tables = {INTEGRATIONS: [row, {**row, "subdomain": "other"}]}

    assert first_difference(tables, {INTEGRATIONS: tables[INTEGRATIONS][::-1]}) == ""
    for copied in ([row], [row, row], [row, {**row, "subdomain": "other", "name": "Other"}], []):
        assert first_difference(tables, {INTEGRATIONS: copied}) == INTEGRATIONS


def test_a_copy_is_whole_while_others_write(tmp_path: Path, place: Path | str, target: str) -> None:
    source = store_at(place, ACME, OTHER)
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.wait(0.002):
            number += 1
            both = [
                {"subdomain": one, "integration_id": "0b01", "name": str(number)}
                for one in ("acme", "other")
            ]
            source.fill(both)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = copy(tmp_path, place, target)
    finally:
        over.set()
        writer.join()

    assert done.exit_code == 0, done.output
    assert len({one.name for one in store_at(target).all()}) == 1

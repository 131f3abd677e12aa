"""What happens while the PostgreSQL of the store is away, slow, restarted, read-only or full."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from helpers import wait_for

from kommo_bridge.errors import IntegrationError, SettingsError, StoreError
from kommo_bridge.integrations.database import open_database
from kommo_bridge.integrations.found import Found
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.open_store import open_store
from kommo_bridge.integrations.store import QUICK_SECONDS, IntegrationStore
from kommo_bridge.settings import Settings
from local.postgres_server import PASSWORD, QUOTED, PostgresServer

SECRET_KEY = secrets.token_hex(32)
ACME = Integration("0b01", "acme", account_id=5, secret_key="s" * 64)
ANOTHER = '[{"subdomain": "other", "integration_id": "0b02", "secret_key": "s"}]'
AWAY = "integration store is away"
BACK = "integration store is back"


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.new_schema()


@pytest.fixture
def patient(url: str) -> Iterator[IntegrationStore]:
    """As commands have it, with acme in it."""
    store = IntegrationStore(url, SECRET_KEY)
    store.migrate()
    store.add(ACME)
    yield store
    store.close()


@pytest.fixture
def store(patient: IntegrationStore, url: str) -> Iterator[IntegrationStore]:
    """As the web has it: in a hurry, and acme is known."""
    store = IntegrationStore(url, SECRET_KEY, QUICK_SECONDS)
    wait_for(lambda: knows(store, ACME))
    yield store
    store.close()


def knows(store: IntegrationStore, integration: Integration) -> bool:
    """Whether this is found; a machine under load may need more than one hurried look."""
    try:
        return store.find("0b01", 5, "acme") == integration
    except StoreError:
        return False


def fails(store: IntegrationStore) -> bool:
    try:
        store.database.version()
    except StoreError:
        return True
    return False


@pytest.mark.parametrize("fault", ["stopped", "paused"])
def test_who_is_known_is_served_while_the_database_is_away(
    postgres_server: PostgresServer,
    store: IntegrationStore,
    patient: IntegrationStore,
    fault: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with getattr(postgres_server, fault)():
        wait_for(lambda: fails(store))
        for _ in range(3):
            assert store.find("0b01", 5, "acme") == ACME
            with pytest.raises(StoreError, match="cannot be used"):
                store.find("0b01", 5, "unknown")
            with pytest.raises(StoreError, match="does not answer in time"):
                store.count()
        store.bind_account(ACME, 6)

    wait_for(lambda: not fails(store))
    patient.save(replace(ACME, name="changed"))
    wait_for(lambda: knows(store, replace(ACME, name="changed")))
    lines = [record.message for record in caplog.records]
    assert (lines.count(AWAY), lines.count(BACK)) == (1, 1)
    assert lines.count("account id not stored") == 1
    assert QUOTED not in str([vars(record) for record in caplog.records])


def test_a_store_that_was_away_for_too_long_knows_nobody(
    postgres_server: PostgresServer, store: IntegrationStore
) -> None:
    found = Found(store.database, lambda _key: ACME, kept_seconds=0)
    key = ("0b01", "acme", 5)
    wait_for(lambda: not fails(store))
    assert found.get(key) == ACME

    with postgres_server.stopped():
        wait_for(lambda: fails(store))
        with pytest.raises(StoreError):
            found.get(key)


def test_a_restart_breaks_no_later_call(
    postgres_server: PostgresServer, patient: IntegrationStore
) -> None:
    with ThreadPoolExecutor(4) as pool:  # so that there are several connections to break
        list(pool.map(lambda _: patient.count(), range(8)))

    with postgres_server.stopped():
        pass

    assert [patient.count() for _ in range(6)] == [1] * 6
    patient.save(replace(ACME, name="after"))
    assert patient.get("acme").name == "after"


def test_a_read_only_database_starts_serves_and_says_so(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres_server.new_database()
    store = IntegrationStore(url, SECRET_KEY)
    store.migrate()
    store.add(replace(ACME, account_id=None))
    store.close()
    name = url.rpartition("/")[2]
    postgres_server.run(f"alter database {name} set default_transaction_read_only = on")

    store = IntegrationStore(url, SECRET_KEY)
    store.migrate()

    assert store.find("0b01", 5, "acme") == replace(ACME, account_id=None)
    with pytest.raises(StoreError, match="read-only transaction"):
        store.save(ACME)
    store.bind_account(ACME, 5)
    store.close()
    assert [record.message for record in caplog.records] == ["account id not stored"]
    filled = Settings(secret_key=SECRET_KEY, database_url=url, kommo_integrations=ANOTHER)
    with pytest.raises(SettingsError, match="KOMMO_INTEGRATIONS cannot be stored"):
        open_store(filled)
    empty = postgres_server.new_database()
    name = empty.rpartition("/")[2]
    postgres_server.run(f"alter database {name} set default_transaction_read_only = on")
    with pytest.raises(SettingsError, match=r"DATABASE_URL .*read-only transaction"):
        IntegrationStore(empty, SECRET_KEY).migrate()


def test_a_full_database_keeps_what_it_has_and_takes_more_when_there_is_room(
    postgres_server: PostgresServer, url: str
) -> None:
    large = replace(ACME, instructions=secrets.token_hex(3_000_000))
    first = IntegrationStore(url, SECRET_KEY)
    first.migrate()
    first.add(ACME)
    first.close()

    with postgres_server.full():
        store = IntegrationStore(url, SECRET_KEY)
        with pytest.raises(StoreError, match="could not extend file"):
            store.save(large)
        assert store.get("acme") == ACME
        store.close()

    store = IntegrationStore(url, SECRET_KEY)
    store.save(large)
    assert store.get("acme") == large
    store.close()


def test_a_writer_that_takes_long_holds_up_nobody_who_is_in_a_hurry(
    store: IntegrationStore,
    patient: IntegrationStore,
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    unbound = replace(ACME, account_id=None)
    patient.save(unbound)
    wait_for(lambda: knows(store, unbound))
    caplog.clear()
    with psycopg.connect(url) as slow:
        slow.execute("update _version set mark = 1")
        store.bind_account(ACME, 5)
        assert store.find("0b01", 5, "acme") == unbound

    [record] = caplog.records
    assert record.message == "account id not stored"
    assert "does not answer in time" in vars(record)["fields"]["error"]
    patient.bind_account(ACME, 5)
    assert patient.get("acme").account_id == 5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((QUOTED, "wrong-password"), "password authentication failed"),
        (("/postgres?", "/nowhere?"), 'database "nowhere" does not exist'),
        (("127.0.0.1", "no.such.host.invalid"), "cannot be reached"),
        (("?options", "?odd=1&options"), "PostgreSQL does not take its options"),
        (("?options", "?sslmode=require&options"), "server does not support SSL"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_url_names_the_variable_and_no_password(
    url: str, change: tuple[str, str], reason: str
) -> None:
    wrong = url.replace(*change)
    assert wrong != url

    with pytest.raises(SettingsError, match=r"^DATABASE_URL postgresql://") as caught:
        IntegrationStore(wrong, SECRET_KEY).migrate()

    text = str(caught.value)
    assert reason in text
    for secret in (PASSWORD, QUOTED, "wrong-password", "bridge:"):
        assert secret not in text
    assert "\n" not in text


@pytest.mark.parametrize("sslmode", ["disable", "allow", "prefer"])
def test_sslmode_is_taken(url: str, sslmode: str) -> None:
    database = open_database(f"{url}&sslmode={sslmode}", 5)

    database.migrate()

    assert database.read("select 1 as one") == [{"one": 1}]
    database.close()


def test_a_claim_that_no_database_stores_names_nobody(store: IntegrationStore) -> None:
    assert store.find("0b01\0", 5, "acme") is None
    assert store.find("0b01", 5, "acme\ud800") is None
    with pytest.raises(IntegrationError, match="name must"):
        store.save(replace(ACME, name="a\0b"))

"""The integration store in both databases: many threads and processes, secrets at rest."""

import json
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import store_in_trouble, wait_for
from sqlite_utils import Database

from kommo_bridge.app import create_app
from kommo_bridge.errors import IntegrationError, SettingsError, StoreError
from kommo_bridge.integrations.encryption import Cipher
from kommo_bridge.integrations.integration import FIELDS, Integration, from_mapping
from kommo_bridge.integrations.rows import Rows
from kommo_bridge.integrations.sqlite_database import migrations
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings

SECRET_KEY = secrets.token_hex(32)
INTEGRATION_ID = "0b01c2d3-0000-4000-8000-00000000456c"
ACME = Integration(
    integration_id=INTEGRATION_ID,
    subdomain="acme",
    secret_key="plain-integration-secret",
    previous_secret_key="plain-previous-secret",
    access_token="plain-access-token",
    ai_api_key="plain-ai-key",
)
PLAIN = [
    b"plain-integration-secret",
    b"plain-previous-secret",
    b"plain-access-token",
    b"plain-ai-key",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """For what is true of SQLite alone."""
    return tmp_path / "folder" / "bridge.db"


@pytest.fixture
def store(place: Path | str) -> Iterator[IntegrationStore]:
    """An empty store; no Redis is needed here."""
    store = IntegrationStore(place, SECRET_KEY)
    store.migrate()
    yield store
    store.close()


@pytest.fixture
def sqlite_store(path: Path) -> IntegrationStore:
    store = IntegrationStore(path, SECRET_KEY)
    store.migrate()
    return store


@pytest.fixture
def acme(store: IntegrationStore) -> Integration:
    store.add(ACME)
    return ACME


def settings_for(place: Path | str, kommo_integrations: str) -> Settings:
    """Settings that lead to a store."""
    settings = Settings(secret_key=SECRET_KEY, kommo_integrations=kommo_integrations)
    if isinstance(place, Path):
        return replace(settings, database_path=place)
    return replace(settings, database_url=place)


def in_processes(script: str, place: Path | str, count: int) -> list[str]:
    """Run a script that many times at once, each with (place, SECRET_KEY, number)."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(place), SECRET_KEY, str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(count)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * count, outputs
    return outputs


# The file


def test_migrating_twice_changes_nothing(store: IntegrationStore, acme: Integration) -> None:
    store.migrate()

    assert store.all() == [acme]


def test_a_file_of_the_first_release_gets_the_defaults_of_conversations(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    db = Database(path)
    migrations().apply(db, stop_before="m002_add_conversations")
    db.table("integrations").insert(
        {"integration_id": "0b01", "subdomain": "acme", "secret_key": "", "access_token": "",
         "previous_secret_key": "", "ai_api_key": "", "history": 5, "enabled": 1}
    )  # fmt: skip
    db.close()
    store = IntegrationStore(path, SECRET_KEY)

    store.migrate()

    [old] = store.all()
    new = Integration("0b01", "acme")
    for name in ("burst_seconds", "handoff_hours", "handoff_tool", "handoff_text", "pause_tag",
                 "history_days", "replies_per_hour", "tokens_per_month"):  # fmt: skip
        assert getattr(old, name) == getattr(new, name), name
    assert old.history == 5


def test_one_that_was_there_before_the_assistant_grew_says_nothing_new(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    db = Database(path)
    migrations().apply(db, stop_before="m004_add_assistant")
    columns = {column.name for column in db.table("integrations").columns}
    row = Rows(Cipher(SECRET_KEY)).write(ACME)
    db.table("integrations").insert({name: row[name] for name in columns & set(row)})
    db.close()
    store = IntegrationStore(path, SECRET_KEY)

    store.migrate()

    assert store.all() == [replace(ACME, disclosure="")]


def test_a_store_of_1_0_0_gets_the_default_cap_where_nobody_chose_one(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    db = Database(path)
    migrations().apply(db, stop_before="m003_cap_replies_by_default")
    columns = {column.name for column in db.table("integrations").columns}
    caps = {"a": (0, 0, 0), "b": (50, 0, 0), "c": (0, 9, 0), "d": (0, 0, 9)}
    for subdomain, (replies, day, month) in caps.items():
        old = replace(
            ACME,
            subdomain=subdomain,
            replies_per_day=replies,
            tokens_per_day=day,
            tokens_per_month=month,
        )
        row = Rows(Cipher(SECRET_KEY)).write(old)
        db.table("integrations").insert({name: row[name] for name in columns & set(row)})
    db.close()
    store = IntegrationStore(path, SECRET_KEY)

    store.migrate()

    stored = {item.subdomain: item.replies_per_day for item in store.all()}
    assert stored == {"a": None, "b": 50, "c": 0, "d": 0}
    assert store.get("a") == replace(ACME, subdomain="a", disclosure="")
    store.save(replace(store.get("a"), replies_per_day=0))
    assert store.get("a").replies_per_day == 0


def test_many_processes_may_migrate_at_once(place: Path | str) -> None:
    script = """
import sys
from kommo_bridge.integrations.store import IntegrationStore

store = IntegrationStore(sys.argv[1], sys.argv[2])
store.migrate()
print(store.count())
"""
    assert in_processes(script, place, 6) == ["0\n"] * 6


def test_many_threads_may_migrate_at_once(path: Path) -> None:
    for attempt in range(20):
        store = IntegrationStore(path.with_name(f"{attempt}.db"), SECRET_KEY)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _, store=store: store.migrate(), range(8)))

        assert store.all() == []


def test_the_journal_is_a_write_ahead_log(sqlite_store: IntegrationStore, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        mode = connection.execute("pragma journal_mode").fetchone()
    connection.close()

    assert mode == ("wal",)


@pytest.mark.parametrize("kind", ["folder", "text", "no folder"])
def test_a_file_that_cannot_be_a_database_names_the_variable(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bridge.db"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("This is no database, and long enough to be seen as such. " * 20)
    else:
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "bridge.db"

    with pytest.raises(SettingsError, match="DATABASE_PATH"):
        IntegrationStore(path, SECRET_KEY).migrate()


# Secrets


def test_no_secret_stands_in_the_files(sqlite_store: IntegrationStore, path: Path) -> None:
    sqlite_store.add(ACME)
    sqlite_store.save(replace(ACME, secret_key="plain-integration-secret-2"))

    files = [file for file in path.parent.iterdir() if file.stat().st_size]
    kept = b"".join(file.read_bytes() for file in files)

    assert {file.name for file in files} >= {"bridge.db", "bridge.db-wal"}
    assert b"acme" in kept
    assert [secret for secret in PLAIN if secret in kept] == []


def test_no_secret_stands_in_an_integration_as_text(acme: Integration) -> None:
    assert "plain-" not in repr(acme)
    assert "plain-" not in str(acme)


def test_no_secret_stands_in_a_row(store: IntegrationStore, acme: Integration) -> None:
    [row] = store.database.read("select * from integrations")

    assert "acme" in row.values()
    assert [secret for secret in PLAIN if secret.decode() in str(row)] == []


def test_equal_secrets_are_not_seen_to_be_equal(store: IntegrationStore) -> None:
    store.add(ACME)
    store.add(replace(ACME, subdomain="other"))

    kept = store.database.read("select secret_key from integrations")

    assert len({row["secret_key"] for row in kept}) == 2


def test_another_secret_key_is_told_and_reads_nothing(
    store: IntegrationStore, acme: Integration, place: Path | str
) -> None:
    other = IntegrationStore(place, secrets.token_hex(32))
    other.migrate()

    for read in (other.all, lambda: other.get("acme")):
        with pytest.raises(SettingsError, match="SECRET_KEY is not the one"):
            read()
    with pytest.raises(StoreError, match="SECRET_KEY is not the one"):
        other.find(INTEGRATION_ID, 1, "acme")


@pytest.fixture
def foreign(store: IntegrationStore, acme: Integration, place: Path | str) -> Integration:
    """An integration beside acme whose secrets were encrypted with another `SECRET_KEY`."""
    foreign = replace(ACME, subdomain="foreign", account_id=5, name="Foreign")
    IntegrationStore(place, secrets.token_hex(32)).add(foreign)
    return foreign


def test_an_integration_of_another_secret_key_is_logged_and_does_not_stop_the_others(
    store: IntegrationStore,
    acme: Integration,
    foreign: Integration,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert store.all() == [acme]
    with pytest.raises(StoreError, match="SECRET_KEY is not the one"):
        store.find(INTEGRATION_ID, 5, "foreign")
    assert store.find(INTEGRATION_ID, 5, "acme") == acme

    [first, second] = [vars(record)["fields"] for record in caplog.records]
    assert first == second
    assert set(first) == {"subdomain", "error"}
    assert first["subdomain"] == "foreign"
    assert "SECRET_KEY is not the one" in first["error"]


def test_an_integration_of_another_secret_key_is_told_to_who_names_it(
    store: IntegrationStore, acme: Integration, foreign: Integration
) -> None:
    with pytest.raises(SettingsError, match="SECRET_KEY is not the one"):
        store.get("foreign")

    blank: dict[str, Any] = dict.fromkeys(
        ("secret_key", "previous_secret_key", "access_token", "ai_api_key"), ""
    )
    assert store.get_without_secrets("foreign") == replace(foreign, **blank)
    assert store.get("acme") == acme


def test_filling_gives_secrets_anew_that_cannot_be_decrypted(
    store: IntegrationStore, foreign: Integration
) -> None:
    """As `KOMMO_INTEGRATIONS` does at the start: one such row must not stop it."""
    given = {"integration_id": INTEGRATION_ID, "subdomain": "foreign", "secret_key": "new"}

    store.fill([{**given, "access_token": "anew"}])

    healed = store.get("foreign")
    assert (healed.secret_key, healed.access_token, healed.ai_api_key) == ("new", "anew", "")
    assert (healed.account_id, healed.name) == (5, "Foreign")


def test_all_is_read_back_as_it_was_written(store: IntegrationStore) -> None:
    full = replace(
        ACME,
        account_id=2**40,
        domain="amocrm.ru",
        name="Ёлка 👍",
        instructions="Be kind.\n'; drop table integrations; --",
        model="some-model",
        temperature=0.5,
        history=0,
        delivery="show",
        ai_base_url="http://localhost:11434/v1",
        enabled=False,
    )

    store.add(full)

    assert store.all() == [full]
    assert store.get("acme") == full
    assert full.host == "acme.amocrm.ru"
    assert full.secrets == ()
    assert ACME.secrets == ("plain-integration-secret", "plain-previous-secret")


# Finding


@pytest.mark.parametrize(
    ("integration_id", "account_id", "subdomain", "is_found"),
    [
        (INTEGRATION_ID, 5, "acme", True),
        (INTEGRATION_ID.upper(), 5, "ACME", True),
        (INTEGRATION_ID, 6, "acme", False),
        (INTEGRATION_ID, 0, "acme", False),
        (INTEGRATION_ID, 5, "other", False),
        (INTEGRATION_ID, 5, "", False),
        (INTEGRATION_ID, 5, "%", False),
        (INTEGRATION_ID[:-1], 5, "acme", False),
        ("%", 5, "acme", False),
        ("", 5, "acme", False),
    ],
)
def test_a_bound_integration_is_found_by_all_three_claims_alone(
    store: IntegrationStore, integration_id: str, account_id: int, subdomain: str, is_found: bool
) -> None:
    store.add(replace(ACME, account_id=5))

    assert (store.find(integration_id, account_id, subdomain) is not None) is is_found


def test_an_integration_not_bound_yet_is_found_for_any_account(
    store: IntegrationStore, acme: Integration
) -> None:
    assert store.find(INTEGRATION_ID, 0, "acme") == acme
    assert store.find(INTEGRATION_ID, 2**63 - 1, "acme") == acme


def test_an_account_is_bound_once(store: IntegrationStore, acme: Integration) -> None:
    store.bind_account(acme, 5)
    store.bind_account(acme, 6)

    assert store.get("acme").account_id == 5
    assert store.find(INTEGRATION_ID, 6, "acme") is None


@pytest.mark.parametrize("trouble", ["read-only", "locked"])
def test_an_account_that_cannot_be_bound_is_logged_and_tried_again(
    sqlite_store: IntegrationStore, path: Path, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    sqlite_store.add(ACME)

    with store_in_trouble(path, trouble):
        hurried = IntegrationStore(path, SECRET_KEY, timeout_seconds=0.01)
        hurried.bind_account(ACME, 5)

    [record] = caplog.records
    assert record.message == "account id not stored"
    fields = vars(record)["fields"]
    assert fields["subdomain"] == "acme"
    assert fields["error"].startswith("StoreError: The integration store cannot be used: ")
    assert sqlite_store.get("acme").account_id is None
    IntegrationStore(path, SECRET_KEY).bind_account(ACME, 5)
    assert sqlite_store.get("acme").account_id == 5


def test_binding_one_account_leaves_the_others_alone(store: IntegrationStore) -> None:
    other = replace(ACME, subdomain="other")
    store.add(ACME)
    store.add(other)

    store.bind_account(ACME, 5)

    assert store.get("other") == other


def test_one_integration_may_live_in_several_accounts(store: IntegrationStore) -> None:
    other = replace(ACME, subdomain="other", account_id=7)
    store.add(ACME)
    store.add(other)

    assert store.find(INTEGRATION_ID, 7, "other") == other
    assert [item.subdomain for item in store.all()] == ["acme", "other"]
    assert store.count() == 2


def test_an_operator_names_one_of_several_by_the_start_of_its_id(store: IntegrationStore) -> None:
    second = replace(ACME, integration_id="1" + INTEGRATION_ID[1:])
    store.add(ACME)
    store.add(second)

    with pytest.raises(IntegrationError, match="names several"):
        store.get("acme")
    assert store.get("acme/1") == second
    assert store.get(f"Acme/{INTEGRATION_ID.upper()}") == ACME


@pytest.mark.parametrize("name", ["", "other", "acm", "acme/x", "acme/%", "acme/_", "%", "'"])
def test_a_name_that_fits_none_is_told(
    store: IntegrationStore, acme: Integration, name: str
) -> None:
    with pytest.raises(IntegrationError, match="There is no integration"):
        store.get(name)


# Changing


def test_the_same_integration_cannot_be_added_twice(
    store: IntegrationStore, acme: Integration
) -> None:
    with pytest.raises(IntegrationError, match="acme has this integration already"):
        store.add(replace(acme, name="again"))

    assert store.all() == [acme]


def test_a_renamed_account_keeps_its_row(store: IntegrationStore, acme: Integration) -> None:
    renamed = replace(acme, subdomain="renamed")

    store.rename(acme, renamed)

    assert store.all() == [renamed]


def test_an_integration_cannot_take_the_place_of_another(store: IntegrationStore) -> None:
    other = replace(ACME, subdomain="other")
    store.add(ACME)
    store.add(other)

    with pytest.raises(IntegrationError, match="other has this integration already"):
        store.rename(ACME, replace(ACME, subdomain="other"))

    assert store.all() == [ACME, other]


def test_what_was_removed_meanwhile_cannot_be_renamed(
    store: IntegrationStore, acme: Integration
) -> None:
    store.remove(acme)

    with pytest.raises(IntegrationError, match="no integration"):
        store.rename(acme, replace(acme, name="x"))

    assert store.all() == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"subdomain": "acme.kommo.com"}, "subdomain"),
        ({"subdomain": "https://acme"}, "subdomain"),
        ({"subdomain": "-acme"}, "subdomain"),
        ({"subdomain": "acme\n"}, "subdomain"),
        ({"subdomain": "a/b"}, "subdomain"),
        ({"subdomain": "x" * 64}, "subdomain"),
        ({"domain": "evil.com"}, "domain"),
        ({"secret_key": ""}, "secret_key"),
        ({"secret_key": "with space"}, "secret_key"),
        ({"access_token": "line\nbreak"}, "access_token"),
        ({"access_token": "ümlaut"}, "access_token"),
        ({"integration_id": "a b"}, "integration_id"),
        ({"delivery": "fax"}, "delivery"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"history": -1}, "history"),
        ({"history": 10**9}, "history"),
        ({"history_days": 0}, "history_days"),
        ({"burst_seconds": 10.5}, "burst_seconds"),
        ({"burst_seconds": -1}, "burst_seconds"),
        ({"handoff_hours": 0}, "handoff_hours"),
        ({"handoff_hours": 721}, "handoff_hours"),
        ({"handoff_text": " "}, "handoff_text"),
        ({"no_text_text": "{}"}, "no_text_text"),
        ({"fallback_text": '{"en": ""}'}, "fallback_text"),
        ({"replies_per_hour": -1}, "replies_per_hour"),
        ({"tokens_per_day": 2**63}, "tokens_per_day"),
        ({"fallback_text": " "}, "fallback_text"),
        ({"no_text_text": ""}, "no_text_text"),
        ({"account_id": 0}, "account_id"),
        ({"account_id": -5}, "account_id"),
        ({"account_id": 2**63}, "account_id"),
        ({"ai_base_url": "ftp://x"}, "ai_base_url"),
        ({"name": "\ud800"}, "name"),
        ({"instructions": "a\udcffb"}, "instructions"),
        ({"model": "\ud800"}, "model"),
    ],
    ids=str,
)
def test_what_could_never_work_is_not_stored(
    store: IntegrationStore, changed: dict[str, Any], named: str
) -> None:
    for change in (store.add, store.save, lambda it: store.rename(ACME, it)):
        with pytest.raises(IntegrationError, match=named):
            change(replace(ACME, **changed))

    assert store.all() == []


# Filling


def test_filling_adds_and_updates_and_keeps_what_is_not_named(
    store: IntegrationStore, acme: Integration
) -> None:
    store.bind_account(acme, 5)

    changes = store.fill(
        [
            {"subdomain": "ACME", "integration_id": INTEGRATION_ID.upper(), "name": "Acme"},
            {"subdomain": "other", "integration_id": INTEGRATION_ID, "secret_key": "its-own"},
        ]
    )

    assert [change.fields for change in changes] == [("name",), FIELDS]
    assert store.get("acme") == replace(acme, account_id=5, name="Acme")
    assert store.get("other").secret_key == "its-own"


GOOD = {"subdomain": "good", "integration_id": INTEGRATION_ID, "secret_key": "its-own"}


@pytest.mark.parametrize(
    "bad",
    [
        {},
        [],
        "text",
        5,
        None,
        {"subdomain": "bad"},
        {**GOOD, "subdomain": 5},
        {**GOOD, "subdomain": ""},
        {**GOOD, "secret_key": ""},
        {**GOOD, "secret_key": None},
        {**GOOD, "colour": "red"},
        {**GOOD, "account_id": "many"},
        {**GOOD, "account_id": float("inf")},
        {**GOOD, "account_id": 10**30},
        {**GOOD, "account_id": 1.5},
        {**GOOD, "account_id": True},
        {**GOOD, "account_id": []},
        {**GOOD, "history": None},
        {**GOOD, "burst_seconds": "nan"},
        {**GOOD, "handoff_hours": True},
        {**GOOD, "handoff_tool": "perhaps"},
        {**GOOD, "replies_per_day": 1.5},
        {**GOOD, "history": ""},
        {**GOOD, "history": float("nan")},
        {**GOOD, "temperature": "hot"},
        {**GOOD, "temperature": 10**400},
        {**GOOD, "enabled": "perhaps"},
        {**GOOD, "enabled": None},
        {**GOOD, "name": 5},
        {**GOOD, "name": "\ud800"},
        {**GOOD, "name": None},
        {**GOOD, "domain": None},
    ],
    ids=str,
)
def test_filling_stores_all_or_nothing(
    store: IntegrationStore, acme: Integration, bad: Any
) -> None:
    with pytest.raises(IntegrationError):
        store.fill([GOOD, {**GOOD, "subdomain": "acme"}, bad])

    assert store.all() == [acme]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("12345678", "account_id", 12345678),
        ("", "account_id", None),
        ("0.5", "temperature", 0.5),
        ("", "temperature", None),
        ("5", "history", 5),
        ("no", "enabled", False),
        ("True", "enabled", True),
        ("", "model", None),
        ("", "ai_base_url", None),
    ],
)
def test_text_of_a_command_line_becomes_the_type_of_its_field(
    text: str, field: str, value: object
) -> None:
    assert getattr(from_mapping({**GOOD, field: text}), field) == value


def test_the_app_fills_the_store_at_each_start(place: Path | str) -> None:
    items = [{**GOOD, "access_token": "plain-access-token"}]
    settings = settings_for(place, json.dumps(items))

    create_app(settings)
    create_app(settings)
    create_app(replace(settings, kommo_integrations=json.dumps({**GOOD, "name": "Good"})))

    stored = IntegrationStore(place, SECRET_KEY).all()
    assert [(item.subdomain, item.name) for item in stored] == [("good", "Good")]
    assert stored[0].access_token == "plain-access-token"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "text",
        "5",
        "[5]",
        "[{}]",
        json.dumps([GOOD, {**GOOD, "secret_key": ""}]),
        '["\\ud800"]',
    ],
)
def test_a_wrong_kommo_integrations_stops_the_start_without_telling_secrets(
    place: Path | str, text: str
) -> None:
    settings = settings_for(place, text)

    with pytest.raises(SettingsError, match="KOMMO_INTEGRATIONS is wrong") as caught:
        create_app(settings)

    assert "its-own" not in str(caught.value)
    assert IntegrationStore(place, SECRET_KEY).all() == []


# Many at once


def test_many_threads_read_and_write_at_once(store: IntegrationStore) -> None:
    def work(number: int) -> None:
        mine = replace(ACME, subdomain=f"acme{number}")
        store.add(mine)
        for turn in range(8):
            store.save(replace(mine, name=str(turn)))
            store.bind_account(mine, number + 1)
            assert store.get(mine.subdomain).name == str(turn)
            store.fill([{"subdomain": "common", "integration_id": "x", "secret_key": str(number)}])
            assert len(store.all()) >= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert store.count() == 9


def test_many_processes_read_and_write_at_once(store: IntegrationStore, place: Path | str) -> None:
    script = """
import sys
from dataclasses import replace
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
store = IntegrationStore(sys.argv[1], sys.argv[2])
store.migrate()
mine = Integration("id", f"acme{sys.argv[3]}", secret_key="x")
store.add(mine)
for turn in range(20):
    store.save(replace(mine, name=str(turn)))
    store.fill([{"subdomain": "common", "integration_id": "x", "secret_key": sys.argv[3]}])
    store.rename(store.get(mine.subdomain), replace(mine, name="renamed"))
    assert store.get(mine.subdomain).name == "renamed"
    store.all()
"""
    in_processes(script, place, 5)

    assert store.count() == 6


def test_one_of_many_first_requests_binds_the_account(
    store: IntegrationStore, acme: Integration
) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.bind_account(acme, number), range(1, 33)))

    bound = store.get("acme").account_id
    assert bound in range(1, 33)
    assert store.find(INTEGRATION_ID, bound or 0, "acme")


def test_what_was_found_is_forgotten_when_anybody_changes_the_store(
    store: IntegrationStore, place: Path | str
) -> None:
    """Web processes keep what they found; a change of a command must reach them."""
    other = IntegrationStore(place, SECRET_KEY)
    one = Integration(integration_id=INTEGRATION_ID, subdomain="acme", secret_key="s" * 64)

    def found() -> Integration | None:
        return store.find(INTEGRATION_ID, 1, "acme")

    assert found() is None
    other.add(one)
    wait_for(lambda: found() == one)
    other.save(replace(one, enabled=False))
    wait_for(lambda: found() == replace(one, enabled=False))
    store.save(one)
    assert found() == one
    store.remove(one)
    assert found() is None
    other.close()


def test_an_id_that_begins_another_one_names_itself(store: IntegrationStore) -> None:
    for integration_id in ("abc", "abcdef"):
        store.add(Integration(integration_id=integration_id, subdomain="acme", secret_key="s" * 64))

    assert store.get("acme/abc").integration_id == "abc"
    assert store.get("acme/abcd").integration_id == "abcdef"


@pytest.mark.parametrize("url", ["https://ai.example:port/v1", "https://", "ai.example", "ftp://a"])
def test_an_address_of_an_ai_must_be_one(store: IntegrationStore, url: str) -> None:
    with pytest.raises(IntegrationError, match="ai_base_url"):
        store.add(
            Integration(integration_id="a", subdomain="acme", secret_key="s" * 64, ai_base_url=url)
        )

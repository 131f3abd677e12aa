"""Versions of the instructions: who and when, the last fifty, on both databases."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.tables import INTEGRATIONS, VERSIONS
from kommo_bridge.integrations.variable import fill_from_variable
from kommo_bridge.integrations.versions import (
    KEPT,
    Version,
    new_versions,
    version_of,
    versions_of,
)

ACME = Integration("0b01", "acme", secret_key="s", instructions="one")


@pytest.fixture
def store(place: Path | str) -> Iterator[IntegrationStore]:
    store = IntegrationStore(place, secrets.token_hex(32))
    store.migrate()
    yield store
    store.close()


def kept(store: IntegrationStore, integration: Integration = ACME) -> list[tuple[int, str, str]]:
    return [(one.number, one.text, one.who) for one in versions_of(store.database, integration)]


def test_each_way_to_change_instructions_leaves_a_version(store: IntegrationStore) -> None:
    store.add(ACME)
    store.save(replace(ACME, instructions="two"), by="console")
    store.rename(ACME, replace(ACME, instructions="three"))
    store.fill([{"subdomain": "acme", "integration_id": "0b01", "instructions": ""}])
    text = '{"subdomain": "acme", "integration_id": "0b01", "instructions": "five"}'
    fill_from_variable(store, text)

    assert kept(store) == [
        (5, "five", "variable"),
        (4, "", "command"),
        (3, "three", "command"),
        (2, "two", "console"),
        (1, "one", "command"),
    ]
    assert version_of(store.database, ACME, 1).at <= version_of(store.database, ACME, 5).at


def test_what_leaves_the_instructions_as_they_are_leaves_no_version(
    store: IntegrationStore,
) -> None:
    store.add(ACME)
    store.save(replace(ACME, name="Acme"))
    store.add(replace(ACME, subdomain="silent", instructions=""))

    assert kept(store) == [(1, "one", "command")]
    assert kept(store, replace(ACME, subdomain="silent")) == []


def test_the_last_fifty_are_kept(store: IntegrationStore) -> None:
    store.add(ACME)
    for number in range(KEPT + 3):
        store.save(replace(ACME, instructions=f"text {number}"))

    numbers = [number for number, _, _ in kept(store)]
    assert numbers == list(range(KEPT + 4, 4, -1))
    with pytest.raises(IntegrationError, match="has no version 4 of its instructions"):
        version_of(store.database, ACME, 4)


def test_versions_go_where_their_integration_goes(store: IntegrationStore) -> None:
    other = replace(ACME, subdomain="other", instructions="mine")
    store.add(ACME)
    store.add(other)
    renamed = replace(ACME, subdomain="renamed", instructions="two")

    store.rename(ACME, renamed)
    assert kept(store) == []
    assert kept(store, renamed) == [(2, "two", "command"), (1, "one", "command")]

    store.remove(renamed)
    rows = store.database.read(f"select subdomain from {VERSIONS}")
    assert rows == [{"subdomain": "other"}]


def test_what_was_there_before_versions_were_kept_is_the_first(store: IntegrationStore) -> None:
    store.add(replace(ACME, instructions=""))
    with store.database.writing() as writer:  # as an older release wrote it
        writer.run(f"update {INTEGRATIONS} set instructions = ?", ("old",))

    store.save(replace(store.get("acme"), instructions="new"))

    assert kept(store) == [(2, "new", "command"), (1, "old", "earlier")]


LAST = Version(7, "last", "console", "then")


@pytest.mark.parametrize(
    ("newest", "before", "after", "added"),
    [
        (None, "", "", []),
        (None, "", "b", [(1, "b", "command")]),
        (None, "a", "b", [(1, "a", "earlier"), (2, "b", "command")]),
        (None, "a", "", [(1, "a", "earlier"), (2, "", "command")]),
        (LAST, "last", "b", [(8, "b", "command")]),
        (LAST, "last", "last", []),
        (LAST, "a", "b", [(8, "a", "earlier"), (9, "b", "command")]),
        (LAST, "a", "last", [(8, "a", "earlier"), (9, "last", "command")]),
        (LAST, "a", "a", []),
    ],
    ids=str,
)
def test_a_change_adds_what_no_version_holds(
    newest: Version | None, before: str, after: str, added: list[tuple[int, str, str]]
) -> None:
    found = new_versions(newest, before, after, "command", "now")

    assert [(one.number, one.text, one.who) for one in found] == added

"""`KOMMO_INTEGRATIONS`: what each start makes of the store, on both databases."""

import json
import logging
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kommo_bridge.errors import SettingsError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.tables import VARIABLE
from kommo_bridge.integrations.variable import fill_from_variable, overwritten

ID = "0b01c2d3-0000-4000-8000-00000000456c"
ACME = {"subdomain": "acme", "integration_id": ID, "secret_key": "first", "enabled": True}
BETA = {**ACME, "subdomain": "beta"}


@pytest.fixture
def store(place: Path | str) -> Iterator[IntegrationStore]:
    store = IntegrationStore(place, secrets.token_hex(32))
    store.migrate()
    yield store
    store.close()


def start(store: IntegrationStore, *items: dict[str, Any]) -> None:
    fill_from_variable(store, json.dumps(items))


def enabled(store: IntegrationStore) -> dict[str, bool]:
    return {one.subdomain: one.enabled for one in store.all()}


def switch(store: IntegrationStore, name: str, *, on: bool) -> None:
    store.save(replace(store.get(name), enabled=on))


def test_what_is_named_no_more_is_disabled_and_enabled_when_it_is_named_again(
    store: IntegrationStore,
) -> None:
    start(store, ACME, BETA)
    start(store, ACME)
    assert enabled(store) == {"acme": True, "beta": False}

    start(store, ACME, BETA)
    assert enabled(store) == {"acme": True, "beta": True}


def test_an_empty_list_disables_all_and_a_command_can_enable_one_for_good(
    store: IntegrationStore,
) -> None:
    start(store, ACME, BETA)
    start(store)
    assert enabled(store) == {"acme": False, "beta": False}

    switch(store, "acme", on=True)
    start(store)
    assert enabled(store) == {"acme": True, "beta": False}

    switch(store, "acme", on=False)  # by hand now, whatever the variable did before
    start(store, ACME, BETA)
    assert enabled(store) == {"acme": False, "beta": True}


def test_what_the_variable_never_named_is_left_alone(store: IntegrationStore) -> None:
    store.add(Integration(ID, "own", secret_key="own"))

    start(store, ACME)
    start(store)

    assert enabled(store) == {"acme": False, "own": True}


@pytest.mark.parametrize("item", [ACME, {key: ACME[key] for key in ACME if key != "enabled"}])
def test_what_was_disabled_by_hand_stays_so(store: IntegrationStore, item: dict[str, Any]) -> None:
    start(store, item)
    switch(store, "acme", on=False)

    start(store, item)
    start(store)
    start(store, {**item, "name": "Acme"})

    assert enabled(store) == {"acme": False}
    assert store.get("acme").name == "Acme"


def test_the_variable_may_disable_and_enable(store: IntegrationStore) -> None:
    start(store, ACME)
    start(store, {**ACME, "enabled": False})
    assert enabled(store) == {"acme": False}

    start(store, ACME)
    assert enabled(store) == {"acme": True}


@pytest.mark.parametrize("more", [{}, {"previous_secret_key": ""}], ids=str)
def test_a_changed_secret_keeps_the_former_one(
    store: IntegrationStore, more: dict[str, str]
) -> None:
    start(store, {**ACME, **more})
    for _ in range(2):  # every process fills at its start
        start(store, {**ACME, **more, "secret_key": "second"})

    assert store.get("acme").secrets == ("second", "first")


def test_a_former_secret_that_is_named_is_taken(store: IntegrationStore) -> None:
    start(store, ACME)
    start(store, {**ACME, "secret_key": "second", "previous_secret_key": "another"})

    assert store.get("acme").secrets == ("second", "another")


def test_each_change_is_a_line_of_the_log_without_values(
    store: IntegrationStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    start(store, ACME, BETA)
    start(store, {**ACME, "name": "A", "secret_key": "second"}, BETA)
    start(store, {**ACME, "name": "A", "secret_key": "second"})

    told = [
        (one.getMessage(), {name: str(value) for name, value in vars(one)["fields"].items()})
        for one in caplog.records
        if "KOMMO_INTEGRATIONS" in one.getMessage()
    ]
    added, changed = (f"integration {what} by KOMMO_INTEGRATIONS" for what in ("added", "changed"))
    fields = "name,secret_key,previous_secret_key"
    assert told == [
        (added, {"subdomain": "acme", "enabled": "True"}),
        (added, {"subdomain": "beta", "enabled": "True"}),
        (changed, {"subdomain": "acme", "fields": fields, "enabled": "True"}),
        (changed, {"subdomain": "beta", "fields": "enabled", "enabled": "False"}),
    ]


def test_a_start_that_changes_nothing_writes_nothing(store: IntegrationStore) -> None:
    start(store, ACME, BETA)
    start(store, ACME)
    before = store.database.version()

    start(store, ACME)

    assert store.database.version() == before


def test_an_integration_that_was_removed_is_forgotten(store: IntegrationStore) -> None:
    start(store, ACME, BETA)
    store.remove(store.get("beta"))

    start(store, ACME)

    assert enabled(store) == {"acme": True}
    rows = store.database.read(f"select subdomain, state from {VARIABLE}")
    assert rows == [{"subdomain": "acme", "state": "named"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"subdomain": "acme"', "it is not JSON (Expecting ',' delimiter"),
        ("[" * 100_000, "it is not JSON"),
        ('[{"subdomain": "acme"}]', "entry 1 (acme): The field 'integration_id' is missing."),
        (json.dumps([ACME, {**BETA, "secret_key": ""}]), "entry 2 (beta): secret_key must"),
        (json.dumps([ACME, BETA, ACME]), "entry 1 (acme) and entry 3 (acme) are the same"),
    ],
    ids=range(5),
)
def test_a_wrong_variable_names_the_place_and_stores_nothing(
    store: IntegrationStore, text: str, told: str
) -> None:
    with pytest.raises(SettingsError, match="KOMMO_INTEGRATIONS is wrong: ") as caught:
        fill_from_variable(store, text)

    assert told in str(caught.value)
    assert "first" not in str(caught.value)
    assert store.count() == 0


STORED = Integration(ID, "acme", secret_key="first", name="Acme")


@pytest.mark.parametrize(
    ("after", "undone"),
    [
        (replace(STORED, name="New"), "names name and would put its own value back"),
        (replace(STORED, secret_key="second"), "names secret_key"),
        (replace(STORED, subdomain="renamed"), "would add acme.kommo.com again"),
        (None, "would add acme.kommo.com again"),
        (replace(STORED, enabled=False), ""),
        (replace(STORED, model="another"), ""),
        (replace(STORED, previous_secret_key="former"), ""),
    ],
    ids=range(7),
)
def test_what_the_next_start_would_undo_is_known_before(
    after: Integration | None, undone: str
) -> None:
    text = json.dumps([BETA, {**ACME, "name": "Acme"}])

    told = overwritten(text, STORED, after)

    assert told.startswith("entry 2 (acme) of KOMMO_INTEGRATIONS " if undone else "")
    assert bool(told) == bool(undone)
    assert undone in told


def test_enabling_what_the_variable_disables_is_undone() -> None:
    text = json.dumps({**ACME, "enabled": False})

    assert "names enabled" in overwritten(text, replace(STORED, enabled=False), STORED)
    assert not overwritten(None, STORED, None)

"""The scenarios that are saved with an integration, in both databases."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers import SECRET_KEY

from kommo_bridge.errors import ScenarioError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import MAX_SCENARIOS, SavedScenarios
from kommo_bridge.integrations.store import IntegrationStore

ONE = {"id": "one", "turns": [{"customer": "¿Hola? 🌹", "outcome": "reply"}]}
TWO = {"id": "two", "now": datetime(2026, 3, 2, 10, tzinfo=UTC), "turns": [{"customer": "Hi"}]}


@pytest.fixture
def integrations(place: Path | str, shop: Integration) -> Iterator[IntegrationStore]:
    """A store with the flower shop and another one."""
    store = IntegrationStore(place, SECRET_KEY)
    store.migrate()
    store.add(shop)
    store.add(replace(shop, subdomain="other"))
    yield store
    store.close()


@pytest.fixture
def saved(integrations: IntegrationStore) -> SavedScenarios:
    return SavedScenarios(integrations.database)


def test_they_come_back_in_their_order_and_only_for_their_integration(
    saved: SavedScenarios, shop: Integration
) -> None:
    assert saved.save(shop, [TWO, ONE]) == 2

    assert saved.of(shop) == [{**TWO, "now": "2026-03-02T10:00:00+00:00"}, ONE]
    assert saved.of(replace(shop, subdomain="other")) == []


def test_one_with_a_known_id_takes_its_place(saved: SavedScenarios, shop: Integration) -> None:
    saved.save(shop, [ONE, TWO])
    changed = {**ONE, "language": "es"}

    assert saved.save(shop, [changed, {**TWO, "id": "three"}]) == 1
    assert [one["id"] for one in saved.of(shop)] == ["one", "two", "three"]
    assert saved.of(shop)[0] == changed


def test_one_is_removed_by_its_id(saved: SavedScenarios, shop: Integration) -> None:
    saved.save(shop, [ONE, TWO])

    assert saved.remove(shop, "one")
    assert not saved.remove(shop, "one")
    assert [one["id"] for one in saved.of(shop)] == ["two"]


def test_those_of_a_conversation_are_forgotten_with_it(
    saved: SavedScenarios, shop: Integration
) -> None:
    saved.save(shop, [ONE])
    saved.save(shop, [TWO], made_from="2:7")

    assert saved.forget(shop, "2:8") == 0
    assert saved.forget(shop, "2:7") == 1
    assert saved.of(shop) == [ONE]


def test_too_many_are_refused_and_nothing_is_saved(
    saved: SavedScenarios, shop: Integration
) -> None:
    with pytest.raises(ScenarioError, match="at most 500"):
        saved.save(shop, [{**ONE, "id": str(number)} for number in range(MAX_SCENARIOS + 1)])

    assert saved.of(shop) == []


def test_they_move_and_go_with_their_integration(
    integrations: IntegrationStore, saved: SavedScenarios, shop: Integration
) -> None:
    saved.save(shop, [ONE])
    renamed = replace(shop, subdomain="florist")

    integrations.rename(shop, renamed)
    assert saved.of(shop) == []
    assert saved.of(renamed) == [ONE]

    integrations.remove(renamed)
    assert saved.of(renamed) == []

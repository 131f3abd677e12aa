"""The versions of the instructions in the console, and the way back."""

from dataclasses import replace

from console.conftest import Visitor, page_of, seen
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.versions import versions_of

VERSIONS = "assistant/versions"


def test_without_a_change_there_is_none(owner: Visitor, acme: Integration) -> None:
    assert "have not been changed yet" in owner.get(page_of(acme, VERSIONS)).text


def test_the_owner_goes_back_to_what_was_there_before(
    owner: Visitor, operator: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    owner.save(page_of(acme), instructions="Roses cost 45 euro. <b>")
    operator.save(page_of(acme), instructions="Roses cost 54 euro.")
    first = next(
        one for one in versions_of(store.database, acme) if one.text.startswith("Roses cost 45")
    )

    shown = owner.get(page_of(acme, VERSIONS))
    answer = owner.post(page_of(acme, VERSIONS), {"number": str(first.number)})

    assert "Roses cost 45 euro. <b>" in seen(shown)
    assert "console, owner" in seen(shown)
    assert "console, operator" in seen(shown)
    assert answer.headers["Location"].endswith("?done=restored")
    assert store.get("acme") == replace(acme, instructions="Roses cost 45 euro. <b>")


def test_a_version_that_is_not_there_is_told(
    owner: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    owner.save(page_of(acme), instructions="New")
    owner.get(page_of(acme, VERSIONS))

    for number in ("99", "-1", "x"):
        assert owner.post(page_of(acme, VERSIONS), {"number": number}).status_code == 400
    assert store.get("acme").instructions == "New"


def test_a_version_of_another_account_cannot_be_taken(
    operator: Visitor, store: IntegrationStore, acme: Integration, other: Integration
) -> None:
    operator.save(page_of(other), instructions="A secret of theirs")
    number = versions_of(store.database, other)[0].number

    operator.get(page_of(acme, VERSIONS))
    operator.post(page_of(acme, VERSIONS), {"number": str(number)})

    assert store.get(f"acme/{acme.integration_id}").instructions != "A secret of theirs"

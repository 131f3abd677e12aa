"""The operator's list: how each account is, one more, on and off."""

import time
from dataclasses import replace

import jwt
import pytest
from redis import Redis

from console.conftest import Visitor, page_of, seen
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.telemetry.health import note_answered, note_failed

NEW = {
    "subdomain": "Shop",
    "domain": "kommo.com",
    "integration_id": "0d03",
    "secret_key": "s" * 64,
    "access_token": "token-of-shop",
    "name": "A shop",
}


def test_each_account_says_how_it_is(
    operator: Visitor, redis: Redis, store: IntegrationStore, acme: Integration, other: Integration
) -> None:
    token = jwt.encode({"exp": time.time() + 3 * 86400 + 60}, "k" * 64, algorithm="HS512")
    store.add(replace(other, subdomain="late", access_token=token))
    store.add(replace(other, subdomain="bare", access_token=""))
    store.add(replace(other, subdomain="off", enabled=False))
    note_answered(redis, integration_name(acme))
    note_failed(redis, integration_name(other), "the AI answered 401")

    page = seen(operator.get("/accounts"))

    assert "acme.kommo.com On Last answer: " in page
    assert "the AI answered 401 Last answer: none yet" in page
    assert "The access token ends in 3 days" in page
    assert "No access token is stored" in page
    assert "Switched off" in page


def test_an_account_is_added_and_its_secrets_are_shown_nowhere(
    operator: Visitor, store: IntegrationStore
) -> None:
    operator.get("/accounts/add")

    answer = operator.post("/accounts/add", NEW)

    added = store.get("shop")
    assert answer.headers["Location"] == f"/console{page_of(added)}?done=added"
    assert (added.secret_key, added.access_token) == ("s" * 64, "token-of-shop")
    assert "token-of-shop" not in operator.get("/accounts").text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"subdomain": ""}, "The field 'subdomain' is missing."),
        ({"subdomain": "not a name"}, "subdomain must be the first label"),
        ({"secret_key": ""}, "secret_key must not be empty"),
        ({"domain": "evil.example"}, "domain must be one of"),
        ({"subdomain": "other", "integration_id": "0c02d3e4-0000"}, "has this integration already"),
    ],
)
def test_what_cannot_be_added_is_told_and_what_was_typed_stays(
    operator: Visitor, store: IntegrationStore, change: dict[str, str], said: str
) -> None:
    operator.get("/accounts/add")

    answer = operator.post("/accounts/add", NEW | change)

    assert answer.status_code == 400
    assert said in seen(answer)
    assert 'value="A shop"' in answer.text
    assert "token-of-shop" not in answer.text
    assert store.count() == 2


def test_an_account_is_switched_off_and_on(
    operator: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    operator.post(page_of(acme, "switch"), {"enabled": "no"})
    off = store.get("acme")
    operator.post(page_of(acme, "switch"), {"enabled": "yes"})

    assert off == replace(acme, enabled=False)
    assert store.get("acme") == acme


def test_the_first_account_is_asked_for(
    operator: Visitor, store: IntegrationStore, acme: Integration, other: Integration
) -> None:
    store.remove(acme)
    store.remove(other)

    page = operator.get("/accounts").text

    assert "No accounts yet." in page
    assert "Add an account" in page


def test_fifty_accounts_are_one_page(
    operator: Visitor, store: IntegrationStore, other: Integration
) -> None:
    for number in range(50):
        store.add(replace(other, subdomain=f"shop-{number}", name="محل 🌹"))

    assert operator.get("/accounts").text.count("<article>") == 52

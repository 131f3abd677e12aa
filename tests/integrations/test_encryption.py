"""Secrets at rest: bound to their place; a new `SECRET_KEY` while the former still counts."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kommo_bridge.errors import SettingsError
from kommo_bridge.integrations.encryption import BOUND, UNBOUND_INFO, Cipher, _fernet
from kommo_bridge.integrations.integration import SECRETS, Integration
from kommo_bridge.integrations.rotation import Rotation, rotate
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.tables import INTEGRATIONS

OLD, NEW = secrets.token_hex(32), secrets.token_hex(32)
PLACE = ("0b01", "acme", "secret_key")
ACME = Integration(
    "0b01",
    "acme",
    secret_key="the-secret",
    previous_secret_key="the-former",
    access_token="the-token",
    ai_api_key="the-ai-key",
)


@pytest.mark.parametrize(
    "elsewhere",
    [("0b01", "acme", "access_token"), ("0b01", "beta", "secret_key"), ("0b", "01acme", "x")],
    ids=str,
)
def test_what_is_copied_elsewhere_cannot_be_decrypted_there(elsewhere: tuple[str, ...]) -> None:
    stored = Cipher(OLD).encrypt("the-secret", PLACE)

    assert Cipher(OLD).decrypt(stored, PLACE) == "the-secret"
    assert not Cipher(OLD).is_current(stored, elsewhere)
    with pytest.raises(SettingsError, match=r"SECRET_KEY is not the one .* put that one back"):
        Cipher(OLD).decrypt(stored, elsewhere)


def test_the_previous_key_reads_and_never_writes() -> None:
    stored = Cipher(OLD).encrypt("the-secret", PLACE)
    both = Cipher(NEW, OLD)

    assert both.decrypt(stored, PLACE) == "the-secret"
    assert not both.is_current(stored, PLACE)
    assert Cipher(NEW).decrypt(both.encrypt("the-secret", PLACE), PLACE) == "the-secret"
    with pytest.raises(SettingsError):
        Cipher(NEW).decrypt(stored, PLACE)


@pytest.mark.parametrize("text", ["", "Ёлка 👍", "x" * 5000])
def test_any_text_is_read_back_and_none_stays_none(text: str) -> None:
    stored = Cipher(OLD).encrypt(text, PLACE)

    assert Cipher(OLD).decrypt(stored, PLACE) == text
    assert bool(stored) == bool(text)
    assert Cipher(OLD).is_current(stored, PLACE)


@pytest.mark.parametrize("text", ["2.", "2.x", "2.gAAAAA", "gAAAAA", "2.2.", "Ёлка"])
def test_what_nobody_encrypted_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        Cipher(OLD).decrypt(text, PLACE)
    assert not Cipher(OLD).is_current(text, PLACE)


@pytest.fixture
def old(place: Path | str) -> Iterator[IntegrationStore]:
    """A store of the old key with acme and beta, whose secrets 1.0.0 wrote: not bound."""
    store = IntegrationStore(place, OLD)
    store.migrate()
    store.add(ACME)
    store.add(replace(ACME, subdomain="beta"))
    unbound = _fernet(OLD.encode(), UNBOUND_INFO)
    with store.database.writing() as writer:
        for name in SECRETS:
            text = unbound.encrypt(getattr(ACME, name).encode()).decode()
            writer.update(INTEGRATIONS, ("0b01", "beta"), {name: text})
    yield store
    store.close()


@pytest.fixture
def both(old: IntegrationStore, place: Path | str) -> Iterator[IntegrationStore]:
    """The same store with both keys."""
    store = IntegrationStore(place, NEW, previous_key=OLD)
    yield store
    store.close()


def stored_secrets(store: IntegrationStore, subdomain: str) -> list[str]:
    query = f"select {', '.join(SECRETS)} from {INTEGRATIONS} where subdomain = ?"
    [row] = store.database.read(query, (subdomain,))
    return list(row.values())


def test_what_1_0_0_wrote_is_read_and_bound_when_it_is_saved(old: IntegrationStore) -> None:
    beta = old.get("beta")
    before = stored_secrets(old, "beta")

    old.save(replace(beta, name="Beta"))

    assert beta == replace(ACME, subdomain="beta")
    assert not [text for text in before if text.startswith(BOUND)]
    after = [text.startswith(BOUND) for text in stored_secrets(old, "beta") if text]
    assert after == [True] * 4
    assert old.get("beta") == replace(beta, name="Beta")


def test_a_column_that_was_copied_to_another_row_is_not_read(old: IntegrationStore) -> None:
    token = stored_secrets(old, "acme")[SECRETS.index("access_token")]
    with old.database.writing() as writer:
        writer.update(INTEGRATIONS, ("0b01", "beta"), {"access_token": token})

    with pytest.raises(SettingsError):
        old.get("beta")
    assert old.get("acme") == ACME


def test_an_account_that_is_renamed_keeps_its_secrets(old: IntegrationStore) -> None:
    old.rename(ACME, replace(ACME, subdomain="renamed"))

    assert old.get("renamed") == replace(ACME, subdomain="renamed")


def test_both_keys_count_until_all_is_encrypted_anew(
    both: IntegrationStore, old: IntegrationStore, place: Path | str
) -> None:
    other = IntegrationStore(place, secrets.token_hex(32))
    other.add(replace(ACME, subdomain="foreign"))
    known = both.all()

    first, second = rotate(both), rotate(both)

    assert first == Rotation(2, 0, ("foreign",))
    assert second == Rotation(0, 2, ("foreign",))
    new = IntegrationStore(place, NEW)
    assert new.all() == known == both.all()
    assert other.get("foreign") == replace(ACME, subdomain="foreign")
    with pytest.raises(SettingsError):
        old.get("acme")
    for store in (other, new):
        store.close()

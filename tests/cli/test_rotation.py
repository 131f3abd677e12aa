"""A new `SECRET_KEY`, as an operator brings it in: nothing is served worse meanwhile."""

import secrets
from dataclasses import replace

from click.testing import Result
from helpers import SECRET_KEY

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings

NEW = secrets.token_hex(32)


def rotate_key(settings: Settings) -> Result:
    return create_app(settings).test_cli_runner().invoke(args=["store", "rotate-key"])


def test_a_new_key_takes_the_place_of_the_former_one(settings: Settings, acme: Integration) -> None:
    both = replace(settings, secret_key=NEW, secret_key_previous=SECRET_KEY)

    first, again = rotate_key(both), rotate_key(both)

    assert first.output == (
        "Encrypted anew: 1 integration; under SECRET_KEY already: 0.\n"
        "SECRET_KEY_PREVIOUS may be taken away.\n"
    )
    assert "Encrypted anew: 0 integrations; under SECRET_KEY already: 1." in again.output
    assert IntegrationStore(settings.store_place, NEW).get("acme") == acme


def test_what_fits_neither_key_is_named_and_left_alone(
    settings: Settings, acme: Integration
) -> None:
    foreign = IntegrationStore(settings.store_place, secrets.token_hex(32))
    foreign.add(replace(acme, subdomain="foreign"))

    done = rotate_key(replace(settings, secret_key=NEW, secret_key_previous=SECRET_KEY))

    assert done.exit_code == 1
    assert "Error: foreign cannot be read with SECRET_KEY or SECRET_KEY_PREVIOUS" in done.output
    assert "may be taken away" not in done.output
    assert foreign.get("foreign") == replace(acme, subdomain="foreign")


def test_the_previous_key_is_read_from_the_environment() -> None:
    read = Settings.from_env({"SECRET_KEY": NEW, "SECRET_KEY_PREVIOUS": "short"})

    assert read.secret_key_previous == "short"
    assert "short" not in repr(read)

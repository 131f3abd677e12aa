"""`flask gaps` lists what was asked, and takes off what is done."""

import time

import pytest
from click.testing import Result
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.settings import Settings


def run(settings: Settings, *arguments: str) -> Result:
    return create_app(settings).test_cli_runner().invoke(args=["gaps", *arguments])


def test_gaps_are_listed_and_done(settings: Settings, acme: Integration, redis: Redis) -> None:
    Gaps(redis).note(acme, "Do you repair shoes?", time.time())

    listed = run(settings, "acme")
    done = run(settings, "acme", "done", "1")
    again = run(settings, "acme", "list")

    assert "1       1x" in listed.output
    assert "Do you repair shoes?" in listed.output
    assert "Gap 1 is done." in done.output
    assert "No gaps" in again.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("acme", "done"), "Give the gap's number after `done`"),
        (("acme", "list", "3"), "Give the gap's number after `done`"),
        (("acme", "done", "3"), "There is no gap 3 of acme.kommo.com. See `flask gaps acme`."),
        (("nobody",), "There is no integration 'nobody'"),
    ],
)
def test_a_wrong_call_says_what_to_do(
    arguments: tuple[str, ...], sentence: str, settings: Settings, acme: Integration
) -> None:
    result = run(settings, *arguments)

    assert result.exit_code
    assert sentence in result.output

"""`flask knowledge`: sources are added, listed, searched, removed; errors say what to do."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.knowledge.block import Block
from kommo_bridge.knowledge.source import PAGE, Source
from kommo_bridge.knowledge.sources import Sources
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.incidents import PAGES_FAIL, Incidents

PRICES = "Item;Price\nTomato soup;5\nGreen tea;2\n"


@pytest.fixture
def app(settings: Settings, acme: Integration) -> Flask:
    return create_app(settings)


@pytest.fixture
def prices(tmp_path: Path) -> str:
    path = tmp_path / "prices.csv"
    path.write_text(PRICES, encoding="utf-8")
    return str(path)


def knowledge(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["knowledge", *arguments])


def failing_page(store: IntegrationStore, acme: Integration, url: str) -> None:
    """A page that could not be read since 2020."""
    said, long_ago = [Block("", "Open from 9 to 18")], datetime(2020, 1, 1, tzinfo=UTC)
    page = Source(0, "Hours", PAGE, url).with_content(said, long_ago).failed("Gone.", long_ago)
    Sources(store.database).keep(acme, page, said, 100)


def test_a_file_is_added_listed_shown_searched_and_removed(app: Flask, prices: str) -> None:
    added = knowledge(app, "add", "acme", prices, "--title", "Price list")
    listed = knowledge(app, "list", "acme")
    shown = knowledge(app, "show", "acme", "1")
    found = knowledge(app, "search", "acme", "how much is a soup")
    nothing = knowledge(app, "search", "acme", "zzzz")
    removed = knowledge(app, "remove", "acme", "1")
    empty = knowledge(app, "list", "acme")

    assert "Source 1, Price list: 2 passages, 22 characters." in added.output
    assert "all of it before it with each question (knowledge_tokens, 20,000)" in added.output
    assert listed.output.splitlines()[0].split() == "NUMBER KIND TITLE PASSAGES READ STATE".split()
    assert "1       file  Price list  2" in listed.output
    assert "Price list (file prices.csv)" in shown.output
    assert "Tomato soup | 5" in shown.output
    assert "1. [Price list]\n   Item: Tomato soup; Price: 5" in found.output
    assert "Nothing was found" in nothing.output
    assert "Source 1, Price list, is removed." in removed.output
    assert "No sources yet. `flask knowledge add acme FILE|URL` adds one." in empty.output


def test_more_than_the_prompt_holds_is_said(
    app: Flask, prices: str, store: IntegrationStore, acme: Integration
) -> None:
    app.test_cli_runner().invoke(args=["integrations", "set", "acme", "knowledge_tokens=2"])

    assert (
        "more than the prompt holds (knowledge_tokens, 2)"
        in knowledge(app, "add", "acme", prices).output
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "acme", "missing.csv"), "There is no file missing.csv. (The address of a page"),
        (("add", "acme", "/"), "/ cannot be read: Is a directory."),
        (("add", "acme", "http://example.com/"), "Only pages with https:// are read"),
        (("add", "acme", "https://localhost/"), "The page is not on the public internet"),
        (("add", "nobody", "x.csv"), "There is no integration 'nobody'"),
        (("show", "acme", "7"), "There is no source 7 of acme.kommo.com."),
        (("remove", "acme", "7"), "There is no source 7 of acme.kommo.com."),
        (("refresh", "acme", "7"), "There is no source 7 of acme.kommo.com."),
    ],
)
def test_a_refusal_is_one_sentence(arguments: tuple[str, ...], sentence: str, app: Flask) -> None:
    result = knowledge(app, *arguments)

    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {sentence}")


def test_a_file_that_is_too_large_is_refused(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_bytes(b"x" * (5 * 1024 * 1024 + 1))

    assert "larger than 5 MiB: split it" in knowledge(app, "add", "acme", str(path)).output


def test_only_pages_are_refreshed(app: Flask, prices: str) -> None:
    knowledge(app, "add", "acme", prices)

    one, every = knowledge(app, "refresh", "acme", "1"), knowledge(app, "refresh", "acme")

    assert "Source 1 is a file: add it again when it has changed." in one.output
    assert "There is no page to read again." in every.output


def test_a_page_that_fails_is_told_and_its_removal_ends_the_alert(
    app: Flask, store: IntegrationStore, acme: Integration, redis: Redis
) -> None:
    failing_page(store, acme, "https://localhost/hours")

    listed = knowledge(app, "list", "acme")
    refreshed = knowledge(app, "refresh", "acme")

    assert "fails since 2020-01-01: Gone." in listed.output
    assert refreshed.exit_code == 1
    assert "it cannot be read, what it said before stays." in refreshed.output
    assert "  The page is not on the public internet" in refreshed.output
    assert PAGES_FAIL in Incidents(redis).read()
    knowledge(app, "remove", "acme", "1")
    assert PAGES_FAIL not in Incidents(redis).read()

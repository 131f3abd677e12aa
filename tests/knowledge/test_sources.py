"""Sources are kept in both databases; processes notice each other's changes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from helpers import INTEGRATION_ID, SECRET_KEY, wait_for

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.knowledge.block import Block
from kommo_bridge.knowledge.fetch import Version
from kommo_bridge.knowledge.held import Held, Shelf, estimated_tokens, prompt_text
from kommo_bridge.knowledge.source import FILE, PAGE, TEXT, Source, clean_title
from kommo_bridge.knowledge.sources import Sources

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MOST = 100
ACME = Integration(INTEGRATION_ID, "acme", secret_key="secret", access_token="token")
OTHER = replace(ACME, subdomain="other")


@pytest.fixture
def store(place: Path | str) -> IntegrationStore:
    store = IntegrationStore(place, SECRET_KEY)
    store.migrate()
    store.add(ACME)
    store.add(OTHER)
    return store


@pytest.fixture
def sources(store: IntegrationStore) -> Sources:
    return Sources(store.database)


def blocks(*texts: str) -> list[Block]:
    return [Block("", text) for text in texts]


def keep(sources: Sources, source: Source, *texts: str, of: Integration = ACME) -> Source:
    said = blocks(*texts)
    return sources.keep(of, source.with_content(said, NOW), said, MOST)


def test_a_source_comes_back_as_it_was_kept(sources: Sources) -> None:
    page = Source(0, "Menü ü", PAGE, "https://acme.example/menu", version=Version('"1"', "today"))

    kept = keep(sources, page, "Soup 5 €", "Tea 2 €")

    assert kept == replace(page.with_content(blocks("Soup 5 €", "Tea 2 €"), NOW), number=1)
    assert (kept.passages, kept.characters, kept.checked_at) == (2, 15, "2026-11-28T12:00:00+00:00")
    assert sources.find(ACME, 1) == kept
    assert sources.content(ACME, 1) == blocks("Soup 5 €", "Tea 2 €")
    assert sources.contents(ACME) == [("Menü ü", blocks("Soup 5 €", "Tea 2 €"))]


def test_the_same_file_or_page_takes_the_place_of_its_former_self(sources: Sources) -> None:
    keep(sources, Source(0, "Prices", FILE, "prices.csv"), "Soup 5")
    keep(sources, Source(0, "A", TEXT, ""), "one text")
    keep(sources, Source(0, "B", TEXT, ""), "another text")
    again = keep(sources, Source(0, "New prices", FILE, "prices.csv"), "Soup 6")

    assert again.number == 1
    assert [one.title for one in sources.all(ACME)] == ["New prices", "A", "B"]
    assert sources.content(ACME, 1) == blocks("Soup 6")


def test_one_integrations_sources_are_not_anothers(sources: Sources) -> None:
    kept = keep(sources, Source(0, "Prices", FILE, "prices.csv"), "Soup 5")

    assert sources.all(OTHER) == []
    with pytest.raises(KnowledgeError, match=r"no source 1 of other.kommo.com. See `flask know"):
        sources.find(OTHER, 1)
    sources.remove(OTHER, kept)
    assert sources.all(ACME) == [kept]


def test_more_passages_than_are_searched_are_refused(sources: Sources) -> None:
    long = tuple(f"paragraph {number}" for number in range(MOST))
    keep(sources, Source(0, "Long", FILE, "long.txt"), *long)

    with pytest.raises(KnowledgeError, match="101 passages, more than the 100"):
        keep(sources, Source(0, "More", FILE, "more.txt"), "one more")
    keep(sources, Source(0, "Long", FILE, "long.txt"), *long)  # in its own place


def test_a_page_that_was_removed_while_it_was_read_stays_away(sources: Sources) -> None:
    page = keep(sources, Source(0, "Menu", PAGE, "https://acme.example/"), "Soup 5")
    sources.remove(ACME, page)

    sources.note(ACME, page.failed("It is gone.", NOW))
    keep(sources, page, "Soup 6")

    assert sources.all(ACME) == []


def test_sources_follow_a_renamed_integration_and_end_with_it(
    store: IntegrationStore, sources: Sources
) -> None:
    keep(sources, Source(0, "Prices", FILE, "prices.csv"), "Soup 5")
    keep(sources, Source(0, "Other", FILE, "prices.csv"), "Tea 2", of=OTHER)
    renamed = replace(ACME, subdomain="acme-two")

    store.rename(ACME, renamed)

    assert sources.all(ACME) == []
    assert [one.title for one in sources.all(renamed)] == ["Prices"]
    store.remove(renamed)
    assert sources.all(renamed) == []
    assert [one.title for one in sources.all(OTHER)] == ["Other"]


def test_a_change_by_another_process_is_seen(place: Path | str, sources: Sources) -> None:
    shelf, elsewhere = Shelf(sources), Sources(IntegrationStore(place, SECRET_KEY).database)
    assert shelf.get(ACME).prompt == ""

    keep(elsewhere, Source(0, "Prices", FILE, "prices.csv"), "Soup 5")

    wait_for(lambda: shelf.get(ACME).prompt == "# Prices\nSoup 5")
    held = shelf.get(ACME)
    keep(elsewhere, Source(0, "Prices", FILE, "prices.csv"), "Soup 5", of=OTHER)
    wait_for(lambda: shelf.get(OTHER).prompt)
    assert shelf.get(ACME) is held  # nothing of it has changed, so nothing is made anew


def test_what_is_more_than_the_prompt_holds_is_searched(sources: Sources) -> None:
    keep(sources, Source(0, "Prices", FILE, "prices.csv"), "Tomato soup 5 €", "Green tea 2 €")
    few, many = replace(ACME, knowledge_tokens=3), replace(ACME, knowledge_tokens=300)
    shelf = Shelf(sources)

    assert (shelf.get(few).prompt, shelf.get(few).is_searched) == ("", True)
    assert "Green tea 2 €" in shelf.get(many).prompt
    assert not shelf.get(many).is_searched
    assert not shelf.get(OTHER).is_searched
    for one in (few, many):
        assert shelf.get(one).search("teas")[0].text == "Green tea 2 €"


def test_integrations_that_were_not_asked_for_long_give_way(sources: Sources) -> None:
    keep(sources, Source(0, "Prices", FILE, "prices.csv"), "Tomato soup 5 €")
    keep(sources, Source(0, "Prices", FILE, "prices.csv"), "Tomato soup 6 €", of=OTHER)
    shelf = Shelf(sources, max_characters=20)
    first = shelf.get(ACME)

    assert shelf.get(ACME) is first
    shelf.get(OTHER)
    assert shelf.get(ACME) is not first


def test_tokens_are_estimated_by_script() -> None:
    assert estimated_tokens("a" * 400) == 100
    assert estimated_tokens("ж" * 400) == 200


def test_the_prompts_text_is_the_same_each_time() -> None:
    contents = [("Menu", blocks("Soup")), ("Prices", blocks("Tea"))]

    assert prompt_text(contents, 100) == "# Menu\nSoup\n\n# Prices\nTea"
    assert prompt_text(contents, 1) == ""
    assert Held((), [], 0).prompt == ""


def test_a_failing_page_keeps_when_that_began() -> None:
    page = Source(1, "Menu", PAGE, "https://acme.example/").with_content(blocks("Soup"), NOW)

    failed = page.failed("first", NOW).failed("second", NOW + timedelta(days=2))

    assert (failed.failing_since, failed.problem) == ("2026-11-28T12:00:00+00:00", "second")
    assert not failed.needs_an_alert(NOW + timedelta(days=2, hours=23))
    assert failed.needs_an_alert(NOW + timedelta(days=3))
    for well in (failed.unchanged(NOW), failed.with_content(blocks("Soup"), NOW)):
        assert (well.failing_since, well.problem) == ("", "")
        assert well.fingerprint == page.fingerprint


@pytest.mark.parametrize(
    ("kind", "hours", "due"),
    [(PAGE, 0, False), (PAGE, 11, False), (PAGE, 12, True), (PAGE, -1, True), (FILE, 99, False)],
)
def test_a_page_is_due_half_a_day_after_it_was_looked_at(kind: str, hours: int, due: bool) -> None:
    source = Source(1, "Menu", kind, "x").with_content(blocks("Soup"), NOW)

    assert source.is_due(NOW + timedelta(hours=hours)) is due


def test_a_title_is_one_short_line() -> None:
    assert clean_title(" Prices\n\x00 2026\ud800 ") == "Prices 2026"
    assert len(clean_title("x" * 500)) == 120

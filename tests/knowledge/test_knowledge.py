"""Files, texts and pages are added, searched and refreshed as a whole."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from knowledge_files import locked_pdf
from redis import Redis
from website import HTML, Website

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.knowledge.knowledge import Knowledge, as_text
from kommo_bridge.knowledge.nightly import night_of, note_failing, refresh_all
from kommo_bridge.knowledge.passages import Passage
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.incidents import PAGES_FAIL, Incidents
from local.partners.http.exchange import Answer

MENU = b"<title>Menu</title><h1>Soups</h1><p>Tomato soup costs 5 euro</p>"
NEW_MENU = MENU.replace(b"5 euro", b"6 euro")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture
def website(folder: Path) -> Iterator[Website]:
    with Website(folder) as server:
        server.pages["/menu"] = Answer(200, MENU, {**HTML, "ETag": '"1"'})
        yield server


@pytest.fixture
def knowledge(store: IntegrationStore, website: Website) -> Knowledge:
    return Knowledge(store.database, website.fetcher())


def last_looked_at(store: IntegrationStore, at: datetime, failing_since: str = "") -> None:
    """Make the looks at all pages so old."""
    with store.database.writing() as writer:
        writer.run("update sources set checked_at = ?", (at.isoformat(),))
        if failing_since:
            writer.run("update sources set failing_since = ?", (failing_since,))


def test_a_file_is_read_and_answers(knowledge: Knowledge, acme: Integration) -> None:
    source = knowledge.add_file(acme, "/home/me/prices.csv", b"Item;Price\nSoup;5\nTea;2\n")

    assert (source.number, source.title, source.origin) == (1, "prices", "prices.csv")
    assert knowledge.for_prompt(acme) == "# prices\nItem | Price\nSoup | 5\nTea | 2"
    assert not knowledge.is_searched(acme)
    assert knowledge.search(acme, "teas")[0] == Passage("prices", "", "Item: Tea; Price: 2")
    assert knowledge.show(acme, 1) == "Item | Price\nSoup | 5\nTea | 2"


def test_a_file_that_cannot_be_read_is_not_kept(knowledge: Knowledge, acme: Integration) -> None:
    with pytest.raises(KnowledgeError, match="has a password"):
        knowledge.add_file(acme, "menu.pdf", locked_pdf("secret"))

    assert knowledge.all(acme) == []


def test_a_text_is_kept_under_its_title(knowledge: Knowledge, acme: Integration) -> None:
    knowledge.add_text(acme, " Hours ", "# Hours\nMonday to Friday 9-18\ud800")

    assert knowledge.for_prompt(acme) == "# Hours\n## Hours\nMonday to Friday 9-18"


def test_a_page_is_read_again_only_when_it_has_changed(
    knowledge: Knowledge, acme: Integration, website: Website
) -> None:
    page = knowledge.add_page(acme, website.address())
    assert (page.title, page.kind, page.version.etag) == ("Menu", "page", '"1"')

    def menu(request: object) -> Answer:
        etag = request.headers["If-None-Match"]  # type: ignore[attr-defined]
        new = Answer(200, NEW_MENU, {**HTML, "ETag": '"2"'})
        return Answer(304) if etag == website_etag[0] else new

    website_etag = ['"1"']
    website.pages["/menu"] = menu
    unchanged = knowledge.refresh(acme, page)
    website_etag[0] = '"2"'
    changed = knowledge.refresh(acme, unchanged.source)

    assert (unchanged.result, changed.result) == ("unchanged", "changed")
    assert "6 euro" in knowledge.for_prompt(acme)
    assert knowledge.find(acme, 1).version.etag == '"2"'


def test_a_page_that_fails_keeps_what_it_said(
    knowledge: Knowledge, acme: Integration, website: Website
) -> None:
    page = knowledge.add_page(acme, website.address())
    website.pages["/menu"] = Answer(500)

    looked = knowledge.refresh(acme, page)

    assert looked.result == "failed"
    kept = knowledge.find(acme, 1)
    assert "the server answered 500" in kept.problem
    assert kept.failing_since
    assert "5 euro" in knowledge.for_prompt(acme)
    website.pages["/menu"] = Answer(200, MENU, HTML)
    assert knowledge.refresh(acme, kept).result == "unchanged"
    assert knowledge.find(acme, 1).failing_since == ""


def test_a_page_whose_new_content_cannot_be_read_keeps_the_old(
    knowledge: Knowledge, acme: Integration, website: Website
) -> None:
    page = knowledge.add_page(acme, website.address())
    website.pages["/menu"] = Answer(200, b"\x89PNG", {"Content-Type": "image/png"})

    assert knowledge.refresh(acme, page).result == "failed"
    assert "content type is image/png" in knowledge.find(acme, 1).problem
    assert "5 euro" in knowledge.for_prompt(acme)


def test_a_file_is_not_refreshed(knowledge: Knowledge, acme: Integration) -> None:
    source = knowledge.add_text(acme, "Hours", "Monday to Friday 9-18")

    with pytest.raises(KnowledgeError, match="add it again when it has changed"):
        knowledge.refresh(acme, source)


def test_while_the_store_is_away_what_was_known_last_answers(
    knowledge: Knowledge, acme: Integration, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    knowledge.add_text(acme, "Hours", "Monday to Friday 9-18")
    before = knowledge.for_prompt(acme)
    gone = settings.database_path.rename(settings.database_path.with_suffix(".away"))
    elsewhere = Knowledge(IntegrationStore(settings.database_path, "x" * 32).database)

    assert elsewhere.for_prompt(acme) == ""
    assert not elsewhere.is_searched(acme)
    assert elsewhere.search(acme, "hours") == []
    assert "knowledge not read" in caplog.text
    assert gone.exists()
    assert before


def test_passages_are_shown_with_their_source() -> None:
    found = [Passage("Menu", "Soups", "Tomato 5"), Passage("Hours", "", "9-18")]

    assert as_text(found) == "[Menu > Soups]\nTomato 5\n\n[Hours]\n9-18"
    assert as_text([]) == ""


def test_a_night_begins_at_three() -> None:
    assert night_of(datetime(2026, 11, 28, 2, 59, tzinfo=UTC)) == "2026-11-27"
    assert night_of(datetime(2026, 11, 28, 3, 0, tzinfo=UTC)) == "2026-11-28"


def test_the_night_looks_at_pages_that_are_due(
    knowledge: Knowledge,
    acme: Integration,
    website: Website,
    redis: Redis,
    store: IntegrationStore,
) -> None:
    website.pages["/gone"] = Answer(200, MENU, HTML)
    knowledge.add_page(acme, website.address())
    knowledge.add_page(acme, website.address("/gone"))
    knowledge.add_text(acme, "Hours", "Monday to Friday 9-18")
    website.pages["/menu"] = Answer(200, NEW_MENU, HTML)
    del website.pages["/gone"]
    website.asked.clear()

    assert refresh_all([acme], knowledge, Incidents(redis)) == 0
    last_looked_at(store, datetime.now(UTC) - timedelta(hours=13))
    assert refresh_all([acme], knowledge, Incidents(redis)) == 2

    assert website.asked == ["/menu", "/gone"]
    assert "6 euro" in knowledge.for_prompt(acme)
    assert "5 euro" in knowledge.for_prompt(acme)
    assert "is not there" in knowledge.find(acme, 2).problem
    assert refresh_all([acme], knowledge, Incidents(redis)) == 1  # only the one that failed


def test_a_page_that_fails_for_three_days_is_an_incident_until_it_ends(
    knowledge: Knowledge,
    acme: Integration,
    website: Website,
    redis: Redis,
    store: IntegrationStore,
) -> None:
    incidents = Incidents(redis)
    knowledge.add_page(acme, website.address())
    now = datetime.now(UTC)

    last_looked_at(store, now, (now - timedelta(days=2, hours=23)).isoformat())
    note_failing(acme, knowledge, incidents)
    assert PAGES_FAIL not in incidents.read()

    last_looked_at(store, now, (now - timedelta(days=3)).isoformat())
    note_failing(acme, knowledge, incidents)
    assert list(incidents.read()[PAGES_FAIL]) == [f"acme/{acme.integration_id}"]

    knowledge.remove(acme, 1)
    note_failing(acme, knowledge, incidents)
    assert PAGES_FAIL not in incidents.read()

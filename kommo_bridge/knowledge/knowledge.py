"""What a business has told its assistant, as commands, jobs and answers use it."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePath
from urllib.parse import urlsplit

from kommo_bridge.errors import KnowledgeError, StoreError
from kommo_bridge.integrations.database import Database
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.knowledge.block import Block, shown
from kommo_bridge.knowledge.extract import extract
from kommo_bridge.knowledge.fetch import Page, Pages, check_url
from kommo_bridge.knowledge.held import Held, Shelf
from kommo_bridge.knowledge.passages import Passage
from kommo_bridge.knowledge.read import charset_of, check_size, kind_of_file, kind_of_page
from kommo_bridge.knowledge.source import FILE, PAGE, TEXT, Source, clean_title
from kommo_bridge.knowledge.sources import Sources
from kommo_bridge.telemetry.logs import error_text, log_event

# So many are searched in time, and held in memory.
MAX_PASSAGES = 10_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Looked:
    """What came of another look at a page: `changed`, `unchanged` or `failed`."""

    source: Source
    result: str


class Knowledge:
    """The sources of all integrations. `for_prompt` and `search` are what an answer needs.

    Args:
        database: The store's.
        pages: Fetches pages.
    """

    def __init__(self, database: Database, pages: Pages | None = None) -> None:
        self._sources = Sources(database)
        self._pages = pages or Pages()
        self._shelf = Shelf(self._sources)

    def for_prompt(self, integration: Integration) -> str:
        """All that was told, for the prompt; empty when nothing was, or more than fits."""
        held = self._held(integration)
        return held.prompt if held else ""

    def is_searched(self, integration: Integration) -> bool:
        """Whether more was told than the prompt holds, so that the model must search."""
        held = self._held(integration)
        return bool(held and held.is_searched)

    def search(self, integration: Integration, query: str) -> list[Passage]:
        """The passages that answer best, at most six, the best first."""
        held = self._held(integration)
        return held.search(query) if held else []

    def _held(self, integration: Integration) -> Held | None:
        """What was told; while the store is away what this process knew last."""
        try:
            return self._shelf.get(integration)
        except StoreError as error:
            log_event(
                logger,
                "knowledge not read",
                level=logging.ERROR,
                subdomain=integration.subdomain,
                error=error_text(error),
            )
            return self._shelf.last(integration)

    def all(self, integration: Integration) -> list[Source]:
        """The sources, in the order of their numbers."""
        return self._sources.all(integration)

    def has_pages(self) -> bool:
        """Whether any integration has a page.

        Raises:
            StoreError: The store is away.
        """
        return self._sources.has_pages()

    def find(self, integration: Integration, number: int) -> Source:
        """One source.

        Raises:
            KnowledgeError: There is none with this number.
        """
        return self._sources.find(integration, number)

    def show(self, integration: Integration, number: int) -> str:
        """What the assistant reads of a source.

        Raises:
            KnowledgeError: There is none with this number.
        """
        self.find(integration, number)
        return shown(self._sources.content(integration, number))

    def add_file(self, integration: Integration, name: str, data: bytes, title: str = "") -> Source:
        """Add a file, or read it anew when one of this name is there.

        Raises:
            KnowledgeError: It cannot be read; the sentence says what to do.
        """
        check_size(data)
        content = extract(kind_of_file(name, data), data)
        named = clean_title(title or content.title or PurePath(name).stem) or "file"
        return self._keep(integration, Source(0, named, FILE, PurePath(name).name), content.blocks)

    def add_text(self, integration: Integration, title: str, text: str) -> Source:
        """Add a text.

        Raises:
            KnowledgeError: It is empty or too long.
        """
        content = extract("markdown", text.encode("utf-8", "ignore"))
        named = clean_title(title) or "text"
        return self._keep(integration, Source(0, named, TEXT, ""), content.blocks)

    def add_page(self, integration: Integration, url: str, title: str = "") -> Source:
        """Add a page, or fetch it anew when it is there.

        Raises:
            KnowledgeError: It cannot be had or read; the sentence says what to do.
        """
        url = check_url(url.strip())
        page = self._pages.fetch(url)
        if page is None:
            raise KnowledgeError("The page's server sent no page: try again later.")
        content_title, blocks = _read(page)
        named = clean_title(title or content_title) or clean_title(urlsplit(url).netloc)
        return self._keep(integration, Source(0, named, PAGE, url, version=page.version), blocks)

    def remove(self, integration: Integration, number: int) -> Source:
        """Forget a source.

        Raises:
            KnowledgeError: There is none with this number.
        """
        source = self.find(integration, number)
        self._sources.remove(integration, source)
        return source

    def refresh(self, integration: Integration, source: Source) -> Looked:
        """Look at a page again; what it said before stays when it fails.

        Raises:
            KnowledgeError: It is no page.
        """
        if source.kind != PAGE:
            raise KnowledgeError(
                f"Source {source.number} is a {source.kind}: add it again when it has changed."
            )
        now = datetime.now(UTC)
        try:
            page = self._pages.fetch(source.origin, source.version)
            if page is None:
                looked = source.unchanged(now)
                self._sources.note(integration, looked)
                return Looked(looked, "unchanged")
            _, blocks = _read(page)
            looked = replace(source, version=page.version).with_content(blocks, now)
            self._sources.keep(integration, looked, blocks, MAX_PASSAGES)
        except KnowledgeError as error:
            looked = source.failed(str(error), now)
            self._sources.note(integration, looked)
            return Looked(looked, "failed")
        changed = looked.fingerprint != source.fingerprint
        return Looked(looked, "changed" if changed else "unchanged")

    def _keep(self, integration: Integration, source: Source, blocks: list[Block]) -> Source:
        read = source.with_content(blocks, datetime.now(UTC))
        return self._sources.keep(integration, read, blocks, MAX_PASSAGES)


def as_text(found: list[Passage]) -> str:
    """Passages as the model reads them, each with its source."""
    lines = []
    for one in found:
        where = " > ".join(filter(None, (one.source, one.heading)))
        lines.append(f"[{where}]\n{one.text}")
    return "\n\n".join(lines)


def _read(page: Page) -> tuple[str, list[Block]]:
    kind = kind_of_page(page.content_type, page.data)
    content = extract(kind, page.data, charset_of(page.content_type))
    return content.title, content.blocks

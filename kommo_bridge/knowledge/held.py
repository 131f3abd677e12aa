"""What a process holds in memory of the sources: the text for the prompt, or the index.

It is made anew when the sources have changed, whoever changed them; the store's version costs no
query, so an answer pays nothing for asking. Integrations that were not asked for long give way.
"""

import threading
from collections import OrderedDict
from typing import Any

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.knowledge.block import Block, shown
from kommo_bridge.knowledge.passages import Passage, passages
from kommo_bridge.knowledge.search import Index
from kommo_bridge.knowledge.sources import Marks, Sources

# Of all integrations together; an index takes about eight bytes for a character.
MAX_CHARACTERS = 4_000_000

Contents = list[tuple[str, list[Block]]]
Known = dict[Any, Marks]
NOTHING: tuple[Any, Known] = (None, {})


def estimated_tokens(text: str) -> int:
    """About how many tokens a model counts: four characters of ASCII, two of other scripts."""
    plain = len(text.encode("ascii", "ignore"))
    return plain // 4 + (len(text) - plain) // 2


def prompt_text(contents: Contents, limit: int) -> str:
    """All sources as one text; empty when it is more than `limit` tokens."""
    text = "\n\n".join(f"# {title}\n{shown(blocks)}" for title, blocks in contents)
    return text if estimated_tokens(text) <= limit else ""


class Held:
    """What one integration has told.

    Attributes:
        marks: Of the sources that it was made of.
        prompt: All of it, when it is no more than the prompt may hold.
        is_searched: There is more.
        characters: How much it is.
    """

    def __init__(self, marks: Marks, contents: Contents, limit: int) -> None:
        self.marks = marks
        self.prompt = prompt_text(contents, limit)
        self.is_searched = bool(contents) and not self.prompt
        self.characters = sum(block.size for _, blocks in contents for block in blocks)
        self._lock = threading.Lock()
        self._contents = [] if self.is_searched else contents
        self._index = _index(contents) if self.is_searched else None

    def search(self, query: str) -> list[Passage]:
        """The passages that fit best; what stands in the prompt is searched for people only."""
        with self._lock:
            self._index = self._index or _index(self._contents)
        return self._index.search(query)


def _index(contents: Contents) -> Index:
    return Index(one for title, blocks in contents for one in passages(title, blocks))


class Shelf:
    """What is held of all integrations.

    Args:
        sources: Where it is kept.
        max_characters: How much is held at most, beside the one that was asked for last.
    """

    def __init__(self, sources: Sources, max_characters: int = MAX_CHARACTERS) -> None:
        self._sources = sources
        self._max_characters = max_characters
        self._scope: Any = sources.database.scope()
        self._lock = threading.Lock()
        self._making: dict[Any, threading.Lock] = {}
        self._held: OrderedDict[Any, Held] = OrderedDict()

    def get(self, integration: Integration) -> Held:
        """What an integration has told, as it is now.

        Raises:
            StoreError: The store is away.
        """
        key = (integration.integration_id, integration.subdomain, integration.knowledge_tokens)
        marks = self._marks(integration, key)
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:  # of an integration one thread makes it, the others wait
            held = self._held.get(key)
            if held is None or held.marks != marks:
                contents = self._sources.contents(integration) if marks else []
                held = Held(marks, contents, integration.knowledge_tokens)
        self._keep(key, held)
        return held

    def last(self, integration: Integration) -> Held | None:
        """What was held last, while the store is away."""
        key = (integration.integration_id, integration.subdomain, integration.knowledge_tokens)
        return self._held.get(key)

    def _marks(self, integration: Integration, key: Any) -> Marks:
        """The marks of the sources, asked for only when the store has changed."""
        version = self._sources.database.version()
        at, known = getattr(self._scope, "known", NOTHING)
        if at != version:
            known = {}
            self._scope.known = (version, known)
        if key not in known:
            known[key] = self._sources.marks(integration)
        return known[key]

    def _keep(self, key: Any, held: Held) -> None:
        with self._lock:
            self._held[key] = held
            self._held.move_to_end(key)
            while len(self._held) > 1 and self._total() > self._max_characters:
                dropped, _ = self._held.popitem(last=False)
                self._making.pop(dropped, None)

    def _total(self) -> int:
        return sum(held.characters for held in self._held.values())

"""What a file or page says, as plain text under headings and as tables.

Every reader returns blocks; the prompt shows them, and `passages` cuts them into what is searched.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BETWEEN_HEADINGS = " > "


@dataclass(frozen=True)
class Block:
    """A stretch of text, or a table.

    Attributes:
        heading: What stands above it, from the outermost heading on; empty without any.
        text: Paragraphs, parted by empty lines; empty in a table.
        header: The names of a table's columns; empty where it has none.
        rows: A table's rows.
    """

    heading: str
    text: str = ""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def size(self) -> int:
        """How many characters it says, without its headings."""
        return len(self.text) + sum(len(cell) for row in self.rows for cell in row)

    def lines(self) -> Iterator[str]:
        """The block as a reader of the whole source sees it."""
        if self.heading:
            yield f"## {self.heading}"
        if self.text:
            yield self.text
        for row in (self.header, *self.rows) if self.header else self.rows:
            yield " | ".join(row)


def shown(blocks: Iterable[Block]) -> str:
    """All blocks as one text."""
    return "\n\n".join("\n".join(block.lines()) for block in blocks)


def to_json(blocks: Iterable[Block]) -> str:
    """As the store keeps them; half characters, which no database takes, are left out."""
    kept = [[one.heading, one.text, one.header, one.rows] for one in blocks]
    text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "ignore").decode()


def from_json(text: str) -> list[Block]:
    """What `to_json` wrote."""
    return [
        Block(heading, words, tuple(header), tuple(map(tuple, rows)))
        for heading, words, header, rows in json.loads(text)
    ]

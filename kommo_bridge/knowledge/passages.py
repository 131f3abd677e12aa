"""Cuts what a source says into passages: what the search finds and the model is shown.

A row of a table is one passage; paragraphs are put together up to a size, and a long one is cut
at the end of a sentence.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kommo_bridge.knowledge.block import Block
from kommo_bridge.knowledge.tables import row_text

# Six of them are what the model reads at once.
TARGET_CHARACTERS = 400
MAX_CHARACTERS = 700

PARAGRAPHS = re.compile(r"\n\s*\n")
ENDS = ("\n", ". ", "? ", "! ", "; ", ", ", " ")


@dataclass(frozen=True)
class Passage:
    """A piece of a source.

    Attributes:
        source: The title of its source.
        heading: What stands above it in the source.
        text: At most `MAX_CHARACTERS` characters.
    """

    source: str
    heading: str
    text: str


def passages(source: str, blocks: Iterable[Block]) -> list[Passage]:
    """All passages of a source, in its order."""
    return [
        Passage(source, block.heading, text)
        for block in blocks
        for text in [*_of_text(block.text), *_of_rows(block)]
    ]


def _of_rows(block: Block) -> Iterator[str]:
    for row in block.rows:
        yield from _cut(row_text(block.header, row))


def _of_text(text: str) -> Iterator[str]:
    held = ""
    for paragraph in filter(None, map(str.strip, PARAGRAPHS.split(text))):
        if held and len(held) + len(paragraph) > TARGET_CHARACTERS:
            yield held
            held = ""
        *whole, rest = _cut(paragraph, held)
        yield from whole
        held = rest
    if held:
        yield held


def _cut(text: str, before: str = "") -> list[str]:
    """Pieces of at most `MAX_CHARACTERS`, none of them empty except for an empty text."""
    left, pieces = f"{before}\n{text}" if before else text, []
    while len(left) > MAX_CHARACTERS:
        end = _end(left)
        pieces.append(left[:end].strip())
        left = left[end:].strip()
    return [*filter(None, pieces), left]


def _end(text: str) -> int:
    """Where to cut: after a line, a sentence, a word, in this order, not before half the size."""
    for mark in ENDS:
        found = text.rfind(mark, TARGET_CHARACTERS // 2, MAX_CHARACTERS)
        if found > 0:
            return found + len(mark)
    return MAX_CHARACTERS

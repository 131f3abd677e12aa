"""Finds the passages that answer a question: SQLite's FTS5 over trigrams, in memory.

Words that share most of their pieces are found whatever their ending or a typo in them, in any
language, without lists of stop words or stems (`bench/knowledge.py` measures it). What the store
keeps is the text; each process makes its own index of it.
"""

import sqlite3
import threading
from collections.abc import Iterable

from kommo_bridge.knowledge.passages import Passage
from kommo_bridge.knowledge.words import trigrams, words

FOUND = 6
# The rarest pieces of a question say most; each further one costs time in a large index.
MOST_TRIGRAMS = 24
MAX_QUERY_CHARACTERS = 400

SCHEMA = """
    create virtual table pieces
        using fts5(words, content='', tokenize='trigram case_sensitive 1');
    create virtual table counts using fts5vocab('pieces', 'row');
    create table passages (source text, heading text, text text);
"""
SEARCH = """
    select source, heading, text from passages
    join (select rowid as place, bm25(pieces) as distance from pieces where pieces match ?
          order by distance, place limit ?) on passages.rowid = place
    order by distance, place
"""


class Index:
    """The passages of one integration; may be searched by several threads."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.executescript(SCHEMA)
        for passage in passages:
            self._add(passage)
        self._db.execute("insert into pieces (pieces) values ('optimize')")
        self._counts: dict[str, int] = dict(self._db.execute("select term, doc from counts"))

    def _add(self, passage: Passage) -> None:
        row = (passage.source, passage.heading, passage.text)
        place = self._db.execute("insert into passages values (?, ?, ?)", row).lastrowid
        text = f" {' '.join(words(' '.join(row)))} "
        self._db.execute("insert into pieces (rowid, words) values (?, ?)", (place, text))

    def search(self, query: str, limit: int = FOUND) -> list[Passage]:
        """The passages that fit best, the best first; none when nothing has a piece of a word."""
        pieces = self._pieces(query[:MAX_QUERY_CHARACTERS])
        if not pieces:
            return []
        match = " OR ".join(f'"{piece}"' for piece in pieces)
        with self._lock:
            return [Passage(*row) for row in self._db.execute(SEARCH, (match, limit))]

    def _pieces(self, query: str) -> list[str]:
        """The rarest trigrams of a question that there are."""
        wanted = dict.fromkeys(piece for word in words(query) for piece in trigrams(word))
        known = [piece for piece in wanted if piece in self._counts]
        return sorted(known, key=lambda piece: self._counts[piece])[:MOST_TRIGRAMS]

    def close(self) -> None:
        """Free its memory."""
        with self._lock:
            self._db.close()

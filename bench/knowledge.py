"""Does the search find the passage that answers, and what does it cost?

    python bench/knowledge.py

Questions by hand in six languages over a price list, a menu, opening hours and delivery rules
(`bench/knowledge_questions/`): as written there, inflected, with typos, with numbers; synonyms are
counted apart, since a search for words cannot find them (the model asks again in other words).
Beside it stand FTS5 over plain words and over prefixes. Then the same among 10,000 other passages,
which are jumbled from the same words; time is the thread's own.
"""

import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from report import ROOT, Figure, table

sys.path.insert(0, str(ROOT))

from kommo_bridge.knowledge.passages import Passage, passages
from kommo_bridge.knowledge.read import read
from kommo_bridge.knowledge.search import FOUND, Index
from kommo_bridge.knowledge.words import words

PART = "knowledge"
FOLDER = ROOT / "bench/knowledge_questions"
LANGUAGES = ("en", "es", "pt", "ru", "tr", "id")
MANY = 10_000
GOAL = 0.95
MOST_MS, MOST_MIB = 20.0, 40.0
SYNONYM = "synonym"

Search = Callable[[str], list[Passage]]


@dataclass(frozen=True)
class Question:
    """A question and the words that the right passage holds."""

    kind: str
    text: str
    answer: str

    def place(self, found: list[Passage]) -> int:
        """The place of the right passage among those found; `FOUND` when it is not there."""
        want = " ".join(words(self.answer))
        said = (" ".join(words(f"{one.heading} {one.text}")) for one in found)
        return next((place for place, text in enumerate(said) if want in text), FOUND)


def load(language: str) -> tuple[list[Passage], list[Question]]:
    """The passages and questions of one language."""
    data = (FOLDER / f"{language}.md").read_bytes()
    lines = (FOLDER / f"{language}.txt").read_text(encoding="utf-8").splitlines()
    asked = [Question(*(part.strip() for part in line.split(" | "))) for line in lines]
    return passages(language, read("markdown", data).blocks), asked


def plain_words(known: list[Passage], *, prefix: bool = False) -> Search:
    """FTS5 over words; with `prefix` over words whose ending is left open."""
    db = sqlite3.connect(":memory:")
    db.execute("create virtual table t using fts5(x, tokenize='unicode61 remove_diacritics 2')")
    said = ((f"{' '.join(words(f'{one.heading} {one.text}'))}",) for one in known)
    db.executemany("insert into t values (?)", said)

    def term(word: str) -> str:
        return f'"{word[: max(3, len(word) - 2)]}"*' if prefix and len(word) > 4 else f'"{word}"'

    def search(query: str) -> list[Passage]:
        match = " OR ".join(map(term, words(query)))
        sql = "select rowid from t where t match ? order by bm25(t) limit ?"
        return [known[place - 1] for (place,) in db.execute(sql, (match, FOUND))]

    return search


def jumbled(known: list[Passage], count: int) -> Iterator[Passage]:
    """Other passages of the same words, each with a number of its own."""
    choose = random.Random(7)
    for number in range(count):
        several = [choose.choice(known).text.split() for _ in range(3)]
        text = [
            choose.choice(several[2]) if choose.random() < 0.4 else word
            for word in several[0] + several[1]
        ]
        yield Passage("other", "", f"{' '.join(text)} {number}")


def measure(many: int = MANY) -> list[Figure]:
    """All figures of this part; prints what was missed."""
    sets = [load(language) for language in LANGUAGES]
    all_known = [one for known, _ in sets for one in known]
    memory, build, large = _large(all_known, many)
    figures: list[Figure] = []
    makers: dict[str, Callable[[list[Passage]], Search]] = {
        "trigrams": lambda known: Index(known).search,
        "plain words": plain_words,
        "prefixes": lambda known: plain_words(known, prefix=True),
    }
    for name, make in makers.items():
        places = [
            (one, one.place(found(one.text)))
            for known, asked in sets
            for found in [make(known)]
            for one in asked
        ]
        figures += _recall(name, places, goal=name == "trigrams")
        if name == "trigrams":
            _print_missed(places)
    asked = [one for _, some in sets for one in some]
    placed, times = [], []
    for one in asked:
        started = time.thread_time()
        found = large.search(one.text)
        times.append((time.thread_time() - started) * 1000)
        placed.append((one, one.place(found)))
    figures += _recall(f"trigrams among {many:,} jumbled", placed)
    return [*figures, *_costs(times, memory, build)]


def _large(known: list[Passage], many: int) -> tuple[float, float, Index]:
    """MiB and seconds of a large index, and the index, which holds the right passages, too."""
    before, started = _resident_mib(), time.thread_time()
    index = Index(one for some in (known, jumbled(known, many)) for one in some)
    return _resident_mib() - before, time.thread_time() - started, index


def _recall(
    name: str, places: list[tuple[Question, int]], *, goal: bool = False
) -> Iterator[Figure]:
    for synonyms in (False, True):
        some = [place for one, place in places if (one.kind == SYNONYM) == synonyms]
        for most in (3, FOUND):
            share = sum(place < most for place in some) / len(some)
            what = f"{name}, recall@{most}, {len(some)} {'synonyms' if synonyms else 'questions'}"
            has_goal = goal and most == FOUND and not synonyms
            met = share >= GOAL if has_goal else None
            yield Figure(PART, what, share, "", "", None, f">= {GOAL}" if has_goal else "", met)


def _costs(times: list[float], memory: float, build: float) -> list[Figure]:
    p50, last = statistics.median(times), max(times)
    return [
        Figure(PART, "a search in the large index, p50", p50 * 1000, "us"),
        Figure(PART, "... the slowest", last, "ms", "", None, f"< {MOST_MS:g}", last < MOST_MS),
        Figure(PART, "its memory", memory, "MiB", "", None, f"< {MOST_MIB:g}", memory < MOST_MIB),
        Figure(PART, "making it", build, "s"),
    ]


def _print_missed(places: list[tuple[Question, int]]) -> None:
    for one, place in places:
        if place >= FOUND:
            print(f"missed ({one.kind}): {one.text} -> {one.answer}")


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    print(table(measure()))

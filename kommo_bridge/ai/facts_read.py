"""What a text states that a business may be held to: see `facts_check`.

A text is read kind by kind, the clearest first; what was read is blanked out, so that the digits of
a telephone number are no prices. Every expression takes time in proportion to the text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Literal

from kommo_bridge.ai.facts_numbers import (
    SMALL,
    counts_in_words,
    is_count,
    numbers,
    percentages,
    prices,
)
from kommo_bridge.ai.facts_when import (
    TIMES,
    dates,
    dotted,
    noon_and_midnight,
    times,
    times_of_ranges,
)

Kind = Literal["price", "percentage", "date", "time", "phone", "email", "link", "number"]

SPACES = str.maketrans(dict.fromkeys("\u00a0\u202f\u2009\u2007\t", " "))
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,5}[a-z]{2,24}", re.IGNORECASE)
ENDINGS = (
    "com|net|org|io|ru|br|es|mx|ar|tr|id|co|shop|store|app|info|biz|site|online|pe|cl|uk|eu|ai|dev"
    "|link|ly|gl|tv|xyz|su|рф|kz|by|ua|me|page|pt"
)
LINK = re.compile(
    r"(?:https?://|(?<![\w.@])www\.)[^\s<>\"'|)\]]{1,500}"
    rf"|(?<![\w.@/-])(?:[\w-]{{2,63}}\.){{1,4}}(?:{ENDINGS})(?![\w-])(?:/[^\s<>\"'|)\]]{{0,500}})?",
    re.IGNORECASE,
)
LINK_END = ".,;:!?*_~`…"
PHONE = re.compile(
    r"(?<![\w.,/:$€£₽₺+-])(?:\+\s?)?(?:\([0-9]{1,5}\)|[0-9]{1,14})"
    r"(?:[ .-]{0,2}\(?[0-9]{2,8}\)?){0,6}"
    r"(?![\w%]|[.,:/-][0-9])"
)
MIN_PHONE, SURE_PHONE, MAX_PHONE = 7, 9, 15
LOCAL_PHONE = re.compile(r"[0-9]{3,4}-[0-9]{2}-?[0-9]{2}|[\s(+]*[+(08].*", re.DOTALL)
# A smaller number without a currency is a count to those who write currencies, except in a table.
MIN_PRICE = 10
# Reading a longer text again would cost milliseconds.
LONG = 2_000
CELL = re.compile(r"[,;:|=\t-] ?([0-9]) ?(?=$|[,;|\t])", re.MULTILINE)
THOUSANDS = re.compile(r"[0-9]{1,3}(?:[ .][0-9]{3})+")

Found = tuple[int, int, Kind, frozenset[Any]]


@dataclass(frozen=True)
class Fact:
    """One thing that a text states.

    Attributes:
        readings: What it may mean; two facts agree when they share one.
    """

    kind: Kind
    text: str
    readings: frozenset[Any]


@dataclass(frozen=True)
class Known:
    """All that some texts state, by kind; an amount has any of the kinds of numbers."""

    facts: dict[str, frozenset[Any]]

    def __getitem__(self, kind: str) -> frozenset[Any]:
        return self.facts.get(kind, frozenset())


def read_facts(text: str) -> tuple[Fact, ...]:
    """What a text states, plain counts left out."""
    return tuple(one for one in _all(text) if not _is_count(one))


def read_counts(text: str) -> frozenset[int]:
    """How many of something a text speaks of, in figures or in words."""
    plain = (one for fact in _all(text) if fact.kind == "number" for one in fact.readings)
    figures = {int(one) for one in plain if 1 < one < SMALL and one == int(one)}
    return frozenset(figures.union(counts_in_words(text)))


def read_known(texts: Iterable[str], *, keep: bool = True) -> Known:
    """All that the texts state, read generously: `9-18` is two times as well as two numbers.

    Args:
        keep: Whether what a longer text states is kept for the next time: not what customers write.
    """
    facts: dict[str, set[Any]] = {}
    for text in texts:
        read = _known_of if keep and len(text) >= LONG else _known_of.__wrapped__
        for kind, readings in read(text).facts.items():
            facts.setdefault(kind, set()).update(readings)
    return Known({kind: frozenset(readings) for kind, readings in facts.items()})


@lru_cache(maxsize=64)  # what a business says is read once, and again when it changes
def _known_of(text: str) -> Known:
    found = [fact for fact in _all(text) if fact.kind != "time"]
    marked = any(fact.kind == "price" for fact in found)
    facts: dict[str, set[Any]] = {"time": _moments(text.translate(SPACES)), "date": set()}
    for fact in found:
        if marked and _is_small(fact):
            continue
        facts.setdefault(fact.kind, set()).update(fact.readings)
        if fact.kind in ("number", "price"):
            moments, days = dotted(fact.text)
            facts["time"].update(moments)
            facts["date"].update(days)
    facts.setdefault("price", set()).update(Decimal(one) for one in CELL.findall(text))
    return Known({kind: frozenset(readings) for kind, readings in facts.items()})


def _moments(text: str) -> set[int]:
    """All times; `9-18` has its own meaning, for nobody is open from 9 in the evening to 18."""
    found: list[Any] = list(times_of_ranges(text))
    for pattern in TIMES:
        found.extend(times(pattern, _without(text, found)))
    return {moment for _, _, moments in found for moment in moments} | {*noon_and_midnight(text)}


def _is_small(fact: Fact) -> bool:
    """Where prices have a currency, a small number without one is a count."""
    return fact.kind == "number" and fact.text.isdecimal() and int(fact.text) < MIN_PRICE


def _all(text: str) -> Iterator[Fact]:
    rest = text.translate(SPACES)
    for read in READERS:
        found = [one for one in read(rest) if one[3]]
        for begin, end, kind, readings in found:
            yield Fact(kind, text[begin:end].strip(), readings)
        rest = _without(rest, found)


def _without(text: str, found: Sequence[tuple[int, int, *tuple[Any, ...]]]) -> str:
    """The text with what was found blanked out; its places stay."""
    parts, at = [], 0
    for begin, end, *_ in sorted(found, key=lambda one: one[:2]):
        parts.append(text[at:begin])
        parts.append("¦" * (end - max(begin, at)))
        at = max(at, end)
    return "".join([*parts, text[at:]])


def _is_count(fact: Fact) -> bool:
    return fact.kind == "number" and is_count(fact.text, fact.readings)


def _emails(text: str) -> Iterator[Found]:
    for match in EMAIL.finditer(text):
        yield *match.span(), "email", frozenset([match[0].lower()])


def _links(text: str) -> Iterator[Found]:
    for match in LINK.finditer(text):
        link = match[0].rstrip(LINK_END)
        plain = re.sub(r"^(?:https?://)?(?:www\.)?", "", link.lower()).rstrip("/")
        yield match.start(), match.start() + len(link), "link", frozenset([plain])


def _phones(text: str) -> Iterator[Found]:
    for match in PHONE.finditer(text):
        digits = re.sub(r"[^0-9]", "", match[0])
        sure = len(digits) >= SURE_PHONE or LOCAL_PHONE.fullmatch(match[0])
        if MIN_PHONE <= len(digits) <= MAX_PHONE and sure and not THOUSANDS.fullmatch(match[0]):
            yield *match.span(), "phone", frozenset([digits])


def _as(kind: Kind, read: Callable[[str], Iterator[Any]]) -> Callable[[str], Iterator[Found]]:
    def named(text: str) -> Iterator[Found]:
        for begin, end, readings in read(text):
            yield begin, end, kind, readings

    return named


READERS: tuple[Callable[[str], Iterator[Any]], ...] = (
    _emails,
    _links,
    percentages,
    prices,
    _as("date", dates),
    *(_as("time", partial(times, pattern)) for pattern in TIMES),
    _phones,
    numbers,
)

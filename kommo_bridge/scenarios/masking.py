"""Takes out of a conversation what would name a customer. Pure.

Masked are mail addresses, links, cards, account numbers, phone and other long numbers, street
addresses, and names where they are introduced or addressed; the same value gets the same mark. What
the business itself says in its instructions stays, for the checks are about that. A name that
nobody introduces is not found: a person reads the result before it is kept.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import regex

CARD_DIGITS = range(13, 20)
PHONE_DIGITS = range(7, 16)
# Numbers of so many digits in a row name an order or a document.
LONG_NUMBER = 6

MAIL = regex.compile(r"[\w.+%'-]+@[\w-]+(?:\.[\w-]+)*\.?\w")
LINK = regex.compile(r"\bhttps?://[^\s<>\"]+|\bwww\.[^\s<>\"]+", regex.IGNORECASE)
HANDLE = regex.compile(r"(?<![\w.@])@\w{2,}")
IBAN = regex.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?\b")
# Digits with the signs that people write between them; not a colon, which times have.
DIGITS = regex.compile(
    r"(?<!\w)(?<!\d[.,:])[+(]{0,2}\d(?:[ \t\u00a0().\-–/]{0,3}\d){5,}(?!\w|:\d|[-./]\d)"
)
DOCUMENT = regex.compile(r"\b(?=\w*[^\W\d_])(?=(?:\w*?\d){5})\w+\b")
DATE = regex.compile(
    r"(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4})"
    r"(?:[ \t]+\d{1,2}[.:]\d{2}|[T ]\d{1,2})?"
)
TIMES = regex.compile(r"\d{1,2}[.]\d{2}\s?[-–]\s?\d{1,2}[.]\d{2}")
THOUSANDS = regex.compile(r"\d{1,3}(?:[ .\u00a0]000)+")

_NAME = r"[^\W\d_][\w'’-]*"
_CAPITAL = r"[\p{Lu}\p{Lo}][\w'’-]*"
_NO_NAME = "and|y|e|et|и|ve|dan|from|de|do|da|i|ich|here|can|want|need|please|quiero|из"
STREET_BEFORE = regex.compile(
    r"\b(?:calle|c/|avenida|avda\.?|av\.|plaza|paseo|camino|rua|travessa|praça|largo|alameda|"
    r"ул(?:\.|ица|ице|ицу)|проспект\w*|пр-т|пер(?:\.|еулок)|бульвар\w*|jalan|jl\.|rue|via)"
    r"\s+(?:[\w.'’-]+[ ,]+){0,5}?(?:№|n[º°.]|no\.|д\.|дом)?\s*\d+\w{0,2}"
    r"(?:,?\s+(?:piso|apt\.?|кв\.?|квартира|apto\.?|daire|kat)\s*\w+)*",
    regex.IGNORECASE,
)
STREET_AFTER = regex.compile(
    rf"\b\d{{1,5}}\w?,?\s+(?:{_CAPITAL}\s+){{1,4}}"
    r"(?i:(?:street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|square|court|way)\b\.?"
    r"(?:,?\s+(?:apt|flat|unit|suite)\.?\s*\w+)?)"
)
STREET_TURKISH = regex.compile(
    rf"\b(?:{_CAPITAL}\s+){{1,3}}(?i:(?:sokak|sokağı|caddesi|cad\.|mahallesi|mah\.)"
    r"(?:\s+(?:no:?\s*)?\d+\w?(?:/\d+)?)?)"
)
# Whoever is introduced: in any case after these words, then only capitals.
INTRODUCED = regex.compile(
    r"\b(?i:my name is|call me|the name is|name:|me llamo|mi nombre es|nombre:|meu nome é|"
    r"me chamo|nome:|меня зовут|моё имя|имя:|benim adım|adım|ismim|nama saya|nama:)\s+"
    rf"({_NAME}(?:[ ]{_CAPITAL}){{1,3}}|{_NAME}(?:[ ](?!(?i:{_NO_NAME})\b)[^\W\d_]+)?)"
)
SAYS_ONESELF = regex.compile(
    r"\b(?:[Ii](?:['’]m| am)|[Tt]his is|[Ss]oy|[Ss]ou|[Ss]aya|[Яя]|[Ээ]то)\s+"
    rf"({_CAPITAL}(?:[ ]{_CAPITAL}){{0,3}})"
)
ADDRESSED = regex.compile(
    r"(?:^|[\n.!?¡]\s*)(?i:hello|hi|hey|dear|hola|buenos días|buenas tardes|estimad[oa]|olá|oi|"
    r"bom dia|boa tarde|prezad[oa]|здравствуйте|привет|добрый день|уважаем\w+|merhaba|selam|"
    rf"sayın|halo|hai|thank you|thanks|gracias|obrigad[oa]|спасибо|terima kasih),?\s+({_CAPITAL}"
    rf"(?:[ ]{_CAPITAL}){{0,2}})(?=[,!.\n]|\s*$)"
)
# What may follow such words and is nobody.
NOBODY = frozenset(
    "the your there everyone all team sir madam señor señora senhor senhora colleague from very "
    "a an interested looking sorry здесь не уже я мы вы вас все всем не i we you i'm i’m".split()
)


@dataclass
class Masks:
    """The marks of one conversation.

    Args:
        keep: What the business says itself; values in it are not masked.
        names: Names that are known, such as those of the contact.
    """

    keep: str = ""
    names: Iterable[str] = ()
    marks: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._keep = _folded(self.keep)
        self._known = [one for one in self.names if len(one.strip()) > 1]

    def mask_all(self, texts: Iterable[str]) -> list[str]:
        """The texts of a conversation; a name that one introduces is masked in all."""
        masked = [self._mask(one) for one in texts]
        names = [*self._known, *(name for one in masked for name in _introduced(one))]
        for name in sorted({one.strip() for one in names}, key=lambda one: (-len(one), one)):
            masked = [self._without_name(one, name) for one in masked]
        return masked

    def _mask(self, text: str) -> str:
        for pattern, find in RULES:
            text = pattern.sub(partial(self._marked, find), text)
        return text

    def _marked(self, find: Callable[[str], str], match: regex.Match[str]) -> str:
        """The mark of what was found, or what was found when it is none or the business's own."""
        kind = find(match[0])
        return self._mark(kind, match[0]) if kind and not self._is_own(match[0]) else match[0]

    def _is_own(self, value: str) -> bool:
        digits = _digits(value)
        own = _folded(value).strip(" .,")
        return own in self._keep or (len(digits) >= LONG_NUMBER and digits in _digits(self._keep))

    def _mark(self, kind: str, value: str) -> str:
        key = (kind, _digits(value) if kind in ("phone", "card", "number") else _folded(value))
        if key not in self.marks:
            number = sum(one == kind for one, _ in self.marks) + 1
            self.marks[key] = f"[{kind}]" if number == 1 else f"[{kind} {number}]"
        return self.marks[key]

    def _without_name(self, text: str, name: str) -> str:
        """Without a name, and without each of its parts that is no common word."""
        if self._is_own(name):
            return text
        first, *more = name.split()
        # What follows a first name in small letters may be any word.
        parts = [first, *(one for one in more if one[0].isupper())]
        for part in [name, *(one for one in parts if len(one) > 2)]:  # noqa: PLR2004
            if part.casefold() not in NOBODY:
                whole = regex.compile(rf"(?<![\w\[]){regex.escape(part)}(?!\w)", regex.IGNORECASE)
                text = whole.sub(lambda _: self._mark("name", name), text)
        return text


def _digit_run(found: str) -> str:
    """What a row of digits is: nothing to mask when it is a date, hours or a round price."""
    bare = found.strip()
    if any(one.fullmatch(bare) for one in (DATE, TIMES, THOUSANDS)):
        return ""
    digits = _digits(bare)
    if len(digits) in CARD_DIGITS and passes_luhn(digits):
        return "card"
    if len(digits) in PHONE_DIGITS:
        return "phone"
    return "number"


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit that cards have (ISO/IEC 7812)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004
    return total % 10 == 0


def _introduced(text: str) -> list[str]:
    found = [*INTRODUCED.findall(text), *SAYS_ONESELF.findall(text), *ADDRESSED.findall(text)]
    return [one for one in found if one.split()[0].casefold() not in NOBODY]


def _digits(text: str) -> str:
    return "".join(one for one in text if one.isdigit())


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


# In this order: what contains other kinds goes first.
RULES: tuple[tuple[regex.Pattern[str], Callable[[str], str]], ...] = (
    (LINK, lambda _: "link"),
    (MAIL, lambda _: "mail"),
    (HANDLE, lambda _: "name"),
    (IBAN, lambda _: "account"),
    (STREET_BEFORE, lambda _: "address"),
    (STREET_TURKISH, lambda _: "address"),
    (STREET_AFTER, lambda _: "address"),
    (DIGITS, _digit_run),
    (DOCUMENT, lambda _: "number"),
)

"""The kinds of fields: how a value is read from JSON or a command line, and what it must be.

A kind knows no field by name. `must` completes the sentence "FIELD must ..." for operators, for
`--help` and for the table in the docs, so that all of them say what is checked.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kommo_bridge.integrations.sentences import LANGUAGES, is_sentence

MAX_WHOLE_NUMBER = 2**63 - 1  # the largest that a database column holds
# Half a character, as JSON may have it, and the one that PostgreSQL does not take.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
YES_AND_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Kind:
    """What all kinds share; on its own, any text.

    Attributes:
        unset: What applies without a value; only a field with `unset` may have none.
    """

    unset: str = ""

    @property
    def must(self) -> str:
        """Completes "FIELD must ..."."""
        return "be text"

    def read(self, value: Any) -> Any:
        """The value in the type of its field.

        Raises:
            TypeError, ValueError, OverflowError: It cannot be read as one.
        """
        if not isinstance(value, str):
            raise TypeError
        return value

    def fits(self, value: Any) -> bool:
        """Whether a value of the right type can work."""
        return not UNSTORABLE.search(value)

    def stored(self, value: Any) -> Any:
        """The value of a column in the type of its field."""
        return value


class Text(Kind):
    """Any text."""


@dataclass(frozen=True)
class Word(Kind):
    """Text for a header, a host or a token: printable ASCII without spaces."""

    pattern: str = r"[!-~]*"
    rule: str = "be printable ASCII characters without spaces"

    @property
    def must(self) -> str:
        return self.rule

    def fits(self, value: Any) -> bool:
        return bool(re.fullmatch(self.pattern, value))


@dataclass(frozen=True)
class Secret(Word):
    """A word that is encrypted at rest and never printed."""


@dataclass(frozen=True)
class SecretUrl(Secret):
    """An address on the internet that holds a secret, or nothing."""

    pattern: str = r"(https://[!-~]+)?"
    rule: str = "be an https address"


@dataclass(frozen=True)
class MailAddress(Word):
    """One mail address, or nothing."""

    pattern: str = r"([A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?"
    rule: str = "be one mail address such as owner@acme.com"


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words."""

    choices: tuple[str, ...] = ()

    @property
    def must(self) -> str:
        return f"be one of {', '.join(self.choices)}"

    def fits(self, value: Any) -> bool:
        return value in self.choices


@dataclass(frozen=True)
class Url(Kind):
    """The address of a server."""

    @property
    def must(self) -> str:
        return "be a URL such as https://api.openai.com/v1"

    def fits(self, value: Any) -> bool:
        try:
            parts = urlsplit(value)
            has_place = bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is not a number
            return False
        return parts.scheme in ("https", "http") and has_place and super().fits(value)


@dataclass(frozen=True)
class Sentence(Kind):
    """What the bridge itself says to customers (`sentences`); an `optional` one may be empty."""

    optional: bool = False

    @property
    def must(self) -> str:
        start = "be" if self.optional else "not be empty:"
        return (
            f"{start} a text, or a JSON object of texts by language "
            f"({', '.join(LANGUAGES)}) such as " + '{"en": "...", "es": "..."}'
        )

    def read(self, value: Any) -> Any:
        return super().read(
            json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
        )

    def fits(self, value: Any) -> bool:
        return ((self.optional and not value) or is_sentence(value)) and super().fits(value)


@dataclass(frozen=True)
class Flag(Kind):
    """Yes or no."""

    @property
    def must(self) -> str:
        return "be true or false"

    def read(self, value: Any) -> Any:
        text = str(value).lower()
        if text not in YES_AND_NO:
            raise ValueError
        return YES_AND_NO[text]

    def stored(self, value: Any) -> Any:
        return bool(value)

    def fits(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class WholeNumber(Kind):
    """A number without a fraction."""

    low: int = 0
    high: int = MAX_WHOLE_NUMBER

    @property
    def must(self) -> str:
        upper = "" if self.high == MAX_WHOLE_NUMBER else f" to {self.high}"
        return f"be a whole number from {self.low}{upper}"

    def read(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError
        return int(value)

    def fits(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)


@dataclass(frozen=True)
class Cap(WholeNumber):
    """The largest count allowed in its scope."""

    scope: str = "integration"

    @property
    def must(self) -> str:
        return f"{super().must}; 0 means no limit"


@dataclass(frozen=True)
class Number(Kind):
    """A number from `low` to `high`; `low` itself is too little when `above` it."""

    low: float = 0
    high: float = 0
    above: bool = False

    @property
    def must(self) -> str:
        bounds = f"above {self.low:g}, at most" if self.above else f"from {self.low:g} to"
        return f"be a number {bounds} {self.high:g}"

    def read(self, value: Any) -> Any:
        number = float(value)
        if isinstance(value, bool) or not math.isfinite(number):
            raise TypeError
        return number

    def fits(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high and not (self.above and value == self.low))


@dataclass(frozen=True)
class Price(Number):
    """Money for a million tokens."""

    high: float = 1_000_000


@dataclass(frozen=True)
class MoneyCap(Number):
    """The most money of the whole integration in a period."""

    high: float = 1_000_000_000

    @property
    def must(self) -> str:
        return f"{super().must}; 0 means no limit"

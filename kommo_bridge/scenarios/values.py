"""The values of a turn's keys: how each is read, and what it must be. Pure."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import regex

from kommo_bridge.conversations.handoff import REASONS
from kommo_bridge.integrations.sentences import COMMON_WORDS
from kommo_bridge.scenarios.scenario import FACTS, OUTCOMES

MAX_TEXT = 16_000
MAX_LINE = 80
LANGUAGES = tuple(sorted([*COMMON_WORDS, "ru"]))  # those that `language_of` recognises


class WrongValue(Exception):
    """A value that cannot be; the sentence begins with its key."""

    def key(self, table: Mapping[str, Any]) -> str:
        """The key that the sentence names, empty when it names none of the table."""
        name = str(self).partition(" ")[0]
        return name if name in table else ""


def text(value: Any, key: str) -> str:
    """A text that is not blank.

    Raises:
        WrongValue: It is not.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
        raise WrongValue(f"{key} must be a text.")
    return value.strip()


def line(value: Any, key: str) -> str:
    """A text of one short line.

    Raises:
        WrongValue: It is not.
    """
    found = text(value, key)
    if len(found) > MAX_LINE or "\n" in found:
        raise WrongValue(f"{key} must be one line of at most {MAX_LINE} characters.")
    return found


def _texts(key: str, value: Any) -> tuple[str, ...]:
    """One text or a list of them."""
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(one, str) and one.strip() for one in listed):
        raise WrongValue(f"{key} must be a text or a list of texts.")
    return tuple(listed)


def _patterns(key: str, value: Any) -> tuple[str, ...]:
    for pattern in (found := _texts(key, value)):
        try:
            regex.compile(pattern)
        except regex.error as error:
            raise WrongValue(f"{key} {pattern!r} is not a pattern: {error}.") from None
    return found


def _choice(choices: tuple[str, ...], key: str, value: Any) -> str:
    if value not in choices:
        raise WrongValue(f"{key} must be one of {', '.join(choices)}.")
    return str(value)


def _language(key: str, value: Any) -> str:
    return _choice(LANGUAGES, key, value) if value != "" else ""


def _length(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise WrongValue(f"{key} must be a whole number from 1 on.")
    return value


def _text(key: str, value: Any) -> str:
    return text(value, key)


EXPECTED_KEYS: dict[str, Callable[[str, Any], Any]] = {
    "outcome": partial(_choice, OUTCOMES),
    "reason": partial(_choice, REASONS),
    "contains": _texts,
    "absent": _texts,
    "regex": _patterns,
    "language": _language,
    "max_chars": _length,
    "facts": partial(_choice, FACTS),
    "tool": _text,
    "criteria": _texts,
}

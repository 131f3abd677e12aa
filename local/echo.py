"""A reply for the stand-in AI that repeats every word it was given, so that nothing goes unseen.

Customers write `word-7-word`; each reply is numbered, `reply-3-reply`, and holds the words of its
question. The replies that Kommo accepted show whose words were answered, how often, and whether any
were another person's.
"""

import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from local.partners.ai import Messages, handoff_call
from local.partners.ai_request import text_of

WORD = re.compile(r"word-\d+-word")
REPLY = re.compile(r"reply-\d+-reply")


@dataclass(frozen=True)
class Question:
    """A question that was paid for: the words it asks about, and all that it holds."""

    reply: str
    asked: tuple[str, ...]
    all: tuple[str, ...]


class Echo:
    """The `reply` of a `StandInAI`."""

    def __init__(self) -> None:
        self._questions: list[Question] = []
        self._lock = threading.Lock()

    def __call__(self, messages: Messages) -> str | dict[str, Any]:
        said = text_of(messages[-1])
        asked = tuple(WORD.findall(said))
        told = tuple(WORD.findall(" ".join(text_of(one) for one in messages[1:])))
        with self._lock:
            name = f"reply-{len(self._questions)}-reply"
            self._questions.append(Question(name, asked, told))
        text = f"{name}: you said {' '.join(asked)}."
        return handoff_call(text) if "human" in said else text

    @property
    def questions(self) -> list[Question]:
        """All that was asked, in order."""
        with self._lock:
            return list(self._questions)


def reply_name(text: str) -> str | None:
    """The name of the reply that a text is, None for any other sentence."""
    found = REPLY.search(text)
    return found.group() if found else None


def asked_again(questions: Iterable[Question]) -> Counter[str]:
    """How many questions each word is part of."""
    return Counter(name for one in questions for name in one.asked)

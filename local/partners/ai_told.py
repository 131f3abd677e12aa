"""A reply of the stand-in AI that knows what it was told, and nothing else.

The business tells it a list: the lines of the system message that begin with `- `. It answers with
the line that shares the most words with the question, as it stands. It hands over for the words
after `HAND OVER:`, and when no line fits. It reads no language and translates nothing.
"""

import re
from typing import Any

from kommo_bridge.integrations.sentences import (
    COMMON_WORDS,
    HANDOFF_TEXT,
    language_of,
    sentence,
)
from local.partners.ai import Messages, handoff_call
from local.partners.ai_request import text_of

LINE = "- "
HAND_OVER = "HAND OVER:"
_WORD = re.compile(r"\w+")
# Words are one when they begin alike: rose and roses.
_STEM = 4
_COMMON = frozenset(" ".join(COMMON_WORDS.values()).split())


def told_reply(messages: Messages) -> str | dict[str, Any]:
    """Answer the last message of the customer from the list."""
    told = "\n".join(text_of(one) for one in messages if one["role"] == "system").splitlines()
    asked = text_of([one for one in messages if one["role"] == "user"][-1])
    words = _stems(asked)
    wanted = [one.removeprefix(HAND_OVER) for one in told if one.startswith(HAND_OVER)]
    lines = [one.removeprefix(LINE) for one in told if one.startswith(LINE)]
    best = max(lines, key=lambda line: _shared(words, line), default="")
    if words & _stems(" ".join(wanted)) or not _shared(words, best):
        return handoff_call(sentence(HANDOFF_TEXT, language_of([asked])))
    return best


def _shared(words: frozenset[str], line: str) -> float:
    """How many words they share; of two lines with as many, the shorter one fits better."""
    shared = len(words & (own := _stems(line)))
    return shared + 1 / (2 + len(own)) if shared else 0


def _stems(text: str) -> frozenset[str]:
    words = [one for one in _WORD.findall(text.casefold()) if one not in _COMMON]
    return frozenset(one[:_STEM] for one in words)

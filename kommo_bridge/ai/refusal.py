"""What a refused prompt means, and what to try instead. Pure: no call is made here.

Servers differ in their codes and share no list, so their sentences are read too. Nothing of them
ever leaves this module: they may quote the customer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kommo_bridge.conversations.memory import Exchange

Reason = Literal["length", "tools", "unknown"]

# Enough for any error; a server may send a mebibyte.
MAX_READ = 2_000
# A history of so many characters may be what an unnamed reason means.
LONG_HISTORY = 2_000

STATUSES: dict[Reason, frozenset[int]] = {
    "length": frozenset({400, 413, 422}),
    "tools": frozenset({400, 404, 422, 501}),
    "unknown": frozenset({400, 422}),
}
CONTENT = re.compile(
    r"content[ _-]?(?:filter|policy|management)|responsibleai|moderation|flagged|safety"
    r"|data_inspection",
    re.IGNORECASE,
)
LENGTH = re.compile(
    r"context[ _-]?(?:length|window|size)|too long|too many tokens|input token|max.{0,30} tokens"
    r"|prompt.{0,30}too large|request too large|reduce the length|above_max_length",
    re.IGNORECASE,
)
TOOLS = re.compile(r"\b(?:tool|function)s?(?:\b|_)", re.IGNORECASE)
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Attempt:
    """How a question is put: with the tools or without, and after how many of the last turns."""

    tools: bool
    turns: int

    def history(self, turns: Sequence[Exchange]) -> Sequence[Exchange]:
        """Those of the turns, the oldest first, that go with the question."""
        return turns[max(0, len(turns) - self.turns) :]


def reason_of(status: int, *words: object) -> Reason | None:
    """Why a prompt was refused; None where no other prompt can help.

    Args:
        status: The HTTP status.
        words: Code, type, parameter and sentence of the error, as the server gave them.
    """
    said = " ".join(str(word)[:MAX_READ] for word in words if word)
    if CONTENT.search(said):
        return None
    if status in STATUSES["length"] and (status == 413 or LENGTH.search(said)):  # noqa: PLR2004
        return "length"
    if status in STATUSES["tools"] and TOOLS.search(said):
        return "tools"
    return "unknown" if status in STATUSES["unknown"] else None


def next_attempt(
    attempt: Attempt, reason: Reason | None, turns: Sequence[Exchange]
) -> Attempt | None:
    """What to try after a refusal; None when nothing is left. Each try holds less: it ends soon.

    Args:
        attempt: What was refused.
        reason: Why.
        turns: The whole history.
    """
    if reason == "length":
        return _shorter(attempt, turns)
    if reason and attempt.tools:
        return replace(attempt, tools=False)
    long = sum(len(turn.customer) + len(turn.reply) for turn in turns) > LONG_HISTORY
    return _shorter(attempt, turns) if reason == "unknown" and long else None


def _shorter(attempt: Attempt, turns: Sequence[Exchange]) -> Attempt | None:
    """First half of the history, then none of it."""
    if not attempt.turns:
        return None
    return replace(attempt, turns=len(turns) // 2 if attempt.turns == len(turns) else 0)


def identifiers(*words: object) -> list[str]:
    """The machine-readable words of an error: never a sentence, which may quote the customer."""
    found = [word for word in words if isinstance(word, str) and WORD.fullmatch(word)]
    return [word for word in dict.fromkeys(found) if word.lower() not in ("none", "null")]

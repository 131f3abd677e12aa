"""Remembered questions once more through the assistant as it is now: what would differ. Pure.

A model never says the same twice, so what counts is compared, not words: the exit, the numbers,
the links and the language.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kommo_bridge.conversations.memory import Exchange
from kommo_bridge.integrations.sentences import language_of
from kommo_bridge.scenarios.checks import Miss
from kommo_bridge.scenarios.report import block
from kommo_bridge.scenarios.run import Difference
from kommo_bridge.scenarios.scenario import Expected, Observed, Said, Scenario, ScenarioTurn

NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Former:
    """A question that was answered before: what was said until then, and what was replied."""

    question: Exchange
    before: tuple[Exchange, ...] = ()

    def scenario(self, name: str) -> Scenario:
        """The question as a scenario in which nothing must hold."""
        return Scenario(
            id=name,
            turns=(ScenarioTurn(self.question.customer, Expected()),),
            now=datetime.fromtimestamp(self.question.at, UTC),
            history=tuple(Said(one.customer, one.reply) for one in self.before),
        )


def questions(conversations: Sequence[Sequence[Exchange]], count: int) -> list[Former]:
    """The last questions of all conversations, the newest first; persons of one lead apart."""
    found = [
        Former(one, tuple(other for other in said[:place] if other.chat_id == one.chat_id))
        for said in conversations
        for place, one in enumerate(said)
    ]
    return sorted(found, key=lambda one: -one.question.at)[:count]


def changes(former: Exchange, seen: Observed) -> Iterator[Miss]:
    """What is not as it was, where it counts."""
    if seen.outcome in ("fail", "silent"):
        yield Miss("outcome", "a reply", seen.error or seen.outcome)
        return
    for key, pattern in (("numbers", NUMBER), ("links", LINK)):
        was, now = _all(pattern, former.reply), _all(pattern, seen.reply)
        if was != now:
            yield Miss(key, ", ".join(was) or "none", ", ".join(now) or "none")
    was_in, now_in = language_of([former.reply]), language_of([seen.reply])
    if was_in and now_in and was_in != now_in:
        yield Miss("language", was_in, now_in)


def lines_of(former: Former, difference: Difference) -> Iterator[str]:
    """What was said before and what would be said now."""
    at = datetime.fromtimestamp(former.question.at, UTC)
    seen = difference.observed
    yield ""
    yield f"{at:%Y-%m-%d %H:%M} UTC"
    yield from block("customer", former.question.customer)
    yield from block("before", former.question.reply)
    yield from block("now", f"[{seen.outcome}] {seen.reply or seen.error}".strip())
    for miss in difference.misses:
        yield from block("differs", f"{miss.key}: {miss.expected} -> {miss.found}")


def _all(pattern: re.Pattern[str], text: str) -> list[str]:
    return sorted(set(pattern.findall(text)))

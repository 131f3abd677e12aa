"""What a scenario is: a written conversation, and what must hold of each reply."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

OutcomeName = Literal["reply", "handoff", "silent", "fail"]

# What a scenario may ask for; `fail` is what it gets when the AI gave no reply.
OUTCOMES = ("reply", "handoff", "silent")
FACTS = ("known",)


@dataclass(frozen=True)
class Expected:
    """What must hold of one turn; empty and 0 ask for nothing.

    Attributes:
        outcome: One of `OUTCOMES`.
        reason: Why it is a handoff.
        contains, absent: Texts that the reply must have, or must not; case and spaces do not count.
        regex: Patterns of which each must be found.
        language: A code such as `es`.
        max_chars: How long the reply may be.
        facts: `known`: no price, date, number or link that nobody has given.
        tool: A tool that the AI must have called.
        criteria: Sentences that a judge must find true.
    """

    outcome: str = ""
    reason: str = ""
    contains: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()
    language: str = ""
    max_chars: int = 0
    facts: str = ""
    tool: str = ""
    criteria: tuple[str, ...] = ()

    @property
    def asks_for_nothing(self) -> bool:
        """Whether every reply would do."""
        return self == Expected()


@dataclass(frozen=True)
class ScenarioTurn:
    """What the customer writes, and what must hold of the answer."""

    customer: str
    expected: Expected = Expected()


@dataclass(frozen=True)
class Said:
    """What was said before the scenario begins."""

    customer: str
    reply: str


@dataclass(frozen=True)
class Scenario:
    """One written conversation.

    Attributes:
        id: Names it in reports.
        turns: What the customer writes, in order.
        now: When it happens, without an offset in the integration's zone; None: when it is run.
        history: What was said before.
        table: As it was read, for the store.
    """

    id: str
    turns: tuple[ScenarioTurn, ...]
    now: datetime | None = None
    history: tuple[Said, ...] = ()
    table: dict[str, Any] | None = None


@dataclass(frozen=True)
class Observed:
    """What came of one turn.

    Attributes:
        outcome: The exit; `fail` when the AI gave no reply, and `error` says why.
        reply: What the customer reads; empty when silent.
        reason: Why it is a handoff.
        tools: The tools that the AI called.
        tokens: How many were paid for.
        money: What they cost by the integration's prices, in millionths; 0 without prices.
        with_human: An earlier turn was a handoff.
        known, words: What the assistant was given to know, and what the customer has written.
    """

    outcome: OutcomeName
    reply: str = ""
    reason: str = ""
    tools: tuple[str, ...] = ()
    tokens: int = 0
    money: int = 0
    error: str = ""
    with_human: bool = False
    known: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

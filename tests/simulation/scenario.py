"""What will happen in one world: plain data made from a seed, so that it can be shrunk."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

# How one call to Kommo goes: a status, or one of these.
NO_CONNECTION, LOST, LOST_AFTER = "no connection", "lost", "lost after it arrived"
TOOK_500 = "500 after it arrived"
TWO_AIS = (2, 5, 9)  # of eleven seeds
CALL_FAULTS: tuple[Any, ...] = (
    409, 423, 302, 408, 425, 400, 413, 422, 429, 500, 502,
    NO_CONNECTION, LOST, LOST_AFTER, TOOK_500,
)  # fmt: skip


@dataclass(frozen=True)
class Ask:
    """How one question goes: after `seconds` it is ok, or fails as `kind` says."""

    seconds: float
    kind: str = "ok"


@dataclass(frozen=True)
class Message:
    """One widget request; times are seconds from the start.

    Attributes:
        name: Its text begins with it, and its Salesbot is named so.
        stops_at: When its Salesbot is stopped or replaced.
        calls: How the first, second ... call to its Salesbot goes; then all are well.
        always: How every call to it goes.
        asks: How the first, second ... question that ends with it goes; then after a second.
        left: A record of the former version: `reply` is being sent, `unknown` perhaps arrived.
    """

    name: str
    at: float
    text: str
    stops_at: float | None = None
    calls: tuple[Any, ...] = ()
    always: Any = None
    asks: tuple[Ask, ...] = ()
    left: str = ""


@dataclass(frozen=True)
class Customer:
    """One person of one lead."""

    name: str
    account: int
    lead: int
    own: bool
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Window:
    """From `start` on, for `seconds`, something is wrong: with an account's Kommo or AI."""

    start: float
    seconds: float
    what: Any
    account: int = -1


@dataclass(frozen=True)
class Deed:
    """What an operator does to a lead or an account."""

    at: float
    what: str
    account: int
    lead: int = 0


@dataclass(frozen=True)
class Scenario:
    """A whole world."""

    seed: int
    reply_deadline: float
    continue_deadline: float
    burst: float
    accounts: int
    workers: int
    slots: int
    customers: tuple[Customer, ...]
    kommo: tuple[Window, ...] = ()
    ai: tuple[Window, ...] = ()
    redis: tuple[Window, ...] = ()
    deeds: tuple[Deed, ...] = ()
    kills: tuple[int, ...] = field(default=())
    modes: tuple[str, ...] = ()

    def mode(self, account: int) -> str:
        """The mode of an account."""
        return self.modes[account] if self.modes else "live"

    @property
    def two_ais(self) -> bool:
        """Whether there is a second AI; no draw, so that a seed means what it meant before."""
        return self.seed % 11 in TWO_AIS

    @property
    def end_of_trouble(self) -> float:
        """When all partners are well again."""
        ends = [one.start + one.seconds for one in (*self.kommo, *self.ai, *self.redis)]
        return max([0.0, *ends])


class Maker:
    """Makes a scenario out of a seed. Each world has a few kinds of trouble, many have none."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.seed = seed

    def make(self) -> Scenario:
        """The scenario."""
        draw = self.random
        self.trouble = {one for one in TROUBLES if draw.random() < 0.25}
        if "front" in self.trouble:
            self.trouble -= {"stops", "stuck", "calls", "kommo", "kills", "block"}
        deadlines = (120.0,) if "front" in self.trouble else (8.0, 24.0, 24.0, 120.0)
        reply_deadline = draw.choice(deadlines)
        continue_deadline = draw.choice((60.0, 120.0, 900.0)) + reply_deadline
        accounts = draw.choice((1, 1, 1, 2, 3))
        self.span = draw.choice((3.0, 10.0, 30.0, 100.0))
        self.deadline = reply_deadline
        customers = tuple(self._customer(n, accounts) for n in range(draw.choice((1, 1, 2, 3))))
        return Scenario(
            seed=self.seed,
            reply_deadline=reply_deadline,
            continue_deadline=continue_deadline,
            burst=draw.choice((0.0, 2.0, 2.0, 2.0, 5.0)),
            accounts=accounts,
            workers=draw.choice((1, 2, 3)),
            slots=draw.choice((2, 5, 20)),
            customers=customers,
            kommo=(*self._windows("kommo", KOMMO_TROUBLES, accounts), *self._block(accounts)),
            ai=self._windows("ai", ("transient", "hang", "permanent"), accounts),
            redis=self._windows("redis", ("away",), 1),
            deeds=self._deeds(customers, accounts),
            kills=self._kills(),
            modes=self._modes(accounts),
        )

    def _modes(self, accounts: int) -> tuple[str, ...]:
        """Drawn apart: it changes nothing else of the world."""
        draw = Random(f"modes of {self.seed}")
        if draw.random() > 0.15:
            return ()
        return tuple(draw.choice(("live", "hint", "hint", "test")) for _ in range(accounts))

    def _customer(self, number: int, accounts: int) -> Customer:
        draw = self.random
        own = draw.random() < 0.85
        count = draw.choice((1, 1, 2, 3, 5, 8))
        name = NAMES[number]
        at = draw.uniform(0, 2)
        messages = []
        for place in range(count):
            messages.append(self._message(f"{name[0].lower()}{place}", at, place))
            if "front" in self.trouble and not place:
                front = draw.choice((500, LOST, 409, TOOK_500))
                messages[0] = replace(messages[0], always=front)
                at += draw.uniform(42, 80)
            at += draw.choice((0.01, 0.3, 1.0, 3.0, self.span / count)) * draw.uniform(0.5, 1.5)
        return Customer(
            name, draw.randrange(accounts), draw.choice((1, 1, 2)), own, tuple(messages)
        )

    def _message(self, name: str, at: float, place: int) -> Message:
        draw = self.random
        voice = "voice" in self.trouble and draw.random() < 0.5
        long = "long" in self.trouble and draw.random() < 0.3
        text = "" if voice else f"{name} hello" + (" x" * 5000 if long else "")
        if "phrase" in self.trouble and draw.random() < 0.15:
            text = f"{name} human please"
        left = ""
        if "upgrade" in self.trouble and place == 0 and not voice:
            left = draw.choice(("reply", "unknown", ""))
        return Message(
            name=name,
            at=at,
            text=text,
            stops_at=at + draw.expovariate(0.3) if self._is("stops", 0.4) else None,
            calls=self._calls(),
            always=draw.choice((500, LOST, 409, 429)) if self._is("stuck", 0.25) else None,
            asks=tuple(self._ask() for _ in range(4)),
            left=left,
        )

    def _is(self, trouble: str, share: float) -> bool:
        return trouble in self.trouble and self.random.random() < share

    def _calls(self) -> tuple[Any, ...]:
        if not self._is("calls", 0.6):
            return ()
        draw = self.random
        return tuple(draw.choice((200, *CALL_FAULTS)) for _ in range(draw.choice((1, 1, 2, 3, 6))))

    def _ask(self) -> Ask:
        draw = self.random
        quick = draw.choice((0.1, 0.5, 1.0, 3.0)) * draw.uniform(0.5, 1.5)
        seconds = draw.uniform(1, self.deadline) if self._is("slow", 0.4) else quick
        kind = "ok"
        if self._is("ai", 0.5):
            kind = draw.choice(ASK_KINDS)
        return Ask(seconds, kind)

    def _windows(self, trouble: str, kinds: tuple[Any, ...], accounts: int) -> tuple[Window, ...]:
        draw = self.random
        if trouble not in self.trouble:
            return ()
        longest = 15.0 if trouble == "redis" else draw.choice((5.0, 40.0, 200.0))
        return tuple(
            Window(
                draw.uniform(0, self.span),
                draw.uniform(0.5, longest),
                draw.choice(kinds),
                draw.randrange(accounts),
            )
            for _ in range(draw.choice((1, 1, 2)))
        )

    def _block(self, accounts: int) -> tuple[Window, ...]:
        """Kommo tells an account to slow down, then refuses our address to all."""
        if not self._is("block", 0.5):
            return ()
        draw = self.random
        at, seconds = draw.uniform(0, self.span), draw.uniform(5, 300)
        limited = Window(at, draw.uniform(0.5, 5), 429, draw.randrange(accounts))
        begins = at + limited.seconds
        return (limited, *(Window(begins, seconds, 403, one) for one in range(accounts)))

    def _deeds(self, customers: tuple[Customer, ...], accounts: int) -> tuple[Deed, ...]:
        draw, deeds = self.random, []
        if "operators" in self.trouble:
            for one in customers:
                at = draw.uniform(0, self.span)
                deeds.append(Deed(at, "pause", one.account, one.lead))
                if draw.random() < 0.6:
                    back = at + draw.choice((0.5, 3.0, 20.0))
                    deeds.append(Deed(back, "resume", one.account, one.lead))
        if "integrations" in self.trouble:
            what = draw.choice(("disable", "remove", "revoke", "revoke"))
            account, at = draw.randrange(accounts), draw.uniform(0, self.span)
            deeds.append(Deed(at, what, account))
            if what == "revoke" and draw.random() < 0.7:
                deeds.append(Deed(at + draw.uniform(0, 20), "token", account))
        return tuple(deeds)

    def _kills(self) -> tuple[int, ...]:
        draw = self.random
        if "kills" not in self.trouble:
            return ()
        first = draw.randrange(1, 120)
        return tuple(first + draw.randrange(1, 60) * n for n in range(draw.choice((1, 1, 2, 3))))


# In the mode `test` this lead has the tag, and no other.
TEST_LEAD = 1
NAMES = ("Ana", "Boris", "Carla", "Deniz")
TROUBLES = (
    "voice", "long", "phrase", "stops", "stuck", "calls", "slow", "ai", "kommo", "redis",
    "operators", "integrations", "kills", "upgrade", "block", "front",
)  # fmt: skip
KOMMO_TROUBLES: tuple[Any, ...] = (NO_CONNECTION, 500, 429, 403, LOST, TOOK_500, 401, 402)
ASK_KINDS = ("transient", "transient", "hang", "permanent", "handoff", "blank", "huge")


def make(seed: int) -> Scenario:
    """The scenario of a seed."""
    return Maker(seed).make()

"""Kommo and the AI as the world plays them, and the client's pace in front of Kommo."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from kommo_bridge.ai.response import Reply
from kommo_bridge.errors import AssistantError
from kommo_bridge.kommo.blocks import BLOCK_PAUSE_SECONDS, MEMORY_SECONDS, Forbidden, judge
from kommo_bridge.kommo.client import CallResult, NotNow

from .scenario import LOST, LOST_AFTER, NO_CONNECTION, TOOK_500, Ask, Message, Window
from .world import START, World, dead

SLOTS, WINDOW, IN_DOUBT, HOLD, LONGEST_WAIT = 7, 1.05, 5.0, 13.05, 2.0
PAUSE_AFTER_429 = 10.0
LONGEST_TEXT = 2000
HANG = 9.5


@dataclass
class Bot:
    """One waiting Salesbot; `taken` tells when and with what Kommo continued it."""

    message: Message
    job_id: str
    request: Any
    account: int
    calls: int = 0
    taken: tuple[float, str, str] | None = None


@dataclass
class Call:
    """One continue call; times are seconds since the epoch."""

    left: float
    arrived: float | None
    job_id: str
    account: int
    status: str
    reply: str
    took: bool = False
    response: Any = None
    heard: bool = False

    @property
    def spoken(self) -> bool:
        return self.status != "skip" and self.reply not in ("", "-")


@dataclass
class Asked:
    """One question; `reply` names what was paid for."""

    at: float
    names: tuple[str, ...]
    reply: str = ""


class Kommo:
    """All accounts, strict: a Salesbot is continued once."""

    def __init__(self, world: World, windows: Sequence[Window], end: float) -> None:
        self.world = world
        self.windows = windows
        self.end = START + end
        self.bots: dict[str, Bot] = {}
        self.calls: list[Call] = []
        self.tokens: dict[int, str] = {}
        self.on_arrival: Callable[[Call], None] = lambda call: None

    def call(self, bot: Bot, body: Any, token: str) -> CallResult:
        """One continue call, from its departure to its response."""
        world = self.world
        world.step()
        fate = self._fate(bot, token)
        bot.calls += 1
        call = Call(world.now, None, bot.job_id, bot.account, body.status, body.body()["data"]["reply"])
        self.calls.append(call)
        there = world.random.uniform(0.02, 0.15)
        if fate not in (NO_CONNECTION, LOST):
            world.at(world.now + there, lambda: self._arrive(call, bot, body, fate))
        world.tell("{} is called with {} {!r}{}", bot.message.name, body.status, call.reply[:40],
                   "" if fate == 200 else f" (fate: {fate})")  # fmt: skip
        if fate in (NO_CONNECTION, LOST, LOST_AFTER):
            world.sleep(0.1 if fate == NO_CONNECTION else HANG)
            world.step()
            call.heard = fate == NO_CONNECTION
            return CallResult(None, may_have_arrived=fate != NO_CONNECTION, error=fate)
        world.sleep(there + world.random.uniform(0.02, 0.1))
        world.step()
        call.heard = call.response < 500
        return self._result(call)

    @staticmethod
    def _result(call: Call) -> CallResult:
        status = call.response
        return CallResult(
            status,
            may_have_arrived=status >= 500,
            error="" if status < 300 else f"Kommo answered {status}",
        )

    def _fate(self, bot: Bot, token: str) -> Any:
        now, message = self.world.now, bot.message
        if message.always:
            return message.always
        for one in self.windows:
            start = START + one.start
            if one.account == bot.account and start <= now < start + one.seconds:
                return one.what
        if token != self.tokens.get(bot.account, token):
            return 401
        if bot.calls < len(message.calls):
            return message.calls[bot.calls]
        return 200

    def _arrive(self, call: Call, bot: Bot, body: Any, fate: Any) -> None:
        call.arrived = self.world.now
        call.response = self._respond(call, bot, body, fate)
        self.on_arrival(call)
        self.world.tell("  {} at Kommo: {}", bot.message.name, call.response)

    def _respond(self, call: Call, bot: Bot, body: Any, fate: Any) -> int:
        if isinstance(fate, int) and fate not in (200, 400, 413, 422):
            return fate
        if self.gone(bot) or bot.taken:
            return 404
        if fate in (400, 413, 422) and (len(call.reply) > 100 or body.shows):
            return int(fate)
        if len(call.reply) > LONGEST_TEXT:
            return 400
        call.took = True
        bot.taken = (self.world.now, call.status, call.reply)
        return 500 if fate == TOOK_500 else 200

    def gone(self, bot: Bot) -> bool:
        """It was stopped or replaced."""
        stops = bot.message.stops_at
        return stops is not None and self.world.now >= START + stops


@dataclass
class Pace:
    """The slots and pauses of one account."""

    lanes: dict[int, float] = field(default_factory=dict)
    paused_until: float = 0.0
    pauses: list[tuple[float, float]] = field(default_factory=list)


class Client:
    """As `KommoClient`, with its pacer."""

    def __init__(self, world: World, kommo: Kommo) -> None:
        self.world = world
        self.kommo = kommo
        self.paces: dict[str, Pace] = {}
        self.all_paused_until = 0.0
        self.limited_at: float | None = None
        self.forbidden_at: dict[str, float] = {}
        self.block: float = 0.0
        self.probe: int = 0
        self.number = 0

    def pace(self, host: str) -> Pace:
        """The pace of one account."""
        return self.paces.setdefault(host, Pace())

    def book(self, host: str, waiter: str = "") -> "Slot | NotNow":
        """As the client's: a slot within two seconds, or not now."""
        booked: Slot | NotNow = self.world.redis(lambda: self._book(host))
        return booked

    def _book(self, host: str) -> "Slot | NotNow":
        now, pace = self.world.now, self.pace(host)
        pace.lanes = {name: free for name, free in pace.lanes.items() if free > now}
        start = now
        if len(pace.lanes) >= SLOTS:
            start = sorted(pace.lanes.values())[len(pace.lanes) - SLOTS]
        paused = max(pace.paused_until, self.all_paused_until)
        start = max(start, paused)
        blocked = self.block > now
        if start - now > LONGEST_WAIT or (blocked and self.probe in pace.lanes):
            return NotNow(max(1.0, paused - now))
        self.number += 1
        if blocked:
            self.probe = self.number
        pace.lanes[self.number] = start + HOLD
        return Slot(self, host, self.number, start - now, probe=blocked)

    def release(self, slot: "Slot") -> None:
        """The call has ended."""
        pace = self.pace(slot.host)
        if slot.number in pace.lanes:
            rest = WINDOW + (IN_DOUBT if slot.in_doubt else 0.0)
            pace.lanes[slot.number] = self.world.now + rest if slot.used else 0.0
        if self.probe == slot.number:
            self.probe = 0

    def continue_salesbot(
        self, slot: "Slot", return_url: str, continuation: Any, access_token: str
    ) -> CallResult:
        """As the client's."""
        if not slot.entered or slot.used:
            raise RuntimeError("a slot is entered, and serves one call")
        pace, now = self.pace(slot.host), self.world.now
        if slot.waited and max(pace.paused_until, self.all_paused_until) > now:
            left = max(pace.paused_until, self.all_paused_until) - now
            return CallResult(None, retry_after_seconds=left, error="the account is paused")
        slot.used = True
        bot = self.kommo.bots[return_url]
        result = self.kommo.call(bot, continuation, access_token)
        slot.in_doubt = result.may_have_arrived and result.status is None
        return self._noted(slot, result)

    def _noted(self, slot: "Slot", result: CallResult) -> CallResult:
        wait, blocked = result.retry_after_seconds, False
        if result.status == 403:
            found = self._forbidden(slot)
            wait, blocked = found.pause_seconds, found.may_be_block
        elif slot.probe and result.status:
            self.block = 0.0
            self.forbidden_at.clear()
        if result.status == 429:
            wait = PAUSE_AFTER_429
            self.limited_at = self.world.now
            self._pause(slot.host, wait)
        return CallResult(
            result.status,
            may_have_arrived=result.may_have_arrived,
            retry_after_seconds=None if result.accepted else wait,
            blocked=blocked,
            error=result.error,
        )

    def _forbidden(self, slot: "Slot") -> Any:
        now = self.world.now
        self.forbidden_at[slot.host] = now
        lately = {host: at for host, at in self.forbidden_at.items() if now - at < MEMORY_SECONDS}
        seen = Forbidden(slot.host, self.limited_at, lately, self.block > now, slot.probe)
        found = judge(seen, now)
        self._pause(slot.host, found.pause_seconds)
        if found.pause_all_seconds:
            self.block = now + 3600
            self.all_paused_until = now + BLOCK_PAUSE_SECONDS
        return found

    def _pause(self, host: str, seconds: float) -> None:
        pace, now = self.pace(host), self.world.now
        if pace.paused_until < now + seconds:
            pace.paused_until = now + seconds
            pace.pauses.append((now, now + seconds))

    def lead_tags(self, *_args: Any, **_options: Any) -> list[str]:
        """No lead has a tag here."""
        return []


class Slot:
    """As the client's: enter it to wait for its time."""

    def __init__(
        self, client: Client, host: str, number: int, wait: float, *, probe: bool
    ) -> None:
        self.client = client
        self.host = host
        self.number = number
        self.waited = wait
        self.probe = probe
        self.entered = self.used = self.in_doubt = False

    def __enter__(self) -> "Slot":
        if self.waited:
            self.client.world.sleep(self.waited)
        self.entered = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Never raises."""
        if not dead():
            self.client.release(self)


class AI:
    """As `Assistant`."""

    def __init__(self, world: World, windows: Sequence[Window], timeout: float) -> None:
        self.world = world
        self.windows = windows
        self.timeout = timeout
        self.asked: list[Asked] = []
        self.times: dict[str, int] = {}
        self.messages: dict[str, Message] = {}
        self.accounts: dict[str, int] = {}
        self.replies: dict[str, Asked] = {}
        self.on_paid: Callable[[Asked], None] = lambda asked: None

    def reply(
        self, integration: Any, question: Any, *, seconds: float, history: Sequence[Any] = ()
    ) -> Reply:
        """One question."""
        world = self.world
        world.step()
        names = tuple(line.split()[0] for line in question.text.split("\n") if line[0] != "[")
        asked = Asked(world.now, names)
        self.asked.append(asked)
        fate = self._fate(names[-1])
        limit = min(seconds, self.timeout)
        world.tell("the AI is asked about {}{}", " ".join(names),
                   "" if fate.kind == "ok" else f" (fate: {fate.kind})")  # fmt: skip
        if fate.kind == "hang" or fate.seconds > limit:
            world.sleep(limit)
            world.step()
            raise AssistantError("no answer from the AI", permanent=False)
        world.sleep(fate.seconds)
        if fate.kind in ("transient", "permanent"):
            world.step()
            raise AssistantError("the AI failed", permanent=fate.kind == "permanent")
        asked.reply = f"r{len(self.replies) + 1}"
        self.replies[asked.reply] = asked
        self.on_paid(asked)
        world.tell("the AI has written {}", asked.reply)
        world.step()
        text = {"blank": "\u200b", "huge": f"{asked.reply} well " + "word " * 4000}
        return Reply(
            text.get(fate.kind, f"{asked.reply} well"), 10, handoff=fate.kind == "handoff"
        )

    def asked_before(self, name: str) -> Asked:
        """The former version has asked about it."""
        asked = Asked(self.world.now, (name,), f"r{len(self.replies) + 1}")
        self.replies[asked.reply] = asked
        return asked

    def _fate(self, name: str) -> Ask:
        times = self.times[name] = self.times.get(name, 0) + 1
        now = self.world.now
        for one in self.windows:
            start = START + one.start
            if one.account == self.accounts[name] and start <= now < start + one.seconds:
                return Ask(0.3, one.what)
        asks = self.messages[name].asks
        return asks[times - 1] if times <= len(asks) else Ask(1.0)

"""Kommo as the world plays it, strict: a Salesbot is continued once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kommo_bridge.kommo.results import CallResult

from .scenario import LOST, LOST_AFTER, NO_CONNECTION, TOOK_500, Message, Window
from .world import START, World

LONGEST_TEXT = 2000
HANG_SECONDS = 9.5


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
        call = Call(
            world.now, None, bot.job_id, bot.account, body.status, body.body()["data"]["reply"]
        )
        self.calls.append(call)
        there = world.random.uniform(0.02, 0.15)
        if fate not in (NO_CONNECTION, LOST):
            world.at(world.now + there, lambda: self._arrive(call, bot, body, fate))
        world.tell("{} is called with {} {!r}{}", bot.message.name, body.status, call.reply[:40],
                   "" if fate == 200 else f" (fate: {fate})")  # fmt: skip
        if fate in (NO_CONNECTION, LOST, LOST_AFTER):
            world.sleep(0.1 if fate == NO_CONNECTION else HANG_SECONDS)
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

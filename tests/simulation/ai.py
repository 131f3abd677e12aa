"""The AI as the world plays it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from kommo_bridge.ai.dialogue import Reply
from kommo_bridge.ai.second import ask_either
from kommo_bridge.conversations import preferred
from kommo_bridge.errors import AssistantError

from .scenario import Ask, Message, Window
from .world import START, World


@dataclass
class Asked:
    """One question; `reply` names what was paid for."""

    at: float
    names: tuple[str, ...]
    reply: str = ""


class Preferred(preferred.Preferred):
    """The same without Redis itself."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.until: dict[str, float] = {}

    def is_second(self, integration: Any) -> bool:
        with suppress(RedisError):
            until = self.until.get(integration.subdomain, 0.0)
            return bool(self.world.redis(lambda: until > self.world.now))
        return False

    def prefer(self, integration: Any, *, second: bool) -> None:
        until = self.world.now + preferred.PREFERRED_SECONDS if second else 0.0
        with suppress(RedisError):
            self.world.redis(lambda: self.until.update({integration.subdomain: until}))


class Gaps:
    """Where gaps are noted; each names the reply that it came with."""

    def __init__(self, on_note: Callable[[str], None]) -> None:
        self.on_note = on_note

    def note(self, _integration: Any, gap: str, _now: float) -> None:
        """One gap."""
        self.on_note(gap)


class AI:
    """As `Assistant`."""

    def __init__(
        self, world: World, windows: Sequence[Window], timeout: float, deadline: float, *, two: bool
    ) -> None:
        self.world = world
        self.windows = windows
        self.timeout = timeout
        self.deadline = deadline
        self.two = two
        self.preferred = Preferred(world)
        self.asked: list[Asked] = []
        self.times: dict[str, int] = {}
        self.messages: dict[str, Message] = {}
        self.accounts: dict[str, int] = {}
        self.replies: dict[str, Asked] = {}
        self.on_paid: Callable[[Asked], None] = lambda asked: None

    def reply(
        self,
        integration: Any,
        question: Any,
        *,
        seconds: float,
        history: Sequence[Any] = (),
        search: object = None,
    ) -> Reply:
        """One question, to one AI or to one of two."""
        if not self.two:
            return self._reply(question, seconds)
        return ask_either(
            lambda second, left: self._reply(question, left, second=second),
            integration,
            self.preferred,
            seconds=seconds,
            reply_deadline=self.deadline,
            clock=lambda: self.world.now,
        )

    def _reply(self, question: Any, seconds: float, *, second: bool = False) -> Reply:
        world = self.world
        world.step()
        names = tuple(line.split()[0] for line in question.text.split("\n") if line[0] != "[")
        asked = Asked(world.now, names)
        self.asked.append(asked)
        fate = self._fate(names[-1], second=second)
        limit = min(seconds, self.timeout)
        world.tell("the {}AI is asked about {}{}", "second " if second else "", " ".join(names),
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
            text.get(fate.kind, f"{asked.reply} well"),
            10,
            handoff=fate.kind == "handoff",
            gaps=(asked.reply,),  # each reply uses the tool once: so one that is lost is seen
        )

    def asked_before(self, name: str) -> Asked:
        """The former version has asked about it."""
        asked = Asked(self.world.now, (name,), f"r{len(self.replies) + 1}")
        self.replies[asked.reply] = asked
        return asked

    def _fate(self, name: str, *, second: bool = False) -> Ask:
        """The second AI is another server: what befalls it begins at the other end."""
        times = self.times[f"{name} {second}"] = self.times.get(f"{name} {second}", 0) + 1
        if second:
            asks = self.messages[name].asks[::-1]
            return asks[times - 1] if times <= len(asks) else Ask(1.0)
        now = self.world.now
        for one in self.windows:
            start = START + one.start
            if one.account == self.accounts[name] and start <= now < start + one.seconds:
                return Ask(0.3, one.what)
        asks = self.messages[name].asks
        return asks[times - 1] if times <= len(asks) else Ask(1.0)

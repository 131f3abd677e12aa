"""The AI as the world plays it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kommo_bridge.ai.dialogue import Reply
from kommo_bridge.errors import AssistantError

from .scenario import Ask, Message, Window
from .world import START, World


@dataclass
class Asked:
    """One question; `reply` names what was paid for."""

    at: float
    names: tuple[str, ...]
    reply: str = ""


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
        return Reply(text.get(fate.kind, f"{asked.reply} well"), 10, handoff=fate.kind == "handoff")

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

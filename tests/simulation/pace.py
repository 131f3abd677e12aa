"""The client in front of Kommo: its slots, its pauses, and what a 403 means to it."""

from dataclasses import dataclass, field
from types import SimpleNamespace, TracebackType
from typing import Any

from kommo_bridge.kommo.address_block import BLOCK_PAUSE_SECONDS, MEMORY_SECONDS, Forbidden, judge
from kommo_bridge.kommo.results import CallResult
from kommo_bridge.kommo.slot import IN_DOUBT_SECONDS, WINDOW_SECONDS, NotNow

from .kommo import Kommo
from .scenario import TEST_LEAD
from .world import World, dead

SLOTS, HOLD, LONGEST_WAIT = 7, 13.05, 2.0
PAUSE_AFTER_429 = 10.0


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
            rest = WINDOW_SECONDS + (IN_DOUBT_SECONDS if slot.in_doubt else 0.0)
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

    def get(self, host: str, path: str, *_token: Any, **_limits: Any) -> Any:
        """A lead and its tags, as Kommo shows them; a lookup is never refused here."""
        self.world.step()
        self.world.sleep(0.05)
        self.world.step()
        tags = [{"name": "ai-test"}] if path.endswith(f"/leads/{TEST_LEAD}") else []
        return SimpleNamespace(status_code=200, json=lambda: {"_embedded": {"tags": tags}})

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


class Slot:
    """As the client's: enter it to wait for its time."""

    def __init__(self, client: Client, host: str, number: int, wait: float, *, probe: bool) -> None:
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

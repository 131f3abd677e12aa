"""The right to make one call to one account, handed out by `pacing`."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

# A little over a second: Redis' clock may be adjusted meanwhile.
WINDOW_SECONDS = 1.05
# A call that was broken off may still be on its way when we have stopped waiting for it.
IN_DOUBT_SECONDS = 5.0

# Called when a slot's call has ended, with the seconds it must rest; None when it was not used.
Release = Callable[["Slot", float | None], None]


@dataclass(frozen=True)
class NotNow:
    """Nothing is booked: ask again after so many seconds."""

    seconds: float


class Slot:
    """The right to make one call to one account. Enter it to wait for its time, at most 2 s.

    Leaving it tells Redis that the call has ended. A slot that is not entered is given back by
    `give_back`.

    Attributes:
        host: The account that may be called.
        name: What Redis knows it by.
        hold_seconds: After so long it is free again, whatever became of its holder.
        probe: Whether its call tries if a block of our address has ended.
        waited: How long it has to be waited for, in seconds.
    """

    def __init__(self, host: str, hold_seconds: float, release: Release) -> None:
        self.host = host
        self.name = secrets.token_hex(8)
        self.hold_seconds = hold_seconds
        self.probe = False
        self.waited = 0.0
        self._release = release
        self._asked_at = self._starts_at = time.monotonic()
        self._booked_at = self._asked_at
        self._entered = self._used = self._in_doubt = False

    def booked(self, seconds: float, *, probe: bool) -> "Slot":
        """Set its time once Redis has assigned it: early for the end, late for the start."""
        self.waited, self.probe = seconds, probe
        self._asked_at += seconds
        self._starts_at = time.monotonic() + seconds
        return self

    @property
    def age_seconds(self) -> float:
        """How long ago it was booked."""
        return time.monotonic() - self._booked_at

    def __enter__(self) -> "Slot":
        time.sleep(max(0.0, self._starts_at - time.monotonic()))
        self._entered = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Tell Redis that the call has ended, or that there was none; without one it is free."""
        self._entered = False
        rest = WINDOW_SECONDS + (IN_DOUBT_SECONDS if self._in_doubt else 0.0)
        self._release(self, rest if self._used else None)

    def use(self) -> float:
        """Spend it on one call; returns until when (`time.monotonic()`) that call must have ended.

        Raises:
            RuntimeError: It was not entered, or is spent.
        """
        if not self._entered or self._used:
            raise RuntimeError("a slot is entered, and serves one call")
        self._used = self._in_doubt = True
        return self._asked_at + self.hold_seconds - WINDOW_SECONDS

    def ended(self) -> None:
        """The call was answered, or surely did not leave: it will not arrive later than now."""
        self._in_doubt = False

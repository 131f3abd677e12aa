"""Never faster than Kommo allows, per account, across all workers and machines.

https://developers.kommo.com/docs/limitations: 7 requests per second, 429 above, and 403 on
everything for an address that goes on. An account has seven slots. A call holds one from before it
leaves until a second after it has **ended**, so two calls with the same slot arrive more than a
second apart, however late either of them leaves, and no second sees more than seven arrive. The
slot of a caller that died is free again when its call cannot be under way any more. Redis' clock
serves all machines.
"""

import logging
import time
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.kommo.address_block import MEMORY_SECONDS, Forbidden, Verdict, judge
from kommo_bridge.kommo.pacing_scripts import BOOK, PAUSE, RELEASE
from kommo_bridge.kommo.slot import WINDOW_SECONDS, NotNow, Slot
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.telemetry.logs import log_event

SLOTS = 7
MAX_BOOKED_WAIT_SECONDS = 2.0
# How late a call may leave after its slot's time and still have its whole time.
LATENESS_SECONDS = 2.0
# How long a caller that was asked to come back keeps its place after that time.
COME_BACK_SECONDS = 5.0
# Callers that are asked to come back: when the first one is (soon, since a call that ends early
# frees its slot early), how far apart the others are, and at most how late.
SOONEST_SECONDS = 0.3
SPREAD_SECONDS = 0.12
FARTHEST_SECONDS = 60.0
BLOCK_FORGOTTEN_SECONDS = 3600.0

logger = logging.getLogger(__name__)


class Pacer:
    """Books calls per account host, and keeps the pauses that Kommo's answers ask for.

    Args:
        redis: Where slots and pauses of all workers are kept.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._book = redis.register_script(BOOK)
        self._release = redis.register_script(RELEASE)
        self._prolong = redis.register_script(PAUSE)

    def book(
        self, host: str, call_seconds: float, *, waiter: str = "", may_probe: bool = True
    ) -> Slot | NotNow:
        """Book the next free call to an account.

        Args:
            host: The account's own.
            call_seconds: The longest that the call may take.
            waiter: The caller. One that got `NotNow` and comes back in time goes before others.
            may_probe: Whether this call may be the one that tries if a block has ended.
        """
        hold = call_seconds + LATENESS_SECONDS + WINDOW_SECONDS
        slot = Slot(host, hold, self.release)
        booked, wait, probe = self._book(
            keys=[
                *(_key(host, "lanes"), _key(host, "line"), _key(host, "pause")),
                *(_key("*", "pause"), _key("*", "block"), _key("*", "probe")),
            ],
            args=[
                *(slot.name, waiter, SLOTS, _ms(hold), _ms(MAX_BOOKED_WAIT_SECONDS)),
                *(_ms(COME_BACK_SECONDS), _ms(SPREAD_SECONDS), _ms(FARTHEST_SECONDS)),
                *(int(may_probe), _ms(SOONEST_SECONDS)),
            ],
        )
        if not booked:
            return NotNow(wait / 1000)
        return slot.booked(wait / 1000, probe=bool(probe))

    def release(self, slot: Slot, rest_seconds: float | None) -> None:
        """The slot's call has ended and it rests so long; None: it was not used.

        Never raises: the call is made, and the slot comes free by itself.
        """
        rest = -1 if rest_seconds is None else _ms(rest_seconds)
        try:
            self._release(
                keys=[_key(slot.host, "lanes"), _key("*", "probe")],
                args=[slot.name, rest, _ms(slot.hold_seconds)],
            )
        except RedisError as error:
            _not_noted(error)

    def paused_seconds(self, host: str) -> float:
        """How long this account is not called, 0 when it may be."""
        pipeline = self._redis.pipeline(transaction=False)
        for key in (_key(host, "pause"), _key("*", "pause")):
            pipeline.pttl(key)
        return float(max(0, *pipeline.execute())) / 1000

    def pause(self, host: str, seconds: float) -> None:
        """Nobody calls this account for that long, or longer if so it is already."""
        self._prolong(keys=[_key(host, "pause")], args=["429", max(1, _ms(seconds))])

    def limited(self, host: str, seconds: float) -> None:
        """An account has answered 429: it is paused, and a 403 of anybody may now be a block."""
        try:
            self._redis.set(_key("*", "limited"), str(time.time()), px=_ms(MEMORY_SECONDS))
            self.pause(host, seconds)
        except RedisError as error:
            _not_noted(error)

    def forbidden(self, slot: Slot) -> Verdict:
        """An account has answered 403: what that means is decided, noted and returned."""
        try:
            verdict = judge(self._seen(slot), time.time())
            self._note(slot, verdict)
        except RedisError as error:
            _not_noted(error)
            return Verdict(may_be_block=True, pause_seconds=0.0)
        return verdict

    def answered(self, slot: Slot) -> None:
        """An account has answered other than 403: if this was the probe, the block has ended."""
        if not slot.probe:
            return
        try:
            self._redis.delete(_key("*", "block"), _key("*", "forbidden"))
        except RedisError as error:
            _not_noted(error)
        else:
            log_event(logger, "Kommo block ended", host=slot.host)

    def _seen(self, slot: Slot) -> Forbidden:
        """The mark comes first: of two accounts refused at once the later one sees the other."""
        key = _key("*", "forbidden")
        pipeline = self._redis.pipeline()
        pipeline.zadd(key, {slot.host: time.time()})
        pipeline.zrange(key, 0, -1, withscores=True)
        pipeline.get(_key("*", "limited"))
        pipeline.exists(_key("*", "block"))
        pipeline.pexpire(key, _ms(MEMORY_SECONDS))
        _, marks, limited_at, blocked, _ = pipeline.execute()
        return Forbidden(
            host=slot.host,
            limited_at=float(limited_at) if limited_at else None,
            forbidden_at={host.decode(): at for host, at in marks},
            blocked=bool(blocked),
            probe=slot.probe,
        )

    def _note(self, slot: Slot, verdict: Verdict) -> None:
        self.pause(slot.host, verdict.pause_seconds)
        if verdict.pause_all_seconds:
            self._redis.set(_key("*", "block"), "403", px=_ms(BLOCK_FORGOTTEN_SECONDS))
            args: list[Any] = ["403", _ms(verdict.pause_all_seconds)]
            self._prolong(keys=[_key("*", "pause")], args=args)
            log_event(
                logger,
                "Kommo blocks our address: all accounts are paused",
                level=logging.ERROR,
                seconds=verdict.pause_all_seconds,
            )


def _key(host: str, what: str) -> str:
    return f"{PREFIX}pacing:{host}:{what}"


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _not_noted(error: RedisError) -> None:
    log_event(
        logger,
        "Kommo call result not stored in Redis",
        level=logging.WARNING,
        error=type(error).__name__,
    )

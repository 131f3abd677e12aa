"""The clock that jumps, and those who act on it.

An actor is a piece of ordinary code (a job's run, a sweep) in a greenlet: whenever time passes for
it, others act. It belongs to a worker, and dies with it at any of its steps.
"""

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet
from redis.exceptions import ConnectionError as RedisAway

START = 1_800_000_000.0
AWAY_SECONDS = 0.05
# No schedule needs that many steps: somebody turns in a circle.
MOST_STEPS = 20_000


class Broken(Exception):
    """A rule that must hold was broken."""

    def __init__(self, rule: str, story: str) -> None:
        super().__init__(f"{rule}: {story}")
        self.rule = rule
        self.story = story


class Actor(greenlet):
    """Code that runs on a worker."""

    worker: Any = None
    dead = False


class World:
    """Time, and what may go wrong with Redis and the workers.

    Attributes:
        now: Seconds since the epoch.
        steps: How many steps actors have made; a kill is named by one.
        told: The story so far, when it is wanted.
    """

    def __init__(self, seed: int, kills: tuple[int, ...], *, telling: bool) -> None:
        self.now = START
        self.random = Random(seed + 1)
        self.steps = 0
        self.told: list[str] | None = [] if telling else None
        self.redis_back_at = 0.0
        self.clock: Any = None
        self.on_kill: Callable[[Any], None] = lambda worker: None
        self._kills = frozenset(kills)
        self._events: list[tuple[float, int, Callable[[], None] | Actor]] = []
        self._number = 0
        self._hub = getcurrent()

    def tell(self, text: str, *parts: object) -> None:
        """One line of the story."""
        if self.told is not None:
            self.told.append(f"{self.now - START:9.3f} s  " + text.format(*parts))

    def at(self, when: float, event: Callable[[], None] | Actor) -> None:
        """Let something happen then."""
        self._number += 1
        heapq.heappush(self._events, (max(when, self.now), self._number, event))

    def start(self, worker: Any, work: Callable[[], None]) -> Actor:
        """Let a worker begin with something now."""
        actor = Actor(work, self._hub)
        actor.worker = worker
        self.at(self.now, actor)
        return actor

    def run(self, until: float, done: Callable[[], bool]) -> None:
        """Let everything happen, up to a time or until it is done."""
        events, clock = self._events, self.clock
        while events and not done():
            when, _, event = heapq.heappop(events)
            if when > until:
                return
            self.now = clock.now = when
            if not isinstance(event, Actor):
                event()
            elif event.dead:
                if event:
                    event.throw()
            else:
                event.switch()

    def end(self) -> None:
        """Nobody acts any more."""
        for _, _, event in self._events:
            if isinstance(event, Actor) and event:
                event.dead = True
                event.throw()
        self._events.clear()

    def sleep(self, seconds: float) -> None:
        """Time passes for the actor that calls this; a dead one never comes back."""
        actor = getcurrent()
        if isinstance(actor, Actor):
            if actor.dead:
                raise GreenletExit
            self.at(self.now + seconds, actor)
            self._hub.switch()
            if actor.dead:
                raise GreenletExit

    def step(self) -> None:
        """An actor makes a step; its worker may die at it."""
        actor = getcurrent()
        if not isinstance(actor, Actor):
            return
        if actor.dead:
            raise GreenletExit
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Broken("endless", "somebody turns in a circle")
        if self.steps in self._kills and actor.worker is not None:
            self.on_kill(actor.worker)
            raise GreenletExit

    def redis(self, action: Callable[[], Any]) -> Any:
        """One round trip: a worker may die before it, and after it without knowing."""
        self.step()
        self.sleep(self._trip())
        if self.now < self.redis_back_at:
            self.sleep(AWAY_SECONDS)
            raise RedisAway("away")
        found = action()
        self.step()
        return found

    @property
    def redis_is_away(self) -> bool:
        return self.now < self.redis_back_at

    def _trip(self) -> float:
        fate = self.random.random()
        return 0.0002 + fate * 0.002 if fate < 0.98 else fate * 0.1


def dead() -> bool:
    """Whether the caller belongs to a worker that has died."""
    return bool(getattr(getcurrent(), "dead", False))

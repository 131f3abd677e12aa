"""Rounds: the runs of scenarios that somebody asked for in the console, as far as they have come.

A worker carries a round out in steps of a few conversations, each a job of its own at the end of
the queue (`scenarios.steps`): customers' jobs come between, and a worker that stops repeats at most
one step. What is kept here ends by itself.
"""

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from kommo_bridge.conversations.keys import integration_key
from kommo_bridge.errors import ErrandRefused
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.redis_client import PREFIX

KEPT_SECONDS = 86400
# After that no more conversations are begun.
ROUND_SECONDS = 900
# A round that its worker cannot end any more makes room after this.
HELD_SECONDS = ROUND_SECONDS + 900
# Of all integrations together: each asks the AI for two conversations at once.
MOST_ROUNDS = 4
# Of one integration: runs cost money and are not in its caps.
MOST_RUNS_A_DAY = 600

HELD_KEY = f"{PREFIX}console:rounds"


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        number: Names it.
        errand: What a worker was asked with; empty until then.
        red_team: The hostile customers instead of the saved scenarios.
        order: The ids of its scenarios; empty until a worker has begun.
        runs: What came of each run, by the scenario's id and the run's number.
        is_over: Nothing more comes.
        note: Why it ended before all was run.
    """

    number: str
    errand: str = ""
    repeat: int = 1
    red_team: bool = False
    started_at: float = 0.0
    order: tuple[str, ...] = ()
    runs: Mapping[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    is_over: bool = False
    note: str = ""
    judge_tokens: int = 0


class Rounds:
    """Rounds in Redis. All methods raise RedisError when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def begin(self, integration: Integration, repeat: int, *, red_team: bool) -> str:
        """Make a round, the only one of its integration; returns its number.

        Raises:
            ErrandRefused: One is under way, or many of others are.
        """
        now, name = time.time(), integration_key(integration)
        self._redis.zremrangebyscore(HELD_KEY, 0, now)
        with self._redis.pipeline() as pipeline:
            pipeline.zadd(HELD_KEY, {name: now + HELD_SECONDS}, nx=True)
            pipeline.zcard(HELD_KEY)
            added, held = pipeline.execute()
        if not added:
            raise ErrandRefused("A test is under way. Please wait until it has ended.")
        if held > MOST_ROUNDS:
            self.release(integration)
            raise ErrandRefused("Many tests are under way. Please try again in a few minutes.")
        number = secrets.token_hex(8)
        said: dict[Any, Any] = {"repeat": repeat, "red_team": int(red_team), "started": now}
        with self._redis.pipeline() as pipeline:
            pipeline.hset(_key(number), mapping=said)
            pipeline.expire(_key(number), KEPT_SECONDS)
            pipeline.set(_latest(integration), number, ex=KEPT_SECONDS)
            pipeline.execute()
        return number

    def release(self, integration: Integration) -> None:
        """Let another round of the integration begin."""
        self._redis.zrem(HELD_KEY, integration_key(integration))

    def asked(self, number: str, errand: str) -> None:
        """Note with what a worker was asked."""
        self._redis.hset(_key(number), "errand", errand)

    def plan(self, number: str, order: Iterable[str]) -> None:
        """Note the scenarios, by id."""
        self._redis.hset(_key(number), "order", json.dumps(list(order)))

    def note(self, number: str, scenario: str, run: int, result: Mapping[str, Any]) -> None:
        """Keep what came of a run."""
        self._redis.hset(_key(number), f"run:{run}:{scenario}", json.dumps(result))

    def judged(self, number: str, tokens: int) -> None:
        """Add what the judge took."""
        self._redis.hincrby(_key(number), "judge", tokens)

    def end(self, integration: Integration, number: str, note: str = "") -> None:
        """Nothing more comes; `note` says why, where something is missing."""
        self._redis.hset(_key(number), mapping={"over": 1, "note": note})
        self.release(integration)

    def may_run(self, integration: Integration, count: int) -> bool:
        """Count so many more runs of today; False when they are too many."""
        key = f"{PREFIX}console:runs:{integration_key(integration)}"
        with self._redis.pipeline() as pipeline:
            pipeline.set(key, 0, nx=True, ex=KEPT_SECONDS)
            pipeline.incrby(key, count)
            return bool(pipeline.execute()[1] <= MOST_RUNS_A_DAY)

    def latest(self, integration: Integration) -> Round | None:
        """The last round of an integration."""
        number: Any = self._redis.get(_latest(integration))
        return self.find(number.decode()) if number else None

    def find(self, number: str) -> Round | None:
        """A round; None when it is forgotten."""
        found: Any = self._redis.hgetall(_key(number))
        return _read(number, {key.decode(): value.decode() for key, value in found.items()})


def _read(number: str, found: Mapping[str, str]) -> Round | None:
    if "started" not in found:
        return None
    runs = {}
    for key, value in found.items():
        if key.startswith("run:"):
            _, run, scenario = key.split(":", 2)
            runs[scenario, int(run)] = json.loads(value)
    return Round(
        number=number,
        errand=found.get("errand", ""),
        repeat=int(found["repeat"]),
        red_team=found["red_team"] == "1",
        started_at=float(found["started"]),
        order=tuple(json.loads(found.get("order", "[]"))),
        runs=runs,
        is_over="over" in found,
        note=found.get("note", ""),
        judge_tokens=int(found.get("judge", 0)),
    )


def _key(number: str) -> str:
    return f"{PREFIX}console:round:{number}"


def _latest(integration: Integration) -> str:
    return f"{PREFIX}console:round:of:{integration_key(integration)}"

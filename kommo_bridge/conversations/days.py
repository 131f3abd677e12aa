"""What happened on each day, counted in Redis per integration as it happens.

Only numbers are kept, for 400 days: nothing that a customer wrote. A day is one in the
integration's `time_zone`.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ResponseError

from kommo_bridge.conversations.keys import day_prefix, visit_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.telemetry.logs import log_event

KEPT_SECONDS = 400 * 86400
# A conversation is over when nothing was answered in it for so long.
VISIT_SECONDS = 4 * 3600
# Who comes back within three days was not helped the first time.
RETURN_SECONDS = 72 * 3600
# The time to an answer is kept in steps of a tenth.
STEP = 1.1
HANDOFF, SECONDS = "handoff:", "seconds:"
SCRIPT = Path(__file__).with_suffix(".lua")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answered:
    """One turn that Kommo accepted the words for.

    Attributes:
        conversation: Its name, the person included.
        seconds: From the turn's oldest text to the accepted reply.
        handoff: The reason, when it was handed over; empty otherwise.
        failed: The customer was told the fallback sentence.
    """

    conversation: str
    seconds: float
    handoff: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Counts:
    """What was counted on one day or on several.

    Attributes:
        conversations: Begun; a break of four hours ends one.
        alone: Those that the assistant answered without a handoff or a failure, and whose customer
            did not return within 72 hours.
        turns: Answered turns, whatever was said.
        handoffs: How many by reason.
        failures: Turns that got the fallback sentence, and Salesbots that were given up.
        steps: How many answers by step of the time they took.
    """

    conversations: int = 0
    alone: int = 0
    turns: int = 0
    failures: int = 0
    handoffs: Mapping[str, int] = field(default_factory=dict)
    steps: Mapping[int, int] = field(default_factory=dict)

    def seconds_at(self, share: float) -> float | None:
        """The time to an answer that this share of the answers kept, to a tenth; None for none."""
        wanted = share * sum(self.steps.values())
        seen = 0
        for step in sorted(self.steps):
            seen += self.steps[step]
            if seen >= wanted:
                return STEP**step
        return None


class Days:
    """The counters."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._visit = redis.register_script(SCRIPT.read_text(encoding="utf-8"))

    def answered(self, integration: Integration, turn: Answered, now: float) -> None:
        """Count one answered turn."""
        today = day_of(integration, now)
        prefix = day_prefix(integration)
        with self._redis.pipeline(transaction=False) as pipeline:
            for name in _counted(turn):
                pipeline.hincrby(f"{prefix}{today}", name, 1)
            self._visit(
                keys=[visit_key(turn.conversation), f"{prefix}{today}"],
                args=[
                    *(f"{now:.0f}", f"{today}", VISIT_SECONDS, RETURN_SECONDS),
                    *(int(bool(turn.handoff) or turn.failed), prefix, KEPT_SECONDS),
                ],
                client=pipeline,
            )
            _execute(pipeline)

    def given_up(self, integration: Integration, now: float) -> None:
        """Count a Salesbot that was given up before its customer was told anything."""
        key = f"{day_prefix(integration)}{day_of(integration, now)}"
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hincrby(key, "failures", 1)
            pipeline.expire(key, KEPT_SECONDS)
            _execute(pipeline)

    def read(self, integration: Integration, days: Iterable[date]) -> Counts:
        """What was counted on these days, in one."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for one in days:
                pipeline.hgetall(f"{day_prefix(integration)}{one}")
            return counts_of(pipeline.execute())


def counts_of(kept: Iterable[Mapping[bytes, bytes]]) -> Counts:
    """The counters of several days as one."""
    sums: dict[str, int] = {}
    for day in kept:
        for name, number in day.items():
            sums[name.decode()] = sums.get(name.decode(), 0) + int(number)
    return Counts(
        conversations=sums.get("conversations", 0),
        alone=sums.get("alone", 0),
        turns=sums.get("turns", 0),
        failures=sums.get("failures", 0),
        handoffs=_after(HANDOFF, sums),
        steps={int(step): number for step, number in _after(SECONDS, sums).items()},
    )


def day_of(integration: Integration, now: float) -> date:
    """The date where the business is."""
    return datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(integration.time_zone)).date()


def step_of(seconds: float) -> int:
    """The step of a time to an answer: the smallest power of `STEP` that is not below it."""
    return max(0, math.ceil(math.log(max(seconds, 1.0), STEP) - 1e-9))


def _counted(turn: Answered) -> list[str]:
    names = ["turns", f"{SECONDS}{step_of(turn.seconds)}"]
    names += [f"{HANDOFF}{turn.handoff}"] if turn.handoff else []
    return [*names, "failures"] if turn.failed else names


def _execute(pipeline: Pipeline) -> None:
    """A full Redis must not undo what a customer was told: the figure is lost, and logged."""
    try:
        pipeline.execute()
    except ResponseError as error:
        log_event(logger, "day not counted", level=logging.ERROR, error=type(error).__name__)


def _after(prefix: str, sums: Mapping[str, int]) -> dict[str, int]:
    return {
        name.removeprefix(prefix): number
        for name, number in sums.items()
        if name.startswith(prefix) and number
    }

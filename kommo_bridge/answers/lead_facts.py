"""What the model is told of the lead: the fields that the integration names, and nothing else."""

import threading
import time
from collections.abc import Callable

from kommo_bridge.kommo.crm import Lead

Facts = tuple[tuple[str, str], ...]

STAGE = "stage"
MAX_FIELDS = 20
# Stages are seldom renamed.
STAGE_SECONDS = 3600.0
MAX_STAGES = 2_000


def wanted(lead_fields: str) -> tuple[str, ...]:
    """The names in the field `lead_fields`, one a line."""
    names = [" ".join(line.split()) for line in lead_fields.splitlines()]
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_FIELDS]


def facts_of(lead: Lead, names: tuple[str, ...], stage: str) -> Facts:
    """Names and values of those that the lead has; `stage` is the name of its stage."""
    values = {**lead.fields, STAGE: stage}
    found = [(name, values.get(name.casefold(), "")) for name in names]
    return tuple((name, value) for name, value in found if value)


class StageNames:
    """Names of stages that were asked for within the last hour; shared by all threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._names: dict[tuple[str, int, int], tuple[float, str]] = {}
        self._lock = threading.Lock()

    def get(self, host: str, stage: tuple[int, int], ask: Callable[[], str]) -> str:
        """The name of a stage of an account; `ask` asks Kommo, and may raise."""
        key = (host, *stage)
        with self._lock:
            until, name = self._names.get(key, (0.0, ""))
            if until > self._clock():
                return name
        name = ask()
        with self._lock:
            if len(self._names) >= MAX_STAGES:
                self._names.clear()
            self._names[key] = self._clock() + STAGE_SECONDS, name
        return name

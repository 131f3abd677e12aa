"""Metrics of all processes and machines, kept in Redis.

Each process adds up its events in memory and flushes them to Redis once a second: no reply and no
acknowledgement waits for that, and an outage of Redis loses nothing. A killed process loses its
last second. Names and labels are Prometheus'; a label never holds what a customer wrote.
"""

import atexit
import json
import os
import threading
import time
from bisect import bisect_left
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.redis_client import PREFIX

KEY = f"{PREFIX}metrics"
FLUSH_SECONDS = 1.0
BATCH_KEPT_SECONDS = 600
FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0)


# KEYS: metrics, last batch of the process. ARGV: batch, kept seconds, then name, label, amount ...
# A batch whose response was lost is flushed again, and counted once.
FLUSH = """
if redis.call('GET', KEYS[2]) == ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
for place = 3, #ARGV, 3 do
  local field = cjson.encode({ARGV[place], ARGV[place + 1]})
  redis.pcall('HINCRBYFLOAT', KEYS[1], field, ARGV[place + 2])
end
return 1
"""


@dataclass(frozen=True)
class Metric:
    """A counter with its label, or a histogram of seconds with its upper bounds.

    Labels that are `known` are shown from the start, as 0: Prometheus sees no increase when a label
    first appears with its first event, so no alert rule would see that event.
    """

    text: str
    label: str = ""
    bounds: tuple[float, ...] = ()
    known: tuple[str, ...] = ()


METRICS = {
    "kommo_bridge_widget_requests": Metric(
        "Widget requests by result.", label="result", known=("queued", "repeated")
    ),
    "kommo_bridge_acknowledgement_seconds": Metric("From request to our 200.", bounds=FAST),
    "kommo_bridge_queue_wait_seconds": Metric("From the 200 to the first look.", bounds=SLOW),
    "kommo_bridge_ai_seconds": Metric("One question to the AI, answered or not.", bounds=SLOW),
    "kommo_bridge_continue_seconds": Metric("One accepted continue call.", bounds=SLOW),
    "kommo_bridge_answer_seconds": Metric("From the 200 to the continued Salesbot.", bounds=SLOW),
    "kommo_bridge_answers": Metric(
        "Continued Salesbots by status.",
        label="status",
        known=("success", "handoff", "fail", "skip"),
    ),
    "kommo_bridge_failures": Metric(
        "Failed calls and given up answers.",
        label="kind",
        known=(
            *("ai", "ai_final", "given_up", "crm"),
            *("kommo_401", "kommo_403", "kommo_429", "kommo_no_answer"),
        ),
    ),
    "kommo_bridge_retries": Metric(
        "Waits before another try, by partner.", label="partner", known=("ai", "kommo")
    ),
    "kommo_bridge_handoffs": Metric(
        "Handoffs that Kommo has accepted, by reason.",
        label="reason",
        known=("customer_request", "unknown", "complaint", "order", "policy", "other"),
    ),
    "kommo_bridge_tokens": Metric("Tokens as the AI counts them.", known=("",)),
    "kommo_bridge_cached_tokens": Metric(
        "Those of them that the provider had in its prompt cache.", known=("",)
    ),
    "kommo_bridge_ai_replies": Metric(
        "Replies of the AI by provider.", label="provider", known=("first", "second")
    ),
    "kommo_bridge_unfounded_facts": Metric(
        "Statements of replies that nothing known bears out.",
        label="kind",
        known=("price", "percentage", "date", "time", "phone", "email", "link", "number"),
    ),
    "kommo_bridge_tool_calls": Metric(
        "Tools that the model called.",
        label="tool",
        known=("handoff", "note_gap", "search_knowledge", "unknown tool"),
    ),
}


class Metrics:
    """Counts events of this process; safe in all its threads, and after a fork."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._flush_batch = redis.register_script(FLUSH)
        # What is under way: unchanged until Redis has confirmed it.
        self._batch: list[Any] | None = None
        self._process = uuid4().hex
        self._counts: Counter[tuple[str, str]] = Counter()
        self._flushed_by = 0

    def count(self, name: str, label: str = "", amount: float = 1) -> None:
        """Add to a counter."""
        self._add({(name, label): amount})

    def observe(self, name: str, seconds: float) -> None:
        """Add one duration to a histogram."""
        bounds = METRICS[name].bounds
        place = bisect_left(bounds, seconds)
        bound = str(bounds[place]) if place < len(bounds) else "+Inf"
        self._add({(name, bound): 1, (name, "sum"): max(0.0, seconds)})

    def flush(self) -> None:
        """Write what was counted to Redis; what cannot be written is kept for the next time."""
        with self._flushing:
            if self._batch is None:
                with self._lock:
                    counts, self._counts = self._counts, Counter()
                if not counts:
                    return
                pairs = [part for field, amount in counts.items() for part in (*field, amount)]
                self._batch = [uuid4().hex, BATCH_KEPT_SECONDS, *pairs]
            with suppress(RedisError):
                self._flush_batch(
                    keys=[KEY, f"{KEY}:{self._process}:{os.getpid()}"], args=self._batch
                )
                self._batch = None

    def read(self) -> dict[tuple[str, str], float]:
        """All metrics by name and label, a histogram's bound or `sum`.

        Raises:
            RedisError: Redis is away.
        """
        kept: dict[Any, Any] = self._redis.hgetall(KEY)
        found: dict[tuple[str, str], float] = {}
        for field, amount in kept.items():
            name, label = json.loads(field)
            found[name, label] = float(amount)
        return found

    def _add(self, amounts: dict[tuple[str, str], float]) -> None:
        with self._lock:
            for field, amount in amounts.items():
                self._counts[field] += amount  # type: ignore[assignment]
            if self._flushed_by == os.getpid():
                return
            self._flushed_by = os.getpid()
        threading.Thread(target=self._keep_flushing, name="metrics", daemon=True).start()
        atexit.register(self.flush)

    def _keep_flushing(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            self.flush()

"""Completes overdue requests: those that their own job has not ended in time.

The job may wait in a long queue, be scheduled, failed or deleted, or have died unnoticed. What
Redis holds of the conversation is enough to go on: a kept reply is sent, otherwise the fallback.
Several requests run in parallel; those of an account that hangs wait for the next sweep and do not
hold up the others.
"""

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.answers.record import OPEN_KEY, close_record, record_key
from kommo_bridge.answers.retries import BUSY_WAIT, SWEEP_AGAIN, SWEEP_SLOW
from kommo_bridge.errors import BridgeError
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.logs import log_event

THREADS = 16
AT_ONCE = 100

logger = logging.getLogger(__name__)


@dataclass
class Sweep:
    """One run over what is overdue.

    Attributes:
        answer: Takes one request as far as possible; returns the seconds until the next look.
        continue_deadline: After it, requests that fail unexpectedly are given up.
        hanging: Subdomains whose partner hangs.
    """

    redis: Redis
    answer: Callable[[WidgetRequest], float | None]
    continue_deadline: float
    hanging: set[str] = field(default_factory=set)

    def run(self) -> int:
        """Run once; returns how many were overdue."""
        seconds, microseconds = self.redis.time()
        now = float(seconds) + microseconds / 1_000_000
        due = self.redis.zrange(OPEN_KEY, "-inf", str(now), byscore=True, offset=0, num=AT_ONCE)
        if due:
            with ThreadPoolExecutor(THREADS, thread_name_prefix="sweep") as pool:
                list(pool.map(lambda job_id: self._one(job_id.decode(), now), due))
        return len(due)

    def _one(self, job_id: str, now: float) -> None:
        """An unexpected failure, such as another version's record, must not stop the others."""
        kept: list[Any] = self.redis.hmget(record_key(job_id), "request", "state")
        if kept[0] is None or kept[1] is not None:
            self.redis.zrem(OPEN_KEY, job_id)
            return
        try:
            request = WidgetRequest.from_job(json.loads(kept[0]))
            wait = self._answer(request, now)
        except RedisError:
            raise
        except Exception:
            logger.exception("overdue answer cannot be worked on: %s", job_id)
            wait = SWEEP_AGAIN
            self._give_up_in_the_end(job_id, kept[0], now)
        if wait is not None:
            self.redis.zadd(OPEN_KEY, {job_id: now + wait}, xx=True)

    def _answer(self, request: WidgetRequest, now: float) -> float | None:
        if request.subdomain in self.hanging:
            return time.time() - now + BUSY_WAIT  # behind those that already wait
        started = time.monotonic()
        try:
            return self.answer(request)
        except BridgeError as error:
            log_event(
                logger,
                "overdue answer failed",
                level=logging.ERROR,
                job=request.job_id,
                subdomain=request.subdomain,
                error=str(error),
            )
            return None
        finally:
            if time.monotonic() - started > SWEEP_SLOW:
                self.hanging.add(request.subdomain)

    def _give_up_in_the_end(self, job_id: str, kept: bytes, now: float) -> None:
        """Give up after the continue deadline; a record that cannot be read expires by itself."""
        try:
            accepted_at = float(json.loads(kept)["accepted_at"])
        except (ValueError, TypeError, LookupError):
            return
        if now > accepted_at + self.continue_deadline:
            close_record(self.redis, job_id, "it could not be worked on")

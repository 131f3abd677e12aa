"""Tells staff of a handoff or a hint on the lead, after Kommo has accepted the Salesbot's answer.

What is to be told is kept in the very step that keeps the acceptance (`changes`), so a killed
worker loses nothing; it is written by a thread of its own, so no answer waits for it. Each write is
noted **before** it is made and never made twice: when its outcome stays unknown, or the worker dies
in that moment, a note may be missing, but there are never two.
"""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.answers.notice import Notice, Part, parts, write_of
from kommo_bridge.answers.record import record_key
from kommo_bridge.answers.retries import STAFF_AGAIN, STAFF_LEASE, STAFF_SECONDS
from kommo_bridge.answers.sender import Sender
from kommo_bridge.conversations.keys import STAFF_OPEN_KEY, conversation_name, staff_key
from kommo_bridge.errors import KommoError, StoreError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.crm import Crm
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.telemetry.metrics import Metrics

THREADS = 8
AT_ONCE = 40

# KEYS: what is open. ARGV: job id, now, end of the lease.
TAKE = """
local due = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not due or tonumber(due) > tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Staff:
    """Writes what is due."""

    redis: Redis
    integrations: IntegrationStore
    sender: Sender
    metrics: Metrics

    def run(self) -> int:
        """Write what is due; returns for how many requests."""
        due = self.redis.zrange(
            STAFF_OPEN_KEY, "-inf", str(self._now()), byscore=True, offset=0, num=AT_ONCE
        )
        if due:
            with ThreadPoolExecutor(THREADS, thread_name_prefix="staff") as pool:
                list(pool.map(lambda job_id: self._one(job_id.decode()), due))
        return len(due)

    def _now(self) -> float:
        seconds, microseconds = self.redis.time()
        return float(seconds) + microseconds / 1_000_000

    def _one(self, job_id: str) -> None:
        """Whatever fails unexpectedly is tried again when the lease is over."""
        now = self._now()
        until = now + STAFF_LEASE
        if not self.redis.eval(TAKE, 1, STAFF_OPEN_KEY, job_id, str(now), str(until)):
            return  # another worker has found it too
        try:
            wait = self._tell(job_id, now)
        except (RedisError, StoreError):
            raise
        except Exception:
            logger.exception("staff cannot be told: %s", job_id)
            return
        if wait is None:
            self._drop(job_id)
        else:
            self.redis.zadd(STAFF_OPEN_KEY, {job_id: now + wait}, xx=True)

    def _tell(self, job_id: str, now: float) -> float | None:
        """What is left to write of one request; the seconds until the next try, None for never."""
        kept: Any = self.redis.hget(record_key(job_id), "request")
        if kept is None:
            return None
        request = WidgetRequest.from_job(json.loads(kept))
        found: Any = self.redis.hget(staff_key(conversation_name(request)), job_id)
        integration = self.integrations.find(
            request.integration_id, request.account_id, request.subdomain
        )
        if found is None or integration is None or not integration.access_token:
            return None
        values = json.loads(found)
        notice = Notice.of(values)
        telling = Telling(self, request, integration, notice, now)
        waits = [telling.write(part) for part in parts(notice, integration)]
        again = [wait for wait in waits if wait is not None]
        if again and now + max(again) > float(values["at"]) + STAFF_SECONDS:
            self.failed(request, "note, task or tag", "not accepted in time")
            return None
        return max(again, default=None)

    def _drop(self, job_id: str) -> None:
        kept: Any = self.redis.hget(record_key(job_id), "request")
        if kept is not None:
            request = WidgetRequest.from_job(json.loads(kept))
            self.redis.hdel(staff_key(conversation_name(request)), job_id)
        self.redis.zrem(STAFF_OPEN_KEY, job_id)

    def failed(self, request: WidgetRequest, what: str, error: str) -> None:
        """Note that staff do not see it on the lead; the customer was answered all the same."""
        self.metrics.count("kommo_bridge_failures", "crm")
        log_event(
            logger,
            "staff not told on the lead",
            level=logging.WARNING,
            job=request.job_id,
            subdomain=request.subdomain,
            what=what,
            error=error,
        )


@dataclass(frozen=True)
class Telling:
    """The writes about one request."""

    staff: Staff
    request: WidgetRequest
    integration: Integration
    notice: Notice
    now: float

    @property
    def crm(self) -> Crm:
        """Where they go."""
        return self.staff.sender.crm(self.request, self.integration)

    def write(self, part: Part) -> float | None:
        """One write, unless it was begun before; the seconds until the next try, None for never."""
        key, field = record_key(self.request.job_id), f"staff_{part}"
        if self.staff.redis.hexists(key, field):
            return None
        responsible = self._responsible() if part == "task" else None
        if not self.staff.redis.hsetnx(key, field, "begun"):
            return None
        try:
            self._send(part, responsible)
        except KommoError as error:
            if not error.permanent and not error.arrived:  # Kommo certainly has not got it
                self.staff.redis.hdel(key, field)
                return max(error.retry_after_seconds or 0.0, STAFF_AGAIN)
            self.staff.failed(self.request, part, str(error))
            return None
        self.staff.redis.hset(key, field, "done")
        log_event(
            logger,
            "staff told on the lead",
            job=self.request.job_id,
            subdomain=self.request.subdomain,
            what=part,
        )
        return None

    def _send(self, part: Part, responsible: int | None) -> None:
        """A task for a user who has left is refused as a whole: then Kommo chooses the user."""
        about = part, self.notice, self.integration, self.request
        try:
            self.crm.write(write_of(*about, now=self.now, responsible=responsible))
        except KommoError as error:
            if responsible is None or error.status != HTTPStatus.BAD_REQUEST:
                raise
            self.crm.write(write_of(*about, now=self.now))

    def _responsible(self) -> int | None:
        """Who is responsible for the entity, for the task; None when Kommo does not say."""
        try:
            return self.crm.entity(self.request.entity_type, self.request.entity_id).responsible
        except KommoError:
            return None

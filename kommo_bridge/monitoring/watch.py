"""The watch: one thread per process that looks every few seconds, one process at a time.

Web processes watch as well as workers: when no worker is alive, somebody must say so. No answer
and no acknowledgement ever waits for it.
"""

import json
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from kommo_bridge.answers.record import OPEN_KEY
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.conversations.usage import Usage
from kommo_bridge.errors import IntegrationError, SettingsError, StoreError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.tokens import days_left
from kommo_bridge.monitoring.alerts import Alerts
from kommo_bridge.monitoring.kinds import (
    ANSWERS_OVERDUE,
    EXPIRY_STEPS_DAYS,
    QUEUE_IS_OLD,
    REDIS_REFUSES,
    REQUESTS_REFUSED,
    TOKEN_EXPIRES,
)
from kommo_bridge.monitoring.mondays import Mondays, build_mondays
from kommo_bridge.monitoring.webhook import Webhook
from kommo_bridge.queue.state import oldest_queued_seconds, work_queue
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.incidents import ANSWERS_FAIL, CAP_REACHED, Incidents
from kommo_bridge.telemetry.logs import error_text, log_event
from kommo_bridge.telemetry.outage import Outage
from kommo_bridge.telemetry.refusals import Refusals

LOOK_KEY = f"{PREFIX}alerts:look"
TOKENS_KEY = f"{PREFIX}alerts:tokens"
EVERY_SECONDS = 10.0
# Another process looks when one takes longer, or died.
LOOK_LIVES_SECONDS = 120
FAILS_IN_A_ROW = 3
OLD_JOB_SECONDS = 60.0
OVERDUE_SECONDS = 60.0
TOKENS_EVERY_SECONDS = 600

logger = logging.getLogger(__name__)


class Watch:
    """Looks at incidents, queue and store, and hands what is wrong to the alerts.

    Args:
        redis, store: Where to look.
        alerts: Who sends it.
        outage: What this process knows of Redis.
        mondays: Sends the owners their week.
    """

    def __init__(
        self,
        redis: Redis,
        store: IntegrationStore,
        alerts: Alerts,
        outage: Outage,
        mondays: Mondays | None = None,
    ) -> None:
        self._redis = redis
        self._store = store
        self._alerts = alerts
        self._outage = outage
        self._mondays = mondays
        self._incidents = Incidents(redis)
        self._usage = Usage(redis)
        self._refusals = Refusals(redis)

    def start(self) -> None:
        """Watch in a thread of its own until the process ends."""
        threading.Thread(target=self._keep_looking, name="watch", daemon=True).start()

    def look(self, now: float) -> list[str]:
        """One look, unless another process has just looked; returns what was sent."""
        try:
            if not self._redis.set(LOOK_KEY, "1", nx=True, ex=LOOK_LIVES_SECONDS):
                return []
        except ResponseError as error:  # full or read-only: look without the lock, and say so
            found = self.wrong(now)
            reason = f"it answers {type(error).__name__}"
            return self._alerts.notify({**found, REDIS_REFUSES: {"": reason}}, now)
        try:
            return self._alerts.notify(self.wrong(now), now)
        finally:
            with suppress(ResponseError):  # full or read-only since the lock was taken
                self._redis.pexpire(LOOK_KEY, int(EVERY_SECONDS * 1000) - 500)

    def wrong(self, now: float) -> Mapping[str, Mapping[str, str] | None]:
        """For each kind of alert whom it concerns, with a description; None where nobody knows."""
        found = self._failing() | self._refused(now)
        oldest = oldest_queued_seconds(work_queue(self._redis))
        if oldest > OLD_JOB_SECONDS:
            found[QUEUE_IS_OLD] = {"": f"it waits for {oldest:.0f} s"}
        # The score is when the sweep looks at it; it does so every few seconds.
        if overdue := int(self._redis.zcount(OPEN_KEY, "-inf", now - OVERDUE_SECONDS)):
            found[ANSWERS_OVERDUE] = {"": f"{overdue} of them"}
        return {**found, TOKEN_EXPIRES: self._expiring(now)}

    def _refused(self, now: float) -> dict[str, dict[str, str]]:
        found = {
            f"{name} {code}": f"{name} ({code})"
            for code, name in self._refusals.often(now)
            if self._watched(name)
        }
        return {REQUESTS_REFUSED: found} if found else {}

    def _failing(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for kind, counts in self._incidents.read().items():
            for name, count in counts.items():
                if not self._watched(name):
                    with suppress(ResponseError):
                        self._incidents.forget(kind, name)
                elif kind == CAP_REACHED:
                    if which := self._caps(name):
                        found.setdefault(kind, {})[name] = f"{name} ({which})"
                elif kind != ANSWERS_FAIL or count >= FAILS_IN_A_ROW:
                    found.setdefault(kind, {})[name] = name
        return found

    def _caps(self, name: str) -> str:
        """Which caps of an integration are still reached; one that is not is forgotten."""
        try:
            reached = self._usage.reached(self._store.get(name))
        except (IntegrationError, SettingsError, StoreError):
            return "unknown"
        if not reached:
            with suppress(ResponseError):
                self._incidents.forget(CAP_REACHED, name)
        return ", ".join(
            f"{one.name} {one.text(one.count)} of {one.text(one.cap)}" for one in reached
        )

    def _watched(self, name: str) -> bool:
        """Nobody waits for an integration that was removed or switched off."""
        try:
            return self._store.get(name).enabled
        except IntegrationError:
            return False
        except (SettingsError, StoreError):  # who cannot be looked up may well be waited for
            return True

    def _expiring(self, now: float) -> dict[str, str] | None:
        """Tokens that end soon: sent anew at each step, so the step is part of the subject.

        Found out every ten minutes, for all processes: it decrypts every token.
        """
        kept = self._redis.get(TOKENS_KEY)
        if isinstance(kept, bytes):
            return dict(json.loads(kept))
        try:
            integrations = self._store.all()
        except (SettingsError, StoreError) as error:  # the other alerts must not end with it
            log_event(logger, "store cannot be read", level=logging.ERROR, error=error_text(error))
            return None
        found: dict[str, str] = {}
        for item in integrations:
            days = days_left(item.access_token, now) if item.enabled else None
            if days is not None and days < max(EXPIRY_STEPS_DAYS):
                step = min(step for step in EXPIRY_STEPS_DAYS if days < step)
                name = integration_name(item)
                found[f"{name} {step}"] = f"{name} {_in_days(days)}"
        with suppress(ResponseError):
            self._redis.set(TOKENS_KEY, json.dumps(found), ex=TOKENS_EVERY_SECONDS)
        return found

    def _keep_looking(self) -> None:
        while True:
            try:
                self.look(time.time())
                self._outage.back()
                if self._mondays:
                    self._mondays.look(time.time())
            except RedisError as error:
                self._outage.lost(error)
            except Exception:  # the watch must outlive any fault of one look
                logger.exception("watch failed")
            time.sleep(EVERY_SECONDS)


def build_watch(redis: Redis, store: IntegrationStore, settings: Settings, outage: Outage) -> Watch:
    """The watch of a process; without `ALERT_WEBHOOK_URL` its alerts are logged only."""
    url = settings.alert_webhook_url
    alerts = Alerts(redis, Webhook(url) if url else None)
    return Watch(redis, store, alerts, outage, build_mondays(redis, store, settings))


def _in_days(days: float) -> str:
    if days < 0:
        return "has expired"
    return "within a day" if days < 1 else f"in {days:.0f} days"

"""The watch: one thread per process that looks every few seconds, one process at a time.

Web processes watch as well as workers: when no worker is alive, somebody must say so. No answer
and no acknowledgement ever waits for it.
"""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Mapping

from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.errors import IntegrationError, SettingsError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.tokens import days_left
from kommo_bridge.monitoring.alerts import Alerts
from kommo_bridge.queue.state import oldest_queued_seconds, work_queue
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.telemetry.incidents import ANSWERS_FAIL, Incidents
from kommo_bridge.telemetry.logs import log_event, told_error

LOOK_KEY = f"{PREFIX}alerts:look"
TOKENS_KEY = f"{PREFIX}alerts:tokens"
EVERY_SECONDS = 10.0
# A look that takes longer, or whose process died, is taken over by another one.
LOOK_LIVES_SECONDS = 120
FAILS_IN_A_ROW = 3
OLD_JOB_SECONDS = 60.0
EXPIRY_STEPS_DAYS = (14, 3, 0)
TOKENS_EVERY_SECONDS = 600

logger = logging.getLogger(__name__)


class Watch:
    """Looks at what `incidents`, the queue and the store tell, and has it told.

    Args:
        redis, store: Where to look.
        alerts: Who tells it.
    """

    def __init__(self, redis: Redis, store: IntegrationStore, alerts: Alerts) -> None:
        self._redis = redis
        self._store = store
        self._alerts = alerts
        self._incidents = Incidents(redis)

    def start(self) -> None:
        """Watch in a thread of its own until the process ends."""
        threading.Thread(target=self._keep_looking, name="watch", daemon=True).start()

    def look(self, now: float) -> list[str]:
        """One look, unless another process has just looked; returns what was sent."""
        if not self._redis.set(LOOK_KEY, "1", nx=True, ex=LOOK_LIVES_SECONDS):
            return []
        try:
            return self._alerts.tell(self.wrong(now), now)
        finally:
            self._redis.pexpire(LOOK_KEY, int(EVERY_SECONDS * 1000) - 500)

    def wrong(self, now: float) -> Mapping[str, Mapping[str, str] | None]:
        """For each kind of alert whom it concerns, with a description; None where nobody knows."""
        found = self._failing()
        oldest = oldest_queued_seconds(work_queue(self._redis))
        if oldest > OLD_JOB_SECONDS:
            found["queue_is_old"] = {"": f"it waits for {oldest:.0f} s"}
        return {**found, "token_expires": self._expiring(now)}

    def _failing(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for kind, counts in self._incidents.read().items():
            for name, count in counts.items():
                if not self._watched(name):
                    self._incidents.forget(kind, name)
                elif kind != ANSWERS_FAIL or count >= FAILS_IN_A_ROW:
                    found.setdefault(kind, {})[name] = name
        return found

    def _watched(self, name: str) -> bool:
        """Nobody waits for an integration that was removed or switched off."""
        try:
            return self._store.get(name).enabled
        except IntegrationError:
            return False
        except (SettingsError, sqlite3.Error):  # who cannot be looked up may well be waited for
            return True

    def _expiring(self, now: float) -> dict[str, str] | None:
        """Tokens that end soon: told anew at each step, so the step is part of the subject.

        Found out every ten minutes, for all processes: it decrypts every token.
        """
        kept = self._redis.get(TOKENS_KEY)
        if isinstance(kept, bytes):
            return dict(json.loads(kept))
        try:
            integrations = self._store.all()
        except (SettingsError, sqlite3.Error) as error:  # the other alerts must not end with it
            log_event(logger, "store cannot be read", level=logging.ERROR, error=told_error(error))
            return None
        found: dict[str, str] = {}
        for item in integrations:
            days = days_left(item.access_token, now) if item.enabled else None
            if days is not None and days < max(EXPIRY_STEPS_DAYS):
                step = min(step for step in EXPIRY_STEPS_DAYS if days < step)
                name = integration_name(item)
                found[f"{name} {step}"] = f"{name} {_in_days(days)}"
        self._redis.set(TOKENS_KEY, json.dumps(found), ex=TOKENS_EVERY_SECONDS)
        return found

    def _keep_looking(self) -> None:
        while True:
            try:
                self.look(time.time())
            except RedisError as error:
                log_event(logger, "watch waits for redis", error=type(error).__name__)
            except Exception:  # the watch must outlive any fault of one look
                logger.exception("watch failed")
            time.sleep(EVERY_SECONDS)


def _in_days(days: float) -> str:
    if days < 0:
        return "has expired"
    return "within a day" if days < 1 else f"in {days:.0f} days"

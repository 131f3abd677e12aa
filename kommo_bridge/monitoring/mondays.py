"""Monday's message: the past week to the owner of each integration, once.

Due from Monday, 8 o'clock, where the business is, until the day ends. It is marked as sent before
it leaves: a process that dies in between loses it, but nobody gets it twice. What a mail server or
a webhook refused is tried again, an hour later.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import requests
from redis import Redis

from kommo_bridge.conversations.keys import integration_key
from kommo_bridge.errors import AlertError, SettingsError, StoreError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.sentences import language_of
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.monitoring.week import DAYS, Week, as_json
from kommo_bridge.monitoring.week_message import Message, message_of
from kommo_bridge.monitoring.weeks import Weeks
from kommo_bridge.outgoing.mail import Mailer
from kommo_bridge.outgoing.public_session import public_session
from kommo_bridge.outgoing.total_limit import total_limit
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.logs import error_text, log_event

HOUR_OF_DAY = 8
RETRY_SECONDS = 3600
SENT_SECONDS = 8 * 86400
POST_SECONDS = 10.0
MAX_RESPONSE_BYTES = 64 * 1024

logger = logging.getLogger(__name__)

LOOK_KEY = f"{PREFIX}week:look"
LOOK_SECONDS = 600

Post = Callable[[str, Mapping[str, object]], None]


def due_week(integration: Integration, now: float) -> date | None:
    """The Monday of the week that is to be reported now, or None."""
    there = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(integration.time_zone))
    if there.weekday() or there.hour < HOUR_OF_DAY:
        return None
    return there.date() - timedelta(DAYS)


def monday_somewhere(now: float) -> bool:
    """Whether it is Monday in any time zone: they reach from 12 hours behind UTC to 14 ahead."""
    moment = datetime.fromtimestamp(now, UTC)
    return not all((moment + timedelta(hours=ahead)).weekday() for ahead in (-12, 0, 14))


def language_for(integration: Integration) -> str:
    """The language in which the business describes itself; English when that does not show."""
    return language_of([integration.instructions]) or "en"


@dataclass(frozen=True)
class Way:
    """One way to an owner.

    Attributes:
        name: `mail` or `webhook`.
        start: What the Redis key begins with that is there once it was sent.
        send: Sends a week.
    """

    name: str
    start: str
    send: Callable[[Week, Message], None]

    @property
    def key(self) -> str:
        """The Redis key."""
        return f"{self.start}:{self.name}"


class Mondays:
    """Sends what is due.

    Args:
        store: The integrations.
        mailer: None without `SMTP_URL`.
        post: Sends JSON to an owner's webhook.
    """

    def __init__(
        self, redis: Redis, store: IntegrationStore, mailer: Mailer | None, post: Post | None = None
    ) -> None:
        self._redis = redis
        self._store = store
        self._mailer = mailer
        self._post = post or post_publicly
        self._weeks = Weeks(redis)

    def look(self, now: float) -> int:
        """Send what is due, unless some process has looked in the last ten minutes.

        Reading the integrations decrypts them: that is done on Mondays only.

        Raises:
            RedisError: Redis is away.
        """
        if not monday_somewhere(now):
            return 0
        if not self._redis.set(LOOK_KEY, "1", nx=True, ex=LOOK_SECONDS):
            return 0
        try:
            return self.send_due(self._store.all(), now)
        except (SettingsError, StoreError) as error:
            log_event(logger, "store cannot be read", level=logging.ERROR, error=error_text(error))
            return 0

    def send_due(self, integrations: Iterable[Integration], now: float) -> int:
        """Send the reports that are due; returns how many were sent.

        Raises:
            RedisError: Redis is away.
        """
        sent = 0
        for integration in integrations:
            first = due_week(integration, now) if integration.enabled else None
            if first:
                sent += self._send_to_owner(integration, first)
        return sent

    def _send_to_owner(self, integration: Integration, first: date) -> int:
        ways = [one for one in self._ways(integration, first) if not self._redis.exists(one.key)]
        if not ways:
            return 0
        week = self._weeks.read(integration, first)
        if week.is_empty:
            return 0
        name = integration.name or integration.subdomain
        made = message_of(week, name, language_for(integration))
        return sum(self._once(integration, way, week, made) for way in ways)

    def _ways(self, integration: Integration, first: date) -> Iterator[Way]:
        """How the owner wants it."""
        start = f"{PREFIX}week:{integration_key(integration)}:{first}"
        if integration.owner_email and self._mailer:
            mailer, to = self._mailer, integration.owner_email
            yield Way("mail", start, lambda _, made: mailer.send(to, *made.parts))
        if url := integration.owner_webhook_url:
            yield Way(
                "webhook", start, lambda week, made: self._post(url, _body(integration, week, made))
            )

    def _once(self, integration: Integration, way: Way, week: Week, made: Message) -> bool:
        """Send, unless another process has just begun to."""
        if not self._redis.set(way.key, "1", nx=True, ex=SENT_SECONDS):
            return False
        subdomain = integration.subdomain
        try:
            way.send(week, made)
        except AlertError as error:
            self._redis.expire(way.key, RETRY_SECONDS)
            log_event(
                logger,
                "weekly report not sent",
                level=logging.ERROR,
                subdomain=subdomain,
                way=way.name,
                error=str(error),
            )
            return False
        log_event(logger, "weekly report sent", subdomain=subdomain, way=way.name)
        return True


def _body(integration: Integration, week: Week, made: Message) -> dict[str, object]:
    return {"text": made.text, "subdomain": integration.subdomain, "week": as_json(week)}


def post_publicly(url: str, body: Mapping[str, object]) -> None:
    """One POST to an address on the internet; an owner may have chosen it.

    Raises:
        AlertError: It was not accepted; the address is not in the message.
    """
    try:
        with total_limit(POST_SECONDS, MAX_RESPONSE_BYTES):
            response = public_session().post(
                url, json=body, timeout=POST_SECONDS, allow_redirects=False, stream=True
            )
            response.close()
    except (requests.RequestException, OSError, ValueError) as error:
        raise AlertError(f"owner_webhook_url gave no answer ({error_text(error)}).") from None
    if response.status_code // 100 != 2:  # noqa: PLR2004  any 2xx
        raise AlertError(f"owner_webhook_url answered {response.status_code}.")


def build_mondays(redis: Redis, store: IntegrationStore, settings: Settings) -> Mondays:
    """The weekly reports of a process."""
    return Mondays(redis, store, Mailer(settings.smtp_url) if settings.smtp_url else None)

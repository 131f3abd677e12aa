"""Alerts without a monitoring stack: a JSON message when something goes wrong, one when it is well.

At most one of a kind in an hour, over all processes, however many integrations it concerns: the
message names them. What was told is kept in Redis. `watch` says what is wrong.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

import requests
from redis import Redis

from kommo_bridge.errors import AlertError
from kommo_bridge.outgoing.requests_session import limited_session
from kommo_bridge.outgoing.total_limit import total_limit
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.telemetry.logs import log_event

KEY = f"{PREFIX}alerts"
HOUR = 3600.0
REMINDER_SECONDS = 24 * HOUR
RETRY_SECONDS = 60.0
SEND_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 * 1024
NAMED = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """What an alert of this kind says.

    Attributes:
        title: What is wrong, without a full stop.
        advice: What to do.
        reminds: Whether it is told again each day as long as it lasts.
    """

    title: str
    advice: str
    reminds: bool = True


KINDS = {
    "answers_fail": Kind(
        "Answers fail in a row",
        "Customers get the fallback sentence. flask integrations check NAME tells the cause.",
    ),
    "queue_is_old": Kind(
        "The oldest queued job is older than a minute",
        "No worker is alive, or too few are. Look at /readyz and at the worker's log.",
    ),
    "token_expires": Kind(
        "An access token expires soon",
        "Make a new long-lived token in Kommo, then: flask integrations set NAME access_token=...",
        reminds=False,
    ),
    "token_refused": Kind(
        "Kommo refuses an access token",
        "No Salesbot of it can be continued. Make a new long-lived token in Kommo, then: "
        "flask integrations set NAME access_token=...",
    ),
    "blocked_by_kommo": Kind(
        "Kommo blocks our calls (403 after 429)",
        "All calls rest for five minutes. If it comes back, write to Kommo's support.",
    ),
    "refused_by_ai": Kind(
        "The AI refuses for good",
        "Key, quota or model: flask integrations check NAME tells which.",
    ),
}


@dataclass(frozen=True)
class Told:
    """What was told of a kind.

    Attributes:
        is_open: An alert was told, and not yet that it is well again.
        at: When the last alert was told (seconds since the epoch).
        subjects: Of whom it was told.
        retry_at: Not before this, after a message that could not be delivered.
        tries: How often it could not.
    """

    is_open: bool = False
    at: float = 0.0
    subjects: tuple[str, ...] = ()
    retry_at: float = 0.0
    tries: int = 0


class Alerts:
    """Tells what is wrong, and remembers what was told.

    Args:
        url: `ALERT_WEBHOOK_URL`; it may hold a secret and is never logged.
    """

    def __init__(self, redis: Redis, url: str) -> None:
        self._redis = redis
        self._url = url
        self._session = limited_session()

    def tell(self, wrong: Mapping[str, Mapping[str, str] | None], now: float) -> list[str]:
        """Send what is due.

        Args:
            wrong: For each kind the subjects that are concerned, with their description; None
                where nobody knows: then nothing is told of it.

        Returns:
            What was sent, as `<kind> alert` or `<kind> well`.

        Raises:
            RedisError: Redis is away.
        """
        return [
            f"{name} {state}"
            for name in KINDS
            if (subjects := wrong.get(name, {})) is not None
            and (state := self._tell_of(name, subjects, now))
        ]

    def _tell_of(self, name: str, subjects: Mapping[str, str], now: float) -> str | None:
        told = self._told(name)
        left = tuple(one for one in told.subjects if one in subjects)
        if left != told.subjects:  # who comes back is new again
            told = replace(told, subjects=left)
            self._keep(name, told)
        state = due(KINDS[name], told, subjects, now)
        return state if state and self._send(name, state, subjects, told, now) else None

    def open(self) -> dict[str, Told]:
        """What was told and is not well yet."""
        return {name: told for name in KINDS if (told := self._told(name)).is_open}

    def post(self, message: Mapping[str, object]) -> None:
        """One POST within its total deadline. A 400 is tried again with the bare text, since some
        services take no other keys.

        Raises:
            AlertError: It was not accepted.
        """
        status = self._post(message)
        if status == requests.codes.bad_request:
            status = self._post({"text": message["text"]})
        if status // 100 != 2:  # noqa: PLR2004  any 2xx
            raise AlertError(f"ALERT_WEBHOOK_URL answered {status}.")

    def _post(self, message: Mapping[str, object]) -> int:
        try:
            with total_limit(SEND_SECONDS, MAX_ANSWER_BYTES):
                answer = self._session.post(
                    self._url,
                    json=message,
                    timeout=SEND_SECONDS,
                    allow_redirects=False,
                    stream=True,  # the status is enough, whatever follows
                )
                answer.close()
                return answer.status_code
        except Exception as error:
            kind = type(error).__name__
            raise AlertError(f"ALERT_WEBHOOK_URL gave no answer ({kind}).") from None

    def _send(
        self,
        name: str,
        state: Literal["alert", "well"],
        subjects: Mapping[str, str],
        told: Told,
        now: float,
    ) -> bool:
        """Whether it was accepted; if not, or if we die meanwhile, it is tried again later.

        Each time later: a service that takes a message and loses its answer must not be flooded.
        """
        wait = min(HOUR, RETRY_SECONDS * 2**told.tries)
        self._keep(name, replace(told, retry_at=now + wait, tries=told.tries + 1))
        try:
            self.post(message(name, state, subjects))
        except AlertError as error:
            log_event(
                logger, "alert not delivered", level=logging.ERROR, kind=name, error=str(error)
            )
            return False
        at = now if state == "alert" else told.at
        self._keep(name, Told(state == "alert", at, tuple(sorted(subjects))))
        log_event(logger, "alert sent", level=logging.WARNING, kind=name, state=state)
        return True

    def _told(self, name: str) -> Told:
        kept = self._redis.hget(KEY, name)
        if not isinstance(kept, bytes):
            return Told()
        try:
            return _read(kept)
        except (ValueError, TypeError, AttributeError) as error:  # the other kinds go on
            log_event(
                logger,
                "note of an alert cannot be read",
                level=logging.ERROR,
                kind=name,
                error=type(error).__name__,
            )
            return Told()

    def _keep(self, name: str, told: Told) -> None:
        self._redis.hset(KEY, name, json.dumps(asdict(told)))


def _read(kept: bytes) -> Told:
    values = json.loads(kept)
    known = {item.name for item in fields(Told)}  # a newer version may keep more
    told = Told(**{name: value for name, value in values.items() if name in known})
    return replace(
        told,
        at=float(told.at),
        subjects=tuple(map(str, told.subjects)),
        retry_at=float(told.retry_at),
        tries=int(told.tries),
    )


def due(
    kind: Kind, told: Told, subjects: Mapping[str, str], now: float
) -> Literal["alert", "well"] | None:
    """What is to be told now: of a kind at most one alert an hour, and one when it is well."""
    if now < told.retry_at:
        return None
    if not subjects:
        return "well" if told.is_open else None
    if 0 <= now - told.at < HOUR:  # below 0, a clock was wrong
        return None
    is_new = not told.is_open or bool(set(subjects) - set(told.subjects))
    reminder = kind.reminds and not now - told.at < REMINDER_SECONDS
    return "alert" if is_new or reminder else None


def message(name: str, state: str, subjects: Mapping[str, str]) -> dict[str, object]:
    """What is posted; `text` is what Slack, Mattermost and their like show."""
    kind = KINDS[name]
    whom = list(dict.fromkeys(subjects.values()))
    listed = ", ".join(whom[:NAMED]) + (f" and {len(whom) - NAMED} more" if whom[NAMED:] else "")
    if state == "well":
        text = f"kommo_bridge: well again. It was: {kind.title}."
    else:
        text = f"kommo_bridge: {kind.title}: {listed}. {kind.advice}"
    return {"text": text, "kind": name, "state": state, "concerns": whom}

"""Alerts without a monitoring stack: a message when something goes wrong, one when it is resolved.

At most one of a kind in an hour, over all processes, however many integrations it concerns: the
message names them. Each is also logged, as an error, so that it is seen without a webhook too.
`watch` finds what is wrong.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace

from redis import Redis

from kommo_bridge.errors import AlertError
from kommo_bridge.monitoring.alert_state import HOUR, AlertState, AlertStates, due
from kommo_bridge.monitoring.kinds import KINDS, alert_message, resolved_message
from kommo_bridge.monitoring.webhook import Webhook
from kommo_bridge.telemetry.logs import log_event

RETRY_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Alerts:
    """Sends what is due, and remembers it.

    Args:
        webhook: Where it goes; None when `ALERT_WEBHOOK_URL` is not set: the log is all.
    """

    def __init__(self, redis: Redis, webhook: Webhook | None) -> None:
        self._states = AlertStates(redis)
        self._webhook = webhook

    def notify(self, wrong: Mapping[str, Mapping[str, str] | None], now: float) -> list[str]:
        """Send what is due.

        Args:
            wrong: For each kind the subjects that are concerned, with their description; None
                where nobody knows: then nothing is sent of it.

        Returns:
            What was sent, as `<kind> alert` or `<kind> resolved`.

        Raises:
            RedisError: Redis is away.
        """
        return [
            f"{name} {sent}"
            for name in KINDS
            if (subjects := wrong.get(name, {})) is not None
            and (sent := self._notify_if_due(name, subjects, now))
        ]

    def open(self) -> dict[str, AlertState]:
        """The alerts that were sent and are not resolved yet."""
        return {name: state for name in KINDS if (state := self._states.load(name)).is_open}

    def _notify_if_due(self, name: str, subjects: Mapping[str, str], now: float) -> str | None:
        state = self._states.load(name)
        left = tuple(one for one in state.subjects if one in subjects)
        if subjects and left != state.subjects:  # who comes back is new again
            state = replace(state, subjects=left)
            self._states.save(name, state)
        sending = due(KINDS[name], state, subjects, now)
        if sending == "alert":
            message = alert_message(name, subjects)
            after = AlertState(is_open=True, at=now, subjects=tuple(sorted(subjects)))
        else:
            message = resolved_message(name, state.subjects)
            after = AlertState(at=state.at)
        return sending if sending and self._send(message, state, after, now) else None

    def _send(
        self, message: dict[str, object], before: AlertState, after: AlertState, now: float
    ) -> bool:
        """Whether it was accepted; if not, or if we die meanwhile, it is tried again later.

        Each time later: a service that takes a message and loses its answer must not be flooded.
        """
        name = str(message["kind"])
        wait = min(HOUR, RETRY_SECONDS * 2**before.tries)
        self._states.save(name, replace(before, retry_at=now + wait, tries=before.tries + 1))
        if not before.tries:
            _log(message)
        try:
            if self._webhook:
                self._webhook.post(message)
        except AlertError as error:
            log_event(
                logger, "alert not delivered", level=logging.ERROR, kind=name, error=str(error)
            )
            return False
        self._states.save(name, after)
        return True


def _log(message: dict[str, object]) -> None:
    is_alert = message["state"] == "alert"
    log_event(
        logger,
        "alert" if is_alert else "alert resolved",
        level=logging.ERROR if is_alert else logging.WARNING,
        kind=message["kind"],
        text=message["text"],
    )

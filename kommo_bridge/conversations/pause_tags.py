"""A tag on the lead silences the assistant: the human's switch inside Kommo.

Looked up through Kommo's API, at Kommo's pace, and remembered for seconds. If Kommo cannot say,
the customer is answered.
"""

import logging
import time
from http import HTTPStatus

from redis import Redis

from kommo_bridge.conversations.keys import ENTITY_TYPES, conversation_name, tagged_key
from kommo_bridge.errors import KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.widget_request import WidgetRequest, check_return_url
from kommo_bridge.telemetry.logs import log_event

REMEMBERED_SECONDS = 4
PAUSE_SECONDS = 10.0

logger = logging.getLogger(__name__)


class PauseTags:
    """Asks Kommo whether a lead bears the integration's `pause_tag`."""

    def __init__(
        self, redis: Redis, client: KommoClient, pacer: Pacer, extra_hosts: frozenset[str]
    ) -> None:
        self._redis = redis
        self._client = client
        self._pacer = pacer
        self._extra_hosts = extra_hosts

    def paused(self, request: WidgetRequest, integration: Integration) -> bool:
        """Whether the tag is there; False also when Kommo cannot say."""
        if not integration.pause_tag or request.entity_type != ENTITY_TYPES["lead"]:
            return False
        key = tagged_key(conversation_name(request))
        known = self._redis.get(key)
        if known is not None:
            return bool(known == b"1")
        try:
            tagged = self._ask(request, integration)
        except KommoError as error:
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                self._pacer.pause(integration.host, error.retry_after_seconds or PAUSE_SECONDS)
            self._redis.set(key, "0", ex=REMEMBERED_SECONDS)  # not asked again at once
            log_event(
                logger,
                "pause_tag cannot be looked up, the customer is answered",
                level=logging.WARNING,
                job=request.job_id,
                error=str(error),
            )
            return False
        self._redis.set(key, "1" if tagged else "0", ex=REMEMBERED_SECONDS)
        return tagged

    def _ask(self, request: WidgetRequest, integration: Integration) -> bool:
        check_return_url(request.return_url, integration.host, self._extra_hosts)
        wait, booked = self._pacer.reserve(integration.host)
        if not booked:
            raise KommoError("paused by Kommo", permanent=False)
        time.sleep(wait)
        tags = self._client.lead_tags(
            request.return_url, request.entity_id, integration.access_token
        )
        wanted = integration.pause_tag.strip().casefold()
        return any(tag.strip().casefold() == wanted for tag in tags)

"""A tag on the lead silences the assistant: the human's switch inside Kommo.

Looked up through Kommo's API, at Kommo's pace, and remembered for seconds. If Kommo cannot say,
the customer is answered.
"""

import logging
from urllib.parse import urlsplit

from redis import Redis

from kommo_bridge.conversations.keys import ENTITY_TYPES, conversation_name, tagged_key
from kommo_bridge.errors import KommoError
from kommo_bridge.integrations.store import Integration
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.logs import log_event

REMEMBERED_SECONDS = 4

logger = logging.getLogger(__name__)


class PauseTags:
    """Asks Kommo whether a lead has the integration's `pause_tag`."""

    def __init__(self, redis: Redis, client: KommoClient) -> None:
        self._redis = redis
        self._client = client

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
        place = urlsplit(request.return_url)
        tags = self._client.lead_tags(
            integration.host,
            request.entity_id,
            integration.access_token,
            base_url=f"{place.scheme}://{place.netloc}",
        )
        wanted = integration.pause_tag.strip().casefold()
        return any(tag.strip().casefold() == wanted for tag in tags)

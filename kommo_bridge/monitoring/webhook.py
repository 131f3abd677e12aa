"""`ALERT_WEBHOOK_URL`: one POST of a JSON message within a total deadline."""

from collections.abc import Mapping

import requests

from kommo_bridge.errors import AlertError
from kommo_bridge.outgoing.requests_session import limited_session
from kommo_bridge.outgoing.total_limit import total_limit

SEND_SECONDS = 5.0
MAX_RESPONSE_BYTES = 64 * 1024


class Webhook:
    """Where alerts go.

    Args:
        url: It may hold a secret and is never logged.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = limited_session()

    def post(self, message: Mapping[str, object]) -> None:
        """Send it. A 400 is tried again with the bare text: some services take no other keys.

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
            with total_limit(SEND_SECONDS, MAX_RESPONSE_BYTES):
                response = self._session.post(
                    self._url,
                    json=message,
                    timeout=SEND_SECONDS,
                    allow_redirects=False,
                    stream=True,  # the status is enough, whatever follows
                )
                response.close()
                return response.status_code
        except Exception as error:
            kind = type(error).__name__
            raise AlertError(f"ALERT_WEBHOOK_URL gave no answer ({kind}).") from None

"""Widget requests as a Salesbot sends them: the waiting block, the three encodings, the POST."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import requests

from local.partners.kommo.account import Account

Encoding = Literal["form", "json", "form_json"]

WIDGET_REQUEST_PATH = "/api/kommo/kommo/widget-request"
# https://developers.kommo.com/docs/private-chatbot-integration : the receiver has two seconds.
ACKNOWLEDGE_SECONDS = 2.0

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class WaitingBlock:
    """A widget block of a bot that waits to be continued.

    Attributes:
        delivery: "json" for our own widget, which prints `data.reply` itself; None for a
            hand-made bot, which shows only what the continue call tells it to.
    """

    subdomain: str
    bot_type: str
    bot_id: int
    continue_id: int
    return_url: str
    delivery: str | None

    @property
    def path(self) -> str:
        """The path of the return URL, which names this block."""
        return urlsplit(self.return_url).path


@dataclass(frozen=True)
class WidgetRequestSent:
    """A widget request and what the bridge said to it.

    Attributes:
        url: Where it was sent.
        return_url: The one that was sent, which a test may have replaced.
        status: The answer's status; None when there was none within 2 seconds.
        milliseconds: From the connection to the answer's head, or to the failure.
    """

    account: Account
    message: str = field(repr=False)
    entity_id: int
    block: WaitingBlock
    url: str
    return_url: str
    token: str = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    encoding: Encoding
    status: int | None = None
    milliseconds: float = 0.0

    def encode(self) -> tuple[str, bytes]:
        """Return content type and body."""
        return encode_widget_request(
            self.encoding, token=self.token, data=self.data, return_url=self.return_url
        )


def post_widget_request(request: WidgetRequestSent) -> WidgetRequestSent:
    """Send a widget request and return it with status and milliseconds; never retries or raises."""
    content_type, body = request.encode()
    started = time.monotonic()
    status = _status_of_post(request.url, content_type, body)
    seconds = time.monotonic() - started
    in_time = seconds <= ACKNOWLEDGE_SECONDS
    return replace(request, status=status if in_time else None, milliseconds=seconds * 1000)


def _status_of_post(url: str, content_type: str, body: bytes) -> int | None:
    """Post without proxy or redirect; the answer's body is never read."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.post(
                url,
                data=body,
                headers={"Content-Type": content_type},
                timeout=ACKNOWLEDGE_SECONDS,
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code
        except requests.RequestException:
            return None


def block_data(
    message: str, delivery: str | None, more: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the data of a widget block; only our own widget sends `delivery`."""
    own = {"message": message} if delivery is None else {"message": message, "delivery": delivery}
    return {**own, **(more or {})}


def encode_widget_request(
    encoding: Encoding, *, token: str, data: Mapping[str, Any], return_url: str
) -> tuple[str, bytes]:
    """Return content type and body of a widget request; every value becomes a string.

    Args:
        encoding: "form" is what live accounts send (`data[message]=...`), "json" is what
            https://developers.kommo.com/docs/private-chatbot-integration prints, "form_json" is a
            form whose `data` is one string of JSON.
        token: The bot token.
        data: The block's data; may be nested.
        return_url: Where the Salesbot waits.
    """
    if encoding == "json":
        body = {"token": token, "data": _strings(data), "return_url": return_url}
        return "application/json", json.dumps(body).encode()
    if encoding == "form_json":
        pairs = [("data", json.dumps(_strings(data)))]
    else:
        pairs = list(_bracketed("data", data))
    fields = [("token", token), *pairs, ("return_url", return_url)]
    return _FORM, urlencode(fields).encode()


def _bracketed(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Flatten as PHP's http_build_query does: `data[lead][id]`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _bracketed(f"{name}[{key}]", inner)
    else:
        yield name, _string(value)


def _strings(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strings(inner) for key, inner in value.items()}
    return _string(value)


def _string(value: Any) -> str:
    return "" if value is None else str(value)

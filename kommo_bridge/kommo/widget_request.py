"""The widget request: body and verified claims become one checked WidgetRequest, or a refusal.

What Kommo sends: https://developers.kommo.com/docs/private-chatbot-integration prints JSON, every
captured call is a form with bracketed keys (`data[message]=hello`). Both are read here, and so is
a form whose `data` is one JSON string. Who speaks comes from the token; `data` is not signed and
decides nothing but what the customer wrote and how the reply is delivered.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from kommo_bridge.errors import InvalidRequest, InvalidReturnUrl
from kommo_bridge.kommo.tokens import BotClaims
from kommo_bridge.settings import is_loopback

MAX_BODY_BYTES = 64 * 1024
MAX_FORM_FIELDS = 200
MAX_DEPTH = 5
# Kommo sends the same few keys in every form.
USUAL_KEYS = 64
MAX_RETURN_URL_CHARACTERS = 2048
MAX_MESSAGE_CHARACTERS = 32_000
MAX_VALUE_CHARACTERS = 2_000
DELIVERIES = ("json", "show")

# https://developers.kommo.com/reference/salesbot-widget-block-execution-confirmation
# Matched as a whole and on the raw text: what a URL parser would repair, such as %41, is refused.
RETURN_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.\-]+(?::[0-9]{1,5})?|\[[0-9a-f:]+\]:[0-9]{1,5})"
    r"/api/v4/(?:salesbot|marketingbot)/[A-Za-z0-9_-]{1,128}/continue/[A-Za-z0-9_-]{1,128}"
    r"(?:\?[A-Za-z0-9_.~=&+-]+)?",
    re.ASCII,
)
BRACKETED_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
# A placeholder that Kommo does not know arrives as it was written: {{talk.id}}.
UNRESOLVED_PLACEHOLDER = re.compile(r"\{\{[^{}]*\}\}")
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
# A picture or a voice note arrives as the account language's word for it, or as an icon.
ATTACHMENT_WORDS = frozenset(
    "image imagen imagem foto photo picture gambar resim fotoğraf изображение фото "
    "video vídeo видео audio áudio ses suara аудио voice voz "
    "sticker pegatina figurinha çıkartma stiker стикер file archivo arquivo dosya berkas файл "
    "🎤 🎙 🎵 🔊 🔉 🎧 📷 🖼 🎥 📹 📎 📄".split()
)


@dataclass(frozen=True)
class WidgetRequest:
    """One widget request after every check. It holds no token and no secret.

    Attributes:
        integration_id: `client_uuid` of the verified token.
        account_id, subdomain, entity_type, entity_id: From the verified token.
        return_url: Where the Salesbot waits; used verbatim.
        message: What the customer wrote, without control characters; may be empty.
        delivery: How the reply is delivered, or None when the request does not say.
        contact_name, origin, chat_id, widget_version: From `data`, empty when not known.
        expires_at: When the token ends (seconds since the epoch): no replay is accepted after.
        accepted_at: When we acknowledged it (seconds since the epoch).
        request_id: What the log knows it by, from here to the continue call.
    """

    integration_id: str
    account_id: int
    subdomain: str
    entity_type: str
    entity_id: int
    return_url: str
    message: str
    delivery: str | None
    contact_name: str
    origin: str
    chat_id: str
    widget_version: str
    expires_at: float
    accepted_at: float
    request_id: str = ""

    @property
    def job_id(self) -> str:
        """The same for every repeat: host and path, hashed; a query does not count."""
        place = self.return_url.partition("://")[2].partition("?")[0]
        digest = hashlib.sha256(place.encode()).hexdigest()
        return f"wr-{digest[:40]}"

    @property
    def has_text(self) -> bool:
        """False for empty, blank or invisible messages, mere placeholders, attachment words."""
        text = " ".join(UNRESOLVED_PLACEHOLDER.sub("", self.message).split())
        if not text.isprintable():
            text = "".join(filter(str.isprintable, text)).strip()
        text = text.removesuffix("\ufe0f")
        return bool(text) and text.casefold() not in ATTACHMENT_WORDS

    def to_job(self) -> dict[str, Any]:
        """The job's one argument: plain JSON types."""
        return dict(vars(self))

    @classmethod
    def from_job(cls, payload: Mapping[str, Any]) -> "WidgetRequest":
        """Rebuild from `to_job`; unknown keys of a newer version are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in payload.items() if key in known})


def parse_body(body: bytes, content_type: str) -> dict[str, Any]:
    """Read the three body shapes into one dict with `token`, `data` and `return_url`.

    The shape follows the content type, then the first byte: proxies are known to change the former.

    Raises:
        InvalidRequest: The body cannot be read.
    """
    try:
        text = body.decode("utf-8").lstrip("\ufeff")
        if "json" in content_type.lower() or text.lstrip().startswith("{"):
            fields_read = json.loads(text)
        else:
            fields_read = _parse_form(text)
        if isinstance(fields_read, dict) and isinstance(fields_read.get("data"), str):
            fields_read["data"] = json.loads(fields_read["data"])
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body cannot be read as a form or as JSON.") from error
    if not isinstance(fields_read, dict):
        raise InvalidRequest("The body must be a form or a JSON object.")
    return fields_read


def build_widget_request(
    body: Mapping[str, Any],
    claims: BotClaims,
    *,
    host: str,
    extra_hosts: frozenset[str],
    accepted_at: float,
    request_id: str = "",
) -> WidgetRequest:
    """Check the body against the verified claims.

    Args:
        body: From `parse_body`.
        claims: From `verify_bot_token`.
        host: The verified account's own host, such as `acme.kommo.com`.
        extra_hosts: `KOMMO_EXTRA_HOSTS`.
        accepted_at: Now, in seconds since the epoch.
        request_id: For the log.

    Raises:
        InvalidRequest: A field is missing, of the wrong type or too long.
        InvalidReturnUrl: The return URL is not the account's own.
    """
    data = body.get("data")
    if not isinstance(data, dict):
        raise InvalidRequest("The field data is missing or is not an object.")
    if not isinstance(data.get("message"), str):
        raise InvalidRequest("The field data.message is missing or is not text.")
    delivery = _text(data, "delivery")
    return WidgetRequest(
        integration_id=claims.client_uuid,
        account_id=claims.account_id,
        subdomain=claims.subdomain,
        entity_type=claims.entity_type,
        entity_id=claims.entity_id,
        return_url=check_return_url(body.get("return_url"), host, extra_hosts),
        message=_text(data, "message", MAX_MESSAGE_CHARACTERS),
        delivery=delivery if delivery in DELIVERIES else None,
        contact_name=_known(data, "contact_name"),
        origin=_known(data, "origin"),
        chat_id=_known(data, "chat_id") or _known(data, "talk_id"),
        widget_version=_known(data, "widget_version"),
        expires_at=claims.expires_at,
        accepted_at=accepted_at,
        request_id=request_id,
    )


def check_return_url(url: object, host: str, extra_hosts: frozenset[str]) -> str:
    """Return the URL unchanged if the access token may go there.

    It must be https on the account's own host without user-info and port, and its path that of a
    continue call. A host of `extra_hosts` is accepted too, by plain http only on this machine.

    Raises:
        InvalidRequest: It is missing, not text or too long.
        InvalidReturnUrl: It leads anywhere else.
    """
    if not isinstance(url, str) or not url:
        raise InvalidRequest("The field return_url is missing or is not text.")
    if len(url) > MAX_RETURN_URL_CHARACTERS:
        raise InvalidRequest("The field return_url is too long.")
    match = RETURN_URL.fullmatch(url)
    if match and match["scheme"] == "https" and match["host"] == host:
        return url
    if match and match["host"] in extra_hosts and _may_be_plain(match):
        return url
    raise InvalidReturnUrl("The return URL is not a continue URL of the account that sent it.")


def _may_be_plain(match: re.Match[str]) -> bool:
    return match["scheme"] == "https" or is_loopback(match["host"].rpartition(":")[0])


def _parse_form(text: str) -> dict[str, Any]:
    pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    form: dict[str, Any] = {}
    for key, value in pairs:
        path = _path(key)
        if len(path) > MAX_DEPTH:
            raise ValueError("brackets too deep")
        if path:
            _put(form, path, value)
    return form


@lru_cache(USUAL_KEYS)
def _path(key: str) -> tuple[str, ...]:
    """`a[b][c]` as its parts; none when it is no such key."""
    match = BRACKETED_KEY.fullmatch(key)
    return (match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])) if match else ()


def _put(form: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    """Set `form[a][b][c]` as PHP reads `a[b][c]`: the last value of a key wins."""
    for name in path[:-1]:
        if not isinstance(form.get(name), dict):
            form[name] = {}
        form = form[name]
    form[path[-1]] = value


def _text(data: Mapping[str, Any], name: str, limit: int = MAX_VALUE_CHARACTERS) -> str:
    """One value of `data` as text: Kommo sends strings; JSON callers may send numbers for ids."""
    value = data.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidRequest(f"The field data.{name} is not text.")
    text = str(value)
    if len(text) > limit:
        raise InvalidRequest(f"The field data.{name} is too long.")
    if not text.isprintable():
        text = CONTROL_CHARACTERS.sub("", text.replace("\r\n", "\n"))
        text = text.encode("utf-8", "replace").decode()  # JSON may hold lone surrogates
    return text.strip()


def _known(data: Mapping[str, Any], name: str) -> str:
    """A value on one line, empty when Kommo left its placeholder unresolved."""
    text = " ".join(_text(data, name).split())
    return "" if UNRESOLVED_PLACEHOLDER.search(text) else text

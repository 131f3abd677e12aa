"""The widget request: body and verified claims become one checked WidgetRequest, or a refusal.

Who speaks comes from the token; `data` is not signed and decides nothing but what the customer
wrote, which person of the entity wrote it, and how the reply is delivered.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from kommo_bridge.errors import InvalidRequest
from kommo_bridge.kommo.return_url import check_return_url
from kommo_bridge.kommo.tokens import BotClaims

# What the AI is asked at most; a widget request of more costs Redis memory for nothing.
MAX_MESSAGE_CHARACTERS = 16_000
MAX_VALUE_CHARACTERS = 2_000
DELIVERIES = ("json", "show")

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
        contact_name, origin, widget_version: From `data`, empty when not known.
        chat_id: The chat of the person who writes, or their talk when the chat is not known.
        contact_id: The contact of that person; empty when not known.
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
    delivery: str | None = None
    contact_name: str = ""
    origin: str = ""
    chat_id: str = ""
    contact_id: str = ""
    widget_version: str = ""
    expires_at: float = 0.0
    accepted_at: float = 0.0
    request_id: str = ""

    @property
    def job_id(self) -> str:
        """The same for every repeat: host and path, hashed; a query does not count."""
        place = self.return_url.partition("://")[2].partition("?")[0]
        digest = hashlib.sha256(place.encode()).hexdigest()
        return f"wr-{digest[:40]}"

    @property
    def person(self) -> str:
        """Who of the entity writes: their chat, else talk, else contact; empty when not known."""
        return self.chat_id or self.contact_id

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
        contact_id=_known(data, "contact_id"),
        widget_version=_known(data, "widget_version"),
        expires_at=claims.expires_at,
        accepted_at=accepted_at,
        request_id=request_id,
    )


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

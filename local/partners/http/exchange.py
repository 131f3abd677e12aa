"""One HTTP exchange as plain values: what a stand-in was asked, and what it answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """A request as a stand-in received it. Its `repr` shows neither headers nor body.

    Attributes:
        path: Without the query.
        query: The last value of every key.
        received_at: `time.monotonic()` when the whole body had been read.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message = field(repr=False)
    body: bytes = field(repr=False)
    received_at: float

    @property
    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer ...`, or None."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None


@dataclass(frozen=True)
class Answer:
    """A status, headers besides `Date`, `Content-Length` and `Connection`, and a body."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(
        cls,
        status: int,
        payload: object,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Build an answer whose body is `payload` as JSON."""
        body = json.dumps(payload, ensure_ascii=False).encode()
        return cls(status, body, {"Content-Type": content_type, **(headers or {})})

    def encode(self, *, close: bool) -> bytes:
        """Return head and body as the bytes of one write; `close` announces the end."""
        headers = {
            "Date": formatdate(usegmt=True),
            "Content-Length": str(len(self.body)),
            "Connection": "close" if close else "keep-alive",
            **self.headers,
        }
        head = f"HTTP/1.1 {self.status} {_phrase(self.status)}\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{head}{lines}\r\n".encode("latin-1") + self.body


def read_json(body: bytes) -> Any:
    """Return the value of a JSON body, or None when it is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"

"""What can go wrong with a partner, as values that a test orders from a stand-in.

    server.faults.order(Status(503), times=2)
    server.faults.order(Hang(), when=lambda request: request.method == "POST")

Every fault says whether the work is done all the same: a partner that took the call and then
broke the connection is the case that separates a careful client from a careless one.
"""

import gzip
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from local.partners.http.exchange import Answer, Request

_ENDLESS_BODY_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
)
_BLOCK = b" " * 65536


class Exchange(Protocol):
    """What a fault may do with the request at hand."""

    def work(self) -> Answer:
        """Do what the stand-in does without a fault, and return the answer unsent."""

    def encode(self, answer: Answer) -> bytes:
        """Return the bytes of an answer as this connection would carry them."""

    def send(self, data: bytes) -> None:
        """Send bytes; raises OSError when the client has gone."""

    def pause(self, seconds: float | None) -> None:
        """Wait (None: without end); raises ConnectionAbortedError when the server stops."""

    def close(self) -> None:
        """End the connection in the ordinary way after this exchange."""

    def reset(self) -> None:
        """Break the connection with a TCP RST."""


class Fault(ABC):
    """One way to go wrong; every one is a frozen dataclass."""

    @abstractmethod
    def play(self, exchange: Exchange) -> None:
        """Answer the request in hand wrongly, or not at all."""


@dataclass(frozen=True)
class Status(Fault):
    """Any HTTP status instead of the work. A `body` that is no text is sent as JSON."""

    status: int
    body: str | Mapping[str, object] = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def play(self, exchange: Exchange) -> None:
        """Send the status."""
        is_text = isinstance(self.body, str)
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        kind = "text/plain; charset=utf-8" if is_text else "application/json"
        answer = Answer(self.status, text.encode(), {"Content-Type": kind, **self.headers})
        exchange.send(exchange.encode(answer))


@dataclass(frozen=True)
class Slow(Fault):
    """The work is done at once; its answer is sent `seconds` later."""

    seconds: float

    def play(self, exchange: Exchange) -> None:
        """Work, wait, answer."""
        answer = exchange.work()
        exchange.pause(self.seconds)
        exchange.send(exchange.encode(answer))


@dataclass(frozen=True)
class Drip(Fault):
    """The work is done; its answer, head included, comes one byte every `interval_seconds`.

    A timeout per read never fires on it: only a total deadline does.
    """

    interval_seconds: float

    def play(self, exchange: Exchange) -> None:
        """Work, then send byte after byte."""
        for byte in exchange.encode(exchange.work()):
            exchange.send(bytes([byte]))
            exchange.pause(self.interval_seconds)


@dataclass(frozen=True)
class Hang(Fault):
    """No work and no answer, until `seconds` are over or the server stops."""

    seconds: float | None = None

    def play(self, exchange: Exchange) -> None:
        """Wait, then close without a word."""
        exchange.pause(self.seconds)
        exchange.close()


@dataclass(frozen=True)
class Reset(Fault):
    """The connection breaks before any work."""

    def play(self, exchange: Exchange) -> None:
        """Break the connection."""
        exchange.reset()


@dataclass(frozen=True)
class ResetAfter(Fault):
    """The whole work is done, then the connection breaks: the client cannot know the outcome."""

    def play(self, exchange: Exchange) -> None:
        """Work, then break the connection."""
        exchange.work()
        exchange.reset()


@dataclass(frozen=True)
class Redirect(Fault):
    """A redirect to another URL instead of the work."""

    url: str
    status: int = 302

    def play(self, exchange: Exchange) -> None:
        """Point elsewhere."""
        exchange.send(exchange.encode(Answer(self.status, headers={"Location": self.url})))


@dataclass(frozen=True)
class Huge(Fault):
    """A 200 without a length whose body is blanks: `size_bytes` of them, or no end at all."""

    size_bytes: int | None = None

    def play(self, exchange: Exchange) -> None:
        """Send blanks until the size is reached or the client goes."""
        exchange.close()
        exchange.send(_ENDLESS_BODY_HEAD)
        sent = 0
        while self.size_bytes is None or sent < self.size_bytes:
            left = len(_BLOCK) if self.size_bytes is None else self.size_bytes - sent
            exchange.send(_BLOCK[:left])
            sent += min(left, len(_BLOCK))


@dataclass(frozen=True)
class Garbage(Fault):
    """A 200 without any work, whose body is not what it should be: by default a proxy's page."""

    body: bytes = b"<html><body>It works!</body></html>"
    content_type: str = "text/html"

    def play(self, exchange: Exchange) -> None:
        """Send the wrong body."""
        answer = Answer(200, self.body, {"Content-Type": self.content_type})
        exchange.send(exchange.encode(answer))


@dataclass(frozen=True)
class Raw(Fault):
    """These bytes as the whole answer, however little they are HTTP; then the connection ends."""

    answer: bytes

    def play(self, exchange: Exchange) -> None:
        """Send them."""
        exchange.send(self.answer)
        exchange.close()


@dataclass(frozen=True)
class Packed(Fault):
    """A small gzip body, though nobody asked for one, that unpacks to `size_bytes` of blanks."""

    size_bytes: int
    status: int = 200

    def play(self, exchange: Exchange) -> None:
        """Send the packed body."""
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        body = gzip.compress(bytes(self.size_bytes).replace(b"\0", b" "))
        exchange.send(exchange.encode(Answer(self.status, body, headers)))


@dataclass
class _Order:
    fault: Fault
    left: int | None
    when: Callable[[Request], bool]


def _always(_request: Request) -> bool:
    return True


class FaultOrders:
    """The faults to come, used up in the order in which they were ordered; thread-safe."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._lock = threading.Lock()

    def order(
        self,
        fault: Fault,
        times: int | None = 1,
        when: Callable[[Request], bool] = _always,
    ) -> None:
        """Let the next `times` requests that fit `when` meet `fault`; None: until `clear`."""
        with self._lock:
            self._orders.append(_Order(fault, times, when))

    def take(self, request: Request) -> Fault | None:
        """Return the fault that this request must meet, and count it as used."""
        with self._lock:
            order = next((order for order in self._orders if order.when(request)), None)
            if order is None:
                return None
            if order.left is not None:
                order.left -= 1
            if order.left == 0:
                self._orders.remove(order)
            return order.fault

    def clear(self) -> None:
        """Forget every order."""
        with self._lock:
            self._orders.clear()

    @property
    def pending(self) -> int:
        """How many orders are not used up."""
        with self._lock:
            return len(self._orders)

"""The common base of the stand-ins: a threaded HTTP/1.1 server on the loopback interface.

A stand-in only says what it answers. Keep-alive, the ordered faults of `faults` and a stop that
is quick even while handlers hang are here. Nothing is ever printed.
"""

import contextlib
import socket
import socketserver
import struct
import sys
import threading
import time
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from local.partners.http.exchange import Answer, Request
from local.partners.http.faults import FaultOrders

_RST_ON_CLOSE = struct.pack("ii", 1, 0)
_POLL_SECONDS = 0.01


class LocalServer(ABC):
    """A server on 127.0.0.1, started by `start` or `with`.

    Args:
        port: The port to listen on; 0 takes a free one, which a second start then keeps.

    Attributes:
        faults: What the next requests must meet instead of an honest answer.
        errors: Exceptions of the stand-in itself; the client saw a 500.
        connections: How many were accepted: fewer than requests when the client keeps them.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.faults = FaultOrders()
        self.errors: list[BaseException] = []
        self.connections = 0
        self._port = port
        self._stopping = threading.Event()
        self._http: _HttpServer | None = None

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Do the work of this partner; called from many threads."""

    def received(self, request: Request) -> None:  # noqa: B027
        """Take note of a request before it meets a fault or is answered; optional."""

    def start(self) -> Self:
        """Listen. Raises OSError when the port is taken, RuntimeError when started already."""
        if self._http:
            raise RuntimeError(f"{self!r} is started already.")
        self._stopping.clear()
        self._http = _HttpServer(self, self._port)
        self._port = self._http.server_port
        loop = threading.Thread(
            target=self._http.serve_forever, args=(_POLL_SECONDS,), daemon=True, name=repr(self)
        )
        loop.start()
        return self

    def stop(self) -> None:
        """Refuse new connections and break the open ones; a stopped server may be started again."""
        if self._http is None:
            return
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._http.break_connections()
        self._http = None

    def pause(self, seconds: float | None) -> None:
        """Wait inside a handler. Raises ConnectionAbortedError when the server stops meanwhile."""
        if self._stopping.wait(seconds):
            raise ConnectionAbortedError("the stand-in is stopping")

    @property
    def port(self) -> int:
        """The port listened on; 0 before the first start."""
        return self._port

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`, as the setting KOMMO_EXTRA_HOSTS takes it."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at its end."""
        return f"http://{self.host}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.host}>"


class _HttpServer(ThreadingHTTPServer):
    """Knows its open connections, so that a stop can break them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, owner: LocalServer, port: int) -> None:
        self.owner = owner
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of a host name, which may ask a slow DNS."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, then serve it in a thread."""
        with self._lock:
            self._connections.add(request)
            self.owner.connections += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection, then close it."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        """Wake every handler that waits for its client, by ending the connection under it."""
        with self._lock:
            for connection in self._connections:
                _end(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that went, or a stop, is no news; a mistake is kept."""
        error = sys.exception()
        if error and not isinstance(error, OSError):
            self.owner.errors.append(error)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # its client or its handler was quicker
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection. It is also the `Exchange` that a fault plays with."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HttpServer

    def _exchange(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.close()
            self.send(self.encode(Answer(411)))
            return
        self._request = self._read_request()
        self.server.owner.received(self._request)
        fault = self.server.owner.faults.take(self._request)
        if fault is None:
            self.send(self.encode(self.work()))
        else:
            fault.play(self)

    def do_GET(self) -> None:
        """Serve a GET."""
        self._exchange()

    def do_POST(self) -> None:
        """Serve a POST."""
        self._exchange()

    def do_PATCH(self) -> None:
        """Serve a PATCH."""
        self._exchange()

    def _read_request(self) -> Request:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Request(self.command, parts.path, query, self.headers, body, time.monotonic())

    def work(self) -> Answer:
        """Let the stand-in answer; a mistake of its own becomes a 500 and is kept in `errors`."""
        try:
            return self.server.owner.answer(self._request)
        except ConnectionAbortedError:
            raise  # the server stops while the stand-in thinks
        except Exception as error:
            self.server.owner.errors.append(error)
            return Answer(500, b"The stand-in itself failed: see its errors.")

    def encode(self, answer: Answer) -> bytes:
        """Return the bytes of an answer for this connection."""
        return answer.encode(close=self.close_connection)

    def send(self, data: bytes) -> None:
        """Send bytes in one write."""
        self.wfile.write(data)

    def pause(self, seconds: float | None) -> None:
        """Wait, or leave when the server stops."""
        self.server.owner.pause(seconds)

    def close(self) -> None:
        """Close after this exchange."""
        self.close_connection = True

    def reset(self) -> None:
        """Close at once with RST; `rfile` first, or the socket stays open for its sake."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self.rfile.close()
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing."""

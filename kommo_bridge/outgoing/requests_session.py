"""HTTP sessions whose calls have a total deadline and a largest response.

The timeouts of requests are per read. The adapter here asks `total_limit` before each
read of its sockets; without a limit set by the caller it is an ordinary one.
"""

import io
import socket
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from kommo_bridge.outgoing.total_limit import count_bytes, seconds_left

POOL_SIZE = 64
# Hosts whose connections are kept: many more than threads. A pool that is closed to make room for
# another host may be one that a call has just received, and that call would fail.
MAX_HOSTS = 512


def limited_session() -> requests.Session:
    """A session for all threads: no proxy or netrc of the environment, no cookies, no retries."""
    session = _OneCall()
    session.trust_env = False
    session.headers["User-Agent"] = "kommo_bridge"
    session.headers["Accept-Encoding"] = "identity"
    # Nothing of one account may travel with another's calls.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("https://", "http://"):
        adapter = LimitedAdapter(max_retries=0, pool_connections=MAX_HOSTS, pool_maxsize=POOL_SIZE)
        session.mount(scheme, adapter)
    return session


class _OneCall(requests.Session):
    """Never looks at `Location`: requests reads it even where redirects are not allowed."""

    def resolve_redirects(self, *_args: Any, **_options: Any) -> Any:
        """None."""
        return iter(())


class _LimitedReader(io.RawIOBase):
    """A socket's raw reader that asks the thread's total limit before each read."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._raw: Any = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        timeout = self._socket.gettimeout()
        self._socket.settimeout(seconds_left(timeout))
        try:
            count: int | None = self._raw.readinto(buffer)
        finally:
            self._socket.settimeout(timeout)
        count_bytes(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _LimitedSocket:
    """A connected socket whose reads are limited; everything else is the socket's own."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def makefile(self, *_args: Any, **_options: Any) -> io.BufferedReader:
        return io.BufferedReader(_LimitedReader(self._socket))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class _LimitedHTTPConnection(HTTPConnection):
    def connect(self) -> None:
        self.timeout = seconds_left(self.timeout)
        super().connect()
        seconds_left(None)  # nothing may leave after the deadline
        self.sock = _LimitedSocket(self.sock)


class LimitedHTTPSConnection(HTTPSConnection):
    """An https connection whose reads are limited."""

    def connect(self) -> None:
        self.timeout = seconds_left(self.timeout)
        super().connect()
        seconds_left(None)  # nothing may leave after the deadline
        self.sock = _LimitedSocket(self.sock)


class _LimitedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _LimitedHTTPConnection


class _LimitedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = LimitedHTTPSConnection


class LimitedAdapter(HTTPAdapter):
    """Makes connections whose reads are limited."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _LimitedHTTPPool,
            "https": _LimitedHTTPSPool,
        }

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Never unpack a response that we asked not to be compressed: it may hold a gigabyte."""
        resp.headers.discard("Content-Encoding")
        return super().build_response(req, resp)

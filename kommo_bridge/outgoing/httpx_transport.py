"""The transport of an httpx client whose calls have a total deadline and a largest response.

The timeouts of httpx are per read. The connections here ask `total_limit` before each read and
write; without a limit set by the caller they are ordinary ones.
"""

import functools
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2

from kommo_bridge.outgoing.total_limit import LimitReached, count_bytes, seconds_left


class _LimitedStream(httpcore2.NetworkStream):
    """A connection that asks the running thread's total limit before each read and write."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            data = self._stream.read(max_bytes, seconds_left(timeout))
            count_bytes(len(data))
        except LimitReached as error:
            raise httpcore2.ReadTimeout(str(error)) from error
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self._stream.write(buffer, seconds_left(timeout))
        except LimitReached as error:
            raise httpcore2.WriteTimeout(str(error)) from error

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _LimitedStream(self._stream.start_tls(*args, **kwargs))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _LimitedBackend(httpcore2.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            wait = seconds_left(timeout)
        except LimitReached as error:
            raise httpcore2.ConnectTimeout(str(error)) from error
        return _LimitedStream(super().connect_tcp(host, port, wait, local_address, socket_options))


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The certificates that this process trusts: loading them takes a while, so once is enough."""
    return httpx2.create_ssl_context(trust_env=True)


class LimitedTransport(httpx2.HTTPTransport):
    """httpx's transport over a pool whose connections are limited.

    httpx has no option for httpcore's `network_backend`, so the pool is made here.
    """

    def __init__(self) -> None:
        context = _trusted()
        super().__init__(verify=context, trust_env=False)
        self._pool.close()
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=64,
            keepalive_expiry=60,
            network_backend=_LimitedBackend(),
        )

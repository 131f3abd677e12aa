"""Total limits for calls to partners.

The timeouts of our HTTP libraries are per read: a server that drips one byte a second never meets
them. `total_limit` bounds the whole call of the running thread, in time and in bytes received;
`requests_session` and `httpx_transport` ask it at every read of their sockets.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_current = threading.local()


class LimitReached(TimeoutError):
    """The call took longer, or brought more bytes, than it may."""


class TooLarge(LimitReached):
    """The call brought more bytes than it may: asking again brings no less."""


class _Limit:
    def __init__(self, seconds: float, max_bytes: int) -> None:
        self.ends_at = time.monotonic() + seconds
        self.bytes_left = max_bytes


@contextmanager
def total_limit(seconds: float, max_bytes: int) -> Iterator[None]:
    """Within it, the running thread's calls share `seconds` and `max_bytes` in all.

    One within another never lasts longer than the outer one.
    """
    outer: _Limit | None = getattr(_current, "limit", None)
    _current.limit = _Limit(seconds, max_bytes)
    if outer is not None:
        _current.limit.ends_at = min(_current.limit.ends_at, outer.ends_at)
    try:
        yield
    finally:
        _current.limit = outer


def seconds_left(timeout: float | None) -> float | None:
    """The shorter of `timeout` and what the running thread's limit leaves.

    Raises:
        LimitReached: Nothing is left.
    """
    limit: _Limit | None = getattr(_current, "limit", None)
    if limit is None:
        return timeout
    left = limit.ends_at - time.monotonic()
    if left <= 0:
        raise LimitReached("the call took longer than its total deadline")
    return left if timeout is None else min(timeout, left)


def count_bytes(count: int) -> None:
    """Take `count` received bytes off the running thread's limit.

    Raises:
        TooLarge: The response is larger than allowed.
    """
    limit: _Limit | None = getattr(_current, "limit", None)
    if limit is not None:
        limit.bytes_left -= count
        if limit.bytes_left < 0:
            raise TooLarge("the response is larger than allowed")

"""One way to reach Redis, for web, worker and command line, also through a failover.

A managed Redis fails over like this: the address now points to the new primary, while the old one
becomes its replica and keeps our connections. It refuses every write with READONLY, which redis-py
treats as an error of the command. Here such a refusal closes all connections, and the command is
tried once more on a new one.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry

WEB_TIMEOUT_SECONDS = 0.4
PREFIX = "kommo_bridge:"
WRITE_KEY = f"{PREFIX}write"
REFUSED_SECONDS = 60.0

logger = logging.getLogger(__name__)


def connect(
    url: str,
    *,
    timeout_seconds: float | None = None,
    refused_seconds: float = REFUSED_SECONDS,
) -> Redis:
    """A client for `REDIS_URL`; nothing is opened yet.

    Hosts such as Heroku give `rediss://` with a self-signed certificate: the connection is
    encrypted, the certificate checked only when the URL says `?ssl_cert_reqs=required`.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_seconds: For connecting and for each response; None for the library's default.
        refused_seconds: The process exits when every write has been refused for this long.
    """
    options: dict[str, Any] = {}
    parts = urlsplit(url)
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parse_qs(parts.query):
        options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    if timeout_seconds is not None:
        options |= {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
    retry = _RetryElsewhere(refused_seconds)
    retry.client = Redis.from_url(url, retry=retry, health_check_interval=30, **options)
    return retry.client


class _RetryElsewhere(Retry):
    """One immediate retry, for a connection that Redis closed while idle and for a failover.

    Not for a timeout: connect, greeting and command would each double it. redis-py already treats
    LOADING as an error of the connection.
    """

    def __init__(self, refused_seconds: float) -> None:
        super().__init__(NoBackoff(), 1, supported_errors=(RedisConnectionError, ResponseError))
        self.client: Redis | None = None
        self._refused_seconds = refused_seconds
        self._watched = threading.Lock()

    def __deepcopy__(self, _memo: object) -> "_RetryElsewhere":
        """Shared by all connections: it holds no state of a single one."""
        return self

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        """As in redis-py, which disconnects before it tries again."""
        try:
            return super().call_with_retry(
                do, fail, is_retryable or self._try_again, with_failure_count
            )
        except ResponseError as error:
            if _is_refusal(error):
                self._watch_writes()
            raise

    def _try_again(self, error: Exception) -> bool:
        if isinstance(error, RedisConnectionError):
            return True
        if not _is_refusal(error):
            return False
        if self.client:
            # Connections that only read would keep getting outdated data.
            self.client.connection_pool.disconnect(inuse_connections=False)
        return True

    def _watch_writes(self) -> None:
        """Refused on a new connection too: exit if that lasts."""
        if self._watched.acquire(blocking=False):
            threading.Thread(target=self._end_if_refused, name="writes", daemon=True).start()

    def _end_if_refused(self) -> None:
        ends_at = time.monotonic() + self._refused_seconds
        try:
            while self.client and _refuses(self.client):
                if time.monotonic() > ends_at:
                    logger.error("redis refuses all writes, process exits")
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                time.sleep(self._refused_seconds / 20)
        finally:
            self._watched.release()


def _refuses(client: Redis) -> bool:
    """Whether Redis can be reached and refuses a write."""
    try:
        client.set(WRITE_KEY, "1", ex=60)
    except RedisError as error:
        return _is_refusal(error)
    return False


def _is_refusal(error: Exception) -> bool:
    """A replica's refusal of a command, a script (quoted before Redis 7) or a blocked client."""
    told = str(error)
    return isinstance(error, ReadOnlyError | MasterDownError) or (
        isinstance(error, ResponseError) and (told.startswith("UNBLOCKED") or "-READONLY" in told)
    )


def address(url: str) -> str:
    """`host:port/db` of a `REDIS_URL` for the log, without its password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}{parts.path}" if parts.hostname else parts.path

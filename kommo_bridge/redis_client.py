"""One way to reach Redis, for web, worker and command line."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

WEB_TIMEOUT_SECONDS = 0.4
PREFIX = "kommo_bridge:"


def connect(url: str, *, timeout_seconds: float | None = None) -> Redis:
    """A client for `REDIS_URL`; nothing is opened yet.

    Hosts such as Heroku give `rediss://` with a self-signed certificate: the connection is
    encrypted, the certificate checked only when the URL says `?ssl_cert_reqs=required`.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_seconds: The longest a connect or an answer may take; None for the library's.
    """
    options: dict[str, Any] = {}
    parts = urlsplit(url)
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parse_qs(parts.query):
        options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    if timeout_seconds is not None:
        options |= {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
    # One immediate retry covers a connection that Redis closed while it was idle. Not a timeout:
    # connect, greeting and command would each double it.
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    return Redis.from_url(url, retry=retry, health_check_interval=30, **options)


def address(url: str) -> str:
    """`host:port/db` of a `REDIS_URL` for the log, without its password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}{parts.path}" if parts.hostname else parts.path

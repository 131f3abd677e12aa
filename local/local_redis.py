"""Redis for the commands of a local machine: the configured one, or one of our own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.redis_server import RedisServer


@contextmanager
def local_redis(data_directory: Path, port: int | None = None) -> Iterator[str]:
    """The URL of `REDIS_URL` when that is set, else of a redis-server that lives as long as we.

    Args:
        data_directory: Where its data is kept.
        port: The port to take; None for any free one.

    Raises:
        RedisServerError: None is configured and none is installed.
    """
    configured = os.environ.get("REDIS_URL", "").strip()
    if configured:
        yield configured
        return
    with RedisServer(data_directory, port=port) as server:
        yield server.url

"""Connections to PostgreSQL that never wait longer than they may.

The server's own time limits do not help when the server, or the network, no longer answers: here
the waiting itself ends, and the connection with it.
"""

import atexit
import math
import time
from collections.abc import Generator
from typing import Any
from weakref import WeakSet

from psycopg import Connection, OperationalError
from psycopg_pool import ConnectionPool

CONNECT_SECONDS = 2  # the shortest that libpq takes
LOOK_AT_CLOCK_SECONDS = 0.02
MOST_CONNECTIONS = 4
IDLE_SECONDS = 60.0

_pools: WeakSet[ConnectionPool[Any]] = WeakSet()


class TimedOut(OperationalError):
    """The database did not answer in time; the connection is closed."""


class BoundedConnection(Connection[Any]):
    """A connection whose waits end at `ends_at`, as `time.monotonic` has it."""

    ends_at = math.inf

    def wait(self, gen: Generator[Any, Any, Any], *_ignored: Any, **_options: Any) -> Any:
        """As psycopg's own, which every query goes through."""
        try:
            return super().wait(_until(gen, self.ends_at), interval=LOOK_AT_CLOCK_SECONDS)
        except TimedOut:
            self.pgconn.finish()  # what it was doing is unknown, and nobody waits for it
            raise


def connection_pool(url: str, check_seconds: float) -> ConnectionPool[BoundedConnection]:
    """A small pool that opens connections when they are needed and forgets idle ones.

    Args:
        url: `DATABASE_URL`.
        check_seconds: How long a connection may take to prove that it still works.
    """

    def check(connection: BoundedConnection) -> None:
        connection.ends_at = time.monotonic() + check_seconds
        connection.execute("")

    pool = ConnectionPool(
        url,
        connection_class=BoundedConnection,
        kwargs=connection_options(),
        check=check,
        min_size=0,
        max_size=MOST_CONNECTIONS,
        max_idle=IDLE_SECONDS,
        reconnect_timeout=0,  # who needs a connection asks for one again
        num_workers=1,
        open=True,
    )
    _pools.add(pool)
    return pool


@atexit.register
def close_pools() -> None:
    """Close the pools that are still open.

    A pool that the garbage collector finds open waits for its own thread, which may be the very one
    that collects: so a process closes them before it ends.
    """
    for pool in list(_pools):
        pool.close()


def connection_options() -> dict[str, Any]:
    """For every connection; nothing that a pooler such as PgBouncer would not take."""
    return {
        "autocommit": True,
        "connect_timeout": CONNECT_SECONDS,
        "prepare_threshold": None,
        "application_name": "kommo_bridge",
        "keepalives_idle": 30,
        "client_encoding": "utf8",
    }


def _until(gen: Generator[Any, Any, Any], ends_at: float) -> Generator[Any, Any, Any]:
    """The same generator, that fails once its time is over."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > ends_at:
                raise TimedOut("the database did not answer in time")
            wanted = gen.send(ready)
    except StopIteration as ended:
        return ended.value

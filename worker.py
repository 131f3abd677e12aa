"""The worker's entry: settings, logging, parts, then jobs until SIGTERM."""

import logging
import os
import sys
import time
from datetime import UTC, datetime

from dotenv import load_dotenv
from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.answers.retries import SWEEP_EVERY
from kommo_bridge.errors import SettingsError, StoreError
from kommo_bridge.integrations.open_store import open_store, require_ai_key
from kommo_bridge.jobs import Parts, before_exit, build_parts, sweep, use_parts
from kommo_bridge.monitoring.watch import build_watch
from kommo_bridge.queue import errands
from kommo_bridge.queue.enqueue import FUNCTION
from kommo_bridge.queue.nights import REFRESH_FUNCTION, queue_refresh
from kommo_bridge.queue.state import work_queue
from kommo_bridge.queue.thread_worker import NIGHTLY_SECONDS, ThreadWorker
from kommo_bridge.redis_client import address, connect
from kommo_bridge.telemetry.outage import Outage
from kommo_bridge.telemetry.start import start

WAIT_FOR_REDIS_SECONDS = 1.0
# An acknowledgement has two seconds, a reply a minute or more: the web process goes first.
NICE = 5

logger = logging.getLogger("kommo_bridge.worker")


def main() -> None:
    """Build the parts and run the worker."""
    os.nice(NICE)
    load_dotenv(".env")
    try:
        parts = _build()
    except (SettingsError, StoreError) as error:
        sys.exit(f"The worker does not start. {error}")
    except (OSError, ValueError, ImportError) as error:  # certificates, addresses, packages
        sys.exit(f"The worker does not start. {type(error).__name__}: {error}")
    use_parts(parts)
    _work(parts)


def _build() -> Parts:
    settings = start(os.environ, "worker")
    store = open_store(settings)
    require_ai_key(settings, store)
    return build_parts(settings, store)


def _work(parts: Parts) -> None:
    settings = parts.settings
    connection = connect(settings.redis_url, timeout_seconds=5)
    outage = Outage(logger, "redis", address=address(settings.redis_url))
    _wait_for_redis(connection, outage)
    build_watch(connection, parts.integrations, settings, outage).start()
    ThreadWorker(
        work_queue(connection),
        connection=connection,
        concurrency=settings.worker_concurrency,
        grace_seconds=settings.worker_grace_seconds,
        functions=[FUNCTION, REFRESH_FUNCTION, *errands.FUNCTIONS],
        beside={
            "sweep": (SWEEP_EVERY, lambda: sweep(parts)),
            "staff": (SWEEP_EVERY, parts.staff.run),
            "nightly": (
                NIGHTLY_SECONDS,
                lambda: queue_refresh(connection, parts.knowledge, datetime.now(UTC)),
            ),
        },
        before_exit=before_exit,
        outage=outage,
    ).work()


def _wait_for_redis(connection: Redis, outage: Outage) -> None:
    """A Redis that is away at the start is waited for, as one that goes away later."""
    while True:
        try:
            connection.ping()
        except RedisError as error:
            outage.lost(error)
            time.sleep(WAIT_FOR_REDIS_SECONDS)
        else:
            outage.back()
            return


if __name__ == "__main__":
    main()

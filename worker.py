"""The worker's entry: settings, logging, then jobs until SIGTERM."""

import logging
import os
import sys
import time

from dotenv import load_dotenv
from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.app import open_store
from kommo_bridge.errors import SettingsError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import flush_figures, process_parts, sweep
from kommo_bridge.monitoring.watch import build_watch
from kommo_bridge.queue.state import work_queue
from kommo_bridge.queue.thread_worker import ThreadWorker
from kommo_bridge.redis_client import address, connect
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.error_reports import start_error_reports
from kommo_bridge.telemetry.logs import log_event, set_up_logging
from kommo_bridge.telemetry.outage import Outage

WAIT_FOR_REDIS_SECONDS = 1.0
# An acknowledgement has two seconds, an answer two minutes: on a shared machine the web goes first.
NICE = 5

logger = logging.getLogger("kommo_bridge.worker")


def main() -> None:
    """Check the settings and run the worker."""
    os.nice(NICE)
    load_dotenv(".env")
    try:
        settings = Settings.from_env(os.environ)
        set_up_logging(settings.log_level, settings.log_format)
        if settings.sentry_dsn:
            start_error_reports(settings.sentry_dsn)
        store = open_store(settings)
        _check_ai_key(settings, store)
    except SettingsError as error:
        sys.exit(f"The worker does not start. {error}")
    connection = connect(settings.redis_url, timeout_seconds=5)
    _wait_for_redis(connection)
    outage = Outage(logger, "redis", address=address(settings.redis_url))
    build_watch(connection, store, settings, outage).start()
    worker = ThreadWorker(
        work_queue(connection),
        connection=connection,
        concurrency=settings.worker_concurrency,
        grace_seconds=settings.worker_grace_seconds,
        sweep=lambda: sweep(process_parts(), time.time()),
        before_exit=flush_figures,
    )
    worker.work()


def _wait_for_redis(connection: Redis) -> None:
    """A Redis that is away at the start is waited for, as one that goes away later."""
    while True:
        try:
            connection.ping()
        except RedisError as error:
            log_event(
                logger,
                "redis cannot be reached: is it running, and is REDIS_URL right?",
                level=logging.WARNING,
                error=type(error).__name__,
            )
            time.sleep(WAIT_FOR_REDIS_SECONDS)
        else:
            return


def _check_ai_key(settings: Settings, store: IntegrationStore) -> None:
    """Without a key of its own every integration needs the common one."""
    integrations = store.all()
    if not settings.openai_api_key and not (
        integrations and all(item.ai_api_key for item in integrations)
    ):
        raise SettingsError(
            "OPENAI_API_KEY is not set, and not every integration has an ai_api_key of its own."
        )


if __name__ == "__main__":
    main()

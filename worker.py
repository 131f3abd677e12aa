"""The worker's entry: settings, logging, then jobs until SIGTERM."""

import os
import sys
import time

from dotenv import load_dotenv

from kommo_bridge.app import open_store
from kommo_bridge.errors import SettingsError
from kommo_bridge.integrations import IntegrationStore
from kommo_bridge.job_queue import work_queue
from kommo_bridge.jobs import process_parts, sweep
from kommo_bridge.logs import set_up_logging
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings
from kommo_bridge.thread_worker import ThreadWorker


def main() -> None:
    """Check the settings and run the worker."""
    load_dotenv(".env")
    try:
        settings = Settings.from_env(os.environ)
        set_up_logging(settings.log_level, settings.log_format)
        _check_ai_key(settings, open_store(settings))
    except SettingsError as error:
        sys.exit(f"The worker does not start. {error}")
    connection = connect(settings.redis_url, timeout_seconds=5)
    worker = ThreadWorker(
        work_queue(connection),
        connection=connection,
        concurrency=settings.worker_concurrency,
        grace_seconds=settings.worker_grace_seconds,
        sweep=lambda: sweep(process_parts(), time.time()),
    )
    worker.work()


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

"""`/healthz`: the process is alive. `/readyz`: it can do its work, with some figures."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, jsonify, request
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from kommo_bridge import __version__
from kommo_bridge.errors import BridgeError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.monitoring.watch import OLD_JOB_SECONDS
from kommo_bridge.queue.state import live_workers, oldest_queued_seconds, work_queue
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.telemetry.outage import Outage

WRITTEN_KEY = f"{PREFIX}readyz"
WRITTEN_KEPT_SECONDS = 60
FIGURES_KEPT_SECONDS = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class QueueFigures:
    """What the queue shows, and when it was read (`time.monotonic`)."""

    workers: int
    oldest_seconds: float
    read_at: float

    @property
    def answers(self) -> bool:
        """Whether a worker is there to answer customers."""
        return self.workers > 0 and self.oldest_seconds <= OLD_JOB_SECONDS


class RedisHealth:
    """Checks Redis for `/readyz`: writes each time, reads the figures at most once a second."""

    def __init__(self, redis: Redis, outage: Outage) -> None:
        self._redis = redis
        self._outage = outage
        self._lock = threading.Lock()
        self._figures: QueueFigures | None = None

    def look(self) -> QueueFigures | None:
        """The figures; None when Redis could not queue a widget request."""
        try:
            self._write()
            figures = self._read()
        except ResponseError as error:  # full, read-only, or a node of a cluster
            error_name = type(error).__name__
            log_event(logger, "redis refuses commands", level=logging.WARNING, error=error_name)
            return None
        except RedisError as error:
            self._outage.lost(error)
            return None
        self._outage.back()
        return figures

    def _write(self) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(WRITTEN_KEY, "1", ex=WRITTEN_KEPT_SECONDS)
            # Two keys at once, as when queueing a job: a cluster node refuses that.
            pipeline.exists(WRITTEN_KEY, work_queue(self._redis).key)
            pipeline.execute()

    def _read(self) -> QueueFigures:
        with self._lock:
            now = time.monotonic()
            if self._figures is None or now - self._figures.read_at > FIGURES_KEPT_SECONDS:
                queue = work_queue(self._redis)
                self._figures = QueueFigures(live_workers(queue), oldest_queued_seconds(queue), now)
            return self._figures


def health(integrations: IntegrationStore, redis: Redis, outage: Outage) -> Blueprint:
    """The blueprint of both routes."""
    blueprint = Blueprint("health", __name__)
    redis_health = RedisHealth(redis, outage)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/readyz")
    def readyz() -> Response:
        figures, store_is_there = redis_health.look(), _store_is_there(integrations)
        ready = figures is not None and store_is_there
        if request.args.get("answers") == "1":
            ready = ready and figures is not None and figures.answers
        response = jsonify(status="ok" if ready else "error", **_report(figures, store_is_there))
        response.status_code = 200 if ready else 503
        return response

    return blueprint


def _report(figures: QueueFigures | None, store_is_there: bool) -> dict[str, Any]:
    return {
        "redis": "ok" if figures else "unavailable",
        "integration_store": "ok" if store_is_there else "unavailable",
        "workers": figures.workers if figures else None,
        "oldest_queued_job_seconds": round(figures.oldest_seconds, 1) if figures else None,
        "version": __version__,
    }


def _store_is_there(integrations: IntegrationStore) -> bool:
    try:
        integrations.count()
    except (OSError, BridgeError) as error:
        log_event(logger, "store is unreachable", level=logging.WARNING, error=type(error).__name__)
        return False
    return True

"""`/healthz`: the process lives. `/readyz`: it can do its work, and here is what it sees."""

import logging
import sqlite3
from typing import Any

from flask import Blueprint, Response, jsonify
from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.errors import BridgeError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.queue.state import live_workers, oldest_queued_seconds, work_queue
from kommo_bridge.telemetry.logs import log_event

logger = logging.getLogger(__name__)


def health(integrations: IntegrationStore, redis: Redis) -> Blueprint:
    """The blueprint of both routes."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/readyz")
    def readyz() -> Response:
        report = {**_redis_report(redis), **_store_report(integrations)}
        ready = report["redis"] == "ok" and report["integration_store"] == "ok"
        response = jsonify(status="ok" if ready else "error", **report)
        response.status_code = 200 if ready else 503
        return response

    return blueprint


def _redis_report(redis: Redis) -> dict[str, Any]:
    try:
        queue = work_queue(redis)
        return {
            "redis": "ok",
            "workers": live_workers(queue),
            "oldest_queued_job_seconds": round(oldest_queued_seconds(queue), 1),
        }
    except RedisError as error:
        log_event(logger, "redis is away", level=logging.WARNING, error=type(error).__name__)
        return {"redis": "unavailable", "workers": None, "oldest_queued_job_seconds": None}


def _store_report(integrations: IntegrationStore) -> dict[str, Any]:
    try:
        return {"integration_store": "ok", "integrations": integrations.count()}
    except (sqlite3.Error, OSError, BridgeError) as error:
        log_event(logger, "store is away", level=logging.WARNING, error=type(error).__name__)
        return {"integration_store": "unavailable", "integrations": None}

"""`GET /metrics`: the figures of all processes as Prometheus text, for who has the bearer."""

import hmac
import logging
import sqlite3
import time
from collections.abc import Iterator

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.answers.record import OPEN_KEY
from kommo_bridge.errors import SettingsError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.tokens import days_left
from kommo_bridge.queue.state import live_workers, oldest_queued_seconds, work_queue
from kommo_bridge.telemetry.logs import log_event, told_error
from kommo_bridge.telemetry.metrics import FIGURES, Metrics
from kommo_bridge.web.errors import error_response

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

logger = logging.getLogger(__name__)


def metrics_page(metrics: Metrics, redis: Redis, store: IntegrationStore, token: str) -> Blueprint:
    """The blueprint; mounted only when `METRICS_TOKEN` is set."""
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    def page() -> Response:
        given = request.headers.get("Authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, f"Bearer {token}".encode()):
            return error_response(401, "unauthorized", "The metrics ask for their bearer token.")
        registry = CollectorRegistry()
        registry.register(_Figures(metrics, redis, store))
        try:
            return Response(generate_latest(registry), content_type=CONTENT_TYPE)
        except RedisError as error:
            log_event(logger, "redis is away", level=logging.WARNING, error=type(error).__name__)
            return error_response(503, "queue_unavailable", "Redis cannot be reached.")
        except (SettingsError, sqlite3.Error) as error:
            log_event(logger, "store cannot be read", level=logging.ERROR, error=told_error(error))
            return error_response(503, "store_unavailable", "The integrations cannot be read.")

    return blueprint


class _Figures(Collector):
    """What is counted, and what is true right now."""

    def __init__(self, metrics: Metrics, redis: Redis, store: IntegrationStore) -> None:
        self._metrics = metrics
        self._redis = redis
        self._store = store

    def describe(self) -> list[Metric]:
        """Nothing: the registry need not ask Redis when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        counted = self._metrics.read()
        for name, figure in FIGURES.items():
            mine = {label: amount for (of, label), amount in counted.items() if of == name}
            if figure.bounds:
                yield _histogram(name, figure.text, figure.bounds, mine)
            else:
                family = CounterMetricFamily(
                    name, figure.text, labels=[figure.label] if figure.label else []
                )
                for label, amount in sorted((dict.fromkeys(figure.known, 0.0) | mine).items()):
                    family.add_metric([label] if figure.label else [], amount)
                yield family
        yield from self._now()

    def _now(self) -> Iterator[Metric]:
        queue = work_queue(self._redis)
        jobs = GaugeMetricFamily("kommo_bridge_jobs", "Jobs by state.", labels=["state"])
        for state, amount in (
            ("queued", queue.count),
            ("started", queue.started_job_registry.count),
            ("scheduled", queue.scheduled_job_registry.count),
            ("failed", queue.failed_job_registry.count),
        ):
            jobs.add_metric([state], amount)
        yield jobs
        overdue = self._redis.zcount(OPEN_KEY, "-inf", time.time())
        for name, text, value in (
            ("workers", "Live workers.", live_workers(queue)),
            ("oldest_queued_job_seconds", "Age of the oldest job.", oldest_queued_seconds(queue)),
            ("open_answers", "Accepted, not ended.", self._redis.zcard(OPEN_KEY)),
            ("overdue_answers", "Open beyond their deadline.", overdue),
        ):
            yield GaugeMetricFamily(f"kommo_bridge_{name}", text, value=float(value))
        yield self._expiries()

    def _expiries(self) -> Metric:
        family = GaugeMetricFamily(
            "kommo_bridge_access_token_days",
            "Days until an access token expires.",
            labels=["subdomain", "integration"],
        )
        for item in self._store.all():
            days = days_left(item.access_token, time.time()) if item.enabled else None
            if days is not None:
                family.add_metric([item.subdomain, item.integration_id], days)
        return family


def _histogram(
    name: str, text: str, bounds: tuple[float, ...], mine: dict[str, float]
) -> HistogramMetricFamily:
    buckets: list[tuple[str, float]] = []
    total = 0.0
    for bound in (*map(str, bounds), "+Inf"):
        total += mine.get(bound, 0.0)
        buckets.append((bound, total))
    family = HistogramMetricFamily(name, text)
    family.add_metric([], buckets=buckets, sum_value=mine.get("sum", 0.0))
    return family

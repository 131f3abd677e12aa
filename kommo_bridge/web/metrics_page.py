"""`GET /metrics`: the metrics of all processes as Prometheus text, for anyone with the token."""

import hmac
import logging
import time
from collections.abc import Iterator

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.answers.record import OPEN_KEY
from kommo_bridge.errors import SettingsError, StoreError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.tokens import days_left
from kommo_bridge.queue.state import live_workers, oldest_queued_seconds, work_queue
from kommo_bridge.telemetry.logs import error_text, log_event
from kommo_bridge.telemetry.metrics import METRICS, Metrics
from kommo_bridge.telemetry.outage import Outage
from kommo_bridge.web.errors import error_response
from kommo_bridge.web.password_guard import PasswordGuard

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

logger = logging.getLogger(__name__)


def metrics_page(
    metrics: Metrics, redis: Redis, store: IntegrationStore, token: str, outage: Outage
) -> Blueprint:
    """The blueprint; mounted only when `METRICS_TOKEN` is set."""
    blueprint = Blueprint("metrics", __name__)
    guard = PasswordGuard()

    @blueprint.get("/metrics")
    def page() -> Response:
        given = request.headers.get("Authorization", "").encode("latin-1", "replace")
        is_right = hmac.compare_digest(given, f"Bearer {token}".encode())
        if given and (too_many := guard.refuse(is_right=is_right)):
            return too_many
        if not is_right:
            return error_response(
                401, "unauthorized", "METRICS_TOKEN is required as a bearer token."
            )
        registry = CollectorRegistry()
        registry.register(_Collected(metrics, redis, store))
        try:
            return Response(generate_latest(registry), content_type=CONTENT_TYPE)
        except RedisError as error:
            outage.lost(error)
            return error_response(503, "queue_unavailable", "Redis cannot be reached.")
        except (SettingsError, StoreError) as error:
            log_event(logger, "store cannot be read", level=logging.ERROR, error=error_text(error))
            return error_response(503, "store_unavailable", "The integrations cannot be read.")

    return blueprint


class _Collected(Collector):
    """What is counted, and what is true right now."""

    def __init__(self, metrics: Metrics, redis: Redis, store: IntegrationStore) -> None:
        self._metrics = metrics
        self._redis = redis
        self._store = store

    def describe(self) -> list[Family]:
        """Nothing, so that registering this does not ask Redis."""
        return []

    def collect(self) -> Iterator[Family]:
        counted = self._metrics.read()
        for name, metric in METRICS.items():
            mine = {label: amount for (of, label), amount in counted.items() if of == name}
            if metric.bounds:
                yield _histogram(name, metric.text, metric.bounds, mine)
            else:
                family = CounterMetricFamily(
                    name, metric.text, labels=[metric.label] if metric.label else []
                )
                for label, amount in sorted((dict.fromkeys(metric.known, 0.0) | mine).items()):
                    family.add_metric([label] if metric.label else [], amount)
                yield family
        yield from self._now()

    def _now(self) -> Iterator[Family]:
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

    def _expiries(self) -> Family:
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

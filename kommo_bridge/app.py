"""The application factory: builds the parts once, registers web and command line."""

import logging

from flask import Flask

from kommo_bridge.cli.about import about_command
from kommo_bridge.cli.alerts import alerts_group
from kommo_bridge.cli.bot import bot_group
from kommo_bridge.cli.chat import chat_command
from kommo_bridge.cli.console import console_group
from kommo_bridge.cli.conversations import conversations_group
from kommo_bridge.cli.gaps import gaps_command
from kommo_bridge.cli.integrations import integrations_group
from kommo_bridge.cli.knowledge import knowledge_group
from kommo_bridge.cli.scenarios import scenarios_command
from kommo_bridge.cli.store import store_group
from kommo_bridge.cli.token import token_group
from kommo_bridge.cli.usage import usage_command
from kommo_bridge.cli.week import week_command
from kommo_bridge.cli.widget import widget_group
from kommo_bridge.integrations.open_store import open_store, store_of
from kommo_bridge.integrations.store import QUICK_SECONDS
from kommo_bridge.kommo.body import MAX_BODY_BYTES
from kommo_bridge.monitoring.watch import Watch, build_watch
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.redis_client import WEB_TIMEOUT_SECONDS, address, connect
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.telemetry.metrics import Metrics
from kommo_bridge.telemetry.outage import Outage
from kommo_bridge.telemetry.refusals import Refusals
from kommo_bridge.web.dashboard import mount_dashboard
from kommo_bridge.web.errors import register_error_handlers
from kommo_bridge.web.health import health
from kommo_bridge.web.metrics_page import metrics_page
from kommo_bridge.web.request_log import register_request_log
from kommo_bridge.web.widget_requests import widget_requests

logger = logging.getLogger(__name__)


class BridgeApp(Flask):
    """The application, and the parts that its server and its tests need to reach."""

    metrics: Metrics
    watch: Watch | None = None


def create_app(settings: Settings) -> BridgeApp:
    """Build the application. Nothing connects to Redis before the first request.

    Raises:
        SettingsError: The store cannot be opened, or `KOMMO_INTEGRATIONS` is wrong.
    """
    store = open_store(settings)  # for the commands, whose writes may wait
    store.close()
    integrations = store_of(settings, QUICK_SECONDS)
    redis = connect(settings.redis_url, timeout_seconds=WEB_TIMEOUT_SECONDS)
    if settings.kommo_extra_hosts:
        hosts = ",".join(sorted(settings.kommo_extra_hosts))
        log_event(
            logger,
            "KOMMO_EXTRA_HOSTS is set: access tokens may go to hosts other than Kommo's",
            level=logging.WARNING,
            hosts=hosts,
        )
    # A client of its own: no request waits because a flush uses the connection.
    metrics = Metrics(connect(settings.redis_url, timeout_seconds=WEB_TIMEOUT_SECONDS))
    outage = Outage(logger, "redis", address=address(settings.redis_url))
    app = BridgeApp("kommo_bridge", static_folder=None)
    app.metrics = metrics
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    register_request_log(app)
    app.register_blueprint(
        widget_requests(
            integrations,
            JobQueue(redis, settings),
            settings.kommo_extra_hosts,
            metrics,
            Refusals(redis),
        )
    )
    app.register_blueprint(health(integrations, redis, outage))
    if settings.metrics_token:
        token = settings.metrics_token
        app.register_blueprint(metrics_page(metrics, redis, integrations, token, outage))
    if settings.dashboard_password:
        # Here, not above: a web process without a password needs neither.
        from kommo_bridge.web.console.mount import mount_console  # noqa: PLC0415

        mount_dashboard(app, settings, outage)
        mount_console(app, settings, integrations)
    app.watch = build_watch(redis, integrations, settings, outage)
    register_error_handlers(app)
    app.cli.add_command(integrations_group(store, settings))
    app.cli.add_command(conversations_group(store, redis, settings))
    app.cli.add_command(usage_command(store, redis))
    app.cli.add_command(week_command(store, redis))
    app.cli.add_command(knowledge_group(store, redis))
    app.cli.add_command(gaps_command(store, redis))
    app.cli.add_command(about_command(settings))
    app.cli.add_command(alerts_group(redis, settings))
    app.cli.add_command(chat_command(store, settings))
    app.cli.add_command(scenarios_command(store, settings))
    app.cli.add_command(store_group(store))
    app.cli.add_command(token_group(store))
    app.cli.add_command(widget_group(settings.public_url))
    app.cli.add_command(bot_group(store, settings))
    app.cli.add_command(console_group(store, redis, settings))
    return app

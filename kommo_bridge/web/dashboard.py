"""rq-dashboard at `/rq/`: queues, jobs and tracebacks, behind basic auth.

https://github.com/Parallels/rq-dashboard has no password of its own, opens a Redis client for
each request from a URL that it would also show, and changes state on GET. So its own hook is
replaced: ours asks for the password, refuses requests from other sites, and lends our connection.
What it shows is escaped here, because its pages do not escape it.
"""

import hmac
import html
import json
import logging
import re
from typing import Any

from flask import Flask, Response, current_app, request
from redis import Redis
from redis.exceptions import RedisError
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.serializers import JSONSerializer

from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.telemetry.outage import Outage
from kommo_bridge.web.errors import error_response
from kommo_bridge.web.origin import from_here
from kommo_bridge.web.password_guard import PasswordGuard

DASHBOARD_PATH = "/rq"
NAME = "rq_dashboard"
TIMEOUT_SECONDS = 5
# Its scripts insert a queue's name from the path unescaped: no quote, bracket or backslash.
PLAIN_NAME = re.compile(r"[\w.:/@ -]*")
# Fields that its list of jobs escapes itself.
ESCAPED_BY_THE_LIST = frozenset({"description", "exc_info"})
HEADERS = {
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Referrer-Policy": "same-origin",
}

logger = logging.getLogger(__name__)


def mount_dashboard(app: Flask, settings: Settings, outage: Outage) -> None:
    """Mount it; called only when `DASHBOARD_PASSWORD` is set."""
    # Here, not above: a web process without a dashboard does not need it.
    from rq_dashboard import blueprint, web  # noqa: PLC0415

    web.config.serializer = JSONSerializer
    # Shown as the instance's name: not the address, which may hold a password.
    app.config["RQ_DASHBOARD_REDIS_URL"] = ("redis://kommo_bridge",)
    app.config["RQ_DASHBOARD_POLL_INTERVAL"] = 2500
    # No redirect from /rq to /rq/: behind a proxy that ends TLS it would go to http.
    app.url_map.strict_slashes = False
    app.register_blueprint(blueprint, url_prefix=DASHBOARD_PATH)
    # Its pages ask for an icon of the application's own, which has no static folder.
    app.add_url_rule(f"{DASHBOARD_PATH}/static/<path:filename>", "static", build_only=True)
    app.register_error_handler(NoSuchJobError, _no_such_job)
    app.register_error_handler(InvalidJobOperation, _not_failed)
    guard = PasswordGuard()
    redis = connect(settings.redis_url, timeout_seconds=TIMEOUT_SECONDS)
    app.before_request_funcs[NAME] = [
        lambda: _ask_for_password(settings, guard),
        _refuse_other_sites,
        _refuse_odd_names,
        lambda: _lend(redis, outage),
    ]
    app.after_request_funcs.setdefault(NAME, []).extend([_harmless, _with_headers])


def _ask_for_password(settings: Settings, guard: PasswordGuard) -> Response | None:
    given = request.authorization
    name, password = (given.username, given.password) if given else (None, None)
    # Both are always compared, in constant time.
    right = [
        hmac.compare_digest((given_value or "").encode(), (wanted or "").encode())
        for given_value, wanted in (
            (name, settings.dashboard_username),
            (password, settings.dashboard_password),
        )
    ]
    if given and (too_many := guard.refuse(is_right=all(right))):
        return too_many
    if all(right):
        return None
    if given:
        log_event(logger, "dashboard login refused", level=logging.WARNING)
    response = error_response(401, "unauthorized", "The dashboard needs a name and a password.")
    response.headers["WWW-Authenticate"] = 'Basic realm="kommo_bridge", charset="UTF-8"'
    return response


def _refuse_other_sites() -> Response | None:
    """A browser sends the password on its own, even with requests from another site's page."""
    changes = request.method != "GET" or request.path.startswith(f"{DASHBOARD_PATH}/requeue/")
    if changes and not from_here():
        log_event(logger, "dashboard request from another site refused", level=logging.WARNING)
        return error_response(403, "other_site", "Only pages of the dashboard may request this.")
    return None


def _refuse_odd_names() -> Response | None:
    """A crafted link could have a script in place of a queue's name."""
    if all(PLAIN_NAME.fullmatch(str(name)) for name in (request.view_args or {}).values()):
        return None
    return error_response(404, "not_found", "There is nothing with this name.")


def _lend(redis: Redis, outage: Outage) -> Response | None:
    try:
        redis.ping()
    except RedisError as error:
        outage.lost(error)
        return error_response(503, "queue_unavailable", "Redis cannot be reached.")
    outage.back()
    current_app.redis_conn = redis  # type: ignore[attr-defined]
    return None


def _no_such_job(_error: NoSuchJobError) -> Response:
    return error_response(404, "not_found", "There is no such job: it may have expired.")


def _not_failed(_error: InvalidJobOperation) -> Response:
    return error_response(409, "not_failed", "This job is not among the failed ones any more.")


def _harmless(response: Response) -> Response:
    """Its pages insert most values into HTML unescaped, and an error may quote anything."""
    if response.is_json:
        in_list = request.endpoint == f"{NAME}.list_jobs"
        known = ESCAPED_BY_THE_LIST if in_list else frozenset()
        response.set_data(json.dumps(_escaped(response.get_json(), known)))
    return response


def _escaped(value: Any, known: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            html.escape(name): one if name in known else _escaped(one, known)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_escaped(one, known) for one in value]
    return html.escape(value) if isinstance(value, str) else value


def _with_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        if name != "Cache-Control" or not request.path.startswith(f"{DASHBOARD_PATH}/static/"):
            response.headers[name] = value
    return response

"""The access log: one line per request, and an id that goes with it to the job and to Kommo.

A view adds to the same line with `annotate`. The id is the proxy's `X-Request-ID` if it sends one,
as Heroku does; the response has it too.
Neither queries nor the paths of unknown routes are logged: they may hold anything.

A WSGI middleware, because Flask's hooks around each request cost several times as much.
"""

import logging
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Flask, request

from kommo_bridge.telemetry.logs import log_event, request_logged

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

GIVEN_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
MAX_CLIENT_CHARACTERS = 64
LINE_KEY = "kommo_bridge.request_line"
# Polled every few seconds: logged at LOG_LEVEL=DEBUG only.
QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})

logger = logging.getLogger(__name__)


@dataclass
class RequestLine:
    """One request: its id, when it came (`time.perf_counter`), and what its log line says.

    Attributes:
        result: For the metrics: `queued`, `repeated`, or the code of a refusal.
        integration: Which one it concerns, if known (`subdomain/integration-id`).
        is_probe: It was sent by `flask integrations check` and refused as expected: it is neither
            counted nor logged as a warning.
    """

    request_id: str
    arrived: float
    route: str = "unknown"
    status: int = 500
    event: str = ""
    level: int = logging.INFO
    fields: dict[str, str] = field(default_factory=dict)
    result: str = ""
    integration: str = ""
    is_probe: bool = False


def current_line() -> RequestLine:
    """The line of the running request."""
    return request.environ[LINE_KEY]  # type: ignore[no-any-return]


def annotate(event: str, *, level: int = logging.INFO, **fields: str) -> None:
    """Add to the running request's line what became of it."""
    line = current_line()
    line.event, line.level, line.fields = event, level, fields


def register_request_log(app: Flask) -> None:
    """Log every request of the app."""
    app.before_request(_note_route)
    app.wsgi_app = RequestLog(app.wsgi_app)  # type: ignore[method-assign]


class RequestLog:
    """Logs every request of an application, and adds its id to the response."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Serve one request."""
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
        line = environ[LINE_KEY] = RequestLine(request_id, time.perf_counter())

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            line.status = int(status[:3])
            headers.append(("X-Request-ID", request_id))
            return start_response(status, headers, *error)

        with request_logged(request_id):
            try:
                return self._app(environ, start)
            finally:
                _log(line, environ)


def _note_route() -> None:
    if request.url_rule:
        current_line().route = request.url_rule.rule


def _log(line: RequestLine, environ: "WSGIEnvironment") -> None:
    level = logging.DEBUG if line.route in QUIET_ROUTES and not line.event else line.level
    client = environ.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    log_event(
        logger,
        line.event or "request served",
        level=level,
        **line.fields,
        method=environ["REQUEST_METHOD"],
        route=line.route,
        status=line.status,
        milliseconds=round((time.perf_counter() - line.arrived) * 1000, 1),
        client=(client or environ.get("REMOTE_ADDR", ""))[:MAX_CLIENT_CHARACTERS] or None,
    )

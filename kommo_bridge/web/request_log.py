"""The access log: one line per request, and an id that goes with it to the job and to Kommo.

What a view has to tell of the request stands in the same line: `tell`. The id is the proxy's
`X-Request-ID` where it sends one, as Heroku does; the answer carries it too.
Neither queries nor the paths of unknown routes are logged: they may hold anything.
"""

import logging
import re
import secrets
import time
from contextlib import ExitStack

from flask import Flask, Response, g, request

from kommo_bridge.logs import log_event, request_logged

GIVEN_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
MAX_CLIENT_CHARACTERS = 64
# Asked by machines every few seconds: told at LOG_LEVEL=DEBUG only.
QUIET_ROUTES = frozenset({"/healthz", "/readyz", "/metrics"})

logger = logging.getLogger(__name__)


def register_request_log(app: Flask) -> None:
    """Log every request of the app."""
    app.before_request(_begin)
    app.after_request(_log)
    app.teardown_request(_end)


def tell(event: str, *, level: int = logging.INFO, **fields: str) -> None:
    """Say in the line of the running request what became of it."""
    g.told = event, level, fields


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if GIVEN_ID.fullmatch(given) else secrets.token_hex(8)
    g.arrived = time.perf_counter()
    g.logged = ExitStack()
    g.logged.enter_context(request_logged(g.request_id))


def _log(response: Response) -> Response:
    route = request.url_rule.rule if request.url_rule else None
    usual = logging.DEBUG if route in QUIET_ROUTES else logging.INFO
    event, level, told = g.get("told", ("request served", usual, {}))
    log_event(
        logger,
        event,
        level=level,
        **told,
        method=request.method,
        route=route or "unknown",
        status=response.status_code,
        milliseconds=round((time.perf_counter() - g.arrived) * 1000, 1),
        client=request.access_route[-1][:MAX_CLIENT_CHARACTERS] if request.access_route else None,
    )
    response.headers["X-Request-ID"] = g.request_id
    return response


def _end(_error: BaseException | None) -> None:
    g.logged.close()

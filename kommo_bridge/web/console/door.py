"""The two ways in: the operator's form, and an owner's link."""

import logging
import math
import time

from flask import make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.web.console.pages import Console, page, session
from kommo_bridge.web.password_guard import client_address

COOKIE = "kommo_console"
COOKIE_PATH = "/console"
COOKIE_SECONDS = 30 * 86400

logger = logging.getLogger(__name__)


def home(console: Console) -> Response:  # noqa: ARG001
    """To where somebody who came in begins."""
    found = session()
    if found is None or found.is_operator:
        return redirect(url_for("console.accounts"), 303)
    subdomain, _, integration_id = found.integration.partition("/")
    where = url_for("console.assistant", subdomain=subdomain, integration_id=integration_id)
    return redirect(where, 303)


def sign_in(console: Console) -> Response | tuple[str, int]:
    """The operator's form. It never says which of the two was wrong."""
    if request.method == "GET":
        return page("sign_in")
    username = request.form.get("username", "")
    is_right = console.access.is_password(username, request.form.get("password", ""))
    wait = console.guard.wait_seconds(
        client_address(request), is_right=is_right, now=time.monotonic()
    )
    if wait:
        seconds = math.ceil(wait)
        message = f"Too many wrong passwords. Please wait {seconds} s and try again."
        answer = make_response(page("sign_in", 429, error=message, username=username))
        answer.headers["Retry-After"] = str(seconds)
        return answer
    if not is_right:
        log_event(logger, "console sign-in refused", level=logging.WARNING)
        return page("sign_in", 401, error="Name or password is wrong.", username=username)
    log_event(logger, "operator signed in to the console")
    return _let_in(console.access.begin_operator())


def link(console: Console, token: str) -> Response | tuple[str, int]:
    """An owner's link. Opening it asks first: messengers open links to show a preview."""
    if request.method == "GET":
        name = console.access.linked(token)
        return page("link", 200 if name else 410, subdomain=(name or "").partition("/")[0])
    cookie = console.access.use_link(token)
    if cookie is None:
        return page("link", 410, subdomain="")
    log_event(logger, "owner signed in to the console")
    return _let_in(cookie)


def sign_out(console: Console) -> Response:
    """End the session, here and in Redis."""
    console.access.end(request.cookies.get(COOKIE, ""))
    answer = redirect(url_for("console.sign_in", done="signed-out"), 303)
    answer.delete_cookie(COOKIE, path=COOKIE_PATH, httponly=True, samesite="Lax")
    return answer


def set_cookie(answer: Response, name: str, value: str, seconds: int | None) -> None:
    """A cookie for the console alone, which no script and no other site can use."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=COOKIE_PATH,
        httponly=True,
        samesite="Lax",
        # Behind a proxy that ends TLS the request itself is plain http.
        secure=request.is_secure or request.headers.get("X-Forwarded-Proto") == "https",
    )


def _let_in(cookie: str) -> Response:
    """Always with a new session: one that was there before is worth nothing."""
    answer = redirect(url_for("console.home"), 303)
    set_cookie(answer, COOKIE, cookie, COOKIE_SECONDS)
    return answer

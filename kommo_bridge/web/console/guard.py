"""What every request of the console passes, whatever page it asks for."""

import hmac
import logging
import secrets
from collections.abc import Mapping
from typing import Literal

from flask import Response, g, redirect, request, url_for
from redis.exceptions import RedisError
from werkzeug.exceptions import Forbidden, HTTPException, NotFound
from werkzeug.wrappers import Response as BaseResponse

from kommo_bridge.errors import BridgeError
from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.web.console.door import COOKIE, set_cookie
from kommo_bridge.web.console.pages import Console, page, session
from kommo_bridge.web.origin import from_here

# Whom a page is for: anyone, whoever came in, the owner of the account in its address (and the
# operator), the operator alone.
Who = Literal["anyone", "signed in", "owner", "operator"]

FORM_COOKIE = "kommo_console_form"
MAX_BYTES = 6 * 1024 * 1024  # a file of knowledge, and what stands around it
MAX_FORM_BYTES = 2 * 1024 * 1024
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
# The files of a release do not change.
STATIC_AGE = "public, max-age=3600"
SENTENCES = {
    403: "This page was open for too long, or was sent from somewhere else. Go back, load it again "
    "and repeat what you did.",
    404: "There is no such page.",
    405: "There is no such page.",
    413: "That is too large.",
    503: "The console cannot look at its data right now. Please try again in a minute.",
}
SOMETHING = "Something went wrong on our side. Please try again in a minute."

logger = logging.getLogger(__name__)


def let_through(console: Console, who: Mapping[str, Who]) -> BaseResponse | None:
    """Refuse a request that its page is not for; the table names every page.

    Raises:
        NotFound: The page, or the account, is not for this session: its being there is not told.
        Forbidden: A form was not sent from a page of ours.
    """
    request.max_content_length = MAX_BYTES
    request.max_form_memory_size = MAX_FORM_BYTES
    allowed = who.get((request.endpoint or "").removeprefix("console."))
    if allowed is None:
        raise NotFound
    if request.endpoint == "console.static":
        return None
    g.console_session = console.access.find(request.cookies.get(COOKIE, ""))
    _check_form()
    found = session()
    if allowed == "anyone":
        return None
    if found is None:
        return _to_the_door()
    if not found.is_operator and not _is_for_owner(allowed, found.integration):
        raise NotFound
    return None


def finish(answer: Response) -> Response:
    """The headers of every page, and the cookie that a form without a session needs."""
    for name, value in HEADERS.items():
        answer.headers[name] = value
    is_file = request.endpoint == "console.static" and answer.status_code < 400  # noqa: PLR2004
    answer.headers["Cache-Control"] = STATIC_AGE if is_file else "no-store"
    if new := g.get("console_new_csrf"):
        set_cookie(answer, FORM_COOKIE, new, None)
    return answer


def refused(error: HTTPException) -> tuple[str, int]:
    """An HTTP error as a page."""
    status = error.code or 500
    return page("refused", status, sentence=SENTENCES.get(status, SOMETHING))


def not_done(error: BridgeError) -> tuple[str, int]:
    """What a room refuses, in its own sentence."""
    return page("refused", 400, sentence=str(error))


def out_of_reach(error: RedisError) -> tuple[str, int]:
    """Redis is away."""
    log_event(logger, "console without redis", level=logging.WARNING, error=type(error).__name__)
    return page("refused", 503, sentence=SENTENCES[503])


def unexpected(error: Exception) -> tuple[str, int]:
    """A fault of ours."""
    logger.error("unexpected error", exc_info=error)
    return page("refused", 500, sentence=SOMETHING)


def _check_form() -> None:
    """Make or find the number that each form sends back, and compare it."""
    found = session()
    known = found.csrf if found else request.cookies.get(FORM_COOKIE, "")
    if request.method != "GET":
        sent = request.form.get("csrf", "")
        if not known or not from_here() or not hmac.compare_digest(sent.encode(), known.encode()):
            log_event(logger, "console form refused", level=logging.WARNING)
            raise Forbidden
    if not known:
        known = g.console_new_csrf = secrets.token_urlsafe(16)
    g.console_csrf = known


def _is_for_owner(allowed: Who, integration: str) -> bool:
    if allowed == "signed in":
        return True
    path = request.view_args or {}
    named = f"{path.get('subdomain')}/{path.get('integration_id')}"
    return allowed == "owner" and named == integration


def _to_the_door() -> BaseResponse:
    """A page asks for it whole, not for a piece of itself to be replaced by the form."""
    address = url_for("console.sign_in")
    if request.headers.get("HX-Request"):
        return Response(status=401, headers={"HX-Redirect": address})
    return redirect(address, 303)

"""Every refusal as JSON: `{"status": "error", "error": "<code>", "message": "<sentence>"}`."""

import logging

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from kommo_bridge.errors import RefusedRequest
from kommo_bridge.web.request_log import annotate, current_line

CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}

logger = logging.getLogger(__name__)


def register_error_handlers(app: Flask) -> None:
    """Send every error of this app as JSON."""
    app.register_error_handler(RefusedRequest, _refused)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def _refused(error: RefusedRequest) -> Response:
    line = current_line()
    event, level = "widget request refused", logging.WARNING
    if line.is_probe:
        event, level = "test request refused as expected", logging.INFO
    annotate(event, level=level, code=error.code, reason=error.reason, **line.fields)
    response = error_response(error.status, error.code, error.message)
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    message = "The body is larger than 64 KiB." if isinstance(error, RequestEntityTooLarge) else ""
    response = error_response(status, CODES.get(status, "error"), message or f"{error.name}.")
    for name, value in error.get_headers():
        if name in ("Allow", "WWW-Authenticate", "Location"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    logger.error("unexpected error", exc_info=error)
    return error_response(500, "internal_error", "Something went wrong on our side.")


def error_response(status: int, code: str, message: str) -> Response:
    """The one shape of our refusals."""
    current_line().result = code
    response = jsonify(status="error", error=code, message=message)
    response.status_code = status
    return response

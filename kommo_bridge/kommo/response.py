"""What Kommo's response says, or the lack of one. No I/O."""

import socket
from http import HTTPStatus
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from kommo_bridge.errors import KommoError

# After a 429: the second in which there were too many must pass, whatever Retry-After says.
SHORTEST_PAUSE_SECONDS = 1.0
PAUSE_SECONDS = 10.0

# Shorter than the continue deadline, so a last call is still possible after it.
LONGEST_WAIT_SECONDS = 600.0
MAX_CODES = 10
MAX_CODE_CHARACTERS = 40
# What its class does not say to everybody.
PLAIN: dict[type[BaseException], str] = {socket.gaierror: "its name is not known here"}


def json_of(response: requests.Response) -> Any:
    """The body as JSON, None when it is not."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def retry_after(response: requests.Response) -> float | None:
    """Seconds of the header, or of `retry_after` in the body as one source has seen it."""
    value: Any = response.headers.get("Retry-After")
    if value is None:
        body = json_of(response)
        value = body.get("retry_after") if isinstance(body, dict) else None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS) if seconds == seconds else None  # noqa: PLR0124


def validation_codes(response: requests.Response) -> tuple[str, ...]:
    """`TooLong`, `TooFew` and the like out of `validation-errors`."""
    body = json_of(response)
    groups = body.get("validation-errors") if isinstance(body, dict) else None
    codes: list[str] = []
    for group in groups if isinstance(groups, list) else []:
        errors = group.get("errors") if isinstance(group, dict) else None
        for error in errors if isinstance(errors, list) else []:
            if isinstance(error, dict) and isinstance(error.get("code"), str):
                codes.append(error["code"][:MAX_CODE_CHARACTERS])
    return tuple(codes[:MAX_CODES])


def object_of(response: requests.Response) -> dict[str, Any]:
    """The JSON object of a 200.

    Raises:
        KommoError: It is anything else.
    """
    body = json_of(response)
    status = response.status_code
    if status == HTTPStatus.OK and isinstance(body, dict):
        return body
    later = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    raise KommoError(
        f"Kommo answered {status}",
        permanent=not later,
        status=status,
        retry_after_seconds=retry_after(response),
    )


def pause_after_429(response: requests.Response) -> float:
    """How long an account rests after a 429."""
    asked = retry_after(response)
    return PAUSE_SECONDS if asked is None else max(asked, SHORTEST_PAUSE_SECONDS)


def kind_of(error: Exception) -> str:
    """The innermost cause, by its class or in words: the texts may hold hosts and URLs."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return PLAIN.get(type(cause), type(cause).__name__)


def never_left(error: Exception) -> bool:
    """True only when no connection was made, so that Kommo cannot have taken the call."""
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError)

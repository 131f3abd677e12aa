"""The only HTTP to Kommo.

The access token goes to the URL it is called with and nowhere else: redirects are not followed,
and every call has a total deadline and a largest answer. Which answers are final is decided here
and nowhere else.
"""

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from kommo_bridge.errors import KommoError
from kommo_bridge.kommo.continuation import Continuation
from kommo_bridge.outgoing.requests_session import limited_session
from kommo_bridge.outgoing.total_limit import total_limit

CONNECT_TIMEOUT_SECONDS = 4.0
READ_TIMEOUT_SECONDS = 6.0
TOTAL_SECONDS = 10.0
# A question beside the way, which an answer must not wait for long.
LOOKUP_SECONDS = 3.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_RETRY_AFTER_SECONDS = 3600
MAX_CODES = 10


@dataclass(frozen=True)
class AccountAnswer:
    """What an account says of itself.

    Attributes:
        account_id, subdomain: Its own words.
        date: The header of its answer, which came at `received_at` (seconds since the epoch).
        is_admin: Whether the token's user is an administrator; None when Kommo does not tell.
    """

    account_id: object
    subdomain: object
    date: str
    received_at: float
    is_admin: bool | None


class KommoClient:
    """Calls Kommo; one warm connection pool for all threads.

    Args:
        total_seconds: The longest that one call may take in all.
    """

    def __init__(self, total_seconds: float = TOTAL_SECONDS) -> None:
        self._total_seconds = total_seconds
        self._session = limited_session()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def continue_salesbot(
        self, return_url: str, continuation: Continuation, access_token: str
    ) -> None:
        """Wake the Salesbot that waits at `return_url`. Any 2xx means accepted, not delivered.

        https://developers.kommo.com/reference/salesbot-widget-block-execution-confirmation

        Raises:
            KommoError: It was not accepted; `status` tells why, `arrived` whether Kommo may have
                taken the call all the same.
        """
        answer = self._call("POST", return_url, access_token, json=continuation.body())
        if answer.status_code // 100 != 2:  # noqa: PLR2004  any 2xx
            raise _refusal(answer)

    def account(self, base_url: str, access_token: str) -> AccountAnswer:
        """Ask an account who it is: the token is alive when it answers.

        https://developers.kommo.com/reference/get-account , /reference/get-user

        Args:
            base_url: The account's own host with its scheme, without a path.
            access_token: The account's own.

        Raises:
            KommoError: It did not answer, or refused.
        """
        answer = self._call("GET", f"{base_url}/api/v4/account", access_token)
        received_at = time.time()
        body = _json(answer)
        if answer.status_code != HTTPStatus.OK or not isinstance(body, dict):
            raise _refusal(answer)
        return AccountAnswer(
            account_id=body.get("id"),
            subdomain=body.get("subdomain"),
            date=answer.headers.get("Date", ""),
            received_at=received_at,
            is_admin=self._is_admin(base_url, access_token, body.get("current_user_id")),
        )

    def lead_tags(self, return_url: str, lead_id: int, access_token: str) -> list[str]:
        """The names of a lead's tags. https://developers.kommo.com/reference/get-lead

        Args:
            return_url: Checked; its host is the account's own.

        Raises:
            KommoError: Kommo did not answer, or refused.
        """
        place = urlsplit(return_url)
        url = f"{place.scheme}://{place.netloc}/api/v4/leads/{lead_id}"
        answer = self._call("GET", url, access_token, seconds=LOOKUP_SECONDS)
        body = _json(answer)
        if answer.status_code != HTTPStatus.OK or not isinstance(body, dict):
            raise _refusal(answer)
        embedded = body.get("_embedded")
        tags = embedded.get("tags") if isinstance(embedded, dict) else None
        listed = tags if isinstance(tags, list) else []
        found = [tag.get("name") for tag in listed if isinstance(tag, dict)]
        return [name for name in found if isinstance(name, str)]

    def _is_admin(self, base_url: str, access_token: str, user_id: object) -> bool | None:
        """Whether the token's user is an administrator; None when Kommo does not tell."""
        if not isinstance(user_id, int):
            return None
        try:
            answer = self._call("GET", f"{base_url}/api/v4/users/{user_id}", access_token)
        except KommoError:  # the account has answered: this one question is left open
            return None
        if answer.status_code == HTTPStatus.FORBIDDEN:
            return False
        body = _json(answer) if answer.status_code == HTTPStatus.OK else None
        rights = body.get("rights") if isinstance(body, dict) else None
        told = rights.get("is_admin") if isinstance(rights, dict) else None
        return told if isinstance(told, bool) else None

    def _call(
        self,
        method: str,
        url: str,
        access_token: str,
        *,
        seconds: float | None = None,
        **body: Any,
    ) -> requests.Response:
        """One call within its total deadline and size."""
        try:
            with total_limit(seconds or self._total_seconds, MAX_ANSWER_BYTES):
                return self._session.request(
                    method,
                    url,
                    headers={"Authorization": f"Bearer {access_token}"},
                    timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
                    allow_redirects=False,
                    **body,
                )
        except (requests.RequestException, OSError) as error:
            raise KommoError(
                f"no answer from Kommo ({_kind(error)})",
                permanent=False,
                arrived=not _never_left(error),
            ) from None  # the library's error text may hold the URL's query


def _refusal(answer: requests.Response) -> KommoError:
    """What an answer other than 2xx means."""
    status = answer.status_code
    transient = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return KommoError(
        f"Kommo answered {status}",
        permanent=not transient,
        status=status,
        arrived=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
        codes=_validation_codes(answer),
        retry_after_seconds=_retry_after(answer),
    )


def _retry_after(answer: requests.Response) -> float | None:
    """Seconds of the header, or of `retry_after` in the body as one source has seen it."""
    value: Any = answer.headers.get("Retry-After")
    if value is None:
        body = _json(answer)
        value = body.get("retry_after") if isinstance(body, dict) else None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS) if seconds == seconds else None  # noqa: PLR0124


def _validation_codes(answer: requests.Response) -> tuple[str, ...]:
    """`TooLong`, `TooFew` and the like out of `validation-errors`."""
    body = _json(answer)
    groups = body.get("validation-errors") if isinstance(body, dict) else None
    codes: list[str] = []
    for group in groups if isinstance(groups, list) else []:
        errors = group.get("errors") if isinstance(group, dict) else None
        for error in errors if isinstance(errors, list) else []:
            if isinstance(error, dict) and isinstance(error.get("code"), str):
                codes.append(error["code"][:40])
    return tuple(codes[:MAX_CODES])


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _kind(error: Exception) -> str:
    """The innermost cause's class name: the texts may hold hosts and URLs."""
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return type(cause).__name__


def _never_left(error: Exception) -> bool:
    """True only when no connection was made, so that Kommo cannot have taken the call."""
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError)

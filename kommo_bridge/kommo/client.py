"""The only HTTP to Kommo.

An access token goes to the account's own host and nowhere else: the host is checked here, and
redirects are not followed. Every call holds a slot of its account's pace, and has a total deadline
and a largest response. A 429 or 403 pauses the account here, so that no caller can forget it.
"""

import time
from http import HTTPStatus
from typing import Any

import requests

from kommo_bridge.errors import KommoError, RefusedRequest
from kommo_bridge.kommo.continuation import Continuation
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.response import (
    kind_of,
    never_left,
    object_of,
    pause_after_429,
    retry_after,
    validation_codes,
)
from kommo_bridge.kommo.results import AccountAnswer, CallResult
from kommo_bridge.kommo.return_url import check_base_url, check_return_url
from kommo_bridge.kommo.slot import NotNow, Slot
from kommo_bridge.outgoing.requests_session import limited_session
from kommo_bridge.outgoing.total_limit import total_limit

CONNECT_TIMEOUT_SECONDS = 4.0
READ_TIMEOUT_SECONDS = 6.0
TOTAL_SECONDS = 10.0
MAX_RESPONSE_BYTES = 64 * 1024
# With an older slot we look again: the account may have been paused meanwhile.
FRESH_SECONDS = 0.05


class KommoClient:
    """Calls Kommo; one warm connection pool for all threads.

    Args:
        pacer: Keeps the pace of each account over all workers.
        extra_hosts: `KOMMO_EXTRA_HOSTS`: where else a token may go.
        total_seconds: The longest that one call may take in all.
    """

    def __init__(
        self,
        pacer: Pacer,
        extra_hosts: frozenset[str] = frozenset(),
        *,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._pacer = pacer
        self._extra_hosts = extra_hosts
        self._total_seconds = total_seconds
        self._session = limited_session()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def book(self, host: str, waiter: str = "") -> Slot | NotNow:
        """Book the next continue call to an account; a wait of more than 2 s is not booked.

        Args:
            host: The account's own, such as `acme.kommo.com`.
            waiter: The caller, such as a job's id; after `NotNow` it keeps its place in the line.
        """
        return self._pacer.book(host, self._total_seconds, waiter=waiter)

    def continue_salesbot(
        self, slot: Slot, return_url: str, continuation: Continuation, access_token: str
    ) -> CallResult:
        """Wake the Salesbot that waits at `return_url`.

        https://developers.kommo.com/reference/salesbot-widget-block-execution-confirmation

        Args:
            slot: From `book`, entered.

        Raises:
            KommoError: The return URL is not the account's own; nothing was sent.
        """
        try:
            check_return_url(return_url, slot.host, self._extra_hosts)
        except RefusedRequest:
            raise KommoError("the return URL is not the account's own", permanent=True) from None
        paused = self._pacer.paused_seconds(slot.host) if slot.age_seconds > FRESH_SECONDS else 0.0
        if paused:
            return CallResult(None, retry_after_seconds=paused, error="the account is paused")
        try:
            response = self._send(slot, "POST", return_url, access_token, json=continuation.body())
        except KommoError as error:
            return CallResult(None, may_have_arrived=error.arrived, error=str(error))
        return self._result(slot, response)

    def account(
        self, host: str, access_token: str, *, base_url: str | None = None
    ) -> AccountAnswer:
        """Ask an account for its number and name: if it responds, the token is valid.

        https://developers.kommo.com/reference/get-account , /reference/get-user

        Args:
            host: The account's own.
            access_token: The account's own.
            base_url: Where to ask instead of `https://{host}`: one of the extra hosts.

        Raises:
            KommoError: It did not answer, or refused, or is paused (`retry_after_seconds`).
        """
        response = self.get(host, "/api/v4/account", access_token, base_url)
        received_at = time.time()
        body = object_of(response)
        return AccountAnswer(
            account_id=body.get("id"),
            subdomain=body.get("subdomain"),
            date=response.headers.get("Date", ""),
            received_at=received_at,
            is_admin=self._is_admin(host, access_token, base_url, body.get("current_user_id")),
        )

    def get(
        self, host: str, path: str, access_token: str, base_url: str | None, **limits: Any
    ) -> requests.Response:
        """One lookup; the arguments are those of `call`."""
        return self.call(host, "GET", path, access_token, base_url, **limits)

    def call(
        self,
        host: str,
        method: str,
        path: str,
        access_token: str,
        base_url: str | None,
        **options: Any,
    ) -> requests.Response:
        """One call in a slot of its own. Only continue calls reveal a block, see `blocks`: another
        one may need a right that they do not need.

        Args:
            path: With its query; `host` and `base_url` as in `account`.
            options: `json`, the body; `seconds` and `max_bytes` of this call.

        Raises:
            KommoError: There was no response, or the account is paused; `arrived` says whether
                Kommo may have taken the call all the same.
        """
        base_url = check_base_url(base_url or f"https://{host}", host, self._extra_hosts)
        seconds = options.get("seconds", self._total_seconds)
        booked = self._pacer.book(host, seconds, may_probe=False)
        if isinstance(booked, NotNow):
            raise KommoError(
                "the account is paused or busy", permanent=False, retry_after_seconds=booked.seconds
            )
        with booked as slot:
            response = self._send(slot, method, base_url + path, access_token, **options)
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                self._pacer.limited(host, pause_after_429(response))
        return response

    def _is_admin(
        self, host: str, access_token: str, base_url: str | None, user_id: object
    ) -> bool | None:
        """Whether the token's user is an administrator; None when Kommo does not say."""
        if not isinstance(user_id, int):
            return None
        try:
            response = self.get(host, f"/api/v4/users/{user_id}", access_token, base_url)
            rights = object_of(response).get("rights")
        except KommoError as error:  # the account is known; only this stays unknown
            return False if error.status == HTTPStatus.FORBIDDEN else None
        told = rights.get("is_admin") if isinstance(rights, dict) else None
        return told if isinstance(told, bool) else None

    def _result(self, slot: Slot, response: requests.Response) -> CallResult:
        """What a response to a continue call says, and what follows for the pace of all."""
        status = response.status_code
        wait, blocked = retry_after(response), False
        if status == HTTPStatus.FORBIDDEN:
            verdict = self._pacer.forbidden(slot)
            wait, blocked = verdict.pause_seconds, verdict.may_be_block
        else:
            self._pacer.answered(slot)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            wait = pause_after_429(response)
            self._pacer.limited(slot.host, wait)
        accepted = status // 100 == 2  # noqa: PLR2004
        return CallResult(
            status,
            may_have_arrived=status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            codes=() if accepted else validation_codes(response),
            retry_after_seconds=None if accepted else wait,
            blocked=blocked,
            error="" if accepted else f"Kommo answered {status}",
        )

    def _send(
        self,
        slot: Slot,
        method: str,
        url: str,
        access_token: str,
        *,
        seconds: float | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
        **body: Any,
    ) -> requests.Response:
        """One call within its slot, its total deadline and its size.

        Raises:
            KommoError: There was no response, or one that is too large.
        """
        left = slot.use() - time.monotonic()
        if left <= 0:
            slot.ended()
            raise KommoError("its slot has run out", permanent=False)
        try:
            with total_limit(min(seconds or self._total_seconds, left), max_bytes):
                response = self._session.request(
                    method,
                    url,
                    headers={"Authorization": f"Bearer {access_token}"},
                    timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
                    allow_redirects=False,
                    **body,
                )
        except (requests.RequestException, OSError) as error:
            arrived = not never_left(error)
            if not arrived:
                slot.ended()
            raise KommoError(
                f"no response from Kommo ({kind_of(error)})", permanent=False, arrived=arrived
            ) from None  # the library's error text may hold the URL's query
        slot.ended()
        return response

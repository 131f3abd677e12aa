"""Kommo's API as a partner meets it: whose token, how many calls, what a continue call may say.

The continue endpoint is that of
https://developers.kommo.com/reference/salesbot-widget-block-execution-confirmation ; it refuses
what Kommo refuses, and also what Kommo would take and then show to a customer as rubbish
(`continue_body`). It prints nothing and keeps no bearer in its records.
"""

import re
import secrets
import threading
from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from local.partners.http.exchange import Answer, Request, read_json
from local.partners.http.local_server import LocalServer
from local.partners.kommo.account import Account
from local.partners.kommo.call_limit import CallLimit
from local.partners.kommo.continue_body import body_faults
from local.partners.kommo.crm import StandInCrm
from local.partners.kommo.problems import first_code, invalid_body, problem, unauthorized
from local.partners.kommo.records import Arrival, Continuation, Refusal, Violation
from local.partners.kommo.widget_requests import WaitingBlock
from local.partners.kommo.widgets import list_widgets

_CONTINUE_PATH = re.compile(r"/api/v4/(?:salesbot|marketingbot)/\d+/continue/(\d+)")
_CONTACT_PATH = re.compile(r"/api/v4/contacts/(\d+)")


class KommoApi(LocalServer):
    """Answers as the API of any number of Kommo accounts does.

    Args:
        port: 0 takes a free one.
        enforce_rate: Whether too many calls are refused; they are counted all the same.
        calls_per_second: More in any one second, per account, are answered 429.
        strikes: So many 429 within `strike_seconds`, and everything is answered 403.
        strike_seconds: See `strikes`.
        retry_after_seconds: Sent with a 429; None, as Kommo documents none, sends no header.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        enforce_rate: bool = True,
        calls_per_second: int = 7,
        strikes: int = 20,
        strike_seconds: float = 60.0,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(port=port)
        self._retry_after_seconds = retry_after_seconds
        self._limit = CallLimit(
            calls_per_second=calls_per_second,
            strikes=strikes,
            strike_seconds=strike_seconds,
            enforce=enforce_rate,
        )
        self._accounts: dict[str, Account] = {}
        self._blocks: dict[str, WaitingBlock] = {}
        self._waiting: set[str] = set()
        # Not from 1: a bridge that outlives this stand-in would take a new block for a repeat.
        self._last_continue_id = secrets.randbelow(10**9)
        # Accounts whose token is not an administrator's.
        self.no_admins: set[int] = set()
        self.crm = StandInCrm()
        self._widgets: dict[str, dict[int, str]] = defaultdict(dict)
        self._leads: dict[tuple[str, int], list[int]] = {}
        self._arrivals: list[Arrival] = []
        self._continuations: list[Continuation] = []
        self._continued: dict[str, Continuation] = {}
        self._refusals: list[Refusal] = []
        self._violations: list[Violation] = []
        self._changed = threading.Condition()

    def received(self, request: Request) -> None:
        """Count the call and look at its bearer, whatever becomes of it."""
        account = self._called_account(request)
        if account is None:
            return
        self._limit.count(account.account_id)
        if _CONTINUE_PATH.fullmatch(request.path):
            arrival = Arrival(request.path, read_json(request.body) or {}, request.received_at)
            with self._changed:
                self._arrivals.append(arrival)
        caller = self._bearer_account(request)
        if caller and caller.subdomain != account.subdomain:
            violation = Violation(account.subdomain, caller.subdomain, request.path)
            with self._changed:
                self._violations.append(violation)

    def answer(self, request: Request) -> Answer:
        """Refuse a call too many, else route it; a refusal is recorded."""
        answer = self._limited(request) or self._route(request)
        if answer.status >= 400:
            self._record_refusal(request, answer)
        return answer

    def _limited(self, request: Request) -> Answer | None:
        if self._limit.blocked:
            return problem(HTTPStatus.FORBIDDEN, "Your IP address is blocked.")
        account = self._called_account(request)
        status = self._limit.refusal(account.account_id) if account else None
        if status is None:
            return None
        wait = self._retry_after_seconds
        headers = {} if wait is None else {"Retry-After": str(wait)}
        return problem(status, "Too many requests.", headers=headers)

    def _called_account(self, request: Request) -> Account | None:
        """Return whose API is called: the block's owner, for Kommo would know it by its host."""
        with self._changed:
            block = self._blocks.get(request.path)
            if block:
                return self._accounts[block.subdomain]
        return self._bearer_account(request)

    def _bearer_account(self, request: Request) -> Account | None:
        with self._changed:
            accounts = list(self._accounts.values())
        bearer = (request.bearer or "").encode()
        matches = (
            one for one in accounts if secrets.compare_digest(one.access_token.encode(), bearer)
        )
        return next(matches, None)

    def _route(self, request: Request) -> Answer:
        caller = self._bearer_account(request)
        if caller is None:
            return unauthorized()
        if request.method == "POST" and _CONTINUE_PATH.fullmatch(request.path):
            return self._continue(request, caller)
        found = self._read(request, caller) if request.method == "GET" else None
        found = found or self.crm.answer(request, caller)
        return found or problem(HTTPStatus.NOT_FOUND, "No such method.")

    def _read(self, request: Request, caller: Account) -> Answer | None:
        """Answer a lookup; None when Kommo has no such one."""
        if request.path == "/api/v4/account":
            return Answer.json(200, _account_json(caller))
        if request.path == "/api/v4/widgets":
            with self._changed:
                return list_widgets(self._widgets[caller.subdomain], request.query)
        if request.path.startswith("/api/v4/users/"):
            return Answer.json(
                200, {"rights": {"is_admin": caller.account_id not in self.no_admins}}
            )
        if contact := _CONTACT_PATH.fullmatch(request.path):
            return self._contact(caller, int(contact[1]), request.query)
        return None

    def _continue(self, request: Request, caller: Account) -> Answer:
        """Refuse in Kommo's order: whose token, whether a block waits, what the body says."""
        with self._changed:
            block = self._blocks.get(request.path)
            if block and block.subdomain != caller.subdomain:
                return unauthorized()
            if block is None or request.path not in self._waiting:
                return problem(HTTPStatus.NOT_FOUND, "No block is waiting under this id.")
            faults = body_faults(request.body)
            if faults:
                return invalid_body(faults)
            self._accept(block, caller, request)
        return Answer(202)

    def _accept(self, block: WaitingBlock, caller: Account, request: Request) -> None:
        self._waiting.discard(request.path)
        accepted = Continuation(caller, block, read_json(request.body), request.received_at)
        self._continuations.append(accepted)
        self._continued.setdefault(request.path, accepted)
        self._changed.notify_all()

    def _record_refusal(self, request: Request, answer: Answer) -> None:
        match = _CONTINUE_PATH.fullmatch(request.path)
        continue_id = int(match[1]) if match else None
        refusal = Refusal(answer.status, first_code(answer), continue_id, request.path)
        with self._changed:
            self._refusals.append(refusal)

    def _contact(self, account: Account, contact_id: int, query: Mapping[str, str]) -> Answer:
        """A contact; its leads only when they are asked for. 204 when there is none."""
        with self._changed:
            leads = self._leads.get((account.subdomain, contact_id))
        if leads is None:
            return Answer(204)
        listed = [{"id": one, "_links": {}} for one in leads]
        embedded = {"leads": listed} if "leads" in query.get("with", "").split(",") else {}
        return Answer.json(200, {"id": contact_id, "name": "", "_embedded": embedded})


def _account_json(account: Account) -> dict[str, Any]:
    return {
        "id": account.account_id,
        "name": account.subdomain.title(),
        "subdomain": account.subdomain,
        "current_user_id": account.account_id + 1,
    }

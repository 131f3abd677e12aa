"""A stand-in for Kommo: it sends widget requests as a Salesbot does, and waits to be continued.

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
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from local.partners.http.exchange import Answer, Request, read_json
from local.partners.http.local_server import LocalServer
from local.partners.kommo.account import Account, sign_bot_token
from local.partners.kommo.call_limit import CallLimit, busiest_second
from local.partners.kommo.continue_body import body_faults
from local.partners.kommo.problems import first_code, invalid_body, problem, unauthorized
from local.partners.kommo.widget_requests import (
    WIDGET_REQUEST_PATH,
    Encoding,
    WaitingBlock,
    WidgetRequestSent,
    block_data,
    post_widget_request,
)

_CONTINUE_PATH = re.compile(r"/api/v4/(?:salesbot|marketingbot)/\d+/continue/(\d+)")
_LEAD_PATH = re.compile(r"/api/v4/leads/(\d+)")
_BOT_ID = 321


@dataclass(frozen=True)
class Continuation:
    """A continue call that was accepted; `at` is `time.monotonic()`."""

    account: Account
    block: WaitingBlock
    body: dict[str, Any] = field(repr=False)
    at: float

    @property
    def continue_id(self) -> int:
        """The number of the block that was continued."""
        return self.block.continue_id

    @property
    def shown(self) -> list[str]:
        """What the customer sees, bubble by bubble."""
        handlers = self.body.get("execute_handlers", [])
        shows = [one["params"]["value"] for one in handlers if one["handler"] == "show"]
        data = self.body["data"]
        prints = self.block.delivery == "json" and data["status"] != "skip"
        return [*shows, data["reply"]] if prints else shows


@dataclass(frozen=True)
class Refusal:
    """A call that was refused: its status, Kommo's first error code, and where it came."""

    status: int
    code: str
    continue_id: int | None
    path: str


@dataclass(frozen=True)
class Violation:
    """The bearer of one account was sent to the waiting block of another."""

    owner: str
    bearer_of: str
    path: str


class StandInKommo(LocalServer):
    """A Kommo on one loopback address for any number of accounts.

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
        # What every lead has in a field for long text.
        self.note = ""
        self._tags: dict[tuple[str, int], list[str]] = defaultdict(list)
        self._continuations: list[Continuation] = []
        self._continued: dict[str, Continuation] = {}
        self._refusals: list[Refusal] = []
        self._violations: list[Violation] = []
        self._changed = threading.Condition()

    # Accounts and leads

    def add_account(
        self,
        subdomain: str,
        account_id: int,
        integration_id: str,
        secret_key: str,
        access_token: str,
        *,
        domain: str = "kommo.com",
    ) -> Account:
        """Add an account, or replace the one with this subdomain."""
        account = Account(
            subdomain, account_id, integration_id, secret_key, access_token, domain=domain
        )
        with self._changed:
            self._accounts[subdomain] = account
        return account

    def change_access_token(self, account: Account, access_token: str) -> Account:
        """Revoke the account's access token and give it another; return the changed account."""
        changed = replace(account, access_token=access_token)
        with self._changed:
            self._accounts[account.subdomain] = changed
        return changed

    def tag_lead(self, account: Account, lead_id: int, tag: str) -> None:
        """Put a tag on a lead, as `GET /api/v4/leads/{id}` shows it."""
        with self._changed:
            self._tags[account.subdomain, lead_id].append(tag)

    # Widget requests

    def sign_token(self, account: Account, *, entity_id: int, **options: Any) -> str:
        """Sign a bot token; the options are those of `account.sign_bot_token`."""
        return sign_bot_token(account, entity_id=entity_id, **options)

    def open_block(
        self, account: Account, *, bot_type: str = "salesbot", delivery: str | None = "json"
    ) -> WaitingBlock:
        """Let a fresh widget block wait, without telling any bridge."""
        with self._changed:
            self._last_continue_id += 1
            continue_id = self._last_continue_id
            path = f"/api/v4/{bot_type}/{_BOT_ID}/continue/{continue_id}"
            block = WaitingBlock(
                account.subdomain, bot_type, _BOT_ID, continue_id, f"{self.url}{path}", delivery
            )
            self._blocks[path] = block
            self._waiting.add(path)
        return block

    def expire(self, waiting: WidgetRequestSent | WaitingBlock) -> None:
        """Let a block wait no longer: a timer, an operator or another bot has ended it."""
        with self._changed:
            self._waiting.discard(_block_of(waiting).path)

    def send_widget_request(
        self,
        bridge_url: str,
        account: Account,
        message: str,
        *,
        entity_id: int,
        data: Mapping[str, Any] | None = None,
        delivery: str | None = "json",
        encoding: Encoding = "form",
        return_url: str | None = None,
        token: str | None = None,
        bot_type: str = "salesbot",
    ) -> WidgetRequestSent:
        """Open a block and send its widget request; the answer's body is ignored, nothing retried.

        Args:
            bridge_url: Scheme and host of the bridge; the path is added.
            account: Whose Salesbot speaks.
            message: What the customer wrote.
            entity_id: The lead's number.
            data: More data of the block.
            delivery: "json" as our own widget; None as a hand-made bot, which sends no such key.
            encoding: How the body is encoded; "form" is what Kommo sends.
            return_url: Another return URL than the block's.
            token: Another token than a fresh one of the account.
            bot_type: "salesbot" or "marketingbot".
        """
        receiver = "{0.scheme}://{0.netloc}".format(urlsplit(bridge_url))
        return self.send_block(
            f"{receiver}{WIDGET_REQUEST_PATH}",
            account,
            block_data(message, delivery, data),
            entity_id=entity_id,
            encoding=encoding,
            return_url=return_url,
            token=token,
            bot_type=bot_type,
        )

    def send_block(
        self,
        url: str,
        account: Account,
        data: Mapping[str, Any],
        *,
        entity_id: int,
        encoding: Encoding = "form",
        return_url: str | None = None,
        token: str | None = None,
        bot_type: str = "salesbot",
    ) -> WidgetRequestSent:
        """Send what a block's `widget_request` handler says: its whole URL, and its data alone."""
        block = self.open_block(account, bot_type=bot_type, delivery=data.get("delivery"))
        receiver = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        if token is None:
            token = self.sign_token(
                account, entity_id=entity_id, bot_type=bot_type, audience=receiver
            )
        unsent = WidgetRequestSent(
            account=account,
            message=str(data.get("message", "")),
            entity_id=entity_id,
            block=block,
            url=url,
            return_url=return_url or block.return_url,
            token=token,
            data=data,
            encoding=encoding,
        )
        return post_widget_request(unsent)

    def repeat(self, sent: WidgetRequestSent) -> WidgetRequestSent:
        """Send the very same bytes again, as Kommo was seen to do when a block stays unfinished."""
        return post_widget_request(sent)

    # Records

    @property
    def continuations(self) -> list[Continuation]:
        """The accepted continue calls, in order."""
        with self._changed:
            return list(self._continuations)

    @property
    def refusals(self) -> list[Refusal]:
        """The refused calls, in order."""
        with self._changed:
            return list(self._refusals)

    @property
    def violations(self) -> list[Violation]:
        """The bearers that were sent to another account's block; must stay empty."""
        with self._changed:
            return list(self._violations)

    def calls(self, account: Account) -> tuple[float, ...]:
        """Return when the account's API was called (`time.monotonic()`), refused calls included."""
        return self._limit.calls(account.account_id)

    def busiest_second(self, account: Account) -> int:
        """Return the greatest number of calls of an account within any one second."""
        return busiest_second(self.calls(account))

    def lift_block(self) -> None:
        """Answer again after too many 429 led to 403."""
        self._limit.lift_block()

    def wait_for_continuation(
        self, waiting: WidgetRequestSent | WaitingBlock, timeout_seconds: float = 10.0
    ) -> Continuation:
        """Block until a block is continued. Raises TimeoutError."""
        path = _block_of(waiting).path
        with self._changed:
            self._changed.wait_for(lambda: self._find(path) is not None, timeout_seconds)
            found = self._find(path)
        if found is None:
            raise TimeoutError(f"{path} was not continued within {timeout_seconds} s")
        return found

    def wait_for(
        self, waiting: WidgetRequestSent | WaitingBlock, timeout_seconds: float = 10.0
    ) -> dict[str, Any]:
        """Block until a block is continued and return the body that did it. Raises TimeoutError."""
        return self.wait_for_continuation(waiting, timeout_seconds).body

    def _find(self, path: str) -> Continuation | None:
        return self._continued.get(path)

    # The API

    def received(self, request: Request) -> None:
        """Count the call and look at its bearer, whatever becomes of it."""
        account = self._called_account(request)
        if account is None:
            return
        self._limit.count(account.account_id)
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
        lead = _LEAD_PATH.fullmatch(request.path)
        if request.method == "POST" and _CONTINUE_PATH.fullmatch(request.path):
            return self._continue(request, caller)
        if request.method == "GET" and request.path == "/api/v4/account":
            return Answer.json(200, _account_json(caller))
        if request.method == "GET" and request.path.startswith("/api/v4/users/"):
            return Answer.json(
                200, {"rights": {"is_admin": caller.account_id not in self.no_admins}}
            )
        if request.method == "GET" and lead:
            return Answer.json(200, self._lead_json(caller, int(lead[1])))
        return problem(HTTPStatus.NOT_FOUND, "No such method.")

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

    def _lead_json(self, account: Account, lead_id: int) -> dict[str, Any]:
        with self._changed:
            names = list(self._tags.get((account.subdomain, lead_id), ()))
        tags = [{"id": index, "name": name, "color": None} for index, name in enumerate(names, 1)]
        note = {"field_name": "Note", "field_type": "textarea", "values": [{"value": self.note}]}
        fields = [note] if self.note else None
        return {
            "id": lead_id,
            "name": f"Lead {lead_id}",
            "custom_fields_values": fields,
            "_embedded": {"tags": tags},
        }


def _block_of(waiting: WidgetRequestSent | WaitingBlock) -> WaitingBlock:
    return waiting.block if isinstance(waiting, WidgetRequestSent) else waiting


def _account_json(account: Account) -> dict[str, Any]:
    return {
        "id": account.account_id,
        "name": account.subdomain.title(),
        "subdomain": account.subdomain,
        "current_user_id": account.account_id + 1,
    }

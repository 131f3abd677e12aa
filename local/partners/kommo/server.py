"""A stand-in for Kommo: it sends widget requests as a Salesbot does, and waits to be continued.

What it answers stands in `api`; here is what it does by itself, and what a test asks it afterwards.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from local.partners.kommo.account import Account, sign_bot_token
from local.partners.kommo.api import KommoApi
from local.partners.kommo.call_limit import busiest_second
from local.partners.kommo.records import Arrival, Continuation, Refusal, Violation
from local.partners.kommo.widget_requests import (
    WIDGET_REQUEST_PATH,
    Encoding,
    WaitingBlock,
    WidgetRequestSent,
    block_data,
    post_widget_request,
)

_BOT_ID = 321


class StandInKommo(KommoApi):
    """A Kommo on one loopback address for any number of accounts."""

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
        self.crm.entity(account, lead_id).tags.append(tag)

    def add_contact(self, account: Account, contact_id: int, lead_ids: list[int]) -> None:
        """Add a contact with its leads."""
        with self._changed:
            self._leads[account.subdomain, contact_id] = lead_ids

    def install_widget(self, account: Account, number: int, integration_id: str = "") -> None:
        """Install a private widget in the account, of its own integration unless told otherwise."""
        with self._changed:
            owner = integration_id or account.integration_id
            self._widgets[account.subdomain][number] = owner

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
    def arrivals(self) -> list[Arrival]:
        """The continue calls that came in, in order, also those that met a fault."""
        with self._changed:
            return list(self._arrivals)

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
            self._changed.wait_for(lambda: self._continued.get(path) is not None, timeout_seconds)
            found = self._continued.get(path)
        if found is None:
            raise TimeoutError(f"{path} was not continued within {timeout_seconds} s")
        return found

    def wait_for(
        self, waiting: WidgetRequestSent | WaitingBlock, timeout_seconds: float = 10.0
    ) -> dict[str, Any]:
        """Block until a block is continued and return the body that did it. Raises TimeoutError."""
        return self.wait_for_continuation(waiting, timeout_seconds).body


def _block_of(waiting: WidgetRequestSent | WaitingBlock) -> WaitingBlock:
    return waiting.block if isinstance(waiting, WidgetRequestSent) else waiting

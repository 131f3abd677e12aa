"""A Salesbot with our widget block: it runs the very flow of `script.js` against a bridge.

    flow = widget_flow(bridge_url)
    run = run_salesbot(kommo, account, flow, message="Do you deliver?")
    run.bubbles, run.exit

`Conversation` is the bot of docs/kommo-setup.md: widget, pause until a message, widget again; made
by hand there, or imported from a file (`looping_exits` of the imported bot).
"""

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.partners.kommo.widget_requests import WidgetRequestSent
from local.partners.salesbot.flow_run import FlowRun, WidgetCall, known_values
from local.partners.salesbot.widget_script import WidgetFlow

# The exits that docs/kommo-setup.md wires to the pause; after the others a person takes over.
LOOPING_EXITS = frozenset({"success", "skip"})
LEAD_ID = 26818280
CONTACT_ID = 31415926


@dataclass(frozen=True)
class SalesbotRun:
    """One pass of a bot through the widget block, as the customer and the stopwatch saw it.

    Attributes:
        bubbles: What the customer saw, in order.
        exit: The exit taken; None when the bot still waits, or ended mutely.
        acknowledged_status: The bridge's answer to the widget request; None without one in time.
        acknowledgement_milliseconds: How long that took.
        answer_milliseconds: From the widget request to the continue call; None without one.
        sent: The widget request.
    """

    bubbles: tuple[str, ...]
    exit: str | None
    acknowledged_status: int | None
    acknowledgement_milliseconds: float
    answer_milliseconds: float | None
    sent: WidgetRequestSent = field(repr=False)


def run_salesbot(
    kommo: StandInKommo,
    account: Account,
    flow: WidgetFlow,
    *,
    message: str,
    lead_id: int = LEAD_ID,
    contact_id: int = CONTACT_ID,
    contact_name: str = "",
    origin: str = "waba",
    timeout_seconds: float = 30.0,
    json: dict[str, Any] | None = None,
) -> SalesbotRun:
    """Let a bot pass through the widget block once.

    Args:
        kommo: Where the block waits.
        account: Whose bot it is.
        flow: From `widget_flow`.
        message: What the customer wrote; `{{message_text}}`.
        lead_id, contact_id, contact_name, origin: The other placeholders.
        timeout_seconds: How long to wait for the continue call.
        json: What `{{json.KEY}}` holds from earlier passes; kept up to date.

    Raises:
        FlowFault: The flow does what Kommo would refuse.
    """
    values = known_values(
        message, lead_id=lead_id, contact_id=contact_id, contact_name=contact_name, origin=origin
    )
    run = FlowRun(flow, values, json)
    run.start()
    if run.call is None:
        raise ValueError("the flow asks no bridge")
    started = time.monotonic()
    sent = _send(kommo, account, run.call, lead_id)
    answered_at = _resume(kommo, run, sent, timeout_seconds)
    return SalesbotRun(
        bubbles=tuple(run.bubbles),
        exit=run.exit,
        acknowledged_status=sent.status,
        acknowledgement_milliseconds=sent.milliseconds,
        answer_milliseconds=None if answered_at is None else (answered_at - started) * 1000,
        sent=sent,
    )


def _send(
    kommo: StandInKommo, account: Account, call: WidgetCall, lead_id: int
) -> WidgetRequestSent:
    """The data is the flow's alone: none is added here."""
    return kommo.send_block(call.url, account, call.data, entity_id=lead_id)


def _resume(
    kommo: StandInKommo, run: FlowRun, sent: WidgetRequestSent, timeout_seconds: float
) -> float | None:
    """Wait for the continue call and go on; returns when it came (`time.monotonic()`).

    A bridge that refused will not continue; one that was too slow may do so all the same.
    """
    if sent.status not in (HTTPStatus.OK, None):
        return None
    try:
        continued = kommo.wait_for_continuation(sent, timeout_seconds)
    except TimeoutError:
        return None
    run.resume(continued.body)
    return continued.at


@dataclass
class Conversation:
    """A customer's conversation with the documented bot.

        trigger -> widget block -- success, skip --> pause until a message -> widget block ...
                                -- handoff, fail --> the bot stops; a person takes over

    Attributes:
        looping_exits: The exits that lead to the pause; after the others the bot is over.
        running: False once the bot has stopped; `start_anew` is what an operator does then.
    """

    kommo: StandInKommo
    account: Account
    flow: WidgetFlow
    lead_id: int = LEAD_ID
    contact_name: str = ""
    origin: str = "waba"
    timeout_seconds: float = 30.0
    looping_exits: frozenset[str] = LOOPING_EXITS
    running: bool = True
    _json: dict[str, Any] = field(default_factory=dict, repr=False)

    def say(self, message: str) -> SalesbotRun | None:
        """Let the customer write; None when no bot runs any more, so that nobody answers."""
        if not self.running:
            return None
        run = run_salesbot(
            self.kommo,
            self.account,
            self.flow,
            message=message,
            lead_id=self.lead_id,
            contact_name=self.contact_name,
            origin=self.origin,
            timeout_seconds=self.timeout_seconds,
            json=self._json,
        )
        self.running = run.exit in self.looping_exits
        return run

    def start_anew(self) -> None:
        """Start the bot again; `{{json...}}` of the previous run is gone."""
        self._json = {}
        self.running = True

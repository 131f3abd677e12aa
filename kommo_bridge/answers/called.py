"""A continue call that has ended."""

from dataclasses import dataclass

from kommo_bridge.answers.conversation import Message, Outcome, Turn
from kommo_bridge.kommo.continuation import Continuation
from kommo_bridge.kommo.results import CallResult
from kommo_bridge.kommo.widget_request import WidgetRequest


@dataclass(frozen=True)
class Called:
    """A finished call.

    Attributes:
        begun, target: The message as noted before the call, and as it was before that.
        outcome, spoken: What was found for the customer, and what the Salesbot was continued with.
    """

    begun: Message
    target: Message
    waiting: WidgetRequest
    outcome: Outcome
    spoken: Outcome
    turn: Turn | None
    body: Continuation
    result: CallResult

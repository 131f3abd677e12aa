"""A continue call that has ended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kommo_bridge.answers.conversation import SKIP, Message, Outcome, Turn
from kommo_bridge.answers.verdict import GONE
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


def as_it_arrived(called: Called, turns: Sequence[Turn]) -> Called:
    """What Kommo has accepted: this call, or an earlier one whose result nobody knew.

    A Salesbot that is gone when it is let go has had the words of that earlier call, though a human
    has the conversation by now.
    """
    target, earlier = called.target, called.target.outcome
    turn = next((one for one in turns if target.job_id in one.job_ids), None)
    if called.turn or not turn or not target.may_be_told or called.result.status not in GONE:
        return called
    assert earlier is not None  # noqa: S101  else it could not have been told
    return replace(called, outcome=earlier, spoken=SKIP if earlier.hint else earlier, turn=turn)

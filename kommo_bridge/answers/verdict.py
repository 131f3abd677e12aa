"""What the response to a continue call means: a table, without I/O.

Only the statuses 401, 402, 403, 404 and 410 can be final. Sources:
https://developers.kommo.com/reference/salesbot-widget-block-execution-confirmation, and
https://developers.kommo.com/docs/limitations for 403 after 429.
"""

from dataclasses import dataclass
from http import HTTPStatus

from kommo_bridge.answers.conversation import Message
from kommo_bridge.answers.retries import TRIES_BEFORE_SHORT, wait_after
from kommo_bridge.kommo.results import CallResult

GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)
# Kommo may refuse the text itself: a shorter one is worth a call.
ABOUT_THE_TEXT = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


@dataclass(frozen=True)
class Accepted:
    """Kommo has it: by this call, or by an earlier one whose response was lost."""


@dataclass(frozen=True)
class Final:
    """The Salesbot no longer waits, or Kommo refuses this account."""


@dataclass(frozen=True)
class Later:
    """Call again after `seconds`.

    Attributes:
        unknown: The call may have arrived.
        plain: Without handlers from now on.
        short: With the short fallback sentence from now on.
    """

    seconds: float
    unknown: bool = False
    plain: bool = False
    short: bool = False


Verdict = Accepted | Final | Later


def verdict(
    result: CallResult,
    message: Message,
    *,
    handlers: bool,
    short: bool,
    token_changed: bool,
    late: bool = False,
) -> Verdict:
    """What became of a call, and what to do next.

    Args:
        result: The response, or how the network failed.
        message: The message whose Salesbot was called, as it was before the call.
        handlers: Execute handlers were sent along.
        short: What was sent was the fallback sentence or nothing.
        token_changed: The access token was refused, and another one has been stored since.
        late: The customer has waited for the whole reply deadline.
    """
    was_unknown = message.unknown_since is not None
    gone = result.status in GONE
    if result.accepted or (gone and was_unknown):
        return Accepted()
    refused = result.status in REFUSED and not result.blocked and not token_changed
    if gone or refused:
        return Final()
    unknown = was_unknown or result.may_have_arrived
    if token_changed:
        return Later(0.0, unknown)
    if result.status == HTTPStatus.BAD_REQUEST and handlers:
        return Later(0.0, unknown, plain=True)
    wait = wait_after(message.failures)
    tried = late or message.failures + 1 >= TRIES_BEFORE_SHORT
    if result.status in ABOUT_THE_TEXT and not short and not unknown and tried:
        return Later(0.0, short=True)
    return Later(max(wait, result.retry_after_seconds or 0.0), unknown)

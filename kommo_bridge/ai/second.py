"""The second AI of an integration, which steps in when the first one fails or is slow.

Asked once in a question: when the first fails in a way that may pass, or has used up its quota, or
a third of the reply deadline is over. It is then asked first for five minutes (`conversations.
preferred`), so that no other customer waits for a server that is down.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.ai.dialogue import Reply
from kommo_bridge.ai.prompt import Question
from kommo_bridge.ai.tools import Search
from kommo_bridge.conversations.memory import Exchange
from kommo_bridge.conversations.preferred import Preferred
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.ai_server import SecondAI, second_ai
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.telemetry.logs import log_event

# An AI that is asked first has this share of the reply deadline; near its end, of what is left.
FIRST_SHARE = 1 / 3
# With less than this left there is no use in asking anybody.
LEAST_SECONDS = 1.0
QUOTA = (HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS)

logger = logging.getLogger(__name__)

# Asks the second AI, or the first, within so many seconds.
Ask = Callable[[bool, float], Reply]


class TwoAIs(Assistant):
    """An `Assistant` whose integrations may have a second AI.

    Args:
        second: The shared one; None when there is none.
        preferred: Which of the two is asked first.
        reply_deadline: `REPLY_DEADLINE_SECONDS`.
        first: As for `Assistant`.
    """

    def __init__(
        self, *, second: SecondAI | None, preferred: Preferred, reply_deadline: float, **first: Any
    ) -> None:
        super().__init__(**first)
        self._second = second
        self._preferred = preferred
        self._reply_deadline = reply_deadline

    def reply(
        self,
        integration: Integration,
        question: Question,
        *,
        seconds: float,
        history: Sequence[Exchange] = (),
        search: Search | None = None,
    ) -> Reply:
        """As `Assistant.reply`, by whichever of the two answers."""
        other = second_ai(integration, self._second)
        ask_one = super().reply

        def ask(second: bool, seconds: float) -> Reply:
            asked = other if second and other else integration
            return ask_one(asked, question, seconds=seconds, history=history, search=search)

        if other is None:
            return ask(False, seconds)
        return ask_either(
            ask,
            integration,
            self._preferred,
            seconds=seconds,
            reply_deadline=self._reply_deadline,
        )


def ask_either(
    ask: Ask,
    integration: Integration,
    preferred: Preferred,
    *,
    seconds: float,
    reply_deadline: float,
    clock: Callable[[], float] = time.monotonic,
) -> Reply:
    """The reply of the AI that is preferred, else of the other one.

    Raises:
        AssistantError: Neither has answered; not permanent if one of them may later.
    """
    begun, second = clock(), preferred.is_second(integration)
    try:
        reply = ask(second, first_seconds(seconds, reply_deadline))
    except AssistantError as error:
        left = seconds - (clock() - begun)
        if not may_step_in(error) or left < LEAST_SECONDS:
            raise
        log_event(
            logger,
            "AI failed, the other one is asked",
            level=logging.WARNING,
            subdomain=integration.subdomain,
            failed="second" if second else "first",
            error=str(error),
        )
        reply = _other(ask, error, left, second=not second)
        second = not second
        preferred.prefer(integration, second=second)
    return replace(reply, second=second)


def first_seconds(seconds: float, reply_deadline: float) -> float:
    """How long the AI that is asked first may take, of `seconds` that are left."""
    return max(seconds - (1 - FIRST_SHARE) * reply_deadline, seconds * FIRST_SHARE)


def may_step_in(error: AssistantError) -> bool:
    """Whether the other AI is asked: a wrong key or model is for the operator to mend."""
    return not error.permanent or error.status in QUOTA


def _other(ask: Ask, failed: AssistantError, seconds: float, *, second: bool) -> Reply:
    try:
        return ask(second, seconds)
    except AssistantError as error:
        raise (error if failed.permanent else failed) from None

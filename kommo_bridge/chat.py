"""A customer's part, played by somebody who tries the assistant: in the terminal or the console.

Its memory, handoff, caps and AI are real; Kommo is not called, and a handoff pauses nobody for
long. Each chat has a number of its own, which no customer's conversation can have.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from kommo_bridge.ai.dialogue import Reply
from kommo_bridge.answers.conversation import Outcome
from kommo_bridge.answers.rules import rules_of
from kommo_bridge.answers.terminal import Terminal, TerminalAsker
from kommo_bridge.conversations.keys import conversation_name
from kommo_bridge.conversations.money import Paid
from kommo_bridge.errors import BridgeError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.jobs import Parts
from kommo_bridge.kommo.widget_request import WidgetRequest

CHAT_SECONDS = 86400


@dataclass(frozen=True)
class Answered:
    """What one message came to.

    Attributes:
        outcome: What a Salesbot would be continued with.
        replies: What the AI wrote, with its tokens and tools; several when it was asked again.
        seconds: How long it took.
    """

    outcome: Outcome
    replies: tuple[Reply, ...]
    seconds: float


class Chat:
    """One chat.

    Args:
        parts: As for customers.
        integration: Whose assistant is tried.
        number: Of the chat: the same number goes on with what was said.
        customer: The customer's name, as Kommo would tell it.
        show: Takes a line about a try that failed.
        trace: Takes each reply of the AI, and its seconds.
    """

    def __init__(
        self,
        parts: Parts,
        integration: Integration,
        number: int,
        *,
        customer: str = "",
        show: Callable[[str], None] = lambda _line: None,
        trace: Callable[[Reply, float], None] = lambda _reply, _seconds: None,
    ) -> None:
        self._parts = parts
        self._integration = integration
        self._number = number
        self._customer = customer
        self._show = show
        self._trace = trace

    def say(self, message: str) -> Answered:
        """What the assistant answers; what failed is in the outcome."""
        started, request = time.monotonic(), self._request(message)
        terminal = Terminal(**vars(self._parts.steps.sender))
        replies: list[Reply] = []

        def note(reply: Reply, seconds: float) -> None:
            replies.append(reply)
            self._trace(reply, seconds)

        asker = TerminalAsker(**vars(self._parts.steps.asker), show=self._show, trace=note)
        steps = replace(self._parts.steps, sender=terminal, asker=asker)
        rules = rules_of(self._integration, self._parts.settings, request)
        with suppress(BridgeError):
            while (wait := steps.run(request, self._integration, rules)) is not None:
                time.sleep(wait)
        if terminal.outcome.status == "handoff":  # here one goes on
            steps.memory.resume(conversation_name(request))
        return Answered(terminal.outcome, tuple(replies), time.monotonic() - started)

    def forget(self) -> None:
        """Forget what was said."""
        name = conversation_name(self._request(""))
        self._parts.steps.memory.forget(name)
        self._parts.steps.memory.resume(name)

    def _request(self, message: str) -> WidgetRequest:
        now, integration = time.time(), self._integration
        return WidgetRequest(
            integration_id=integration.integration_id,
            account_id=integration.account_id or 0,
            subdomain=integration.subdomain,
            entity_type="chat",
            entity_id=self._number,
            return_url=f"https://{integration.host}/chat/{secrets.token_hex(8)}",
            message=message,
            contact_name=self._customer,
            origin="chat",
            expires_at=now + CHAT_SECONDS,
            accepted_at=now,
        )


def paid_for(reply: Reply) -> Paid:
    """The tokens of a reply, for its price."""
    return Paid(reply.tokens, reply.prompt_tokens, reply.cached_tokens)

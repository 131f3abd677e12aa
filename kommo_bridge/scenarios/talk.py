"""One run of a scenario: its turns through the very steps that answer customers.

Real are the plan, the steps, the prompt and the AI. The clock stands where the scenario says, the
memory is the run's own, Kommo is not called and nothing is counted.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.ai.dialogue import Reply
from kommo_bridge.ai.prompt import Question
from kommo_bridge.answers.conversation import Outcome
from kommo_bridge.answers.lead_facts import Facts
from kommo_bridge.answers.rules import rules_of
from kommo_bridge.answers.steps import Steps
from kommo_bridge.answers.terminal import Terminal, TerminalAsker
from kommo_bridge.conversations.memory import Exchange
from kommo_bridge.conversations.money import Paid, cost
from kommo_bridge.errors import BridgeError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.knowledge.knowledge import Knowledge
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.scenarios.notebook import Clock, Memory, Notebook
from kommo_bridge.scenarios.quiet import (
    NoDays,
    NoGaps,
    NoIncidents,
    NoKnowledge,
    NoKommo,
    NoMetrics,
    NoStore,
    NoUsage,
)
from kommo_bridge.scenarios.scenario import Observed, OutcomeName, Scenario
from kommo_bridge.settings import Settings

# From one message of the customer to the next, by the scenario's clock.
BETWEEN_TURNS_SECONDS = 60.0
LIFETIME_SECONDS = 86400.0
OUTCOMES: dict[str, OutcomeName] = {
    "success": "reply",
    "handoff": "handoff",
    "skip": "silent",
    "fail": "fail",
}


@dataclass(frozen=True, kw_only=True)
class _Asker(TerminalAsker):
    """Notes what the AI said."""

    clock: Clock
    replies: list[Reply] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def reply(
        self,
        request: WidgetRequest,
        integration: Integration,
        said: str,
        seconds: float,
        facts: Facts = (),
    ) -> Reply:
        """As for a customer, with less patience.

        Raises:
            AssistantError: There is none.
        """
        reply = super().reply(request, integration, said, seconds, facts)
        self.replies.append(reply)
        return reply

    def question(self, request: WidgetRequest, integration: Integration, said: str) -> Question:
        """As for a customer, at the scenario's moment."""
        asked = super().question(request, integration, said)
        self.questions.append(replace(asked, now=datetime.fromtimestamp(self.clock.now, UTC)))
        return self.questions[-1]

    def known(self, integration: Integration) -> tuple[str, ...]:
        """All that the business has said in these questions."""
        asked = [
            text
            for one in self.questions
            for text in (one.knowledge, *(value for _, value in one.lead_facts))
        ]
        found = [used.result for one in self.replies for used in one.used]
        return (integration.instructions, *asked, *found)


class Talk:
    """A customer's conversation that only this run knows.

    Args:
        assistant: The AI.
        settings: For the deadlines.
        integration: Whose assistant is tried, whether it is live or not.
        scenario: For its clock and history.
        sleep: Waits before the AI is asked again after a failure.
        knowledge: What the business has told; nothing by default.
    """

    def __init__(
        self,
        assistant: Assistant,
        settings: Settings,
        integration: Integration,
        scenario: Scenario,
        sleep: Callable[[float], None] = time.sleep,
        *,
        knowledge: Knowledge | None = None,
    ) -> None:
        self._knowledge = knowledge or NoKnowledge()
        self._assistant = assistant
        self._settings = settings
        self._integration = replace(integration, enabled=True, mode="live")
        self._clock = Clock(moment_of(scenario, integration).timestamp())
        self._memory = Memory(self._clock, _history(scenario, self._clock.now))
        self._notebook = Notebook(self._clock)
        self._entity_id = secrets.randbelow(2**31)
        self._sleep = sleep
        self._with_human = False
        self._words = [one.customer for one in scenario.history]

    def write(self, text: str) -> Observed:
        """What comes of a customer's message."""
        request, metrics, incidents = self._request(text), NoMetrics(), NoIncidents()
        terminal = Terminal(NoKommo(), NoStore(), metrics, incidents, NoDays(), NoGaps())
        asker = _Asker(
            self._assistant,
            self._memory,
            NoUsage(),
            metrics,
            incidents,
            self._knowledge,
            show=lambda _line: None,
            clock=self._clock,
        )
        steps = Steps(
            states=self._notebook,
            asker=asker,
            sender=terminal,
            memory=self._memory,
            metrics=metrics,
            sleep=self._clock.forward,
        )
        rules = rules_of(self._integration, self._settings, request)
        with suppress(BridgeError):  # what failed is in the outcome
            while (wait := steps.run(request, self._integration, rules)) is not None:
                self._sleep(wait)
                self._clock.forward(wait)
        self._clock.forward(BETWEEN_TURNS_SECONDS)
        seen = observed(self._integration, terminal.outcome, asker.replies)
        self._words.append(text)
        before, self._with_human = self._with_human, seen.outcome == "handoff" or self._with_human
        known = asker.known(self._integration)
        return replace(seen, with_human=before, known=known, words=tuple(self._words))

    def _request(self, text: str) -> WidgetRequest:
        """As the web would accept it, at the scenario's time."""
        integration, now = self._integration, self._clock.now
        return WidgetRequest(
            integration_id=integration.integration_id,
            account_id=integration.account_id or 0,
            subdomain=integration.subdomain,
            entity_type="scenario",
            entity_id=self._entity_id,
            return_url=f"https://{integration.host}/scenario/{secrets.token_hex(8)}",
            message=text,
            delivery="json",
            expires_at=now + LIFETIME_SECONDS,
            accepted_at=now,
        )


def moment_of(scenario: Scenario, integration: Integration) -> datetime:
    """When the scenario happens; a time without an offset is one of the integration's zone."""
    if scenario.now is None or scenario.now.tzinfo:
        return scenario.now or datetime.now(UTC)
    return scenario.now.replace(tzinfo=ZoneInfo(integration.time_zone))


def observed(integration: Integration, outcome: Outcome, replies: list[Reply]) -> Observed:
    """What a Salesbot would be continued with, and what it took."""
    return Observed(
        outcome=OUTCOMES[outcome.status],
        reply="" if outcome.silent else outcome.reply,
        reason=outcome.handoff_reason if outcome.status == "handoff" else "",
        tools=tuple(used.tool for one in replies for used in one.used),
        tokens=sum(one.tokens for one in replies),
        money=sum(
            cost(integration, Paid(one.tokens, one.prompt_tokens, one.cached_tokens))
            for one in replies
        ),
        error=outcome.error,
    )


def _history(scenario: Scenario, now: float) -> list[Exchange]:
    """What was said before, a minute apart."""
    count = len(scenario.history)
    return [
        Exchange(f"before-{place}", one.customer, one.reply, now - 60.0 * (count - place))
        for place, one in enumerate(scenario.history)
    ]

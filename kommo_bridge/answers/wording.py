"""The integration's own sentences, in the language of the conversation so far."""

from dataclasses import dataclass

from kommo_bridge.answers.conversation import Source
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.sentences import language_of, sentence
from kommo_bridge.kommo.widget_request import WidgetRequest


@dataclass(frozen=True)
class Wording:
    """What is said without the AI.

    Attributes:
        integration: The integration whose sentences they are.
        memory, request: For what was said before, which shows the language.
    """

    integration: Integration
    memory: Conversations
    request: WidgetRequest

    def say(self, kind: Source, said: str = "") -> str:
        """The `fallback`, the `no_text` or the `handoff` sentence; `said` is the newest text."""
        text: str = getattr(self.integration, f"{kind}_text")
        before = self.memory.history(self.request, self.integration)
        texts = [said or self.request.message, *(one.customer for one in reversed(before))]
        return sentence(text, language_of(texts))

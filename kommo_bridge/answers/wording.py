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

    def opening(self, said: str) -> str:
        """The `disclosure` before the first reply of a conversation; empty after it."""
        disclosure = self.integration.disclosure
        if not disclosure or self.memory.disclosed(self.request):
            return ""
        return self._in_their_language(disclosure, said)

    def say(self, kind: Source, said: str = "") -> str:
        """The `fallback`, the `no_text` or the `handoff` sentence; `said` is the newest text."""
        return self._in_their_language(getattr(self.integration, f"{kind}_text"), said)

    def _in_their_language(self, text: str, said: str) -> str:
        before = self.memory.history(self.request, self.integration)
        texts = [said or self.request.message, *(one.customer for one in reversed(before))]
        return sentence(text, language_of(texts))

"""The integration's own sentences, in the language of the conversation so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from kommo_bridge.answers.conversation import Source
from kommo_bridge.integrations.sentences import language_of, sentence
from kommo_bridge.integrations.store import Integration


@dataclass(frozen=True)
class Wording:
    """What is said without the AI.

    Attributes:
        integration: Whose sentences.
        said: What the customer wrote, the newest first: it shows the language.
    """

    integration: Integration
    said: Sequence[str]

    def say(self, kind: Source) -> str:
        """The fallback, the no-text or the handoff sentence."""
        text: str = getattr(self.integration, f"{kind}_text")
        return sentence(text, language_of(self.said))

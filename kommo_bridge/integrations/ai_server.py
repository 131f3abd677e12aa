"""Which AI server an integration asks, and with which key: one rule.

Key and base URL are a pair. An integration that names either has none of the shared ones: a key
never goes to a server that it was not given for. An own key without a URL goes to OpenAI, an own
URL without a key is asked without one, as Ollama, llama.cpp and LM Studio take it.
"""

from dataclasses import dataclass, field

from kommo_bridge.integrations.integration import Integration

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class AIServer:
    """Where to ask; without a key no Authorization header is sent."""

    api_key: str | None = field(repr=False)
    base_url: str

    @property
    def usable(self) -> bool:
        """OpenAI itself answers nobody without a key."""
        return bool(self.api_key) or self.base_url != OPENAI_URL


def ai_server(integration: Integration, shared_key: str | None, shared_url: str | None) -> AIServer:
    """The server of an integration: its own pair, or the shared one."""
    if integration.ai_api_key or integration.ai_base_url:
        return AIServer(integration.ai_api_key or None, integration.ai_base_url or OPENAI_URL)
    return AIServer(shared_key, shared_url or OPENAI_URL)

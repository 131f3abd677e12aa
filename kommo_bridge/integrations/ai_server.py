"""Which AI server an integration asks, and with which key: one rule.

Key and base URL are a pair. An integration that names either has none of the shared ones: a key
never goes to a server that it was not given for. An own key without a URL goes to OpenAI, an own
URL without a key is asked without one, as Ollama, llama.cpp and LM Studio take it.
"""

from dataclasses import dataclass, field, replace

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.settings import Settings

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


@dataclass(frozen=True)
class SecondAI:
    """The shared second AI (`FALLBACK_OPENAI_...`); None where a setting is empty."""

    api_key: str | None = field(repr=False)
    base_url: str | None
    model: str | None

    @property
    def usable(self) -> bool:
        """A model alone names no server."""
        return bool(self.api_key or self.base_url)


def shared_second_ai(settings: Settings) -> SecondAI:
    """What the settings say of it."""
    return SecondAI(
        settings.fallback_openai_api_key,
        settings.fallback_openai_base_url,
        settings.fallback_openai_model,
    )


def second_ai(integration: Integration, shared: SecondAI | None) -> Integration | None:
    """The integration with its second AI in the place of the first; None when it has none.

    Key and URL are a pair here too. An integration that pays for an AI of its own does not use the
    shared second one.
    """
    own = SecondAI(
        integration.fallback_ai_api_key,
        integration.fallback_ai_base_url,
        integration.fallback_model,
    )
    if own.usable:
        second = own
    elif shared and shared.usable and not (integration.ai_api_key or integration.ai_base_url):
        second = shared
    else:
        return None
    return replace(
        integration,
        ai_api_key=second.api_key or "",
        ai_base_url=second.base_url,
        model=integration.fallback_model or second.model or integration.model,
    )


def ai_server(integration: Integration, shared_key: str | None, shared_url: str | None) -> AIServer:
    """The server of an integration: its own pair, or the shared one."""
    if integration.ai_api_key or integration.ai_base_url:
        return AIServer(integration.ai_api_key or None, integration.ai_base_url or OPENAI_URL)
    return AIServer(shared_key, shared_url or OPENAI_URL)

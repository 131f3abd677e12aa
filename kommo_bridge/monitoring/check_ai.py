"""The AI: one smallest question, with the integration's own prompt, model and key."""

import time
from collections.abc import Iterator

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.ai.prompt import HARMLESS
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.ai_server import (
    AIServer,
    ai_server,
    second_ai,
    shared_second_ai,
)
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.monitoring.check import Context, Finding
from kommo_bridge.settings import Settings

AI_SECONDS = 30.0
SERVER_ERROR = 500
ADVICE = {
    401: "check the key",
    403: "check the key and what it may use",
    404: "check model and base URL",
    413: "shorten the instructions",
    429: "its limit or quota is used up: wait, or raise it there",
}


def check_ai(context: Context) -> Iterator[Finding]:
    """The AI, and the second one where there is one."""
    yield _asked("AI", context.integration, context.settings)
    if second := second_ai(context.integration, shared_second_ai(context.settings)):
        yield _asked("second AI", second, context.settings)


def _asked(name: str, integration: Integration, settings: Settings) -> Finding:
    assistant = Assistant(
        api_key=settings.openai_api_key,
        base_url=settings.openai_base_url,
        model=settings.openai_model,
        timeout_seconds=settings.ai_timeout_seconds,
    )
    model = integration.model or settings.openai_model
    started = time.monotonic()
    try:
        assistant.reply(integration, HARMLESS, seconds=AI_SECONDS)
    except AssistantError as error:
        server = ai_server(integration, settings.openai_api_key, settings.openai_base_url)
        said = f", in its words: {error.sentence}" if error.sentence else ""
        asked = f"{_without_password(server.base_url)}, model {model}"
        return Finding(name, "fault", f"{error} ({asked}){said}: {_advice(error, server)}")
    finally:
        assistant.close()
    return Finding(name, "ok", f"{model} answers, {time.monotonic() - started:.1f} s")


def _advice(error: AssistantError, server: AIServer) -> str:
    """What to do about each cause."""
    if not server.usable:
        return "set OPENAI_API_KEY, or the integration's ai_api_key or ai_base_url"
    if error.status is None:
        return "is that server up, and are base URL and model right?"
    if error.status >= SERVER_ERROR:
        return "that server has a fault of its own: look at its log, or try later"
    return ADVICE.get(error.status, "check key, model, base URL and the length of the instructions")


def _without_password(url: str) -> str:
    """A base URL without what may be secret in it."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"

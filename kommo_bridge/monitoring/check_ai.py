"""The AI: one smallest question, with the integration's own prompt, model and key."""

import time
from collections.abc import Iterator

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.ai.prompt import HARMLESS
from kommo_bridge.errors import AssistantError
from kommo_bridge.monitoring.check import Context, Finding

AI_SECONDS = 30.0


def check_ai(context: Context) -> Iterator[Finding]:
    settings = context.settings
    assistant = Assistant(
        api_key=settings.openai_api_key,
        base_url=settings.openai_base_url,
        model=settings.openai_model,
        timeout_seconds=settings.ai_timeout_seconds,
    )
    model = context.integration.model or settings.openai_model
    started = time.monotonic()
    try:
        assistant.reply(context.integration, HARMLESS, seconds=AI_SECONDS)
    except AssistantError as error:
        yield Finding("AI", "fault", f"{error} (model {model}): check key, model and base URL")
    else:
        yield Finding("AI", "ok", f"{model} answers, {time.monotonic() - started:.1f} s")
    finally:
        assistant.close()

"""What the AI's response says: words and calls, or an error and whether trying again can help.

Pure: the bytes of a completion or the SDK's error in, ours out. Compatible servers differ, so
nothing is taken for granted, and of an error only identifiers and numbers are passed on.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import openai

from kommo_bridge.ai.messenger_text import MAX_SOURCE
from kommo_bridge.ai.refusal import Reason, identifiers, reason_of
from kommo_bridge.ai.tool_calls import Call, read_calls, storable
from kommo_bridge.errors import AssistantError

# No model reads more. A larger number is wrong, and caps are counted with it.
MAX_TOKENS = 10_000_000
MAX_SENTENCE = 400  # characters of a server's words that the doctor shows
MAX_RETRY_AFTER_SECONDS = 3600
TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})


@dataclass(frozen=True)
class Tokens:
    """How many tokens were paid for, 0 where the AI does not say.

    Attributes:
        total: Of prompts and replies.
        prompt: Of prompts.
        cached: Those of prompts that the provider had in its cache.
    """

    total: int = 0
    prompt: int = 0
    cached: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.total + other.total, self.prompt + other.prompt, self.cached + other.cached
        )


@dataclass(frozen=True)
class Response:
    """One completion: its text may be empty, and may be one character longer than is shaped."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    tokens: Tokens = Tokens()


def read_response(body: bytes) -> Response:
    """What the first choice says; nothing where it cannot be read."""
    try:
        completion = json.loads(body)
        message = completion["choices"][0]["message"]
        text, calls = message.get("content"), read_calls(message.get("tool_calls"))
        tokens = _tokens(completion.get("usage") or {})
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        return Response()
    text = storable(text.strip()[: MAX_SOURCE + 1]) if isinstance(text, str) else ""
    return Response(text, calls, tokens)


def _tokens(usage: dict[str, Any]) -> Tokens:
    total = _count(usage.get("total_tokens"))
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    prompt = min(_count(usage.get("prompt_tokens")), total)
    return Tokens(total, prompt, min(_count(cached), prompt))


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value <= MAX_TOKENS else 0


def read_reason(error: openai.APIStatusError) -> Reason | None:
    """Why the prompt was refused; None where no other prompt can help."""
    sentence = error.body.get("message") if isinstance(error.body, dict) else error.body
    return reason_of(error.status_code, error.code, error.type, error.param, sentence)


def read_error(error: openai.APIStatusError) -> AssistantError:
    """429 means later, but an empty account (`insufficient_quota`) does not fill in minutes."""
    status = error.status_code
    words = identifiers(error.code, error.type)
    transient = status in TRANSIENT_STATUSES or status >= 500  # noqa: PLR2004
    read = AssistantError(
        " ".join(["the AI answered", str(status), *words]),
        permanent=not transient or "insufficient_quota" in words,
        retry_after_seconds=retry_after(error.response.headers),
    )
    read.status, read.sentence = status, _sentence(error)
    return read


def _sentence(error: openai.APIStatusError) -> str:
    """What the server says, on one line and not at any length."""
    said = error.body.get("message") if isinstance(error.body, dict) else error.body
    text = " ".join(said[:MAX_SENTENCE].split()) if isinstance(said, str) else ""
    return "".join(character for character in text if character.isprintable())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The wait that the server asks for, in seconds; None when it asks for none, or for nonsense.

    In the forms that the SDK reads too: milliseconds in a header of OpenAI's, seconds, a date.
    """
    value = headers.get("retry-after", "")
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif "," in value:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        else:
            seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= MAX_RETRY_AFTER_SECONDS else None

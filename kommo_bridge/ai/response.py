"""What the AI's response says: a reply, or an error and whether trying again can help.

Pure: the bytes of a completion or the SDK's error in, ours out. Compatible servers differ, so
nothing is taken for granted, and of an error only identifiers and numbers are passed on.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import openai

from kommo_bridge.ai.messenger_text import MAX_SOURCE
from kommo_bridge.ai.refusal import Reason, identifiers, reason_of
from kommo_bridge.ai.tools import handoff_sentence
from kommo_bridge.errors import AssistantError

# No model reads more. A larger number is wrong, and caps are counted with it.
MAX_TOKENS = 10_000_000
MAX_SENTENCE = 400  # characters of a server's words that the doctor shows
MAX_RETRY_AFTER_SECONDS = 3600
TRANSIENT_STATUSES = frozenset({408, 409, 425, 429})


@dataclass(frozen=True)
class Reply:
    """What the AI wrote.

    Attributes:
        text: For the customer, no longer than is shaped; empty only with `handoff`.
        tokens: How many it counted, 0 when it does not say.
        handoff: It asks for a handoff.
    """

    text: str
    tokens: int = 0
    handoff: bool = False


def read_reply(body: bytes) -> Reply:
    """The text of the first choice.

    Raises:
        AssistantError: There is none.
    """
    try:
        completion = json.loads(body)
        message = completion["choices"][0]["message"]
        text, sentence = message.get("content"), handoff_sentence(message.get("tool_calls"))
        tokens = (completion.get("usage") or {}).get("total_tokens", 0)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        text, sentence, tokens = None, None, 0
    text = text.strip() if isinstance(text, str) else ""
    if not text and sentence is None:
        raise AssistantError("the AI's response has no text", permanent=False)
    tokens = tokens if isinstance(tokens, int) and 0 <= tokens <= MAX_TOKENS else 0
    # One character more than is shaped, so that the cut is seen.
    return Reply((sentence or text)[: MAX_SOURCE + 1], tokens, handoff=sentence is not None)


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

"""The tool with which the model starts a handoff, and the servers that refuse tools."""

import json
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

from openai.types.chat import ChatCompletionToolParam

# How long tools are not offered after a server refused them: it may be updated meanwhile.
REFUSED_SECONDS = 3600.0
# More than any sentence needs; the rest of a response may be as long as it likes.
MAX_ARGUMENTS = 64 * 1024

HANDOFF_TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "handoff",
        "description": "Hand the conversation over to a human colleague. You then fall silent.",
        "parameters": {
            "type": "object",
            "properties": {
                "sentence": {
                    "type": "string",
                    "description": "One sentence to the customer, in the customer's language, "
                    "saying that a colleague will answer here.",
                }
            },
            "required": ["sentence"],
        },
    },
}
HANDOFF_RULE = """
Call handoff when the customer asks for a human, complains, or needs something that only a \
colleague can do."""


def handoff_sentence(calls: Any) -> str | None:
    """What the first call of `handoff` says to the customer, None when there is no such call.

    Args:
        calls: The `tool_calls` of a message, in whatever shape the server gave them.
    """
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and function.get("name") == HANDOFF_TOOL["function"]["name"]:
            return _sentence(function.get("arguments"))
    return None


def _sentence(arguments: Any) -> str:
    try:
        if len(arguments) > MAX_ARGUMENTS:
            return ""
        sentence = json.loads(arguments)["sentence"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return sentence.strip() if isinstance(sentence, str) else ""


class RefusedTools:
    """Where tools were refused within the last hour; shared by all threads.

    Args:
        clock: Seconds, never running backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def __contains__(self, place: Hashable) -> bool:
        with self._lock:
            return self._until.get(place, 0.0) > self._clock()

    def add(self, place: Hashable) -> None:
        """Remember it for an hour, and forget those whose hour is over."""
        with self._lock:
            now = self._clock()
            self._until = {one: until for one, until in self._until.items() if until > now}
            self._until[place] = now + REFUSED_SECONDS

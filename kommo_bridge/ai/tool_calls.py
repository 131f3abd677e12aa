"""The tool calls of a response, in whatever shape the server gave them. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openai.types.chat import ChatCompletionMessageParam

# More than any call needs; the rest of a response may be as long as it likes.
MAX_ARGUMENTS = 64 * 1024
MAX_CALLS = 8
MAX_NAME = 64


@dataclass(frozen=True)
class Call:
    """One call: `arguments` is None when they are no JSON object; `written` is how they came."""

    call_id: str
    name: str
    arguments: dict[str, Any] | None
    written: str = "{}"

    def text(self, name: str, limit: int) -> str:
        """An argument on one line, cut to its limit; empty when it is no text."""
        value = (self.arguments or {}).get(name)
        begin = storable(value[: 4 * limit]) if isinstance(value, str) else ""
        return " ".join(begin.split())[:limit]


def storable(text: str) -> str:
    """With a mark for half a character, which JSON may hold and neither Redis nor HTTP takes."""
    return text.encode("utf-8", "replace").decode()


def read_calls(calls: Any) -> tuple[Call, ...]:
    """The first calls of `tool_calls`; what is no call of a function is left out."""
    found = []
    for number, call in enumerate(calls[:MAX_CALLS] if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(function, dict) and isinstance(name, str) and name:
            call_id = call.get("id")
            known = isinstance(call_id, str) and 0 < len(call_id) <= MAX_NAME
            written, arguments = _arguments(function.get("arguments"))
            own_id = storable(call_id) if known else f"call_{number}"
            found.append(Call(own_id, storable(name[:MAX_NAME]), arguments, written))
    return tuple(found)


def exchange(
    text: str, calls: Sequence[Call], results: Sequence[str]
) -> list[ChatCompletionMessageParam]:
    """A response with calls and what they came to, as the next request repeats them."""
    called: ChatCompletionMessageParam = {
        "role": "assistant",
        "content": text or None,
        "tool_calls": [
            {
                "id": one.call_id,
                "type": "function",
                "function": {"name": one.name, "arguments": one.written},
            }
            for one in calls
        ],
    }
    answered: list[ChatCompletionMessageParam] = [
        {"role": "tool", "tool_call_id": one.call_id, "content": result}
        for one, result in zip(calls, results, strict=True)
    ]
    return [called, *answered]


def _arguments(written: Any) -> tuple[str, dict[str, Any] | None]:
    """As text that a server takes back, and read; some servers give the object itself."""
    try:
        if isinstance(written, str) and len(written) > MAX_ARGUMENTS:
            return "{}", None
        read = json.loads(written) if isinstance(written, str) else written
        return ("{}", None) if not isinstance(read, dict) else (json.dumps(read), read)
    except (ValueError, TypeError, RecursionError):
        return "{}", None

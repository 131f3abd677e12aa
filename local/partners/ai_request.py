"""What an OpenAI-compatible server refuses: a request for a completion that says too little."""

import re
from collections.abc import Mapping
from typing import Any

_ROLES = frozenset({"developer", "system", "user", "assistant", "tool"})


def complaint(body: Any) -> str | None:
    """Say what is wrong with the body of a request for a completion, or None."""
    if not isinstance(body, dict):
        return "We could not parse the JSON body of your request."
    if not (isinstance(body.get("model"), str) and body["model"]):
        return "you must provide a model parameter"
    if wrong := _tools_complaint(body):
        return wrong
    if body.get("stream"):
        return "This stand-in does not stream."
    messages = body.get("messages")
    if not (isinstance(messages, list) and messages):
        return "[] is too short - 'messages'"
    found = (_message_complaint(index, one) for index, one in enumerate(messages))
    return next((sentence for sentence in found if sentence), None) or _call_complaint(messages)


def _tools_complaint(body: dict[str, Any]) -> str | None:
    if "tools" in body and not _are_tools(body["tools"]):
        return "Invalid value for 'tools'."
    if "tool_choice" in body and "tools" not in body:
        return "Invalid value for 'tool_choice': only allowed when 'tools' are specified."
    if body.get("tool_choice", "auto") not in ("auto", "none", "required"):
        return "Invalid value for 'tool_choice'."
    return None


def _are_tools(tools: Any) -> bool:
    """Whether it is a list of functions, each with a name and a JSON schema."""
    return (
        isinstance(tools, list)
        and bool(tools)
        and all(
            isinstance(tool, dict)
            and tool.get("type") == "function"
            and isinstance(function := tool.get("function"), dict)
            and re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(function.get("name", "")))
            and function.get("parameters", {}).get("type") == "object"
            for tool in tools
        )
    )


def _message_complaint(index: int, message: Any) -> str | None:
    if not isinstance(message, dict):
        return f"Invalid type for 'messages[{index}]': expected an object."
    if message.get("role") not in _ROLES:
        return f"Invalid value for 'messages[{index}].role'."
    if message["role"] == "assistant" and message.get("tool_calls"):
        return None  # the only kind of message that may do without content
    if not text_of(message).strip():
        return f"Invalid value for 'messages[{index}].content': expected a non-empty text."
    return None


def _call_complaint(messages: list[dict[str, Any]]) -> str | None:
    """Each call is answered at once, and nothing else is."""
    open_calls: list[str] = []
    for index, one in enumerate(messages):
        if one["role"] == "tool":
            if one.get("tool_call_id") not in open_calls:
                return f"'messages[{index}]': 'tool' must follow a message with its 'tool_calls'."
            open_calls.remove(one["tool_call_id"])
        elif open_calls:
            return "'tool_calls' must be followed by tool messages for each 'tool_call_id'."
        else:
            open_calls = [call["id"] for call in one.get("tool_calls") or ()]
    return "'tool_calls' must be followed by tool messages." if open_calls else None


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message; parts other than text are shown by their kind."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    known = (part for part in parts if isinstance(part, dict))
    return " ".join(str(part.get("text") or part.get("type") or "") for part in known)

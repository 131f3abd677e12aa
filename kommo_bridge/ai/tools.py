"""The tool that the model may call: handing over to a human."""

import json
from typing import Any

from openai.types.chat import ChatCompletionToolParam

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


def handoff_sentence(call: Any) -> str | None:
    """What a call of `handoff` says to the customer, None for any other call."""
    function = getattr(call, "function", None)
    if getattr(function, "name", None) != HANDOFF_TOOL["function"]["name"]:
        return None
    try:
        arguments = json.loads(function.arguments)  # type: ignore[union-attr]
        sentence = arguments["sentence"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return sentence.strip() if isinstance(sentence, str) else ""

"""What must not reach a customer: the syntax of tool calls, JSON, and our own rules. Pure.

Models that know tools only from their training write a call as text, each in a way of its own. Such
a call is carried out where the tool is offered, and is never shown.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kommo_bridge.ai.messenger_text import MAX_SOURCE
from kommo_bridge.ai.prompt import (
    CHANGING,
    CUSTOMERS_OWN_WORDS,
    KNOWLEDGE,
    LEAD_FACTS,
    PROMPT_RULES,
)
from kommo_bridge.ai.tool_calls import Call, storable
from kommo_bridge.ai.tools import GAP_RULE, HANDOFF_RULE, SEARCH_RULE

# The rest of a text is read as text: a reply of braces alone must not cost a second.
MAX_OBJECTS = 32
# Shorter sentences may stand in anybody's reply.
SHORTEST_RULE = 40

# A mark without its end takes what is left.
MARKED = re.compile(
    r"<(tool_calls?|function_calls?|tools?)>.*?(?:</\1>|\Z)"
    r"|<function=.*?(?:</function>|\Z)"
    r"|<\|(?:tool|python)[^|<>]{0,40}\|>.*\Z"
    r"|\[TOOL_CALLS?\].*\Z"
    r"|```tool_(?:code|call).*?(?:```|\Z)",
    re.DOTALL | re.IGNORECASE,
)
SPECIAL_TOKEN = re.compile(r"<\|[a-z_]{2,40}\|>", re.IGNORECASE)
EMPTY_FENCE = re.compile(r"```\w*\s*```")
AS_FUNCTION = re.compile(r"^[^\S\n]*(?:call:\s*)?(\w{1,64})\((.*)\)[^\S\n]*;?$", re.MULTILINE)
NAMED_ARGUMENT = re.compile(r'(\w+)\s*[=:]\s*"((?:[^"\\]|\\.)*)"')
FUNCTION_TAG = re.compile(r"<function=(\w{1,64})>?(.*)\Z", re.DOTALL)
NAME_KEYS = ("name", "function", "tool", "tool_name")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")
TEXT_KEYS = ("reply", "text", "message", "answer", "response", "content")
DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Plain:
    """A reply without what is not meant for the customer.

    Attributes:
        text: What is left.
        calls: The calls of tools that were written in it.
        leaked: It quoted our rules.
    """

    text: str
    calls: tuple[Call, ...] = ()
    leaked: bool = False


def plain_reply(text: str, tools: Collection[str]) -> Plain:
    """Take a reply apart; `tools` are the names of those that are offered."""
    source = text[: MAX_SOURCE + 1]
    if not any(mark in source for mark in "<[{(`"):
        return Plain(source.strip(), leaked=_leaks(source))
    calls: list[Call] = []
    words: list[str] = []

    def take(match: re.Match[str]) -> str:
        calls.extend(_calls(match[0], tools))
        return ""

    left = SPECIAL_TOKEN.sub("", MARKED.sub(take, source))
    left = AS_FUNCTION.sub(lambda match: _function(match, tools, calls), left)
    left = _without_objects(left, tools, calls, words)
    left = EMPTY_FENCE.sub("", left).strip()
    if not left.strip("[], \n") and len(words) == 1:
        left = words[0].strip()
    numbered = [
        Call(f"written_{place}", one.name, one.arguments, one.written)
        for place, one in enumerate(calls)
    ]
    return Plain("" if not left.strip("[], \n") else left, tuple(numbered), _leaks(left))


def _calls(marked: str, tools: Collection[str]) -> Iterator[Call]:
    """The calls within a mark."""
    if match := FUNCTION_TAG.search(marked):
        objects = [one for one, _, _ in _objects(match[2])]
        if match[1] in tools:
            yield _call(match[1], objects[0] if objects else None)
        return
    for one, _, _ in _objects(marked):
        if call := _object_call(one, tools):
            yield call


def _function(match: re.Match[str], tools: Collection[str], calls: list[Call]) -> str:
    """A line such as `handoff(sentence="...")`."""
    if match[1] not in tools:
        return match[0]
    objects = [one for one, _, _ in _objects(match[2])]
    calls.append(_call(match[1], objects[0] if objects else dict(NAMED_ARGUMENT.findall(match[2]))))
    return ""


def _without_objects(text: str, tools: Collection[str], calls: list[Call], words: list[str]) -> str:
    """The text without its JSON objects; their calls and what is text in them are collected."""
    left, end = [], 0
    for one, begin, after in _objects(text):
        left.append(text[end:begin])
        end = after
        if call := _object_call(one, tools):
            calls.append(call)
            continue
        found = [one[key] for key in TEXT_KEYS if isinstance(one.get(key), str)]
        words.extend(map(storable, found[:1]))
    return "".join([*left, text[end:]])


def _objects(text: str) -> Iterator[tuple[dict[str, Any], int, int]]:
    """The JSON objects in a text that hold something, each with its begin and end."""
    place = 0
    for _ in range(MAX_OBJECTS):
        place = text.find("{", place)
        if place < 0:
            return
        try:
            found, end = DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        if found:
            yield found, place, end
        place = end


def _object_call(found: Mapping[str, Any], tools: Collection[str]) -> Call | None:
    """The call that a JSON object is: OpenAI's nested form, or a name beside arguments."""
    nested = found.get("function")
    source = nested if isinstance(nested, dict) else found
    name = next((source[key] for key in NAME_KEYS if isinstance(source.get(key), str)), "")
    if name not in tools:
        return None
    return _call(name, next((source[key] for key in ARGUMENT_KEYS if key in source), None))


def _call(name: str, arguments: Any) -> Call:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = None
    read = arguments if isinstance(arguments, dict) else None
    return Call("", name, read, json.dumps(read or {}))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


RULES = tuple(
    rule
    for text in (
        *(PROMPT_RULES, HANDOFF_RULE, GAP_RULE, SEARCH_RULE),
        *(KNOWLEDGE, CHANGING, LEAD_FACTS, CUSTOMERS_OWN_WORDS),
    )
    for line in text.split("\n")
    if len(rule := _folded(line)) >= SHORTEST_RULE
)


def _leaks(text: str) -> bool:
    """Whether one of our rules stands in it, word for word."""
    folded = _folded(text)
    return any(rule in folded for rule in RULES)

"""The replies of the offline stand-in in a shop: it has read the prompt, and understands little.

It answers with the sentence of the business that shares most words with the question, says whether
the shop is open, and hands over what nothing answers, as a real model is told to.
"""

import re
from typing import Any

from local.partners.ai import handoff_call, tool_call
from local.partners.ai_request import text_of

MARK = "(offline stand-in)"
SENTENCE = re.compile(r"[^.\n]+")
WORD = re.compile(r"[a-z]{4,}|\d+")
OPENING = re.compile(r"The business is (?:open|closed)[^.]*\.")
GREETING = re.compile(r"(?:hi|hello)(?: again)?\W*", re.IGNORECASE)
COMMON = frozenset("hello much have does what when with your that this again there".split())


def shop_reply(messages: list[dict[str, Any]]) -> str | dict[str, Any]:
    """Return the reply, or the calls of tools, to the last message of the customer."""
    system = text_of(messages[0])
    asked = [text_of(one) for one in messages if one["role"] == "user"][-1]
    if re.search(r"\bhuman\b", asked, re.IGNORECASE):
        return handoff_call(f"{MARK} One moment, a colleague will answer you here.")
    if GREETING.fullmatch(asked.strip()):
        return f"{MARK} Hello! How can I help you?"
    opening = OPENING.search(system)
    if opening and re.search(r"\bopen\b", asked, re.IGNORECASE):
        return f"{MARK} {opening[0]}"
    said = system.partition("What the business says:")[2].partition("What holds at this")[0]
    found = _sentence(said, asked)
    return f"{MARK} {found}." if found else _gap(asked)


def _sentence(said: str, asked: str) -> str:
    """The sentence that shares most words with the question; empty when none shares one."""
    words = _words(asked)
    sentences = [one.strip() for one in SENTENCE.findall(said) if "Call " not in one]
    best = max(sentences, key=lambda one: len(words & _words(one)), default="")
    return best if words & _words(best) else ""


def _gap(asked: str) -> dict[str, Any]:
    """Both calls at once: the gap is noted, and a colleague is called."""
    handoff = handoff_call(
        f"{MARK} I do not know that; a colleague will answer you here.",
        "unknown",
        f"The customer asks: {asked}",
    )
    gap = tool_call("note_gap", question=asked[:120])
    gap["tool_calls"][0]["id"] = "call_gap"
    return {"tool_calls": [*gap["tool_calls"], *handoff["tool_calls"]]}


def _words(text: str) -> set[str]:
    return set(WORD.findall(text.lower())) - COMMON

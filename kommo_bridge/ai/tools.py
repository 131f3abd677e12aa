"""The tools that the model may call, and what each call comes to.

A call that cannot be carried out is answered to the model; nothing of it reaches a customer.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openai.types.chat import ChatCompletionToolParam

from kommo_bridge.ai.tool_calls import Call
from kommo_bridge.conversations.handoff import REASONS, HandoffReason, read_reason
from kommo_bridge.errors import BridgeError

# A query in, the passages that were found out, as the model reads them.
Search = Callable[[str], str]

MAX_SENTENCE = 1_000
MAX_SUMMARY = 500
MAX_GAP = 120
MAX_QUERY = 200
# Many times what six passages need.
MAX_RESULT = 20_000
# A number of a person or an order, or an address: a gap is a question in general.
PERSONAL = re.compile(r"\S+@\S+|\+?\d(?:[ ()./-]?\d){5,}")

HANDOFF_RULE = """\
Call handoff when the customer asks for a human, complains, orders, or needs something that only a \
colleague can do: nobody learns of it otherwise."""
GAP_RULE = """\
When nothing that you were given answers a question about the business, call note_gap, then say \
that you do not know; or call handoff with the reason unknown when the customer needs an answer."""
SEARCH_RULE = """\
The business has given more to know than stands here: call search_knowledge before you answer a \
question about the business or say that you do not know."""


def _tool(name: str, description: str, **properties: dict[str, Any]) -> ChatCompletionToolParam:
    """A tool all of whose properties are required."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}  # type: ignore[typeddict-item]


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


HANDOFF_TOOL = _tool(
    "handoff",
    "Hand the conversation over to a human colleague. You then fall silent.",
    sentence=_text(
        "One sentence to the customer, in the customer's language, saying that a colleague will "
        "answer here."
    ),
    reason=_text("Why.", enum=list(REASONS)),
    summary=_text(
        "For the colleague: what the customer wants and what is settled, in the language of the "
        "business's instructions, in at most three sentences."
    ),
)
GAP_TOOL = _tool(
    "note_gap",
    "Note a question that the business has given no answer to, so that it can add one.",
    question=_text(
        f"The question in general, at most {MAX_GAP} characters, without names, numbers or "
        "anything else of this customer."
    ),
)
SEARCH_TOOL = _tool(
    "search_knowledge",
    "Search what the business has given to know: prices, rules, hours, texts of its pages.",
    query=_text("What to look for, in a few words."),
)


@dataclass(frozen=True)
class Tools:
    """What is offered in one question."""

    handoff: bool = False
    search: Search | None = None

    def offered(self) -> list[ChatCompletionToolParam]:
        """The tools as the body of a request names them."""
        own = [HANDOFF_TOOL, GAP_TOOL] if self.handoff else []
        return [*own, SEARCH_TOOL] if self.search else own

    def rules(self) -> str:
        """When to call them."""
        own = [HANDOFF_RULE, GAP_RULE] if self.handoff else []
        return "\n".join([*own, SEARCH_RULE] if self.search else own)

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [one["function"]["name"] for one in self.offered()]


@dataclass(frozen=True)
class Handoff:
    """What the model says when it hands over; texts may be empty."""

    sentence: str = ""
    reason: HandoffReason = "other"
    summary: str = ""


@dataclass(frozen=True)
class ToolUse:
    """One call for the trace: the tool, what it was asked, and what came of it."""

    tool: str
    asked: str
    result: str


@dataclass
class Toolbox:
    """Carries out the calls of one question.

    Attributes:
        handoff: The first handoff that was called; it ends the question.
        gaps: The questions that nothing given answers.
        used: All calls, for the trace.
    """

    tools: Tools
    handoff: Handoff | None = None
    gaps: list[str] = field(default_factory=list)
    used: list[ToolUse] = field(default_factory=list)

    def carry_out(self, call: Call) -> str:
        """Do what is called for; returns what the model is answered."""
        known = call.name in self.tools.names
        result = self._result(call) if known else f"No such tool. There are: {self._known()}."
        asked = " | ".join(str(value)[:MAX_QUERY] for value in (call.arguments or {}).values())
        self.used.append(ToolUse(call.name if known else "unknown tool", asked, result))
        return result

    def _result(self, call: Call) -> str:
        if call.name == "handoff":  # a broken call of it is still a wish for a human
            self.handoff = self.handoff or _handoff(call)
            return "The conversation is handed over."
        if call.name == "note_gap":
            return self._note_gap(call.text("question", MAX_GAP))
        return self._search(call.text("query", MAX_QUERY))

    def _note_gap(self, question: str) -> str:
        question = PERSONAL.sub("…", question)
        if not question:
            return 'The arguments are not {"question": "..."} with a text.'
        if question not in self.gaps:
            self.gaps.append(question)
        return "It is noted. Tell the customer that you do not know, and promise nothing."

    def _search(self, query: str) -> str:
        if not query or self.tools.search is None:
            return 'The arguments are not {"query": "..."} with a text.'
        try:
            found = self.tools.search(query)
        except BridgeError:
            return "The search failed."
        return found[:MAX_RESULT] or "Nothing was found."

    def _known(self) -> str:
        return ", ".join(self.tools.names)


def _handoff(call: Call) -> Handoff:
    return Handoff(
        call.text("sentence", MAX_SENTENCE),
        read_reason(call.text("reason", MAX_QUERY)),
        call.text("summary", MAX_SUMMARY),
    )

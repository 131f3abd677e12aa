"""Try: a chat through the code that answers customers, carried out by a worker."""

import secrets
from typing import Any

from flask import request
from werkzeug.wrappers import Response

from kommo_bridge.conversations.keys import entity_name
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.queue.errands import ANSWER, Errand, Errands
from kommo_bridge.web.console.pages import Console, go_to, page

MAX_CHARACTERS = 4000
MAX_NUMBER = 2**31
# A tool of the assistant, in the words of the page.
TOOLS = {
    "search_knowledge": "Looked up",
    "handoff": "Asked for a person",
    "note_gap": "Noted a question without an answer",
}


def show(console: Console, integration: Integration) -> tuple[str, int]:
    """What was said in this chat, and how far the last message has come."""
    return page("try", integration=integration, **_chat(console, integration))


def piece(console: Console, integration: Integration) -> tuple[str, int]:
    """The part of the page that follows the last message."""
    return page("_chat", integration=integration, **_chat(console, integration))


def say(console: Console, integration: Integration) -> Response:
    """Hand a message to a worker."""
    message = request.form.get("message", "").strip()[:MAX_CHARACTERS]
    number = _number(request.form.get("chat", ""))
    if not message:
        return go_to("try", integration, chat=number)
    turn = Errands(console.redis).ask(ANSWER, integration, chat=str(number), message=message)
    return go_to("try", integration, chat=number, turn=turn)


def new(console: Console, integration: Integration) -> Response:
    """Forget this chat and begin another."""
    name = entity_name(integration, "chat", _number(request.form.get("chat", "")))
    conversations = Conversations(console.redis)
    conversations.forget(name)
    conversations.resume(name)
    return go_to("try", integration)


def _chat(console: Console, integration: Integration) -> dict[str, Any]:
    number, turn = _number(request.args.get("chat", "")), request.args.get("turn", "")
    said = Conversations(console.redis).exchanges(entity_name(integration, "chat", number))
    errand = Errands(console.redis).look(turn, integration, ANSWER) if turn else None
    result = errand.result if errand and errand.state == "done" else None
    return {
        "chat": number,
        "turn": turn,
        "said": said,
        "errand": errand,
        "waiting": bool(errand and errand.state == "waiting"),
        "asked": _asked(errand),
        "result": result,
        "remembered": bool(said and result and said[-1].reply == result["reply"]),
        "tools": TOOLS,
    }


def _asked(errand: Errand | None) -> str:
    """The message that is under way."""
    return str(errand.asked.get("message", "")) if errand else ""


def _number(text: str) -> int:
    """The chat that a form or an address names, else a new one's."""
    known = text.isascii() and text.isdigit() and 0 < int(text[:12]) < MAX_NUMBER
    return int(text) if known else secrets.randbelow(MAX_NUMBER - 1) + 1

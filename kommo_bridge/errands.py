"""What a worker does for the console: examine an account, make its bot file, answer a try, test.

RQ calls these by name (`queue/errands`). They return plain JSON without secrets; what cannot be
done is a sentence in it, so that no job fails for a reason that the page can show.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from redis.exceptions import RedisError

from kommo_bridge.chat import Chat, paid_for
from kommo_bridge.conversations.money import cost, shown
from kommo_bridge.errors import BridgeError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.jobs import Parts, process_parts
from kommo_bridge.monitoring.doctor import examine
from kommo_bridge.monitoring.probe_token import mint_token
from kommo_bridge.monitoring.widget_number import widget_number
from kommo_bridge.queue.errands import go_on
from kommo_bridge.scenarios.read import read_text
from kommo_bridge.scenarios.steps import go_a_step
from kommo_bridge.widget.bot import build_bot
from kommo_bridge.widget.build import WIDGET_REQUEST_PATH

PROBE_SECONDS = 300.0

Payload = Mapping[str, Any]


def examine_account(payload: Payload) -> list[dict[str, str]]:
    """The doctor's findings, in order."""
    parts = process_parts()
    integration = _integration(parts, payload)
    token = mint_token(integration, 1, PROBE_SECONDS)
    return [asdict(one) for one in examine(integration, parts.settings, token)]


def make_bot(payload: Payload) -> dict[str, str]:
    """`file` and `origin`, or `error`."""
    parts = process_parts()
    integration = _integration(parts, payload)
    try:
        number, origin = widget_number(integration, parts.settings)
        title = f"Reply with AI ({integration.subdomain})"
        address = f"{parts.settings.public_url}{WIDGET_REQUEST_PATH}"
        content = build_bot(title, str(number), address, "a")
    except (BridgeError, RedisError) as error:
        return {"error": str(error) if isinstance(error, BridgeError) else "Redis is away."}
    return {"file": content.decode(), "origin": f"Widget number {number}: {origin}"}


def answer(payload: Payload) -> dict[str, Any]:
    """What the assistant answers somebody who tries it, and how that came about."""
    parts = process_parts()
    integration = _integration(parts, payload)
    notes: list[str] = []
    chat = Chat(parts, integration, int(payload["chat"]), show=notes.append)
    answered = chat.say(payload["message"])
    outcome, replies = answered.outcome, answered.replies
    paid = sum(cost(integration, paid_for(one)) for one in replies)
    return {
        "status": outcome.status,
        "text": "" if outcome.silent else outcome.spoken,
        "reply": outcome.reply,
        "reason": outcome.handoff_reason if outcome.status == "handoff" else "",
        "error": outcome.error,
        "tools": [{"tool": one.tool, "asked": one.asked} for each in replies for one in each.used],
        "unfounded": [one.text for each in replies for one in each.unfounded],
        "notes": notes,
        "seconds": answered.seconds,
        "tokens": sum(one.tokens for one in replies),
        "money": shown(paid, integration.currency) if paid else "",
    }


def add_page(payload: Payload) -> dict[str, str]:
    """`title` of the page that the assistant knows now, or `error`."""
    parts = process_parts()
    integration = _integration(parts, payload)
    try:
        source = parts.knowledge.add_page(integration, payload["url"], payload["title"])
    except BridgeError as error:
        return {"error": str(error)}
    return {"title": source.title}


def add_file(payload: Payload) -> dict[str, str]:
    """`title` of the file that the assistant knows now, or `error`."""
    parts = process_parts()
    integration = _integration(parts, payload)
    data: Any = parts.redis.getdel(payload["key"])
    if data is None:
        return {"error": "The file has waited for too long. Please add it again."}
    try:
        source = parts.knowledge.add_file(integration, payload["name"], data, payload["title"])
    except BridgeError as error:
        return {"error": str(error)}
    return {"title": source.title}


def save_scenarios(payload: Payload) -> dict[str, Any]:
    """How many scenarios of a text are `new` and how many `replaced`, or `error`."""
    parts = process_parts()
    integration = _integration(parts, payload)
    try:
        scenarios = read_text(payload["text"], "The text", trusted=False)
        tables = [one.table for one in scenarios if one.table]
        new = SavedScenarios(parts.integrations.database).save(integration, tables)
    except BridgeError as error:
        return {"error": str(error)}
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists in ...
        return {"error": "The text: this is not TOML that can be read."}
    return {"new": new, "replaced": len(tables) - new}


def run_scenarios(payload: Payload) -> Any:
    """The next runs of a round; nothing when they were the last."""
    parts = process_parts()
    integration = _integration(parts, payload)
    return go_on() if go_a_step(parts, integration, payload["round"]) else None


def _integration(parts: Parts, payload: Payload) -> Integration:
    """Raises IntegrationError when it is gone."""
    return parts.integrations.get(f"{payload['subdomain']}/{payload['integration_id']}")

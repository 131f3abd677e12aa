"""Conversations: the newest first, what was said in one, and who answers there."""

from dataclasses import dataclass

from flask import request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from kommo_bridge.conversations.keys import ENTITY_TYPES, entity_name
from kommo_bridge.conversations.memory import Conversations, Exchange
from kommo_bridge.conversations.newest import Newest
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.web.console.pages import Console, go_to, page

ON_ONE_PAGE = 25
LONGEST_HOURS = 8760.0
MAX_NUMBER = 2**53
# Where Kommo shows an entity.
PLACES = {"lead": "leads", "contact": "contacts", "customer": "customers"}


@dataclass(frozen=True)
class Said:
    """One exchange; `person` tells people of one lead apart, empty where there is only one."""

    exchange: Exchange
    person: str


def listed(console: Console, integration: Integration) -> Response | tuple[str, int]:
    """The newest ones; a number that is looked for leads to its conversation."""
    wanted = request.args.get("number", "").strip().lstrip("#")
    if wanted.isascii() and wanted.isdigit() and 0 < int(wanted[:20]) < MAX_NUMBER:
        return go_to("conversation", integration, entity_type="lead", entity_id=int(wanted))
    newest = Newest(console.redis)
    count = newest.count(integration)
    last = max(1, -(-count // ON_ONE_PAGE))
    number = min(max(1, request.args.get("page", 1, type=int)), last)
    found = newest.some(integration, (number - 1) * ON_ONE_PAGE, ON_ONE_PAGE)
    error = "Give the number of a lead, such as 26818280." if wanted else ""
    return page(
        "conversations",
        400 if error else 200,
        integration=integration,
        found=found,
        count=count,
        number=number,
        last=last,
        error=error,
    )


def show(
    console: Console, integration: Integration, entity_type: str, entity_id: int
) -> Response | tuple[str, int]:
    """One conversation, and what is done with it."""
    name = _name(integration, entity_type, entity_id)
    conversations = Conversations(console.redis)
    if request.method == "POST":
        done = _do(conversations, name, integration)
        if done:
            where = {"entity_type": entity_type, "entity_id": entity_id}
            return go_to("conversation", integration, done=done, **where)
    said = conversations.exchanges(name)
    people = list(dict.fromkeys(one.chat_id for one in said))
    named = {one: f"Person {place}" for place, one in enumerate(people, 1)}
    return page(
        "conversation",
        400 if request.method == "POST" else 200,
        integration=integration,
        entity_type=entity_type,
        entity_id=entity_id,
        said=[Said(one, named[one.chat_id] if len(people) > 1 else "") for one in said],
        pause=conversations.paused(name),
        place=f"https://{integration.host}/{PLACES[entity_type]}/detail/{entity_id}",
        error="Give a number of hours, such as 12." if request.method == "POST" else "",
    )


def _do(conversations: Conversations, name: str, integration: Integration) -> str:
    """What the form asks for; returns what was done, empty when it cannot be."""
    what = request.form.get("what")
    if what == "resume":
        conversations.resume(name)
        return "resumed"
    if what == "forget":
        conversations.forget(name)
        return "forgotten"
    hours = request.form.get("hours", type=float) or integration.handoff_hours
    if what == "pause" and 0 < hours <= LONGEST_HOURS:
        conversations.pause(name, hours, "paused in the console")
        return "paused"
    return ""


def _name(integration: Integration, entity_type: str, entity_id: int) -> str:
    if entity_type not in ENTITY_TYPES or not 0 < entity_id < MAX_NUMBER:
        raise NotFound
    return entity_name(integration, ENTITY_TYPES[entity_type], entity_id)

"""What all views of the console share: the parts they look at, and how a page is made."""

from dataclasses import dataclass
from typing import Any

from flask import g, redirect, render_template, request, url_for
from redis import Redis
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from kommo_bridge.access import Access, Session
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings
from kommo_bridge.web.password_guard import PasswordGuard

# What a page says after something was done; the address names it, so it cannot say anything else.
DONE = {
    "saved": "Saved. The next answer already uses it.",
    "same": "Nothing was changed, so there was nothing to save.",
    "added": "Added. Connect it next.",
    "on": "Switched on: customers are answered.",
    "off": "Switched off: nobody is answered until you switch it on again.",
    "paused": "The assistant is silent in this conversation now.",
    "resumed": "The assistant answers in this conversation again.",
    "forgotten": "Forgotten. A pause, if there is one, stays.",
    "restored": "The instructions are those of before again. What you replaced is kept too.",
    "known": "The assistant knows it now.",
    "unknown": "Taken away. The assistant no longer knows it.",
    "gap-done": "Done. It is off the list; an answer that you wrote is known from now on.",
    "test-removed": "The test is removed.",
    "revoked": "Done. Every link and every session of this account's owner has ended.",
    "signed-out": "You are signed out.",
}


@dataclass(frozen=True)
class Console:
    """The parts that the views work with."""

    settings: Settings
    integrations: IntegrationStore
    redis: Redis
    access: Access
    guard: PasswordGuard


@dataclass(frozen=True)
class Tab:
    """A page of an account, and those that are found under it."""

    endpoint: str
    title: str
    under: tuple[str, ...] = ()


TABS = (
    Tab("assistant", "Assistant", ("versions",)),
    Tab("knowledge", "Knowledge", ("source",)),
    Tab("gaps", "Gaps"),
    Tab("try", "Try it"),
    Tab("tests", "Tests"),
    Tab("connect", "Connect"),
    Tab("conversations", "Conversations", ("conversation",)),
    Tab("week", "Week"),
)


def session() -> Session | None:
    """Who looks, if they came in."""
    found: Session | None = g.get("console_session")
    return found


def who() -> str:
    """Who changes something, for the versions of the instructions."""
    found = session()
    return "console, operator" if found is None or found.is_operator else "console, owner"


def find_account(console: Console, subdomain: str, integration_id: str) -> Integration:
    """The integration that an address names, in full.

    Raises:
        NotFound: There is none.
    """
    name = f"{subdomain}/{integration_id}"
    try:
        found = console.integrations.get(name)
    except IntegrationError:
        raise NotFound from None
    if integration_name(found) != name:
        raise NotFound
    return found


def page(template: str, status: int = 200, **values: Any) -> tuple[str, int]:
    """One of the console's pages.

    Args:
        template: Its name under `templates/console/`, without `.html`.
        values: What it shows; `integration` makes it a page of an account.
    """
    done = DONE.get(request.args.get("done", ""))
    shared = {"session": session(), "csrf": g.get("console_csrf", ""), "tabs": TABS, "done": done}
    return render_template(f"console/{template}.html", **{**shared, **values}), status


def go_to(endpoint: str, integration: Integration | None = None, **values: Any) -> Response:
    """Send the browser to another page of ours, after something was done."""
    if integration:
        values |= account(integration)
    return redirect(url_for(f"console.{endpoint}", **values), 303)


def account(integration: Integration) -> dict[str, str]:
    """The part of an address that names an account."""
    return {"subdomain": integration.subdomain, "integration_id": integration.integration_id}

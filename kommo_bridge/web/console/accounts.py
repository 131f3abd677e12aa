"""All accounts, for the operator: how each is, one more, on and off, and a link for its owner."""

import time
from dataclasses import dataclass, replace

from flask import request, url_for
from redis.exceptions import RedisError
from werkzeug.wrappers import Response

from kommo_bridge.access import LINK_SECONDS
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.integration import DOMAINS, HELP, Integration, from_mapping
from kommo_bridge.integrations.open_store import refuse_if_overwritten
from kommo_bridge.kommo.tokens import days_left
from kommo_bridge.telemetry.health import Health, read_health
from kommo_bridge.web.console.pages import Console, go_to, page, who

FEW_DAYS = 14
ADDED = ("subdomain", "domain", "integration_id", "name", "secret_key", "access_token")


@dataclass(frozen=True)
class Row:
    """One account and how it is.

    Attributes:
        days: How many days its access token is still valid; None when it does not say.
    """

    integration: Integration
    health: Health | None
    days: float | None

    @property
    def trouble(self) -> str:
        """What somebody should look at; empty when all is well."""
        if not self.integration.access_token:
            return "No access token is stored"
        if self.days is not None and self.days < FEW_DAYS:
            return f"The access token ends in {max(0, self.days):.0f} days"
        if self.health and self.health.failing_since:
            return self.health.failed_because or "Answers fail"
        return ""


def show(console: Console) -> tuple[str, int]:
    """All of them."""
    found = console.integrations.all()
    rows = [
        Row(one, health, days_left(one.access_token, time.time()))
        for one, health in zip(found, _healths(console, found), strict=True)
    ]
    return page("accounts", rows=rows)


def add(console: Console) -> Response | tuple[str, int]:
    """One more."""
    given = {name: request.form.get(name, "").strip() for name in ADDED}
    error = ""
    if request.method == "POST":
        try:
            integration = from_mapping(given)
            console.integrations.add(integration, by=who())
            return go_to("assistant", integration, done="added")
        except IntegrationError as refused:
            error = str(refused)
    shown = {name: value for name, value in given.items() if name in ADDED[:4]}
    status = 400 if error else 200
    return page("add_account", status, given=shown, error=error, domains=DOMAINS, help=HELP)


def switch(console: Console, integration: Integration) -> Response:
    """On or off."""
    enabled = request.form.get("enabled") == "yes"
    switched = replace(integration, enabled=enabled)
    refuse_if_overwritten(console.settings, integration, switched)
    console.integrations.save(switched, by=who())
    return go_to("accounts", done="on" if enabled else "off")


def owner(console: Console, integration: Integration) -> tuple[str, int]:
    """A link for the owner, shown once."""
    link = ""
    if request.method == "POST":
        token = console.access.make_link(integration_name(integration))
        base = (console.settings.public_url or request.host_url).rstrip("/")
        link = base + url_for("console.link", token=token)
    return page("owner", integration=integration, link=link, minutes=LINK_SECONDS // 60)


def revoke(console: Console, integration: Integration) -> Response:
    """End the owner's access."""
    console.access.revoke(integration_name(integration))
    return go_to("owner", integration, done="revoked")


def _healths(console: Console, found: list[Integration]) -> list[Health | None]:
    """None where it cannot be told: the list is of use without it too."""
    try:
        return list(read_health(console.redis, map(integration_name, found)))
    except RedisError:
        return [None] * len(found)

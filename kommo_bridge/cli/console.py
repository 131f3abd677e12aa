"""`flask console`: a link that lets the owner of one account into the console, and its end."""

import click
from flask.cli import AppGroup
from redis import Redis

from kommo_bridge.access import LINK_SECONDS, Access
from kommo_bridge.cli.running import warn_if_unused
from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings


def console_group(store: IntegrationStore, redis: Redis, settings: Settings) -> AppGroup:
    """The group `flask console`."""
    group = AppGroup("console", help="Who may see the console at /console/.")
    access = Access(redis, settings)

    @group.command("link")
    @click.argument("name")
    def link(name: str) -> None:
        """Print a link for the owner of NAME: to this account alone, once, within 15 minutes.

        Opened in a browser it becomes a session of 30 days on that device.
        """
        if not settings.dashboard_password:
            raise click.ClickException("There is no console: set DASHBOARD_PASSWORD and restart.")
        base = settings.public_url or f"http://localhost:{settings.port}"
        with errors_as_messages():
            integration = store.get_without_secrets(name)
            warn_if_unused(redis)
            token = access.make_link(integration_name(integration))
        click.echo(f"{base.rstrip('/')}/console/link/{token}")
        minutes = LINK_SECONDS // 60
        click.echo(
            f"For the owner of {integration.host}: once, within {minutes} minutes.", err=True
        )

    @group.command("revoke")
    @click.argument("name")
    def revoke(name: str) -> None:
        """End all links and all sessions of the owner of NAME."""
        with errors_as_messages():
            integration = store.get_without_secrets(name)
            ended = access.revoke(integration_name(integration))
        text = "All links and sessions of its owner have ended" if ended else "There were none"
        click.echo(f"{integration.host}: {text}.")

    return group

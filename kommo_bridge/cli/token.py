"""`flask token`: a signed test token, to speak to the bridge as Kommo does."""

import click
from flask.cli import AppGroup

from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.monitoring.probe_token import mint_token


def token_group(integrations: IntegrationStore) -> AppGroup:
    """The group `flask token`."""
    group = AppGroup("token", help="Make a bot token for a test request.")

    @group.command("mint")
    @click.argument("name")
    @click.option("--entity-id", default=67890, show_default=True, help="The lead's number.")
    @click.option(
        "--minutes",
        type=click.IntRange(1, 1440),
        default=30,
        show_default=True,
        help="How long it is valid.",
    )
    def mint(name: str, entity_id: int, minutes: int) -> None:
        """Print a token of the integration NAME, signed as Kommo signs (HS512).

        An account that has not spoken yet has no known number: the token then says 0, which is
        accepted but never stored.
        """
        with errors_as_messages():
            integration = integrations.get(name)
        click.echo(mint_token(integration, entity_id, minutes * 60))

    return group

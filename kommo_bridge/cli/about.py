"""`flask about`: the version of the bridge, and which Redis and store the commands speak to."""

import click

from kommo_bridge.cli.tables import table
from kommo_bridge.monitoring.check_about import about
from kommo_bridge.settings import Settings


def about_command(settings: Settings) -> click.Command:
    """`flask about`."""

    @click.command("about")
    def command() -> None:
        """Show the version, and which Redis and store the commands speak to."""
        for line in table(list(about(settings).items())):
            click.echo(line)

    return command

"""`flask store`: the store as a whole."""

import click
from flask.cli import AppGroup

from kommo_bridge.cli.rotation import rotate_key_command
from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.english import counted
from kommo_bridge.integrations.copying import copy_store
from kommo_bridge.integrations.database import address
from kommo_bridge.integrations.store import IntegrationStore

PLACE = "PATH-OR-URL"


def store_group(store: IntegrationStore) -> AppGroup:
    """The group of commands."""
    group = AppGroup("store", help="The integration store as a whole.")
    group.add_command(rotate_key_command(store))

    @group.command("copy")
    @click.option("--from", "source", required=True, metavar=PLACE, help="What is copied.")
    @click.option("--to", "target", required=True, metavar=PLACE, help="An empty store.")
    @click.option("--replace", is_flag=True, help="Remove what the target holds.")
    def copy(*, source: str, target: str, replace: bool) -> None:
        """Copy everything from one store to another.

        Each is the path of a SQLite file or a postgres:// URL. Secrets are copied as they are
        encrypted: they need the same SECRET_KEY. The copy is compared with what was read.
        """
        with errors_as_messages():
            counts = copy_store(source, target, replace=replace)
        for table, count in counts.items():
            click.echo(f"{table}: {counted(count, 'row')}")
        click.echo(f"Copied to {address(target)} and compared: the same.")

    return group

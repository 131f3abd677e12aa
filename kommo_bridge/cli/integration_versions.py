"""`flask integrations history` and `restore`: the versions of the instructions."""

from dataclasses import replace

import click
from flask.cli import AppGroup

from kommo_bridge.cli.tables import errors_as_messages, table
from kommo_bridge.english import counted
from kommo_bridge.integrations.open_store import refuse_if_overwritten
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.versions import KEPT, Version, version_of, versions_of
from kommo_bridge.settings import Settings

SHOWN = 60  # characters of a version's beginning


def version_commands(group: AppGroup, store: IntegrationStore, settings: Settings) -> None:
    """Add `history` and `restore` to `flask integrations`."""

    @group.command("history", help=f"Who changed the instructions of NAME: the last {KEPT}.")
    @click.argument("name")
    @click.argument("number", type=int, required=False)
    def history(name: str, number: int | None) -> None:
        with errors_as_messages():
            integration = store.get_without_secrets(name)
            if number is not None:
                click.echo(version_of(store.database, integration, number).text)
                return
            found = versions_of(store.database, integration)
        if not found:
            click.echo("The instructions have not changed since versions are kept.")
            return
        for line in table([("NUMBER", "WHEN (UTC)", "WHO", "LENGTH", "BEGINS"), *map(_row, found)]):
            click.echo(line)

    @group.command("restore")
    @click.argument("name")
    @click.argument("number", type=int)
    def restore(name: str, number: int) -> None:
        """Take the instructions of NAME back to version NUMBER, which then is the newest one.

        A whole backup is brought back by `flask store copy --from FILE --to STORE --replace`.
        """
        with errors_as_messages():
            before = store.get(name)
            text = version_of(store.database, before, number).text
            after = replace(before, instructions=text)
            refuse_if_overwritten(settings, before, after)
            store.rename(before, after)
        size = f"{len(before.instructions)} -> {counted(len(text), 'character')}"
        click.echo(f"{after.host} has the instructions of version {number} again: {size}.")


def _row(version: Version) -> tuple[str, ...]:
    when = version.at[:16].replace("T", " ")
    begins = " ".join(version.text[: SHOWN * 2].split())[:SHOWN]
    return (str(version.number), when, version.who, str(len(version.text)), begins)

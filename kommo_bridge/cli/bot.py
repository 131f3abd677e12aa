"""`flask bot build`: the ready-made Salesbot for one account, to import into Kommo."""

from pathlib import Path
from typing import cast

import click
from flask.cli import AppGroup

from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.cli.widget import known_url, widget_request_url
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings
from kommo_bridge.widget.bot import Variant, build_bot


def bot_group(store: IntegrationStore, settings: Settings) -> AppGroup:
    """The group `flask bot`."""
    group = AppGroup("bot", help="Make the Salesbot that Kommo's import takes.")

    @group.command("build")
    @click.argument("name")
    @click.option("--widget-id", type=click.IntRange(1), help="Default: Kommo is asked.")
    @click.option("--variant", type=click.Choice(["a", "b"]), default="a", show_default=True)
    @click.option("--url", help="Public address of this bridge. Default: PUBLIC_URL.")
    @click.option(
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Where the file is written. Default: dist/NAME-bot.json.",
    )
    def build(
        name: str, widget_id: int | None, variant: str, url: str | None, output: Path | None
    ) -> None:
        """Build the bot of the integration NAME: our widget, a pause, and its exits linked.

        First install the widget in Kommo and save its settings once. Should Kommo refuse the file,
        try --variant b.
        """
        # Here, not above: the web process, which loads these commands, does not call Kommo.
        from kommo_bridge.monitoring.widget_number import widget_number  # noqa: PLC0415

        address = widget_request_url(url or known_url(settings.public_url))
        with errors_as_messages():
            integration = store.get(name)
            number, origin = widget_number(integration, settings, widget_id)
            title = f"Reply with AI ({integration.subdomain})"
            content = build_bot(title, str(number), address, cast("Variant", variant))
        output = output or Path("dist") / f"{integration.subdomain}-bot.json"
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(content)
        except OSError as error:
            raise click.ClickException(f"{output}: cannot be written: {error}") from error
        click.echo(f"{output}: variant {variant}, {len(content) / 1024:.1f} KB")
        click.echo(f"Widget number {number}: {origin}")
        click.echo(f"Widget requests go to {address}")
        click.echo("No live account has proven this file yet: docs/kommo-setup.md, section 5b")

    return group

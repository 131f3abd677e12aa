"""`flask integrations`: who may speak to the bridge, and how it answers."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import click
from flask.cli import AppGroup

from kommo_bridge.cli.field_values import (
    account_of,
    changed,
    file_name_meant,
    shorter,
    warn_of_shapes,
    warn_of_uncounted_money,
)
from kommo_bridge.cli.integration_files import file_commands, read_text
from kommo_bridge.cli.integration_health import health_commands
from kommo_bridge.cli.integration_versions import version_commands
from kommo_bridge.cli.tables import errors_as_messages, table
from kommo_bridge.integrations.filling import Change
from kommo_bridge.integrations.form import is_loss
from kommo_bridge.integrations.integration import (
    DOMAINS,
    FIELDS,
    HELP,
    KINDS,
    SECRETS,
    Integration,
    from_mapping,
)
from kommo_bridge.integrations.open_store import refuse_if_overwritten
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings


class FieldsCommand(click.Command):
    """A command whose help ends with all fields of an integration."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """What each field means and must be."""
        with formatter.section("Fields"):
            formatter.write_dl(
                [(name, f"{HELP[name]} Must {KINDS[name].must}.{_unset(name)}") for name in FIELDS]
            )


def integrations_group(store: IntegrationStore, settings: Settings) -> AppGroup:
    """The group `flask integrations`."""
    group = AppGroup("integrations", help="The Kommo accounts that this bridge answers for.")
    makers = (
        _reading_commands,
        _adding_commands,
    )
    for make in makers:
        make(group, store)
    _changing_commands(group, store, settings)
    file_commands(group, store, settings)
    health_commands(group, store, settings)
    version_commands(group, store, settings)
    return group


def _reading_commands(group: AppGroup, store: IntegrationStore) -> None:
    @group.command("show")
    @click.argument("name")
    def show(name: str) -> None:
        """Show one integration. Secrets are shown by their last four characters only."""
        with errors_as_messages():
            integration = store.get(name)
        rows = [(key, _shown(key, value)) for key, value in asdict(integration).items()]
        for line in table(rows):
            click.echo(line)


def _adding_commands(group: AppGroup, store: IntegrationStore) -> None:
    @group.command("add")
    @click.option("--subdomain", required=True, help=HELP["subdomain"])
    @click.option("--integration-id", required=True, help=HELP["integration_id"])
    @click.option("--account-id", type=int, help=HELP["account_id"])
    @click.option("--domain", type=click.Choice(DOMAINS), default=DOMAINS[0], help=HELP["domain"])
    @click.option("--name", default="", help=HELP["name"])
    @click.option(
        "--secret-key",
        envvar="KOMMO_SECRET_KEY",
        prompt="Secret key of the integration",
        hide_input=True,
        help="The integration's secret key; asked for when neither this nor "
        "KOMMO_SECRET_KEY is given.",
    )
    @click.option(
        "--access-token",
        envvar="KOMMO_ACCESS_TOKEN",
        prompt="Long-lived access token",
        hide_input=True,
        help="The long-lived token; asked for when neither this nor KOMMO_ACCESS_TOKEN is given.",
    )
    @click.option(
        "--instructions-file",
        type=click.Path(exists=True, dir_okay=False),
        help="A text file: what the assistant is told about the business.",
    )
    @click.option("--model", help="Instead of OPENAI_MODEL.")
    def add(instructions_file: str | None, **given: Any) -> None:
        """Add one integration. Secrets come from options, the environment or a hidden prompt."""
        values = {key: value for key, value in given.items() if value is not None}
        values |= account_of(values["subdomain"])
        if instructions_file:
            values["instructions"] = read_text(instructions_file)
        with errors_as_messages():
            integration = from_mapping(values)
            store.add(integration)
        warn_of_shapes(integration, values)
        click.echo(f"Added {integration.host}. Next: flask integrations check {_name(integration)}")


def _changing_commands(group: AppGroup, store: IntegrationStore, settings: Settings) -> None:
    @group.command("set", cls=FieldsCommand)
    @click.argument("name")
    @click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE ...")
    @click.option("--yes", is_flag=True, help="Do not ask before a long text gets lost.")
    def set_(name: str, changes: tuple[str, ...], *, yes: bool) -> None:
        """Change fields of one integration.

        KEY=@FILE takes a file's content, KEY=- what is typed unseen or piped in; a secret field
        without a value is asked for, unseen.
        """
        with errors_as_messages():
            before = store.get(name)
            after = changed(before, changes)
            refuse_if_overwritten(settings, before, after)
            _ask_back(changes, before, after, yes=yes)
            store.rename(before, after)
        warn_of_shapes(after, Change(before, after).fields)
        warn_of_uncounted_money(after)
        click.echo(f"Changed {after.host}.")

    @group.command("disable")
    @click.argument("name")
    def disable(name: str) -> None:
        """Refuse requests of one integration; nothing stored is lost."""
        _switch(store, settings, name, enabled=False)

    @group.command("enable")
    @click.argument("name")
    def enable(name: str) -> None:
        """Accept requests of one integration again."""
        _switch(store, settings, name, enabled=True)

    @group.command("remove")
    @click.argument("name")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def remove(name: str, *, yes: bool) -> None:
        """Forget one integration and its secrets."""
        with errors_as_messages():
            integration = store.get_without_secrets(name)
            if not yes:
                click.confirm(f"Remove {integration.host} and its secrets?", abort=True)
            refuse_if_overwritten(settings, integration, None)
            store.remove(integration)
        click.echo(f"Removed {integration.host}.")


def _ask_back(
    changes: Iterable[str], before: Integration, after: Integration, *, yes: bool
) -> None:
    """What may be a slip is shown, and done only when it is meant."""
    for field, old, new in shorter(before, after):
        click.echo(f"{field}: {old} -> {new} characters")
        if is_loss(old, new) and not yes:
            click.confirm("Is that meant?", abort=True)
    for change in changes:
        key, _, value = change.partition("=")
        if file_name_meant(key, value) and not yes:
            click.echo(f"{value} is a file here; {key}=@{value} takes its content.")
            click.confirm("Take the name itself?", abort=True)


def _switch(store: IntegrationStore, settings: Settings, name: str, *, enabled: bool) -> None:
    with errors_as_messages():
        integration = store.get(name)
        switched = replace(integration, enabled=enabled)
        refuse_if_overwritten(settings, integration, switched)
        store.save(switched)
    click.echo(f"{'Enabled' if enabled else 'Disabled'} {integration.host}.")


def _shown(key: str, value: Any) -> str:
    if key in SECRETS:
        return f"...{value[-4:]}" if len(value) >= 12 else "set" if value else "-"  # noqa: PLR2004
    if value is None:
        return f"- ({KINDS[key].unset.replace('`', '')})"
    text = str(value) or "-"
    return " ".join(text.split())


def _unset(name: str) -> str:
    unset = KINDS[name].unset.replace("`", "")
    return f" When empty: {unset}." if unset else ""


def _name(integration: Integration) -> str:
    return integration.subdomain

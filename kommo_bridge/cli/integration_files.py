"""`flask integrations import`, `export` and `backup`: integrations to and from files."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from kommo_bridge.cli.field_values import warn_of_shapes
from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.english import counted
from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.filling import Change
from kommo_bridge.integrations.integration import SECRETS, Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.variable import overwritten
from kommo_bridge.settings import Settings


def file_commands(group: AppGroup, store: IntegrationStore, settings: Settings) -> None:
    """Add `import`, `export` and `backup` to `flask integrations`."""

    @group.command("import")
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
    def import_(file: str) -> None:
        """Add or update integrations from a JSON list, as `export` prints it. All or nothing."""
        with errors_as_messages():
            changes = store.fill(_read_list(file))
        for change in changes:
            warn_of_shapes(change.after, change.fields, f"{change.after.subdomain}: ")
            if undone := overwritten(settings.kommo_integrations, change.after, change.after):
                click.echo(f"Warning: {undone}.", err=True)
        click.echo(f"Imported {counted(len(changes), 'integration')}: {_counts(changes)}.")

    @group.command("export")
    @click.option("--with-secrets", is_flag=True, help="Secrets too, in plain text.")
    @click.option(
        "--output", type=click.Path(path_type=Path), help="A new file, readable by you alone."
    )
    def export(*, with_secrets: bool, output: Path | None) -> None:
        """Print all integrations as JSON. Secrets only when asked for."""
        with errors_as_messages():
            items = [_exported(item, with_secrets=with_secrets) for item in store.all()]
            text = json.dumps(items, indent=2, ensure_ascii=False)
            if output:
                _write_private(output, text + "\n")
        click.echo(f"{len(items)} exported to {output}." if output else text)

    @group.command("backup")
    @click.argument("file", type=click.Path(path_type=Path))
    def backup(file: Path) -> None:
        """Copy the store to a new FILE while it is in use; it needs the same SECRET_KEY."""
        with errors_as_messages():
            count = store.backup(file)
        click.echo(f"{counted(count, 'integration')} in {file}.")


def read_text(file: str) -> str:
    """What a text file holds."""
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file} cannot be read as UTF-8 text.") from error


def _counts(changes: Sequence[Change]) -> str:
    """`2 added, 3 changed, 25 unchanged`."""
    added = sum(change.before is None for change in changes)
    unchanged = sum(not change.fields for change in changes)
    return f"{added} added, {len(changes) - added - unchanged} changed, {unchanged} unchanged"


def _write_private(file: Path, text: str) -> None:
    """A new file of mode 600 from its first byte, whatever the umask."""
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:  # noqa: PTH123
            out.write(text)
    except FileExistsError:
        raise IntegrationError(f"{file} exists already: name a new file.") from None
    except OSError as error:
        raise IntegrationError(f"{file} cannot be written ({type(error).__name__}).") from None


def _read_list(file: str) -> list[Mapping[str, Any]]:
    text = sys.stdin.read() if file == "-" else read_text(file)
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrationError(f"{file} is not JSON: {error}") from None
    if not isinstance(items, list):
        raise IntegrationError(f"{file} must hold a JSON list of integrations.")
    return items


def _exported(integration: Integration, *, with_secrets: bool) -> dict[str, Any]:
    values = asdict(integration)
    return {key: value for key, value in values.items() if with_secrets or key not in SECRETS}

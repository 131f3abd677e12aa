"""`flask store rotate-key`: everything in the store under a new `SECRET_KEY`."""

import click

from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.english import counted, listed
from kommo_bridge.integrations.rotation import rotate
from kommo_bridge.integrations.store import IntegrationStore

NAMED = 10  # integrations that the message names


def rotate_key_command(store: IntegrationStore) -> click.Command:
    """`flask store rotate-key`."""

    @click.command("rotate-key")
    def rotate_key() -> None:
        """Encrypt all secrets with SECRET_KEY that SECRET_KEY_PREVIOUS or 1.0.0 encrypted.

        First give the new SECRET_KEY, and the former one as SECRET_KEY_PREVIOUS, to every process
        and restart it: both count from then on. Exit status 1 when a secret fits neither.
        """
        with errors_as_messages():
            done = rotate(store)
        click.echo(
            f"Encrypted anew: {counted(done.rewritten, 'integration')}; "
            f"under SECRET_KEY already: {done.current}."
        )
        if done.unreadable:
            raise click.ClickException(
                f"{listed(done.unreadable, NAMED)} cannot be read with SECRET_KEY or "
                "SECRET_KEY_PREVIOUS, and stay as they are."
            )
        click.echo("SECRET_KEY_PREVIOUS may be taken away.")

    return rotate_key

"""`flask gaps`: the questions of customers that nothing given answers."""

import time
from datetime import UTC, datetime

import click
from redis import Redis

from kommo_bridge.cli.running import warn_if_unused
from kommo_bridge.cli.tables import errors_as_messages, table
from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore


def gaps_command(store: IntegrationStore, redis: Redis) -> click.Command:
    """`flask gaps`."""

    @click.command("gaps")
    @click.argument("name")
    @click.argument("action", type=click.Choice(["list", "done"]), default="list")
    @click.argument("number", type=click.IntRange(1), required=False)
    def gaps(name: str, action: str, number: int | None) -> None:
        """Questions of customers that the assistant of NAME had no answer to.

        `list` shows those of the last 30 days, `done NUMBER` takes one off the list: after you
        have added the answer to the instructions or with `flask knowledge add`.
        """
        if (action == "done") != (number is not None):
            raise click.UsageError("Give the gap's number after `done`, and nowhere else.")
        with errors_as_messages():
            integration = store.get(name)
            warn_if_unused(redis)
            if number is None:
                _print(Gaps(redis), integration)
            elif Gaps(redis).done(integration, number):
                click.echo(f"Gap {number} is done.")
            else:
                raise IntegrationError(
                    f"There is no gap {number} of {integration.host}. See `flask gaps {name}`."
                )

    return gaps


def _print(gaps: Gaps, integration: Integration) -> None:
    found = gaps.list(integration, time.time())
    rows = [(str(one.number), f"{one.count}x", _day(one.at), one.question) for one in found]
    if not rows:
        click.echo("No gaps: in the last 30 days no question was left without an answer.")
        return
    for line in table([("NUMBER", "ASKED", "LAST", "QUESTION"), *rows]):
        click.echo(line)


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"

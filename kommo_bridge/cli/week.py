"""`flask week`: what the assistant did in a week, beside the week before."""

import json
import re
import time
from datetime import date, timedelta

import click
from redis import Redis

from kommo_bridge.cli.running import warn_if_unused
from kommo_bridge.cli.tables import errors_as_messages, table
from kommo_bridge.conversations.days import day_of
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.monitoring.mondays import language_for
from kommo_bridge.monitoring.week import DAYS, Week, as_json, monday_of
from kommo_bridge.monitoring.week_message import message_of
from kommo_bridge.monitoring.weeks import Weeks

HEADER = ("INTEGRATION", "CONVERSATIONS", "ALONE", "HANDED OVER", "FAILURES", "P50 S", "P90 S")


def week_command(store: IntegrationStore, redis: Redis) -> click.Command:
    """`flask week`."""

    @click.command("week")
    @click.argument("name", required=False)
    @click.option("--all", "everyone", is_flag=True, help="All integrations, one line each.")
    @click.option("--week", "asked", metavar="2026-W47", help="Else the last whole week.")
    @click.option("--json", "as_machine", is_flag=True, help="As JSON, for machines.")
    def week(name: str | None, asked: str | None, *, everyone: bool, as_machine: bool) -> None:
        """Print what the assistant did in a week: answered alone, handed over, failed."""
        if bool(name) == everyone:
            raise click.UsageError("Say one NAME, or --all.")
        with errors_as_messages():
            warn_if_unused(redis)
            items = [store.get(name)] if name else store.all()
            weeks = Weeks(redis)
            found = [(item, weeks.read(item, _monday(item, asked))) for item in items]
        if as_machine:
            listed = [{"subdomain": one.subdomain, **as_json(its)} for one, its in found]
            click.echo(json.dumps(listed if everyone else listed[0], indent=2, ensure_ascii=False))
        elif everyone:
            for line in table([HEADER, *(_row(*one) for one in found)]):
                click.echo(line)
        else:
            _print(*found[0])

    return week


def _monday(integration: Integration, asked: str | None) -> date:
    """The Monday that was asked for, or that of the last week that is over."""
    if asked is None:
        return monday_of(day_of(integration, time.time())) - timedelta(DAYS)
    try:
        if re.fullmatch(r"\d{4}-W\d{2}", asked):
            return date.fromisocalendar(int(asked[:4]), int(asked[6:]), 1)
    except ValueError:
        pass
    raise click.BadParameter("it must be a week such as 2026-W47.", param_hint="--week")


def _print(integration: Integration, week: Week) -> None:
    if week.is_empty:
        click.echo(f"Nothing was answered from {week.first} to {week.last}.")
        return
    name = integration.name or integration.subdomain
    click.echo(message_of(week, name, language_for(integration)).text, nl=False)


def _row(integration: Integration, week: Week) -> tuple[str, ...]:
    now, figures = week.now, as_json(week)
    counts = (now.conversations, now.alone, sum(now.handoffs.values()), now.failures)
    times = (figures["seconds_p50"], figures["seconds_p90"])
    told = ("-" if one is None else f"{one:g}" for one in times)
    return (integration.host, *map(str, counts), *told)

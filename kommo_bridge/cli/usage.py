"""`flask usage`: what integrations used, beside their caps."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from redis import Redis

from kommo_bridge.cli.running import warn_if_unused
from kommo_bridge.cli.tables import errors_as_messages, table
from kommo_bridge.conversations.money import MILLIONTHS, shown
from kommo_bridge.conversations.usage import Usage, Used
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore

HEADER = (
    *("INTEGRATION", "REPLIES TODAY", "TOKENS TODAY", "MONEY TODAY"),
    *("REPLIES MONTH", "TOKENS MONTH", "MONEY MONTH"),
)


def _print_month(
    usage: Usage, integrations: list[Integration], month: str, *, as_json: bool
) -> None:
    used = [(item, *usage.period(item, month)) for item in integrations]
    if as_json:
        rows = [
            {
                "subdomain": item.subdomain,
                "integration_id": item.integration_id,
                "month": month,
                "replies": replies,
                "tokens": tokens,
                **({"money": money / MILLIONTHS, "currency": item.currency} if money else {}),
            }
            for item, replies, tokens, money in used
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    lines = [
        (item.host, f"{replies}", f"{tokens}", shown(money, item.currency) if money else "-")
        for item, replies, tokens, money in used
    ]
    header = ("INTEGRATION", f"REPLIES {month}", f"TOKENS {month}", f"MONEY {month}")
    _print(header, lines, money=any(money for *_, money in used))


def usage_command(store: IntegrationStore, redis: Redis) -> click.Command:
    """`flask usage`."""

    @click.command("usage")
    @click.argument("name", required=False)
    @click.option("--month", type=click.DateTime(["%Y-%m"]), help="A month, such as 2026-10.")
    @click.option("--json", "as_json", is_flag=True, help="As JSON, for machines.")
    def usage(name: str | None, month: datetime | None, *, as_json: bool) -> None:
        """Print what integrations used today and this month (UTC), beside their caps."""
        with errors_as_messages():
            warn_if_unused(redis)
            integrations = [store.get(name)] if name else store.all()
            if month or as_json:
                named = f"{month or datetime.now(UTC):%Y-%m}"
                _print_month(Usage(redis), integrations, named, as_json=as_json)
                return
            counters = [(item, Usage(redis).used(item)) for item in integrations]
        rows = [(item.host, *map(_beside_cap, used)) for item, used in counters]
        money = any(one.currency and (one.count or one.cap) for _, used in counters for one in used)
        _print(HEADER, rows, money=money)

    return usage


def _beside_cap(used: Used) -> str:
    if used.currency and not used.count and not used.cap:
        return "-"
    return used.text(used.count) + (f"/{used.text(used.cap)}" if used.cap else "")


def _print(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, money: bool) -> None:
    """A table; the columns of money are left out where nobody has prices."""
    places = [place for place, title in enumerate(header) if money or "MONEY" not in title]
    for line in table([tuple(row[place] for place in places) for row in [header, *rows]]):
        click.echo(line)

"""`flask integrations list`, `check` and `requeue`: how each integration is, and what to do."""

import time
from concurrent.futures import ThreadPoolExecutor

import click
from flask.cli import AppGroup
from redis.exceptions import RedisError

from kommo_bridge.cli.tables import errors_as_messages, table
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.english import counted
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.tokens import days_left
from kommo_bridge.monitoring.probe_token import mint_token
from kommo_bridge.queue.requeue import requeue_refused
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.health import Health, read_health

HEADER = ("SUBDOMAIN", "INTEGRATION ID", "ACCOUNT", "DOMAIN", "NAME", "STATE")
HEALTH_HEADER = ("LAST ANSWER", "FAILING SINCE", "TOKEN DAYS")
REDIS_SECONDS = 2.0
AT_ONCE = 8
RANK = ("ok", "warning", "fault")


def health_commands(group: AppGroup, store: IntegrationStore, settings: Settings) -> None:
    """Add `list`, `check` and `requeue` to `flask integrations`."""

    @group.command("list")
    def list_() -> None:
        """List all integrations, one a line, and how each is."""
        with errors_as_messages():
            items = store.all()
        if not items:
            place = store.database.place
            click.echo(f"No integrations yet in {place}.")
            click.echo("Add one with `flask integrations add --help`.")
            return
        rows = [
            (*_row(item), *_health_row(item, health))
            for item, health in zip(items, _healths(items, settings), strict=True)
        ]
        for line in table([(*HEADER, *HEALTH_HEADER), *rows]):
            click.echo(line)

    @group.command("check")
    @click.argument("name", required=False)
    @click.option("--all", "everyone", is_flag=True, help="All enabled ones, one line each.")
    def check(name: str | None, *, everyone: bool) -> None:
        """Examine one integration, or all: exit status 1 on a fault."""
        if bool(name) == everyone:
            raise click.UsageError("Say one NAME, or --all.")
        with errors_as_messages():
            items = [store.get(name)] if name else [one for one in store.all() if one.enabled]
        faults = _check_all(items, settings) if everyone else _check_one(items[0], settings)
        if faults:
            raise click.exceptions.Exit(1)

    @group.command("requeue")
    @click.argument("name")
    def requeue(name: str) -> None:
        """Send the kept replies that Kommo refused (401, 402, 403): after the token is mended."""
        with errors_as_messages():
            integration = store.get(name)
            with connect(settings.redis_url, timeout_seconds=REDIS_SECONDS) as redis:
                count = requeue_refused(redis, integration)
        click.echo(f"Queued again: {counted(count, 'answer')} of {integration.host}.")


def _check_one(integration: Integration, settings: Settings) -> int:
    # Here, not above: the web process, which loads these commands, has no use for the AI.
    from kommo_bridge.monitoring.doctor import examine  # noqa: PLC0415

    faults = 0
    for finding in examine(integration, settings, mint_token(integration, 1, 300)):
        click.echo(f"{finding.state:7}  {finding.subject:12}  {finding.text}")
        faults += finding.state == "fault"
    return faults


def _check_all(items: list[Integration], settings: Settings) -> int:
    """Several at once, each a line: its worst state, and what is at fault."""
    from kommo_bridge.monitoring.doctor import examine  # noqa: PLC0415

    def look(item: Integration) -> tuple[str, str]:
        found = list(examine(item, settings, mint_token(item, 1, 300)))
        worst = max((one.state for one in found), key=RANK.index)
        texts = [f"{one.subject}: {one.text}" for one in found if one.state == worst != "ok"]
        return worst, "; ".join(texts) or "all well"

    faults = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for item, (state, text) in zip(items, pool.map(look, items), strict=True):
            click.echo(f"{state:7}  {item.subdomain:12}  {text}")
            faults += state == "fault"
    return faults


def _healths(items: list[Integration], settings: Settings) -> list[Health | None]:
    """None where Redis cannot say: the list is of use without it too."""
    try:
        with connect(settings.redis_url, timeout_seconds=REDIS_SECONDS) as redis:
            return list(read_health(redis, map(integration_name, items)))
    except RedisError:
        return [None] * len(items)


def _row(item: Integration) -> tuple[str, ...]:
    state = "enabled" if item.enabled else "disabled"
    account = str(item.account_id or "-")
    return (item.subdomain, item.integration_id, account, item.domain, item.name or "-", state)


def _health_row(item: Integration, health: Health | None) -> tuple[str, str, str]:
    days = days_left(item.access_token, time.time())
    token = "?" if days is None else f"{days:.0f}"
    if health is None:
        return "?", "?", token
    return _moment(health.answered_at), _moment(health.failing_since), token


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) if at else "-"

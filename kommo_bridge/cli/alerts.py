"""`flask alerts`: try the webhook, and see what is wrong right now."""

import time

import click
from redis import Redis

from kommo_bridge.cli.tables import table, told
from kommo_bridge.errors import SettingsError
from kommo_bridge.monitoring.alerts import KINDS, Alerts
from kommo_bridge.settings import Settings


def alerts_group(redis: Redis, settings: Settings) -> click.Group:
    """The group `flask alerts`."""

    @click.group("alerts")
    def group() -> None:
        """Messages to ALERT_WEBHOOK_URL when something goes wrong."""

    @group.command("test")
    def test() -> None:
        """Send a test message; exit status 1 when it is not accepted."""
        with told():
            if not settings.alert_webhook_url:
                raise SettingsError("ALERT_WEBHOOK_URL is not set: there is nobody to tell.")
            Alerts(redis, settings.alert_webhook_url).post(
                {
                    "text": "kommo_bridge: this is a test. Alerts arrive here.",
                    "kind": "test",
                    "state": "test",
                    "concerns": [],
                }
            )
        click.echo("The test message was accepted.")

    @group.command("list")
    def show() -> None:
        """What was told and is not well yet."""
        with told():
            found = Alerts(redis, settings.alert_webhook_url or "").open()
        if not found:
            click.echo("Nothing was told that is not well again.")
            return
        rows = [("since", "kind", "what")]
        for name, one in found.items():
            moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at))
            rows.append((moment, name, KINDS[name].title))
        for line in table(rows):
            click.echo(line)

    return group

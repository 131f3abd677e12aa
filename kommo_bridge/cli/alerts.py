"""`flask alerts`: test the webhook, and list the open alerts."""

import time

import click
from redis import Redis

from kommo_bridge.cli.running import warn_if_unused
from kommo_bridge.cli.tables import errors_as_messages, table
from kommo_bridge.errors import SettingsError
from kommo_bridge.monitoring.alerts import Alerts
from kommo_bridge.monitoring.kinds import KINDS
from kommo_bridge.monitoring.webhook import Webhook
from kommo_bridge.settings import Settings


def alerts_group(redis: Redis, settings: Settings) -> click.Group:
    """The group `flask alerts`."""

    @click.group("alerts")
    def group() -> None:
        """Messages to ALERT_WEBHOOK_URL when something goes wrong."""

    @group.command("test")
    def test() -> None:
        """Send a test message; exit status 1 when it is not accepted."""
        with errors_as_messages():
            if not settings.alert_webhook_url:
                raise SettingsError("ALERT_WEBHOOK_URL is not set: alerts are only logged.")
            Webhook(settings.alert_webhook_url).post(
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
        """The alerts that are not resolved yet."""
        with errors_as_messages():
            warn_if_unused(redis)
            found = Alerts(redis, None).open()
        if not found:
            click.echo("No open alerts.")
            return
        rows = [("since", "kind", "what", "whom")]
        for name, state in found.items():
            moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.at))
            whom = ", ".join(one for one in state.subjects if one)
            rows.append((moment, name, KINDS[name].title, whom or "-"))
        for line in table(rows):
            click.echo(line)

    return group

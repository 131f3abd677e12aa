"""`flask conversations`: what was said, and whether a human answers."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import click
from flask.cli import AppGroup
from redis import Redis

from kommo_bridge.cli.one_conversation import name_of, of_conversation
from kommo_bridge.cli.remembered import remembered_commands
from kommo_bridge.cli.save_test import save_test_command
from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.english import counted
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings


def conversations_group(store: IntegrationStore, redis: Redis, settings: Settings) -> AppGroup:
    """The group `flask conversations`."""
    group = AppGroup(
        "conversations", help="What was said with one lead, contact or customer, and who answers."
    )
    conversations = Conversations(redis)
    find = partial(name_of, store, redis)
    _memory_commands(group, find, conversations)
    _pause_commands(group, find, store, conversations)
    remembered_commands(group, store, redis, settings)
    group.add_command(save_test_command(store, redis, conversations))
    return group


def _memory_commands(
    group: AppGroup, find: Callable[[str, str, int], str], conversations: Conversations
) -> None:
    @group.command("show")
    @of_conversation
    def show(name: str, entity_type: str, entity_id: int) -> None:
        """Show what is remembered of a conversation, the oldest first."""
        with errors_as_messages():
            conversation = find(name, entity_type, entity_id)
            turns, pause = conversations.exchanges(conversation), conversations.paused(conversation)
        for turn in turns:
            click.echo(f"{datetime.fromtimestamp(turn.at, UTC):%Y-%m-%d %H:%M} UTC")
            click.echo(f"  customer   {turn.customer}".replace("\n", "\n             "))
            click.echo(f"  assistant  {turn.reply}".replace("\n", "\n             "))
        click.echo(f"{counted(len(turns), 'turn')} remembered.")
        if pause:
            hours = round(pause.seconds / 3600, 1)
            click.echo(f"Paused for another {counted(hours, 'hour')}: {pause.reason}.")


def _pause_commands(
    group: AppGroup,
    find: Callable[[str, str, int], str],
    store: IntegrationStore,
    conversations: Conversations,
) -> None:
    @group.command("pause")
    @of_conversation
    @click.option(
        "--hours",
        type=click.FloatRange(0, 8760, min_open=True),
        help="Else the handoff_hours of the integration.",
    )
    def pause(name: str, entity_type: str, entity_id: int, hours: float | None) -> None:
        """Silence the assistant in one conversation; the pause ends by itself."""
        if hours is not None and math.isnan(hours):
            raise click.BadParameter("it must be a number of hours.", param_hint="--hours")
        with errors_as_messages():
            hours = hours or store.get(name).handoff_hours
            conversation = find(name, entity_type, entity_id)
            conversations.pause(conversation, hours, "paused by an operator")
        click.echo(f"Paused for {counted(hours, 'hour')}. `flask conversations resume` ends it.")

    @group.command("resume")
    @of_conversation
    def resume(name: str, entity_type: str, entity_id: int) -> None:
        """End a pause."""
        with errors_as_messages():
            was_paused = conversations.resume(find(name, entity_type, entity_id))
        click.echo("The assistant answers again." if was_paused else "It was not paused.")

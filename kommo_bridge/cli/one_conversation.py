"""How commands name one conversation: an integration, and a lead, contact or customer of it."""

from collections.abc import Callable
from typing import Any

import click
from redis import Redis

from kommo_bridge.cli.running import warn_if_unused
from kommo_bridge.conversations.keys import ENTITY_TYPES, entity_name
from kommo_bridge.integrations.store import IntegrationStore

Command = Callable[..., Any]


def of_conversation(command: Command) -> Command:
    """The arguments that name one conversation."""
    types = click.Choice(sorted(ENTITY_TYPES))
    for decorate in (
        click.option("--entity-type", type=types, default="lead", show_default=True),
        click.option("--entity-id", type=click.IntRange(1), required=True, help="Its number."),
        click.argument("name"),
    ):
        command = decorate(command)
    return command


def name_of(
    store: IntegrationStore, redis: Redis, name: str, entity_type: str, entity_id: int
) -> str:
    """The conversation that is meant, in a Redis that a bridge has used."""
    found = entity_name(store.get(name), ENTITY_TYPES[entity_type], entity_id)
    warn_if_unused(redis)
    return found


def entity_of(entity_type: str, entity_id: int) -> str:
    """The entity as saved scenarios note it, such as `2:67890`."""
    return f"{ENTITY_TYPES[entity_type]}:{entity_id}"

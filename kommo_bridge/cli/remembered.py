"""`flask conversations list`, `export` and `forget`: for people, and for a customer's request."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import AppGroup
from redis import Redis

from kommo_bridge.cli.one_conversation import entity_of, name_of, of_conversation
from kommo_bridge.cli.running import warn_if_unused
from kommo_bridge.cli.tables import errors_as_messages, table
from kommo_bridge.conversations.keys import ENTITY_TYPES, entity_name
from kommo_bridge.conversations.listing import Remembered, one_remembered, remembered
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.english import counted
from kommo_bridge.errors import KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings

SHOWN_WORDS = 60


def remembered_commands(
    group: AppGroup, store: IntegrationStore, redis: Redis, settings: Settings
) -> None:
    """Add the commands to `flask conversations`."""
    _list_command(group, store, redis)
    _export_command(group, store, redis)
    _forget_command(group, store, redis, settings)


def _list_command(group: AppGroup, store: IntegrationStore, redis: Redis) -> None:
    @group.command("list")
    @click.argument("name")
    @click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
    @click.option("--words", is_flag=True, help="Show the customer's last words too.")
    def list_(name: str, *, limit: int, words: bool) -> None:
        """List the conversations of NAME, the newest first, and who has each."""
        with errors_as_messages():
            integration = store.get(name)
            warn_if_unused(redis)
            found = remembered(redis, integration)
        now = datetime.now(UTC).timestamp()
        header = ("LAST ANSWER (UTC)", "CONVERSATION", "TURNS", "STATE", *(["LAST WORDS"] * words))
        rows = [_row(one, now, words=words) for one in found[:limit]]
        for line in table([header, *rows]):
            click.echo(line)
        click.echo(f"{counted(len(found), 'conversation')}, {len(rows)} shown.")


def _row(one: Remembered, now: float, *, words: bool) -> tuple[str, ...]:
    at = f"{datetime.fromtimestamp(one.at, UTC):%Y-%m-%d %H:%M}" if one.said else "-"
    cells = (at, f"{one.entity_type} {one.entity_id}", str(len(one.said)), _state(one, now))
    if not words:
        return cells
    last = one.waiting[-1] if one.waiting else one.said[-1].customer
    text = " ".join(last.split())
    return (*cells, text if len(text) <= SHOWN_WORDS else text[: SHOWN_WORDS - 1] + "…")


def _state(one: Remembered, now: float) -> str:
    """Who has it: a human, until when and why; the AI, which is answering; or nobody."""
    if one.pause:
        until = datetime.fromtimestamp(now + one.pause.seconds, UTC)
        return f"with a human until {until:%m-%d %H:%M}: {one.pause.reason}"
    return "being answered" if one.waiting else "answered"


def _export_command(group: AppGroup, store: IntegrationStore, redis: Redis) -> None:
    @group.command("export")
    @of_conversation
    def export(name: str, entity_type: str, entity_id: int) -> None:
        """Print all that is kept of a conversation as JSON, for a customer who asks for it."""
        with errors_as_messages():
            integration = store.get(name)
            found = one_remembered(redis, name_of(store, redis, name, entity_type, entity_id))
            saved = SavedScenarios(store.database)
            tests = saved.of(integration, entity_of(entity_type, entity_id))
        click.echo(json.dumps(_exported(integration, found, tests), indent=2, ensure_ascii=False))


def _exported(
    integration: Integration, found: Remembered, tests: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "account": integration.host,
        "conversation": {"type": found.entity_type, "id": found.entity_id},
        "turns": [
            {
                "at": datetime.fromtimestamp(one.at, UTC).isoformat(timespec="seconds"),
                "customer": one.customer,
                "reply": one.reply,
                "chat": one.chat_id or None,
            }
            for one in found.said
        ],
        "not_answered_yet": list(found.waiting),
        "with_a_human": asdict(found.pause) if found.pause else None,
        "saved_tests": list(tests),
    }


def _forget_command(
    group: AppGroup, store: IntegrationStore, redis: Redis, settings: Settings
) -> None:
    @group.command("forget")
    @click.argument("name")
    @click.option("--entity-type", type=click.Choice(sorted(ENTITY_TYPES)), default="lead")
    @click.option("--entity-id", type=click.IntRange(1), help="Its number.")
    @click.option(
        "--contact-id", type=click.IntRange(1), help="A contact, with all its leads: asks Kommo."
    )
    def forget(name: str, entity_type: str, entity_id: int | None, contact_id: int | None) -> None:
        """Delete what is remembered (privacy requests), saved tests included. A pause stays.

        Jobs keep a customer's message too: for an hour, a failed one for a day (after an
        unexpected error, a week).
        """
        if (entity_id is None) == (contact_id is None):
            raise click.UsageError("Give either --entity-id or --contact-id.")
        with errors_as_messages():
            integration = store.get(name)
            warn_if_unused(redis)
            entities = [(entity_type, entity_id or 0)]
            if contact_id is not None:
                leads = _leads(integration, contact_id, redis, settings)
                entities = [("contact", contact_id), *(("lead", one) for one in leads)]
            for one in entities:
                turns, tests = _forgotten(integration, *one, store, redis)
                more = f" and {counted(tests, 'saved test')}" if tests else ""
                click.echo(f"Forgotten: {counted(turns, 'turn')}{more} of {one[0]} {one[1]}.")


def _leads(
    integration: Integration, contact_id: int, redis: Redis, settings: Settings
) -> list[int]:
    """The leads of a contact.

    Raises:
        KommoError: Kommo cannot be asked: nothing is forgotten yet.
    """
    # Here, not above: the web process, which loads these commands, does not call Kommo.
    from kommo_bridge.kommo.client import KommoClient  # noqa: PLC0415
    from kommo_bridge.kommo.contacts import leads_of_contact  # noqa: PLC0415
    from kommo_bridge.kommo.pacing import Pacer  # noqa: PLC0415
    from kommo_bridge.kommo.return_url import base_url_of  # noqa: PLC0415

    host, token = integration.host, integration.access_token
    base_url = base_url_of(host, settings.kommo_extra_hosts)
    client = KommoClient(Pacer(redis), settings.kommo_extra_hosts)
    try:
        return leads_of_contact(client, host, contact_id, token, base_url=base_url)
    except KommoError as error:
        message = f"Kommo did not list the contact's leads, so nothing is forgotten: {error}"
        raise KommoError(f"{message}. Use --entity-id for each.", permanent=True) from None
    finally:
        client.close()


def _forgotten(
    integration: Integration,
    entity_type: str,
    entity_id: int,
    store: IntegrationStore,
    redis: Redis,
) -> tuple[int, int]:
    """Forget one conversation; returns how many turns and saved tests there were."""
    name = entity_name(integration, ENTITY_TYPES[entity_type], entity_id)
    made_from = entity_of(entity_type, entity_id)
    tests = SavedScenarios(store.database).forget(integration, made_from)
    return Conversations(redis).forget(name), tests

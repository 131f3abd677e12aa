"""`flask conversations save-test`: a scenario from a real conversation, without its customer."""

from datetime import UTC, datetime
from pathlib import Path

import click
from redis import Redis

from kommo_bridge.cli.one_conversation import entity_of, name_of, of_conversation
from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.conversations.memory import Conversations, Exchange
from kommo_bridge.errors import ScenarioError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.integrations.store import IntegrationStore

# Written with the pause by `flask conversations pause`: that was no handoff.
BY_AN_OPERATOR = "paused by an operator"


def save_test_command(
    store: IntegrationStore, redis: Redis, conversations: Conversations
) -> click.Command:
    """`flask conversations save-test`."""

    @click.command("save-test")
    @of_conversation
    @click.option("--output", type=click.Path(path_type=Path), help="A file to add it to.")
    @click.option("--id", "scenario_id", help="The scenario's id; else made of its date.")
    @click.option("--name", "names", multiple=True, help="A name that is to be masked too.")
    def save_test(
        name: str,
        entity_type: str,
        entity_id: int,
        *,
        output: Path | None,
        scenario_id: str | None,
        names: tuple[str, ...],
    ) -> None:
        """Make a scenario of a conversation, and save it after you have read it.

        It is saved with the integration, or added to the file of --output.

        Names, phones, mails, cards and addresses are masked as far as they are recognised: a name
        that nobody introduces is not. Name it with --name, or say no.
        """
        from kommo_bridge.scenarios.from_life import draft_of, of_one_person  # noqa: PLC0415
        from kommo_bridge.scenarios.masking import Masks  # noqa: PLC0415
        from kommo_bridge.scenarios.read import read_text  # noqa: PLC0415

        with errors_as_messages():
            integration = store.get(name)
            conversation = name_of(store, redis, name, entity_type, entity_id)
            said = of_one_person(_said(conversations, conversation))
            pause = conversations.paused(conversation)
            draft = draft_of(
                said,
                scenario_id or f"{integration.subdomain}-{_date(said[-1])}",
                handed_over=pause is not None and pause.reason != BY_AN_OPERATOR,
                masks=Masks(integration.instructions, names),
            )
            read_text(draft.toml, "the scenario")  # an id may be wrong: nobody could run it
            _check_free(draft.table["id"], output, integration, store)
        click.echo(draft.toml)
        click.echo("Read it: is there nothing left that names the customer?")
        click.confirm(f"Save it {f'in {output}' if output else f'with {name}'}?", abort=True)
        with errors_as_messages():
            if output:
                _append(output, draft.toml)
            else:
                made_from = entity_of(entity_type, entity_id)
                SavedScenarios(store.database).save(integration, [draft.table], made_from)
        say = "Say there what must hold, then: " if output else "Run it: "
        click.echo(f"Saved. {say}flask test {name} {output or ''}".rstrip())

    return save_test


def _said(conversations: Conversations, conversation: str) -> list[Exchange]:
    said = conversations.exchanges(conversation)
    if not said:
        raise ScenarioError("Nothing of this conversation is remembered.")
    return said


def _date(exchange: Exchange) -> str:
    return f"{datetime.fromtimestamp(exchange.at, UTC):%Y-%m-%d-%H%M}"


def _check_free(
    scenario_id: str, output: Path | None, integration: Integration, store: IntegrationStore
) -> None:
    """Refuse an id that is taken, and a file that holds no scenarios."""
    from kommo_bridge.scenarios.read import read_files  # noqa: PLC0415

    if output is None:
        known = {one["id"] for one in SavedScenarios(store.database).of(integration)}
    else:
        used = output.exists() and output.stat().st_size
        known = {one.id for one in read_files([output])} if used else set()
    if scenario_id in known:
        place = output or integration.subdomain
        raise ScenarioError(f"{place} has a scenario {scenario_id!r} already: give an --id.")


def _append(output: Path, toml: str) -> None:
    try:
        with output.open("a", encoding="utf-8") as file:
            file.write(("\n" if file.tell() else "") + toml)
    except OSError as error:
        raise ScenarioError(f"{output} cannot be written: {error.strerror}.") from None

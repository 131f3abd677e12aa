"""`flask knowledge`: what the assistant knows of the business, from files and pages."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask.cli import AppGroup
from redis import Redis

from kommo_bridge.cli.tables import errors_as_messages, table
from kommo_bridge.english import counted
from kommo_bridge.errors import KnowledgeError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.telemetry.incidents import Incidents

if TYPE_CHECKING:
    from kommo_bridge.knowledge.knowledge import Knowledge
    from kommo_bridge.knowledge.source import Source

MOST_BYTES = 5 * 1024 * 1024 + 1
RESULTS = {
    "changed": "it has changed and is read anew",
    "unchanged": "it has not changed",
    "failed": "it cannot be read, what it said before stays",
}
Open = Callable[[], "Knowledge"]


def knowledge_group(store: IntegrationStore, redis: Redis) -> AppGroup:
    """The group `flask knowledge`."""
    group = AppGroup("knowledge", help="Price lists, menus, pages: what the assistant knows.")

    def opened() -> "Knowledge":
        # Here, not above: the web process, which loads these commands, has no use for it.
        from kommo_bridge.knowledge.knowledge import Knowledge  # noqa: PLC0415

        return Knowledge(store.database)

    _adding_commands(group, store, opened)
    _reading_commands(group, store, opened)
    _changing_commands(group, store, opened, Incidents(redis))
    return group


def _adding_commands(group: AppGroup, store: IntegrationStore, opened: Open) -> None:
    @group.command("add")
    @click.argument("name")
    @click.argument("what", metavar="FILE|URL")
    @click.option("--title", default="", help="How the source is called; else it says so itself.")
    def add(name: str, what: str, title: str) -> None:
        """Give the assistant of NAME a file (text, Markdown, CSV, XLSX, PDF, HTML) or a page.

        A file or page that is there already is read anew.
        """
        with errors_as_messages():
            integration, knowledge = store.get(name), opened()
            if "://" in what:
                source = knowledge.add_page(integration, what, title)
            else:
                source = knowledge.add_file(integration, what, _data(what), title)
            click.echo(f"Source {source.number}, {source.title}: {_size(source)}.")
            _say_how_it_is_used(integration, knowledge)


def _reading_commands(group: AppGroup, store: IntegrationStore, opened: Open) -> None:
    @group.command("list")
    @click.argument("name")
    def show_all(name: str) -> None:
        """List the sources, and whether their pages can be read."""
        with errors_as_messages():
            integration, knowledge = store.get(name), opened()
            sources = knowledge.all(integration)
            if not sources:
                click.echo(f"No sources yet. `flask knowledge add {name} FILE|URL` adds one.")
                return
            rows = [
                (str(one.number), one.kind, one.title, str(one.passages), _day(one), _state(one))
                for one in sources
            ]
            for line in table([("NUMBER", "KIND", "TITLE", "PASSAGES", "READ", "STATE"), *rows]):
                click.echo(line)
            _say_how_it_is_used(integration, knowledge)

    @group.command("show")
    @click.argument("name")
    @click.argument("source", type=click.IntRange(1))
    def show(name: str, source: int) -> None:
        """Show what the assistant reads of a source."""
        with errors_as_messages():
            integration, knowledge = store.get(name), opened()
            found, text = knowledge.find(integration, source), knowledge.show(integration, source)
        click.echo(f"{found.title} ({found.kind} {found.origin}".rstrip() + ")")
        click.echo(f"{_size(found)}, read {_day(found)}, {_state(found)}\n")
        click.echo(text)

    @group.command("search")
    @click.argument("name")
    @click.argument("question")
    def search(name: str, question: str) -> None:
        """Search as the assistant would: the six passages that answer best."""
        with errors_as_messages():
            found = opened().search(store.get(name), question)
        for number, one in enumerate(found, 1):
            where = " > ".join(filter(None, (one.source, one.heading)))
            click.echo(f"{number}. [{where}]")
            click.echo("   " + one.text.replace("\n", "\n   "))
        if not found:
            click.echo("Nothing was found. `flask knowledge list` shows what there is.")


def _changing_commands(
    group: AppGroup, store: IntegrationStore, opened: Open, incidents: Incidents
) -> None:
    @group.command("remove")
    @click.argument("name")
    @click.argument("source", type=click.IntRange(1))
    def remove(name: str, source: int) -> None:
        """Take a source away."""
        from kommo_bridge.knowledge.nightly import note_failing  # noqa: PLC0415

        with errors_as_messages():
            integration, knowledge = store.get(name), opened()
            gone = knowledge.remove(integration, source)
            note_failing(integration, knowledge, incidents)
        click.echo(f"Source {gone.number}, {gone.title}, is removed.")

    @group.command("refresh")
    @click.argument("name")
    @click.argument("source", type=click.IntRange(1), required=False)
    def refresh(name: str, source: int | None) -> None:
        """Read a page again, or all of them, now and not in the night."""
        from kommo_bridge.knowledge.nightly import note_failing  # noqa: PLC0415

        failed = False
        with errors_as_messages():
            integration, knowledge = store.get(name), opened()
            for one in _pages(knowledge, integration, source):
                looked = knowledge.refresh(integration, one)
                click.echo(f"Source {one.number}, {one.title}: {RESULTS[looked.result]}.")
                if looked.result == "failed":
                    failed = True
                    click.echo(f"  {looked.source.problem}")
            note_failing(integration, knowledge, incidents)
        if failed:
            raise SystemExit(1)


def _pages(knowledge: "Knowledge", integration: Integration, number: int | None) -> list["Source"]:
    if number:
        return [knowledge.find(integration, number)]
    pages = [one for one in knowledge.all(integration) if one.kind == "page"]
    if not pages:
        click.echo("There is no page to read again. Files are added again when they have changed.")
    return pages


def _data(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(MOST_BYTES)
    except FileNotFoundError:
        raise KnowledgeError(
            f"There is no file {name}. (The address of a page begins with https://.)"
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise KnowledgeError(f"{name} cannot be read: {reason}.") from None


def _say_how_it_is_used(integration: Integration, knowledge: "Knowledge") -> None:
    limit = f"knowledge_tokens, {integration.knowledge_tokens:,}"
    if knowledge.is_searched(integration):
        click.echo(f"It is more than the prompt holds ({limit}): the assistant searches in it.")
    else:
        click.echo(f"The assistant has all of it before it with each question ({limit}).")


def _size(source: "Source") -> str:
    return f"{counted(source.passages, 'passage')}, {counted(source.characters, 'character')}"


def _day(source: "Source") -> str:
    return f"{datetime.fromisoformat(source.checked_at):%Y-%m-%d %H:%M}"


def _state(source: "Source") -> str:
    if not source.failing_since:
        return "ok"
    since = f"{datetime.fromisoformat(source.failing_since):%Y-%m-%d}"
    return f"fails since {since}: {source.problem}"

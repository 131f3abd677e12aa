"""`flask test`: scenarios against an integration's assistant, before customers meet it."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kommo_bridge.cli.tables import errors_as_messages, table
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings

if TYPE_CHECKING:
    from kommo_bridge.scenarios.run import Run, Trial

AT_ONCE = 8


def scenarios_command(store: IntegrationStore, settings: Settings) -> click.Command:
    """`flask test`."""

    @click.command("test")
    @click.argument("name")
    @click.argument("files", nargs=-1, type=click.Path(path_type=Path))
    @click.option("--repeat", type=click.IntRange(1, 100), default=3, show_default=True)
    @click.option("--model", help="Another model than the integration's.")
    @click.option("--compare", metavar="X,Y", help="Several models side by side.")
    @click.option("--json", "json_file", metavar="FILE", help="Write the results too; - prints.")
    @click.option(
        "--at-once",
        type=click.IntRange(1, 64),
        default=AT_ONCE,
        show_default=True,
        help="How many conversations at once.",
    )
    def test(
        name: str,
        files: tuple[Path, ...],
        *,
        repeat: int,
        model: str | None,
        compare: str | None,
        json_file: str | None,
        at_once: int,
    ) -> None:
        """Try the scenarios in FILES with the assistant of NAME; exit status 1 when one fails.

        The prompt, the rules and the AI are real. Kommo is not called, nothing is remembered, and
        neither figures nor caps change; only the AI's tokens are paid for.
        """
        # Here, not above: the web process, which loads these commands, has no use for them.
        from kommo_bridge.scenarios.read import read_files  # noqa: PLC0415
        from kommo_bridge.scenarios.run import Trial  # noqa: PLC0415

        if not files:
            raise click.UsageError("Name a file with scenarios.")
        with errors_as_messages():
            integrations = list(_with_models(store.get(name), model, compare))
            trials = [
                Trial(integration, scenario, label)
                for scenario in read_files(files)
                for label, integration in integrations
            ]
            runs, seconds = _run(trials, settings, repeat, at_once)
        _print(runs, seconds, json_file)
        raise SystemExit(0 if all(one.held for one in runs) else 1)

    return test


def _with_models(
    integration: Integration, model: str | None, compare: str | None
) -> Iterator[tuple[str, Integration]]:
    """The integration with each model that is to be tried, and how to call it."""
    names = [one.strip() for one in (compare or "").split(",") if one.strip()]
    for one in names:
        yield one, replace(integration, model=one)
    if not names:
        yield "", replace(integration, model=model or integration.model)


def _run(
    trials: Sequence["Trial"], settings: Settings, repeat: int, at_once: int
) -> tuple[list["Run"], float]:
    """All runs, and how many seconds they took."""
    from kommo_bridge.jobs import build_assistant  # noqa: PLC0415
    from kommo_bridge.scenarios.run import plain_checks, run_all  # noqa: PLC0415
    from kommo_bridge.scenarios.talk import Talk  # noqa: PLC0415

    assistant, started = build_assistant(settings), time.monotonic()
    try:
        with _quiet_log(), _progress(len(trials) * repeat) as progress:
            runs = run_all(
                trials,
                lambda integration, scenario: (
                    Talk(assistant, settings, integration, scenario).write
                ),
                plain_checks,
                repeat=repeat,
                at_once=at_once,
                progress=progress,
            )
    finally:
        assistant.close()
    return runs, time.monotonic() - started


def _print(runs: Sequence["Run"], seconds: float, json_file: str | None) -> None:
    from kommo_bridge.scenarios.report import (  # noqa: PLC0415
        as_json,
        differences,
        rows,
        summary,
    )

    if json_file:
        text = json.dumps(as_json(runs, seconds), indent=2, ensure_ascii=False)
        with click.open_file(json_file, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    if json_file != "-":
        for line in [*table(rows(runs)), *differences(runs), "", *summary(runs, seconds)]:
            click.echo(line)


@contextmanager
def _quiet_log() -> Iterator[None]:
    """What fails is in the report."""
    log = logging.getLogger("kommo_bridge")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def _progress(count: int) -> Iterator[Callable[["Run"], None]]:
    """A line that counts the runs, where somebody watches."""
    watched = sys.stderr.isatty()
    done = failed = 0

    def show(run: "Run") -> None:
        nonlocal done, failed
        done, failed = done + 1, failed + (not run.held)
        if watched:
            click.echo(f"\r{done} of {count} runs, {failed} failed ", err=True, nl=False)

    yield show
    if watched:
        click.echo(err=True)

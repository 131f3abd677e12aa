"""Runs scenarios for `flask test` and prints what came of them.

Only this command needs the AI and the scenarios, so they are imported where they are used: the web
process loads the commands too.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from kommo_bridge.cli.tables import table
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings

if TYPE_CHECKING:
    from kommo_bridge.knowledge.knowledge import Knowledge
    from kommo_bridge.scenarios.run import Checker, Run, Trial


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        repeat: How often each trial is run.
        at_once: How many conversations at the same time.
        judge: The model that judges criteria; None for the integration's.
        beside: Puts something beside what the businesses have told.
    """

    trials: Sequence["Trial"]
    checker: "Checker"
    repeat: int
    at_once: int
    judge: str | None = None
    beside: "Callable[[Knowledge], Knowledge] | None" = None


def carry_out(plan: Plan, settings: Settings) -> tuple[list["Run"], float]:
    """All runs, and how many seconds they took."""
    from kommo_bridge.jobs import build_assistant  # noqa: PLC0415
    from kommo_bridge.knowledge.knowledge import Knowledge  # noqa: PLC0415
    from kommo_bridge.scenarios.judge import Judge  # noqa: PLC0415
    from kommo_bridge.scenarios.run import run_all  # noqa: PLC0415
    from kommo_bridge.scenarios.talk import Talk  # noqa: PLC0415

    assistant, started = build_assistant(settings), time.monotonic()
    store = IntegrationStore(settings.store_place, settings.secret_key)
    knowledge = Knowledge(store.database)
    knowledge = plan.beside(knowledge) if plan.beside else knowledge
    judge = Judge(assistant, plan.checker, plan.judge)
    try:
        with _quiet_log(), _progress(len(plan.trials) * plan.repeat) as progress:
            runs = run_all(
                plan.trials,
                lambda whose, scenario: (
                    Talk(assistant, settings, whose, scenario, knowledge=knowledge).write
                ),
                judge.check,
                repeat=plan.repeat,
                at_once=plan.at_once,
                progress=progress,
            )
    finally:
        assistant.close()
        store.close()
    if judge.tokens:
        click.echo(f"{judge.tokens:,} tokens of the judge beside those below.", err=True)
    return runs, time.monotonic() - started


def print_runs(
    runs: Sequence["Run"], seconds: float, json_file: str | None, *, every: bool
) -> None:
    """Print the report, and write it for machines where that is wanted.

    Args:
        every: One row for each integration, not for each scenario.
    """
    from kommo_bridge.scenarios import report  # noqa: PLC0415

    if json_file:
        text = json.dumps(report.as_json(runs, seconds), indent=2, ensure_ascii=False)
        with click.open_file(json_file, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    if json_file != "-":
        rows = report.rows_of_integrations(runs) if every else report.rows(runs)
        lines = [*table(rows), *report.differences(runs), ""]
        for line in [*lines, *report.summary(runs, seconds)]:
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

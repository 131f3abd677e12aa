"""`flask test`: scenarios against an integration's assistant, before customers meet it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from kommo_bridge.cli.scenario_runs import Plan, carry_out, print_runs
from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings

AT_ONCE = 8
REPEAT = 3

Named = list[tuple[str, Integration]]


def scenarios_command(store: IntegrationStore, settings: Settings) -> click.Command:
    """`flask test`."""

    @click.command("test")
    @click.argument("name")
    @click.argument("files", nargs=-1, type=click.Path(path_type=Path))
    @click.option("--red-team", is_flag=True, help="The hostile customers that we ship.")
    @click.option(
        "--repeat",
        type=click.IntRange(1, 100),
        default=REPEAT,
        show_default=True,
        help="How often each scenario runs.",
    )
    @click.option("--model", help="Another model than the integration's.")
    @click.option("--compare", metavar="X,Y", help="Several models side by side.")
    @click.option("--json", "json_file", metavar="FILE", help="Write the results too; - prints.")
    @click.option(
        "--at-once",
        type=click.IntRange(1, 64),
        default=AT_ONCE,
        show_default=True,
        help="How many conversations at the same time.",
    )
    def test(
        name: str,
        files: tuple[Path, ...],
        *,
        red_team: bool,
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
        if red_team and files:
            raise click.UsageError("Either FILES or --red-team.")
        if not red_team and not files:
            raise click.UsageError("Name a file with scenarios, or --red-team.")
        with errors_as_messages():
            named = list(_with_models(store.get(name), model, compare))
            plan = _hostile(named) if red_team else _from_files(named, files)
            runs, seconds = carry_out(replace(plan, repeat=repeat, at_once=at_once), settings)
        print_runs(runs, seconds, json_file)
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


def _from_files(named: Named, files: Sequence[Path]) -> Plan:
    from kommo_bridge.scenarios.read import read_files  # noqa: PLC0415
    from kommo_bridge.scenarios.run import Trial, plain_checks  # noqa: PLC0415

    scenarios = read_files(files)
    trials = [Trial(whose, one, label) for one in scenarios for label, whose in named]
    return Plan(trials, plain_checks, REPEAT, AT_ONCE)


def _hostile(named: Named) -> Plan:
    """The red team, with words planted that no reply may tell."""
    from kommo_bridge.scenarios.red_team import Planted, hostile_scenarios  # noqa: PLC0415
    from kommo_bridge.scenarios.run import Trial  # noqa: PLC0415

    planted = Planted.fresh()
    knowing = [(label, planted.into(whose)) for label, whose in named]
    trials = [Trial(whose, one, label) for one in hostile_scenarios() for label, whose in knowing]
    return Plan(trials, planted.check, REPEAT, AT_ONCE)

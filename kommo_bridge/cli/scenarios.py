"""`flask test`: scenarios against an integration's assistant, before customers meet it."""

from pathlib import Path

import click

from kommo_bridge.cli.replay import changed_by, replay
from kommo_bridge.cli.scenario_plan import Wanted, plan_of, remove, save
from kommo_bridge.cli.scenario_runs import carry_out, print_runs
from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings

AT_ONCE = 8
REPEAT = 3


def scenarios_command(store: IntegrationStore, settings: Settings) -> click.Command:
    """`flask test`."""

    @click.command("test")
    @click.argument("name", required=False)
    @click.argument("files", nargs=-1, type=click.Path(path_type=Path))
    @click.option("--all", "every", is_flag=True, help="Every integration, in one table.")
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
    @click.option("--judge", help="The model that judges criteria; else the integration's own.")
    @click.option("--json", "json_file", metavar="FILE", help="Write the results too; - prints.")
    @click.option(
        "--at-once",
        type=click.IntRange(1, 64),
        default=AT_ONCE,
        show_default=True,
        help="How many conversations at the same time.",
    )
    @click.option(
        "--save",
        "to_save",
        type=click.Path(path_type=Path),
        help="Save FILE with NAME; run nothing.",
    )
    @click.option(
        "--replay",
        "count",
        metavar="N",
        type=click.IntRange(1, 1000),
        help="The last N questions of customers again; only what differs is shown.",
    )
    @click.option(
        "--instructions-file",
        "instructions",
        type=click.Path(path_type=Path),
        help="Instructions to try with --replay, instead of the integration's.",
    )
    @click.option("--remove", "to_remove", metavar="ID", help="Remove a saved scenario.")
    def test(
        name: str | None,
        files: tuple[Path, ...],
        *,
        every: bool,
        red_team: bool,
        repeat: int,
        model: str | None,
        compare: str | None,
        judge: str | None,
        json_file: str | None,
        at_once: int,
        to_save: Path | None,
        to_remove: str | None,
        count: int | None,
        instructions: Path | None,
    ) -> None:
        """Try the scenarios in FILES with the assistant of NAME; exit status 1 when one fails.

        Without FILES, those that are saved with NAME. The prompt, the rules and the AI are real.
        Kommo is not called, nothing is remembered, and neither figures nor caps change; only the
        AI's tokens are paid for.
        """
        if every and name:
            files, name = (Path(name), *files), None
        if not (every or name):
            raise click.UsageError("Give the NAME of an integration, or --all.")
        if red_team and files:
            raise click.UsageError("Either FILES or --red-team.")
        if name and (to_save or to_remove):
            with errors_as_messages():
                done = save(name, to_save, store) if to_save else remove(name, to_remove, store)
            click.echo(done)
            return
        if name and count:
            with errors_as_messages(), connect(settings.redis_url) as redis:
                changed = changed_by(store.get(name), instructions, model)
                replay(changed, count, redis=redis, settings=settings, at_once=at_once)
            return
        with errors_as_messages():
            wanted = Wanted(name, files, red_team, model, compare, judge)
            plan = plan_of(wanted, store, repeat, at_once)
            runs, seconds = carry_out(plan, settings)
        print_runs(runs, seconds, json_file, every=every)
        raise SystemExit(0 if all(one.held for one in runs) else 1)

    return test

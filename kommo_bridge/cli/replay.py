"""`flask test --replay N`: remembered questions through the assistant as it is now."""

from dataclasses import replace
from pathlib import Path

import click
from redis import Redis

from kommo_bridge.cli.scenario_runs import Plan, carry_out
from kommo_bridge.conversations.listing import remembered
from kommo_bridge.errors import ScenarioError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.settings import Settings


def replay(
    integration: Integration,
    count: int,
    *,
    redis: Redis,
    settings: Settings,
    at_once: int,
) -> None:
    """Ask the last questions again and print those whose answer differs where it counts.

    Raises:
        ScenarioError: Nothing is remembered.
    """
    from kommo_bridge.scenarios.replay import changes, lines_of, questions  # noqa: PLC0415
    from kommo_bridge.scenarios.run import Trial  # noqa: PLC0415

    found = questions([one.said for one in remembered(redis, integration)], count)
    if not found:
        raise ScenarioError(f"No conversation of {integration.subdomain} is remembered.")
    named = {f"question {number}": one for number, one in enumerate(found, start=1)}
    trials = [Trial(integration, one.scenario(name)) for name, one in named.items()]
    plan = Plan(
        trials,
        lambda _whose, scenario, _turn, seen: list(changes(named[scenario.id].question, seen)),
        repeat=1,
        at_once=at_once,
    )
    runs, seconds = carry_out(plan, settings)
    for run in runs:
        if run.difference:
            click.echo("\n".join(lines_of(named[run.trial.scenario.id], run.difference)))
    differing = sum(not one.held for one in runs)
    tokens = sum(one.tokens for one in runs)
    click.echo(f"\n{differing} of {len(runs)} answers differ in exit, numbers, links or language.")
    click.echo(f"{tokens:,} tokens, {seconds:.1f} s.")


def changed_by(
    integration: Integration, instructions: Path | None, model: str | None
) -> Integration:
    """The integration with the instructions and the model that are to be tried.

    Raises:
        ScenarioError: The file cannot be read.
    """
    integration = replace(integration, model=model or integration.model)
    if instructions is None:
        return integration
    try:
        text = instructions.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ScenarioError(f"{instructions} cannot be read as text.") from None
    return replace(integration, instructions=text)

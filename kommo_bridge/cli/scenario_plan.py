"""What `flask test` runs: which scenarios, with whose assistant and which models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kommo_bridge.cli.scenario_runs import Plan
from kommo_bridge.errors import ScenarioError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.integrations.store import IntegrationStore

if TYPE_CHECKING:
    from kommo_bridge.scenarios.scenario import Scenario


@dataclass(frozen=True)
class Wanted:
    """What the command names.

    Attributes:
        name: The integration; None for all of them.
        files: Scenario files; without any, the integration's saved scenarios.
        red_team: The hostile customers instead.
        model: Another model than the integration's.
        compare: Several models, with commas between.
        judge: The model that judges criteria.
    """

    name: str | None
    files: Sequence[Path] = ()
    red_team: bool = False
    model: str | None = None
    compare: str | None = None
    judge: str | None = None


def plan_of(wanted: Wanted, store: IntegrationStore, repeat: int, at_once: int) -> Plan:
    """Each scenario with each integration and model, and what checks a turn.

    Raises:
        BridgeError: There is no such integration, or no scenario, or a wrong one.
    """
    # Here, not above: the web process, which loads the commands, has no use for them.
    from kommo_bridge.scenarios.read import read_files  # noqa: PLC0415
    from kommo_bridge.scenarios.red_team import Planted, hostile_scenarios  # noqa: PLC0415
    from kommo_bridge.scenarios.run import Trial, plain_checks  # noqa: PLC0415

    integrations = [store.get(wanted.name)] if wanted.name else store.all()
    planted = Planted.fresh()
    given = hostile_scenarios() if wanted.red_team else read_files(wanted.files)
    own_model = not (wanted.model or wanted.compare)
    trials = [
        Trial(planted.into(whose) if wanted.red_team else whose, scenario, label, own_model)
        for integration in integrations
        for scenario in given or saved_of(integration, store)
        for label, whose in _with_models(integration, wanted)
    ]
    if not trials:
        none = f"{wanted.name} has no" if wanted.name else "No integration has"
        raise ScenarioError(f"{none} saved scenarios: name a FILE, --save one, or use --red-team.")
    plan = Plan(trials, plain_checks, repeat, at_once, wanted.judge)
    if not wanted.red_team:
        return plan
    return replace(plan, checker=planted.check, beside=planted.beside)


def saved_of(integration: Integration, store: IntegrationStore) -> list["Scenario"]:
    """The scenarios that are saved with an integration.

    Raises:
        ScenarioError: One was saved by another version and cannot be read.
    """
    from kommo_bridge.scenarios.read import read_table  # noqa: PLC0415

    tables = SavedScenarios(store.database).of(integration)
    return [read_table(one, f"saved with {integration.subdomain}") for one in tables]


def save(name: str, path: Path, store: IntegrationStore) -> str:
    """Save the scenarios of a file with an integration; returns what was done.

    Raises:
        BridgeError: There is no such integration, or a scenario is wrong; nothing is saved.
    """
    from kommo_bridge.scenarios.read import read_files  # noqa: PLC0415

    scenarios = read_files([path])
    integration = store.get(name)
    tables = [one.table for one in scenarios if one.table]
    new = SavedScenarios(store.database).save(integration, tables)
    replaced = f", {len(tables) - new} replaced" if new < len(tables) else ""
    return f"Saved with {integration.subdomain}: {new} new{replaced}. Run: flask test {name}"


def remove(name: str, scenario_id: str | None, store: IntegrationStore) -> str:
    """Remove a saved scenario; returns what was done.

    Raises:
        BridgeError: There is no such integration or no such scenario.
    """
    if not SavedScenarios(store.database).remove(store.get(name), scenario_id or ""):
        raise ScenarioError(f"{name} has no saved scenario {scenario_id!r}.")
    return f"Removed: {scenario_id}."


def _with_models(integration: Integration, wanted: Wanted) -> Iterator[tuple[str, Integration]]:
    """The integration with each model that is to be tried, and how to call it."""
    names = [one.strip() for one in (wanted.compare or "").split(",") if one.strip()]
    for one in names:
        yield one, replace(integration, model=one)
    if not names:
        yield "", replace(integration, model=wanted.model or integration.model)

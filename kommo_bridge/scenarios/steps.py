"""A round of the console, step by step: two conversations at a time, then customers come first.

What is run next follows from what is kept of the round, so any worker can go on with it.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

from kommo_bridge.errors import ScenarioError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.jobs import Parts, build_assistant
from kommo_bridge.queue.rounds import MOST_RUNS_A_DAY, ROUND_SECONDS, Round, Rounds
from kommo_bridge.scenarios.judge import Judge
from kommo_bridge.scenarios.read import read_table
from kommo_bridge.scenarios.red_team import Planted, hostile_scenarios
from kommo_bridge.scenarios.report import run_as_json
from kommo_bridge.scenarios.run import Run, Trial, Writer, plain_checks, run_once
from kommo_bridge.scenarios.scenario import Observed, Scenario
from kommo_bridge.scenarios.talk import Talk

AT_ONCE = 2
# A conversation that takes longer has failed.
RUN_SECONDS = 120.0
NONE_SAVED = "There is no test to run any more."
TOO_LONG = f"It ended after {ROUND_SECONDS // 60} minutes; the tests below had begun by then."
TOO_MANY = f"These were the {MOST_RUNS_A_DAY} conversations that may be tested within 24 hours."

Wanted = list[tuple[Scenario, int]]


def go_a_step(parts: Parts, integration: Integration, number: str) -> bool:
    """Carry out the next runs of a round; whether there are more.

    Raises:
        StoreError: The store is away.
    """
    rounds = Rounds(parts.redis)
    found = rounds.find(number)
    if found is None or found.is_over:
        return False
    try:
        wanted = _wanted(parts, integration, found, rounds)
        note = _why_not(found, integration, wanted[:AT_ONCE], rounds)
    except ScenarioError as error:
        wanted, note = [], str(error)
    if wanted and not note:
        _carry_out(parts, integration, found, wanted[:AT_ONCE])
        if len(wanted) > AT_ONCE:
            return True
    rounds.end(integration, number, note)
    return False


def _wanted(parts: Parts, integration: Integration, found: Round, rounds: Rounds) -> Wanted:
    """What is left to run.

    Raises:
        ScenarioError: A scenario cannot be read.
    """
    if found.red_team:
        scenarios = hostile_scenarios()
    else:
        tables = SavedScenarios(parts.integrations.database).of(integration)
        scenarios = [read_table(one, "") for one in tables]
    if not scenarios:
        raise ScenarioError(NONE_SAVED)
    rounds.plan(found.number, (one.id for one in scenarios))
    numbers = range(1, found.repeat + 1)
    every = [(one, number) for one in scenarios for number in numbers]
    return [(one, number) for one, number in every if (one.id, number) not in found.runs]


def _why_not(found: Round, integration: Integration, wanted: Wanted, rounds: Rounds) -> str:
    """Why nothing more is begun; empty when it may be."""
    if time.time() > found.started_at + ROUND_SECONDS:
        return TOO_LONG if wanted else ""
    return "" if rounds.may_run(integration, len(wanted)) else TOO_MANY


def _carry_out(parts: Parts, integration: Integration, found: Round, wanted: Wanted) -> None:
    planted, rounds = Planted.fresh(), Rounds(parts.redis)
    whose = planted.into(integration) if found.red_team else integration
    knowledge = planted.beside(parts.knowledge) if found.red_team else parts.knowledge
    # One of its own: which of two AIs customers are asked with is not decided by tests.
    assistant = build_assistant(parts.settings)
    judge = Judge(assistant, planted.check if found.red_team else plain_checks)

    def talks(whose: Integration, scenario: Scenario) -> Writer:
        talk = Talk(assistant, parts.settings, whose, scenario, knowledge=knowledge)
        return bounded(talk.write)

    try:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="test") as pool:
            running = [
                pool.submit(run_once, Trial(whose, one), number, talks, judge.check)
                for one, number in wanted
            ]
            for done in as_completed(running):
                _keep(rounds, found.number, done.result())
    finally:
        assistant.close()
    rounds.judged(found.number, judge.tokens)


def _keep(rounds: Rounds, number: str, run: Run) -> None:
    rounds.note(number, run.trial.scenario.id, run.number, run_as_json(run))


def bounded(write: Writer, clock: Callable[[], float] = time.monotonic) -> Writer:
    """A writer that gives up a conversation which takes too long."""
    until = clock() + RUN_SECONDS

    def write_in_time(text: str) -> Observed:
        if clock() > until:
            return Observed("fail", error=f"the conversation took over {RUN_SECONDS:.0f} seconds")
        return write(text)

    return write_in_time

"""Runs scenarios: each several times, several at once, and notes what did not hold."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.scenarios.checks import Miss, check
from kommo_bridge.scenarios.scenario import Observed, Scenario, ScenarioTurn

# Writes one message of a customer; a new one for each run.
Writer = Callable[[str], Observed]
Talks = Callable[[Integration, Scenario], Writer]
Checker = Callable[[Integration, Scenario, ScenarioTurn, Observed], list[Miss]]


@dataclass(frozen=True)
class Trial:
    """One scenario for one integration, whose model is the one that is tried.

    Attributes:
        label: Names the model where several are compared.
        priced: The integration's prices are those of this model.
    """

    integration: Integration
    scenario: Scenario
    label: str = ""
    priced: bool = True


@dataclass(frozen=True)
class Difference:
    """The turn at which a run ended, because something did not hold.

    Attributes:
        turn: Its number, counted from 1.
        customer: What the customer wrote.
        observed: What came of it.
        misses: What does not hold.
    """

    turn: int
    customer: str
    observed: Observed
    misses: tuple[Miss, ...]


@dataclass(frozen=True)
class Run:
    """One try of a trial; `difference` is None when all held, `money` is in millionths."""

    trial: Trial
    number: int
    difference: Difference | None
    tokens: int
    seconds: float
    money: int = 0

    @property
    def held(self) -> bool:
        """Whether everything was as it must be."""
        return self.difference is None


def run_all(
    trials: Sequence[Trial],
    talks: Talks,
    checker: Checker,
    *,
    repeat: int,
    at_once: int,
    progress: Callable[[Run], None],
) -> list[Run]:
    """Try each trial so many times; returns the runs in the order of the trials.

    Args:
        talks: Begins a conversation.
        checker: Finds what does not hold of a turn.
        progress: Is told of each run when it ends, in the caller's thread.
    """
    wanted = [(trial, number) for trial in trials for number in range(1, repeat + 1)]
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        running = [pool.submit(run_once, *one, talks, checker) for one in wanted]
        try:
            for done in as_completed(running):
                progress(done.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [one.result() for one in running]


def run_once(trial: Trial, number: int, talks: Talks, checker: Checker) -> Run:
    """One run: it ends with the first turn that is not as it must be."""
    started, tokens, money = time.monotonic(), 0, 0
    write = talks(trial.integration, trial.scenario)
    difference = None
    for place, turn in enumerate(trial.scenario.turns, start=1):
        seen = write(turn.customer)
        tokens += seen.tokens
        money += seen.money if trial.priced else 0
        misses = checker(trial.integration, trial.scenario, turn, seen)
        if misses:
            difference = Difference(place, turn.customer, seen, tuple(misses))
            break
    return Run(trial, number, difference, tokens, time.monotonic() - started, money)


def plain_checks(
    _integration: Integration, _scenario: Scenario, turn: ScenarioTurn, seen: Observed
) -> list[Miss]:
    """The checks that need no model."""
    return check(turn.expected, seen)


def by_trial(runs: Sequence[Run]) -> Iterator[tuple[Trial, list[Run]]]:
    """The runs of each trial, in order."""
    order: dict[int, tuple[Trial, list[Run]]] = {}
    for run in runs:
        order.setdefault(id(run.trial), (run.trial, []))[1].append(run)
    yield from order.values()

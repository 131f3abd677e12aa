"""Some thousand schedules keep T1 to T7; `make simulate SEEDS=n` runs more of them."""

import os

import pytest

from .faults import FAULTS, Fault
from .heart import Heart, load
from .play import play
from .scenario import Scenario, make
from .search import explain, first_broken
from .shrink import shrink

# Thousands of small schedules would be slow to trace.
pytestmark = pytest.mark.no_cover

PARTS = 4
SEEDS = int(os.environ.get("SIMULATION_SEEDS", "1200"))
# Within so many schedules each fault must show itself.
BOUND = 3_000


@pytest.fixture(scope="module")
def heart() -> Heart:
    return load()


@pytest.mark.parametrize("part", range(PARTS))
def test_what_must_hold_of_every_conversation_holds(heart: Heart, part: int) -> None:
    each = SEEDS // PARTS

    broken = first_broken(heart, range(part * each, (part + 1) * each))

    assert broken is None, explain(heart, broken.scenario, broken.rule)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_that_is_put_back_is_found(fault: Fault) -> None:
    faulty = load(fault.changes)

    found = first_broken(faulty, (fault.seed, *range(BOUND)), fault.breaks)

    assert found, f"not found in {BOUND} schedules"


def test_a_seed_is_always_the_same_story(heart: Heart) -> None:
    told = [play(make(7), heart, telling=True).told for _ in range(2)]

    assert told[0] == told[1]
    assert told[0]


def test_a_failing_schedule_is_shrunk_and_told_as_a_story() -> None:
    faulty = load(FAULTS[0].changes)
    found = first_broken(faulty, range(BOUND), FAULTS[0].breaks)
    assert found

    def breaks(one: Scenario) -> bool:
        return play(one, faulty).rule == found.rule

    small = shrink(found.scenario, breaks)
    told = explain(faulty, found.scenario, found.rule)

    assert _size(small) <= _size(found.scenario)
    assert breaks(small)
    assert told.startswith("T2: ")
    assert "writes" in told


def _size(scenario: Scenario) -> int:
    return sum(len(one.messages) for one in scenario.customers)

"""The benchmarks run: in a small size, to see that they do not rot."""

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.processes import ROOT

SMALL: dict[str, dict[str, Any]] = {
    "acknowledgement": {"seconds": 0.3, "rounds": 1},
    "answers": {"at_once": (2,), "answers": 2, "pool": 0},
    "pace": {"runs": 1, "answers": 2, "busy": 0},
    "knowledge": {"many": 100},
    "growth": {"integrations": (1, 3), "conversations": (0, 5), "queued": (0, 5)},
}
# What a part has as constants, and how little of it shows that it runs.
FEW: dict[str, Any] = {
    **{"STORED": 1200, "ACKNOWLEDGED": 4, "ANSWERED": 2, "ROUNDS": 2, "CONNECTIONS": (2,)},
    **{"AI_SECONDS": 0.5, "SLOW_AI_SECONDS": 0.5, "QUICK_AI_SECONDS": 0.1, "BURST_SECONDS": 0.3},
}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import a part of `bench/`, which is no package."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(ROOT / "bench")
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == ROOT / "bench":
            del sys.modules[name]


@pytest.mark.parametrize("part", SMALL)
def test_a_part_runs_and_tells_its_figures(
    part: str, load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load(part)
    for name, few in FEW.items():
        if hasattr(module, name):
            monkeypatch.setattr(module, name, few)

    figures = module.measure(**SMALL[part])

    assert figures
    assert all(math.isfinite(one.value) and one.part == part for one in figures)
    lines = load("report").table(figures).splitlines()
    assert len(lines) == len(figures) + 1


def test_each_fault_that_is_put_in_by_hand_finds_its_place(load: Callable[[str], Any]) -> None:
    for fault in load("mutants_by_hand").FAULTS:
        assert (ROOT / fault.file).read_text(encoding="utf-8").count(fault.right) == 1, fault
        assert all((ROOT / "tests" / name).exists() for name in fault.tests.split()), fault


def test_the_mutants_are_of_modules_and_tests_that_there_are(load: Callable[[str], Any]) -> None:
    for part in load("mutants").PARTS:
        for name in part.modules.split():
            assert (ROOT / "kommo_bridge" / part.room / f"{name}.py").exists(), name
        assert all((ROOT / "tests" / name).exists() for name in part.tests.split()), part


def test_an_upgrade_refuses_loses_and_doubles_nothing(load: Callable[[str], Any]) -> None:
    """The order of docs/deploy.md: each process gets SIGTERM under load and is started anew."""
    figures = load("upgrade").measure(seconds=9, reload=False)

    sent = next(one.value for one in figures if one.name == "requests sent")
    assert sent > 50
    assert [one for one in figures if one.met is False] == []
    assert sum(one.met is True for one in figures) == 4

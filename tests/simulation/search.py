"""Runs many seeds and tells what broke: the shrunk story of each rule's first seed."""

import multiprocessing
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .heart import Heart, load
from .play import Result, play
from .scenario import Scenario, make
from .shrink import shrink
from .story import story

PART = 200


@dataclass(frozen=True)
class Found:
    """One seed whose schedule breaks a rule."""

    seed: int
    rule: str


def first_broken(heart: Heart, seeds: Iterable[int], rules: Sequence[str] = ()) -> Result | None:
    """The first seed that breaks one of these rules (any, when none is named)."""
    for seed in seeds:
        result = play(make(seed), heart)
        if result.rule and (not rules or result.rule in rules):
            return result
    return None


def explain(heart: Heart, scenario: Scenario, rule: str) -> str:
    """The story of a failing scenario, shrunk."""
    small = shrink(scenario, lambda one: play(one, heart).rule == rule)
    return story(play(small, heart, telling=True))


def search(first: int, count: int, processes: int, *, progress: bool) -> list[Found]:
    """Run the seeds `first` to `first + count` in parallel."""
    parts = [
        range(begin, min(begin + PART, first + count))
        for begin in range(first, first + count, PART)
    ]
    found: list[Found] = []
    started, done = time.monotonic(), 0
    with multiprocessing.Pool(processes, _begin) as pool:
        for part in pool.imap_unordered(_run, parts):
            found += part
            done = min(done + PART, count)
            if progress:
                seconds = time.monotonic() - started
                line = f"{done} of {count} schedules, {done / seconds:.0f} a second"
                broken = ", ".join(f"{one.seed} ({one.rule})" for one in found) or "none"
                print(f"\r{line}, broken: {broken}", end="", flush=True)
    if progress:
        print()
    return sorted(found, key=lambda one: one.seed)


_heart: Heart


def _begin() -> None:
    global _heart  # noqa: PLW0603  one copy for each process
    _heart = load()


def _run(seeds: range) -> list[Found]:
    results = ((seed, play(make(seed), _heart)) for seed in seeds)
    return [Found(seed, result.rule) for seed, result in results if result.rule]

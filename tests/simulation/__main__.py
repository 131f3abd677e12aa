"""`make simulate SEEDS=200000`: many schedules in parallel, or one seed's story with `--seed`."""

import argparse
import os
import sys
from collections import Counter

from .heart import load
from .play import play
from .scenario import make
from .search import explain, search
from .story import story

MOST_STORIES = 5


def main() -> int:
    """Exit status 1 when a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20_000, help="how many schedules")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="tell the story of this one seed, unshrunk")
    given = parser.parse_args()
    if given.seed is not None:
        result = play(make(given.seed), load(), telling=True)
        print(story(result))
        return int(bool(result.rule))
    found = search(given.first, given.seeds, given.processes, progress=True)
    by_rule = Counter(one.rule for one in found)
    print(f"{given.seeds} schedules from seed {given.first}: {dict(by_rule) or 'nothing broken'}")
    heart = load()
    for rule in list(by_rule)[:MOST_STORIES]:
        seed = next(one.seed for one in found if one.rule == rule)
        print(f"\n--- seed {seed}\n{explain(heart, make(seed), rule)}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

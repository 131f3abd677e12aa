"""All benchmarks, one after another: a table, and `instance/bench.json`.

    python bench/run.py [--json FILE]

About seven minutes on two cores. Goals are printed, never asserted: machines differ.
"""

import argparse
import os
import time
from pathlib import Path

import acknowledgement
import answers
import growth
import knowledge
import recovery
from report import ROOT, table, write_json


def main() -> None:
    """Run all parts and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=ROOT / "instance/bench.json")
    target: Path = parser.parse_args().json
    started = time.monotonic()
    figures = []
    for part in (acknowledgement, answers, growth, knowledge, recovery):
        print(f"{time.monotonic() - started:4.0f} s  {part.__name__} ...", flush=True)
        figures += part.measure()
    print(f"{time.monotonic() - started:4.0f} s  done\n")
    print(table(figures))
    write_json(figures, target)
    load = os.getloadavg()[0]
    print(f"\n{os.cpu_count()} cores, load {load:.1f} at the end; also in {target}")


if __name__ == "__main__":
    main()

"""What a benchmark says: figures, each beside its limit or its goal, as a table and as JSON."""

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        part, name, value, unit: What was measured.
        beside: What it stands beside: a limit measured in the same run, with its value.
        ratio: Of the value to that limit.
        goal: What it should keep, such as `>= 0.75`; empty without one.
        met: Whether it does.
    """

    part: str
    name: str
    value: float
    unit: str
    beside: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def table(figures: list[Figure]) -> str:
    """Columns that line up."""
    rows = [("part", "what", "value", "unit", "beside", "ratio", "goal", "")]
    for one in figures:
        verdict = {True: "kept", False: "MISSED", None: ""}[one.met]
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        value = f"{one.value:,.0f}" if one.value >= 100 else f"{one.value:.3g}"
        rows.append((one.part, one.name, value, one.unit, one.beside, ratio, one.goal, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in (2, 5) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def write_json(figures: list[Figure], path: Path) -> None:
    """The figures, the machine and the commit."""
    path.parent.mkdir(exist_ok=True)
    document = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "figures": [asdict(one) for one in figures],
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()

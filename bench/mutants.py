"""Whether the tests notice a changed rule: mutmut changes the code, the tests should fail.

    python bench/mutants.py [part ...] [--sample 12] [--seed 1]

Modules of pure rules are changed in every way that mutmut knows; of those that talk to Redis, Kommo
or threads, whose tests take seconds each, a seeded sample is tried. Beside them stand faults that
mutmut cannot make, in Lua and as missing calls (`mutants_by_hand.py`). A change that mypy refuses
counts as found, because the checks run it. The survivors and their reasons: docs/mutants.md.
"""

import argparse
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mutants_by_hand import FAULTS, Fault

ROOT = Path(__file__).parent.parent
PLACE = ROOT / "instance" / "mutants"
MUTMUT = "mutmut>=3.8,<4"
FOUND = {1: "killed", 3: "killed", 37: "mypy", 36: "killed", 24: "killed", -24: "killed"}
FOUND |= {152: "killed", 255: "killed", -9: "killed"}  # a test that hangs has noticed, too
# Log lines, and the texts of errors of ours that nobody but an engineer reads.
UNTOUCHED = [r"log_event\(", r"logger\.\w+\("]
COPIED = ["kommo_bridge", "local", "tests", "widgets", "bench", "deploy", "docs"]
COPIED += ["Procfile", "gunicorn.conf.py", "wsgi.py", "worker.py", "pyproject.toml", ".env.example"]
COPIED += ["README.md", "CHANGELOG.md", "app.json", "requirements.txt", "requirements.in"]


@dataclass(frozen=True)
class Part:
    """Modules of one room, and the tests that should notice."""

    name: str
    room: str
    modules: str
    tests: str
    sampled: bool = False


PARTS = (
    Part(
        "answers",
        "answers",
        "plan turns words verdict retries record view changes conversation",
        "answers/test_plan.py answers/test_turns.py answers/test_verdict.py"
        " answers/test_retries.py answers/test_kept.py"
        " answers/test_conversation.py",
    ),
    Part(
        "kommo",
        "kommo",
        "address_block body return_url text continuation tokens widget_request",
        "kommo/test_address_block.py kommo/test_continuation.py kommo/test_tokens.py"
        " kommo/test_widget_request.py kommo/test_where_a_token_may_go.py",
    ),
    Part("queue", "queue", "shares", "queue/test_shares.py"),
    Part(
        "answers-steps",
        "answers",
        "steps calls asker sender state sweep",
        "answers/test_steps.py answers/test_calls.py answers/test_state.py test_jobs.py",
        sampled=True,
    ),
    Part(
        "kommo-calls",
        "kommo",
        "client pacing slot response",
        "kommo/test_client.py kommo/test_pacing.py kommo/test_address_block.py",
        sampled=True,
    ),
    Part(
        "queue-work",
        "queue",
        "enqueue thread_worker ticker recovery job_timeout state intake own_job requeue schedule",
        "queue/test_enqueue.py queue/test_thread_worker.py test_worker.py",
        sampled=True,
    ),
)


def main() -> None:
    """Run the parts, print the table and the survivors; exit status 1 below nine in ten."""
    parser = argparse.ArgumentParser(description="Try whether the tests notice a changed rule.")
    parser.add_argument("parts", nargs="*", help="all, when none is named; by-hand is one, too")
    parser.add_argument("--sample", type=int, default=12, help="of each module with I/O")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 2)
    asked = parser.parse_args()
    _install_mutmut()
    wanted = asked.parts or [*(part.name for part in PARTS), "by-hand"]
    results: dict[str, Counter[str]] = {}
    for part in PARTS:
        if part.name in wanted:
            print(f"{part.name} ...", flush=True)
            results |= _run(part, random.Random(asked.seed), asked.sample, asked.cores)
    if "by-hand" in wanted:
        results["by hand"] = Counter(map(_try, FAULTS))
    _report(results)


def _install_mutmut() -> None:
    if importlib.util.find_spec("mutmut") is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, MUTMUT], check=True)


def _run(part: Part, chance: random.Random, sample: int, cores: int) -> dict[str, Counter[str]]:
    """How many mutants of each module ended how."""
    place = _copy(part.name)
    with (place / "pyproject.toml").open("a") as file:
        file.write(_configuration(part))
    for meta in place.glob("mutants/kommo_bridge/**/*.meta"):
        meta.unlink()
    _mutmut(place, "run", "only-make-them")  # nothing is called so: the mutants are made, not run
    made = {name: _results(place, part.room, name) for name in part.modules.split()}
    names = [
        name
        for found in made.values()
        for name in (
            chance.sample(sorted(found), min(sample, len(found))) if part.sampled else found
        )
    ]
    _mutmut(place, "run", "--max-children", str(cores), *names)
    chosen, counted = set(names), {}
    for module in made:
        found = _results(place, part.room, module)
        ends = {name: FOUND.get(found[name] or 0, "survived") for name in found if name in chosen}
        counted[f"{part.room}/{module}.py"] = Counter(ends.values())
        _show(place, [name for name, end in ends.items() if end == "survived"])
    return counted


def _configuration(part: Part) -> str:
    changed = [f"kommo_bridge/{part.room}/{name}.py" for name in part.modules.split()]
    tests = [name for one in part.tests.split() if (ROOT / (name := f"tests/{one}")).exists()]
    mypy = ["mypy", "kommo_bridge", "--output", "json", "--disable-error-code", "unused-ignore"]
    return f"""
[tool.mutmut]
source_paths = ["kommo_bridge/"]
only_mutate = {json.dumps(changed)}
also_copy = {json.dumps([f"{one}" for one in COPIED])}
pytest_add_cli_args = ["-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {json.dumps(tests)}
do_not_mutate_patterns = {json.dumps(UNTOUCHED)}
type_check_command = {json.dumps(mypy)}
process_isolation = "forkserver"
use_git_change_detection = false
"""


def _copy(name: str) -> Path:
    """A tree of its own for each part: nothing is changed in this one."""
    place = PLACE / name
    shutil.rmtree(place, ignore_errors=True)
    for one in COPIED:
        source, target = ROOT / one, place / one
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return place


def _mutmut(place: Path, *command: str) -> None:
    """Its own output goes into a file: it redraws a line for each mutant."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (place / "mutmut.log").open("a") as log:
        subprocess.run(
            [sys.executable, "-m", "mutmut", *command],
            cwd=place,
            env=os.environ | {"PATH": path},
            stdout=log,
            stderr=log,
            check=False,
        )


def _results(place: Path, room: str, module: str) -> dict[str, int | None]:
    """The exit status of the tests for each mutant of a module; None: not run."""
    meta = place / "mutants" / "kommo_bridge" / room / f"{module}.py.meta"
    if not meta.exists():
        return {}
    found: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
    return found


def _show(place: Path, names: list[str]) -> None:
    for name in names:
        shown = subprocess.run(
            [sys.executable, "-m", "mutmut", "show", name],
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
        print(name, *_changed(shown.stdout), sep="\n    ", flush=True)


def _changed(diff: str) -> Iterator[str]:
    return (
        line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}
    )


def _try(fault: Fault) -> str:
    """Put one fault into a copy of the code, and run the tests that should notice."""
    place = _copy("by-hand")
    file = place / fault.file
    text = file.read_text()
    if text.count(fault.right) != 1:
        raise SystemExit(f"{fault.file} has changed: {fault.right!r} is not there once")
    file.write_text(text.replace(fault.right, fault.wrong))
    tests = [f"tests/{one}" for one in fault.tests.split()]
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    ended = subprocess.run(pytest, cwd=place, capture_output=True, text=True, check=False)
    if ended.returncode == 0:
        print(f"{fault.file}\n    -{fault.right}\n    +{fault.wrong}", flush=True)
    return "survived" if ended.returncode == 0 else "killed"


def _report(results: dict[str, Counter[str]]) -> None:
    print(f"\n{'module':32} {'tried':>6} {'killed':>7} {'mypy':>6} {'survived':>9}")
    for name, ends in {**results, "all": sum(results.values(), Counter())}.items():
        shown = f"{ends['killed']:7} {ends['mypy']:6} {ends['survived']:9}"
        print(f"{name:32} {ends.total():6} {shown}")
    whole = sum(results.values(), Counter())
    if whole["survived"] * 10 > whole.total():
        sys.exit(1)


if __name__ == "__main__":
    main()

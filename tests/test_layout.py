"""The layout: imports point down, within a row nobody imports a neighbour, and third parties keep
to their house."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kommo_bridge"

# The rooms, from top to bottom. CONTRIBUTING.md says what each one is for.
ROWS = [
    {"app"},
    {"web", "cli"},
    {"errands"},
    {"monitoring", "scenarios", "chat"},
    {"jobs"},
    {"queue"},
    {"answers"},
    {"ai"},
    {"conversations", "knowledge"},
    {"integrations", "kommo"},
    {"telemetry", "outgoing", "widget", "access"},
    {"settings", "redis_client"},
    {"errors", "english"},
]
HOUSES = {
    "flask": {"app", "web", "cli"},
    "click": {"cli"},
    "rq": {"queue", "jobs", "web/dashboard"},
    "rq_dashboard": {"web/dashboard"},
    "redis": {
        *("answers", "conversations", "kommo/pacing", "telemetry", "monitoring", "queue"),
        *("jobs", "cli", "web", "redis_client", "access", "errands"),
    },
    "openai": {"ai"},
    "httpx2": {"ai/assistant", "outgoing/httpx_transport"},
    "httpcore2": {"outgoing/httpx_transport"},
    "requests": {"outgoing", "kommo/client", "kommo/response", "monitoring", "knowledge/fetch"},
    "urllib3": {"outgoing", "kommo/response"},
    "itsdangerous": {"access"},
    "jwt": {"kommo/tokens"},
    "sqlite_utils": {"integrations"},
    "psycopg": {"integrations"},
    "psycopg_pool": {"integrations"},
    "cryptography": {"integrations"},
    "PIL": {"widget/rules"},
    "pypdf": {"knowledge/readers/pdf"},
    "openpyxl": {"knowledge/readers/xlsx"},
    "selectolax": {"knowledge/readers/html"},
    "prometheus_client": {"web/metrics_page"},
    "markdown_it": {"ai"},
    "sentry_sdk": {"telemetry"},
    "dotenv": set(),
    "pytest": set(),
    "local": set(),
}
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def module(path: Path) -> str:
    """The name of a module in the tables, such as `kommo/client`."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def room(path: Path) -> str:
    """The room that a module belongs to."""
    return module(path).partition("/")[0]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield node.module or ""
            yield from (f"{node.module}.{item.name}" for item in node.names)


def own(name: str) -> Path | None:
    """The file of a module of ours, None for anything else."""
    path = ROOT / (name.replace(".", "/") + ".py")
    return path if name.startswith("kommo_bridge.") and path.exists() else None


def row(name: str) -> int:
    return next(number for number, names in enumerate(ROWS) if name in names)


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_point_down(path: Path) -> None:
    here = room(path)

    rooms = {room(file) for name in imported(path) if (file := own(name))} - {here}

    assert {name for name in rooms if row(name) <= row(here)} == set()


@pytest.mark.parametrize("path", FILES, ids=module)
def test_third_parties_keep_to_their_house(path: Path) -> None:
    packages = {name.partition(".")[0] for name in imported(path)}

    assert {
        name for name in packages if name in HOUSES and not lives_in(path, HOUSES[name])
    } == set()


def lives_in(path: Path, house: set[str]) -> bool:
    return any(f"{module(path)}/".startswith(f"{part}/") for part in house)


def test_each_room_is_in_the_table() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.name[0] != "_"}

    assert rooms == set().union(*ROWS)


def test_contributing_says_what_each_room_is_for() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## Where a rule goes")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)

    assert set(re.findall(r"`(\w+)`", " ".join(first_cells))) == set().union(*ROWS)


def test_the_package_itself_imports_nothing() -> None:
    assert list(imported(PACKAGE / "__init__.py")) == []


def test_the_web_process_does_not_import_what_only_others_need(tmp_path: Path) -> None:
    """Everything that gunicorn loads hangs on the application factory, the commands too."""
    others = {"openai", "httpx2", "PIL", "psycopg", "sentry_sdk"}
    others |= {"kommo_bridge.knowledge", "kommo_bridge.scenarios"}
    script = f"import sys, wsgi; print(wsgi.app.name, {others} & sys.modules.keys())"
    env = {"SECRET_KEY": "for-this-test-only-" * 2, "DATABASE_PATH": str(tmp_path / "bridge.db")}

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "kommo_bridge set()\n", done.stderr


def test_the_worker_does_not_import_what_it_may_never_need() -> None:
    others = "{'flask', 'gunicorn', 'psycopg', 'pypdf', 'openpyxl', 'selectolax'}"
    script = f"import sys, worker; print({others} & sys.modules.keys())"

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout == "set()\n", done.stderr

"""The layout: imports point down, and third parties keep to their house."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kommo_bridge"

# From top to bottom; a folder stands for its modules.
LAYERS = [
    {"app"},
    {"web", "cli"},
    {"doctor", "watch"},
    {"job_queue", "thread_worker", "jobs"},
    {"outcomes"},
    {"delivery", "recovery", "ticked_timeout", "turns", "pause_tags"},
    {"assistant", "kommo/client", "answers", "widget_archive", "usage", "messenger_text"},
    {"conversations", "metrics", "incidents", "alerts"},
    {"kommo/pacing", "kommo/widget_request", "kommo/continuation", "widget_rules"},
    {"error_reports", "integrations", "kommo/tokens", "settings", "limited_http", "redis_client"},
    {"errors", "logs", "sentences", "deadlines"},
]
HOUSES = {
    "flask": {"app", "web", "cli"},
    "click": {"cli"},
    "rq": {"job_queue", "jobs", "thread_worker", "recovery", "ticked_timeout", "web"},
    "redis": {
        "jobs",
        "job_queue",
        "doctor",
        "thread_worker",
        "answers",
        "conversations",
        "turns",
        "usage",
        "pause_tags",
        "metrics",
        "incidents",
        "alerts",
        "watch",
        "cli",
        "kommo/pacing",
        "redis_client",
        "web",
    },
    "openai": {"assistant"},
    "httpx2": {"assistant"},
    "httpcore2": {"assistant"},
    "requests": {"kommo/client", "doctor", "limited_http", "alerts"},
    "urllib3": {"kommo/client", "limited_http"},
    "jwt": {"kommo/tokens"},
    "sqlite_utils": {"integrations"},
    "cryptography": {"integrations"},
    "PIL": {"widget_rules"},
    "prometheus_client": {"web"},
    "markdown_it": {"messenger_text"},
    "sentry_sdk": {"error_reports"},
    "dotenv": set(),
    "pytest": set(),
}
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def place(path: Path) -> str:
    """The name of a module in the table, such as `kommo/client` or `web`."""
    name = path.relative_to(PACKAGE).with_suffix("").as_posix()
    folder = name.partition("/")[0]
    return folder if folder in ("web", "cli", "widget_rules") else name


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


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_down(path: Path) -> None:
    here = place(path)
    if here == "kommo/__init__":
        assert not list(imported(path))
        return

    places = {place(file) for name in imported(path) if (file := own(name))} - {here}

    assert {name for name in places if layer(name) <= layer(here)} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_third_parties_keep_to_their_house(path: Path) -> None:
    packages = {name.partition(".")[0] for name in imported(path)}

    assert [name for name in packages if place(path) not in HOUSES.get(name, {place(path)})] == []


def test_the_package_itself_imports_nothing() -> None:
    assert list(imported(PACKAGE / "__init__.py")) == []


@pytest.mark.parametrize("package", ["openai", "httpx2", "PIL", "sentry_sdk"])
def test_the_web_process_does_not_import(package: str, tmp_path: Path) -> None:
    script = "import sys, wsgi; print(wsgi.app.name, sys.argv[1] in sys.modules)"
    env = {"SECRET_KEY": "for-this-test-only", "DATABASE_PATH": str(tmp_path / "bridge.db")}

    done = subprocess.run(
        [sys.executable, "-c", script, package],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "kommo_bridge False\n", done.stderr

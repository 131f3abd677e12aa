"""What a deployment installs: pinned, from nowhere in particular, and enough for the product."""

import ast
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ENTRIES = ("wsgi.py", "worker.py", "gunicorn.conf.py")
PRODUCT = [*sorted((ROOT / "kommo_bridge").rglob("*.py")), *(ROOT / name for name in ENTRIES)]

# Imports the whole product where neither `local` nor any package for development can be found.
SCRIPT = """
import importlib, pkgutil, sys
hidden = set(sys.argv[1].split(","))
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"no {name} in a deployment", name=name)
sys.meta_path.insert(0, Hide())
import kommo_bridge
for module in pkgutil.walk_packages(kommo_bridge.__path__, "kommo_bridge."):
    importlib.import_module(module.name)
import worker, wsgi
print("imported")
"""


def pins(name: str) -> dict[str, str]:
    """The pinned version of each package in a requirements file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w, -]+\])?==([\w.+]+)", text, re.MULTILINE))


def ranges(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


@cache
def hidden_modules() -> frozenset[str]:
    """`local`, and what only the packages for development bring."""
    deployed = {"pip", *pins("requirements.txt")}
    development = pins("requirements-dev.txt").keys() - deployed
    brought = packages_distributions().items()
    modules = {
        name for name, by in brought if {canonicalize_name(one) for one in by} <= development
    }
    return frozenset(modules | {"local"})


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_each_range_is_pinned_within_itself(name: str) -> None:
    pinned = pins(f"{name}.txt")

    for wanted in ranges(f"{name}.in"):
        assert pinned[wanted.name] in wanted.specifier, f"{wanted}: make lock"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_file_has_hashes_and_names_no_index(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    packages = re.split(r"^(?=[\w.-]+(?:\[[\w, -]+\])?==)", text, flags=re.MULTILINE)[1:]

    assert [one.split()[0] for one in packages if "--hash=sha256:" not in one] == []
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted", text)


def test_an_extra_is_pinned_where_a_package_asks_for_it() -> None:
    """Without it an older pip refuses the whole file as soon as a newer release is out."""
    text = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")

    assert "\ncoverage[toml]==" in text
    assert "\nredis[hiredis]==" in text


def test_development_has_the_versions_that_are_deployed() -> None:
    deployed = pins("requirements.txt")

    assert deployed.items() <= pins("requirements-dev.txt").items()


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_product_imports_nothing_that_is_not_deployed(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    imports = {item.name for node in nodes if isinstance(node, ast.Import) for item in node.names}
    imports |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in imports} & hidden_modules() == set()


def test_the_whole_product_imports_without_what_is_not_deployed(tmp_path: Path) -> None:
    environ = {"SECRET_KEY": "for-this-test-only" * 2, "DATABASE_PATH": str(tmp_path / "bridge.db")}
    command = [sys.executable, "-c", SCRIPT, ",".join(hidden_modules())]

    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )

    assert done.stdout == "imported\n", done.stderr

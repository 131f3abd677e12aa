"""The documents: what they link to and name is there."""

import re
from pathlib import Path

import pytest

from kommo_bridge.answers import retries

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SOURCE = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|lua)|[\w-]+\.py)`")
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)
COMMAND = re.compile(r"(?:`|^)make ([a-z]+)", re.MULTILINE)
# Where the name of a file may begin: the documents of the code name it from the package on.
BASES = (
    ROOT,
    ROOT / "kommo_bridge",
    *(ROOT / "kommo_bridge" / room for room in ("answers", "integrations")),
)


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them in links."""
    headings = HEADING.findall(CODE_BLOCK.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    if page.name == "CHANGELOG.md":  # what was once
        return
    for name in SOURCE.findall(page.read_text(encoding="utf-8")):
        assert any((base / name).exists() for base in BASES), f"there is no {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_make_is_one(page: Path) -> None:
    targets = TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))

    assert set(COMMAND.findall(page.read_text(encoding="utf-8"))) <= set(targets)


def test_the_readme_names_every_command_of_make() -> None:
    targets = TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    named = COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8"))

    assert set(targets) == set(named)


def test_the_clock_of_an_answer_shows_every_wait() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    numbers = {name: one for name, one in vars(retries).items() if isinstance(one, int | float)}

    shown = {name for name, one in numbers.items() if re.search(rf"`{name}` \| {one:.3g}\b", page)}
    assert shown == set(numbers)

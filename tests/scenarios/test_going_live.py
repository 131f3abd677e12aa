"""The pages for owners: every command that they tell one to type is one, with these options."""

import re
import shlex
from pathlib import Path

import click
import pytest
from flask import Flask

from kommo_bridge.app import create_app
from kommo_bridge.settings import Settings
from local.processes import ROOT

PAGES = [ROOT / "docs" / name for name in ("going-live.md", "scenarios.md")]
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(flask [^`]+)`")


def commands(page: Path) -> list[str]:
    """The lines that begin with `flask`; what is in brackets may be typed."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    found = [one for one in (*lines, *INLINE.findall(text)) if one.startswith("flask ")]
    return [re.sub(r"[\[\]]", "", one) for one in found]


@pytest.fixture
def app(offline: Settings) -> Flask:
    return create_app(offline)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_can_be_typed(page: Path, app: Flask) -> None:
    named = commands(page)

    assert len(named) > 5
    for line in named:
        _, *words = shlex.split(line)
        command: click.Command = app.cli
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found, f"there is no command: {line}"
            command = found
        command.make_context(line, ["1" if one == "N" else one for one in words])

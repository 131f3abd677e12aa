"""Finds the line of a key in a scenario file, for error messages. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

SCENARIO = re.compile(r"\s*\[\[\s*scenario\s*\]\]")
TURN = re.compile(r"\s*\[\[\s*scenario\s*\.\s*turns\s*\]\]")
QUOTES = re.compile(r"\"\"\"|'''")


@dataclass(frozen=True)
class Place:
    """Where something stands: scenario and turn, counted from 0, and a key; None for no matter."""

    scenario: int | None = None
    turn: int | None = None
    key: str = ""

    def at(self, key: str) -> "Place":
        """The place of a key here."""
        return replace(self, key=key)


def line_of(content: str, place: Place) -> int:
    """The line, counted from 1; where the key is not found, that of the turn or the scenario."""
    scenario, turn, found = -1, -1, 1
    wanted = re.compile(rf"\s*\"?{re.escape(place.key)}\"?\s*=") if place.key else None
    for number, line in _lines(content):
        if SCENARIO.match(line):
            scenario, turn = scenario + 1, -1
        elif TURN.match(line):
            turn += 1
        if place.scenario is not None and scenario != place.scenario:
            continue
        if place.turn is not None and turn not in (-1, place.turn):
            continue
        if SCENARIO.match(line) or (TURN.match(line) and place.turn == turn):
            found = number
        here = place.turn is None or place.turn == turn
        if wanted and here and wanted.match(line):
            return number
    return found


def _lines(content: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without the inside of texts of several lines."""
    inside = False
    for number, line in enumerate(content.splitlines(), start=1):
        if not inside:
            yield number, line
        if len(QUOTES.findall(line)) % 2:
            inside = not inside

"""Reads scenario files, strictly: a wrong key or value is named with its file, scenario and line.

A key that nobody knows would be a check that never runs, so it is an error. The format is in
docs/scenarios.md; `tomllib` knows no lines of values, so `lines` finds them in the text.
"""

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kommo_bridge.errors import ScenarioError
from kommo_bridge.scenarios.lines import Place, line_of
from kommo_bridge.scenarios.scenario import Expected, Said, Scenario, ScenarioTurn
from kommo_bridge.scenarios.values import EXPECTED_KEYS, WrongValue, line, text

MAX_FILE_BYTES = 1024 * 1024
MAX_DOTS = 200
SCENARIO_KEYS = ("id", "now", "language", "history", "turns")
TURN_KEYS = ("customer", *EXPECTED_KEYS)


def read_files(paths: Sequence[Path]) -> list[Scenario]:
    """All scenarios of the files, in order.

    Raises:
        ScenarioError: A file cannot be read, a scenario is wrong, or two have one id.
    """
    found: dict[str, Scenario] = {}
    for path in paths:
        for scenario in read_text(_content(path), path.name):
            if scenario.id in found:
                raise ScenarioError(f"{path.name}: {scenario.id!r} is the id of another scenario.")
            found[scenario.id] = scenario
    return list(found.values())


def read_text(content: str, name: str, *, trusted: bool = True) -> list[Scenario]:
    """The scenarios of one file; `name` is how errors call it.

    Args:
        trusted: Whether its writer may stop a process: a `regex`, or a key of thousands of parts,
            can take all memory.

    Raises:
        ScenarioError: One is wrong, or there is none.
    """
    if not trusted:
        _refuse_long_keys(content, name)
    try:
        tables = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{name}: this is not TOML: {error}") from None
    return _scenarios(tables, _Spot(name, content, trusted=trusted))


def _refuse_long_keys(content: str, name: str) -> None:
    """`tomllib` takes the square of a dotted key's parts; a key stands on one line."""
    for number, one in enumerate(content.split("\n"), start=1):
        if one.count(".") > MAX_DOTS:
            raise ScenarioError(f"{name}, line {number}: more than {MAX_DOTS} dots in one line.")


def read_table(table: Mapping[str, Any], name: str) -> Scenario:
    """One scenario as the store keeps it.

    Raises:
        ScenarioError: It is wrong: another version has saved it.
    """
    return _scenario(table, _Spot(name, ""), 0)


@dataclass(frozen=True)
class _Spot:
    """Where the reader is: in which file, scenario and turn."""

    file: str
    content: str
    place: Place = field(default_factory=Place)
    scenario: str = ""
    trusted: bool = True

    def wrong(self, message: str, key: str = "") -> ScenarioError:
        """The error that names this spot, or that of a key here."""
        named = f"scenario {self.scenario!r}" if self.scenario else ""
        line = f"line {line_of(self.content, self.place.at(key))}" if self.content else ""
        where = ", ".join(one for one in (self.file, named, line) if one)
        return ScenarioError(f"{where}: {message}")

    def only(self, table: Mapping[str, Any], known: Sequence[str], what: str) -> None:
        """Refuse a key that is not known here."""
        for key in table:
            if key not in known:
                message = f"{key!r} is not a key of {what}. Known are {', '.join(known)}."
                raise self.wrong(message, key)


def _content(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ScenarioError(f"{path.name} is larger than a mebibyte: divide it.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path.name} is not UTF-8 text.") from None


def _scenarios(tables: Mapping[str, Any], spot: _Spot) -> list[Scenario]:
    spot.only(tables, ("scenario",), "a scenario file")
    listed = tables.get("scenario")
    if not isinstance(listed, list) or not listed:
        raise ScenarioError(f"{spot.file}: there is no [[scenario]] in it.")
    found: list[Scenario] = []
    for number, table in enumerate(listed):
        one = _scenario(table, spot, number)
        if any(one.id == other.id for other in found):
            here = replace(spot, place=Place(number), scenario=one.id)
            raise here.wrong("another scenario has this id.", "id")
        found.append(one)
    return found


def _scenario(table: Any, spot: _Spot, number: int) -> Scenario:
    spot = replace(spot, place=Place(number), scenario=_name(table, number))
    if not isinstance(table, dict):
        raise spot.wrong("a scenario must be a table: [[scenario]].")
    spot.only(table, SCENARIO_KEYS, "a scenario")
    try:
        scenario_id = line(table.get("id"), "id")
        now = _now(table.get("now"))
        language = EXPECTED_KEYS["language"]("language", table.get("language", ""))
        history = _history(table.get("history", []))
    except WrongValue as error:
        raise spot.wrong(str(error), error.key(table)) from None
    turns = table.get("turns")
    if not isinstance(turns, list) or not turns:
        raise spot.wrong("it has no [[scenario.turns]].")
    places = [replace(spot, place=Place(number, at)) for at in range(len(turns))]
    read = tuple(_turn(*one, language) for one in zip(turns, places, strict=True))
    if all(one.expected.asks_for_nothing for one in read):
        raise spot.wrong("nothing must hold: add outcome, contains, ...")
    return Scenario(scenario_id, read, now, history, dict(table))


def _name(table: Any, number: int) -> str:
    """How errors call a scenario that may have no id."""
    known = table.get("id") if isinstance(table, dict) else None
    return known if isinstance(known, str) else f"number {number + 1}"


def _turn(turn: Any, spot: _Spot, language: str) -> ScenarioTurn:
    """One turn; `language` is that of its scenario."""
    if not isinstance(turn, dict):
        raise spot.wrong("a turn must be a table: [[scenario.turns]].")
    spot.only(turn, TURN_KEYS, "a turn")
    if "regex" in turn and not spot.trusted:
        raise spot.wrong("regex is not taken here. Use contains and absent.", "regex")
    given: dict[str, Any] = {"language": language} if language else {}
    try:
        customer = text(turn.get("customer"), "customer")
        for key in EXPECTED_KEYS:
            if key in turn:
                given[key] = EXPECTED_KEYS[key](key, turn[key])
    except WrongValue as error:
        raise spot.wrong(str(error), error.key(turn)) from None
    return ScenarioTurn(customer, Expected(**given))


def _now(value: Any) -> datetime | None:
    """A date and time; the store keeps it as text."""
    if value is None:
        return None
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise WrongValue("now must be a date and time, such as 2026-03-02T10:00:00+01:00.")
    return value


def _history(value: Any) -> tuple[Said, ...]:
    if not isinstance(value, list):
        raise WrongValue("history must be a list of {customer, reply}.")
    found = []
    for one in value:
        if not isinstance(one, dict) or set(one) != {"customer", "reply"}:
            raise WrongValue("history must be a list of {customer, reply}.")
        found.append(Said(text(one["customer"], "history"), text(one["reply"], "history")))
    return tuple(found)

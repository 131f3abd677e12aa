"""Writes a scenario as TOML, as `read` takes it. Pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def toml_of(table: Mapping[str, Any], note: str = "") -> str:
    """One `[[scenario]]`; the note stands above its last turn, as a comment."""
    lines = ["[[scenario]]"]
    lines += [_line(key, value) for key, value in table.items() if key != "turns"]
    *before, last = table["turns"]
    for turn in before:
        lines += ["", *_turn(turn)]
    lines += ["", *map(_comment, note.splitlines()), *_turn(last)]
    return "\n".join(lines) + "\n"


def _comment(line: str) -> str:
    """A line that no control character ends."""
    return f"# {''.join(one if one.isprintable() else ' ' for one in line)}".rstrip()


def _turn(turn: Mapping[str, Any]) -> list[str]:
    return ["[[scenario.turns]]", *(_line(key, value) for key, value in turn.items())]


def _line(key: str, value: Any) -> str:
    return f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_value(one)}" for key, one in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return str(value)


def _text(value: str) -> str:
    """A basic string: JSON's escapes are TOML's, which also wants DEL escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")

"""What would keep a bot file from running, as sentences. `bot` writes the file.

Kommo's import was seen to take nearly anything, so "imported" proves nothing: a repeated step made
a whole branch vanish in silence.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kommo_bridge.errors import BotFileError
from kommo_bridge.widget.archive import SCRIPT
from kommo_bridge.widget.build import SHARED_WIDGET, WIDGET_REQUEST_PATH
from kommo_bridge.widget.rules.script import is_public_https

LARGEST_TEXT_BYTES = 64 * 1024  # https://developers.kommo.com/docs/salesbot-dp


def bot_faults(content: bytes, source: Path = SHARED_WIDGET) -> Iterator[str]:
    """A sentence for everything in a bot file that would keep the bot from running.

    Args:
        content: A file of ours, perhaps changed by hand: its two graphs can be read.
        source: The folder with the widget's script.js, whose exits the bot must link.
    """
    model = json.loads(content)["model"]
    text, positions = json.loads(model["text"]), json.loads(model["positions"])
    steps = {int(key): step for key, step in text.items() if key != "conversation"}
    blocks = {one["id"]: one for one in positions}
    widget = _widget(steps)
    yield from _value_faults(widget, model["text"])
    if len(blocks) < len(positions) or len(_numbers(positions)) < len(set(blocks)) - 2:
        yield "Two blocks of the drawing have the same number or the same step."
    if 0 not in steps or blocks.get(blocks[0]["goto"]["block"], {}).get("step") != 0:
        yield "The bot does not begin with step 0."
    declared = declared_exits(source)
    if set(widget.get("exits", {})) != set(declared):
        yield f"The exits must be those of script.js: {', '.join(declared)}."
    run, drawn = set(_run_edges(steps)), set(_drawn_edges(blocks))
    if any(edge[1].startswith("timer") for edge in run | drawn):
        yield "The pause has a timer, which would end the bot while the customer thinks."
    for edge in sorted(run ^ drawn):
        where = "is not drawn" if edge in run else "is drawn only"
        yield f"The way from step {edge[0]} by {edge[1]!r} to {edge[2]} {edge[3]} {where}."
    for edge in sorted(run):
        if edge[2] == "question" and edge[3] not in steps:
            yield f"The way from step {edge[0]} by {edge[1]!r} leads to step {edge[3]}: not there."


def declared_exits(source: Path = SHARED_WIDGET) -> tuple[str, ...]:
    """The exits that the block of script.js shows in the designer.

    Raises:
        BotFileError: script.js no longer names them where this looks.
    """
    script = (source / SCRIPT).read_text(encoding="utf-8")
    speaking = re.search(r"var SPEAKING_EXITS = \[([^\]]*)\];", script)
    silent = re.search(r"var SILENT_EXIT = '(\w+)';", script)
    if not speaking or not silent:
        raise BotFileError(f"{source / SCRIPT}: its exits cannot be found.")
    return (*re.findall(r"'(\w+)'", speaking[1]), silent[1])


def _widget(steps: dict[int, Any]) -> dict[str, Any]:
    """The block of the first step, as the script has it."""
    first = steps.get(0, {}).get("question", [])
    return next((dict(one["params"]) for one in first if one["handler"] == "widget"), {})


def _value_faults(widget: dict[str, Any], text: str) -> Iterator[str]:
    url = widget.get("params", {}).get("url", "")
    if not re.fullmatch(r"[1-9][0-9]*", str(widget.get("widget_id", "")), re.ASCII):
        yield "The widget's number must be digits only."
    if not (is_public_https(url) and url.endswith(WIDGET_REQUEST_PATH)):
        yield f"The address must be https on a public host name, ending with {WIDGET_REQUEST_PATH}."
    if len(text.encode()) > LARGEST_TEXT_BYTES:
        yield "The script is larger than the 64 KB that Kommo keeps."


def _numbers(positions: list[dict[str, Any]]) -> set[int]:
    return {one["step"] for one in positions if one["step"] >= 0}


Edge = tuple[int, str, str, int]


def _run_edges(steps: dict[int, Any]) -> Iterator[Edge]:
    """From step, by exit or event, to a question or finish, of step."""
    for number, step in steps.items():
        for one in step["question"]:
            params = one["params"]
            if one["handler"] == "widget":
                for code, to in params["exits"].items():
                    yield number, code, to["type"], to["step"]
            elif one["handler"] == "waits":
                for condition in params["conditions"]:
                    event, to = condition["event"], condition["action"]
                    yield number, _event(event), to["type"], to["step"]


def _drawn_edges(blocks: dict[int, Any]) -> Iterator[Edge]:
    for block in blocks.values():
        for action in block["actions"]:
            event = action["params"]["params"]
            for link in action["links"]:
                to = blocks.get(link["block"], {"type": "nowhere", "step": -1})
                by = link.get("code") or _event(event["event"])
                yield block["step"], by, to["type"], to["step"]


def _event(event: dict[str, Any]) -> str:
    return f"{event['source']} {event['action']}"

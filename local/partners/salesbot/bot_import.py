"""What Kommo makes of a bot file that is imported: a bot to run, or a refusal.

Kommo's own import was seen to take nearly anything. This one also refuses what Kommo would take and
then lose in silence: a step that is there twice, a drawing that is not what runs, a block of a
widget that the account does not have. What runs after the first save is made from the drawing, so
the drawing is what is run here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

_MODEL_KEYS = {"text", "positions", "name", "type"}
_HANDLERS = {"widget", "wait", "_start", "_stop"}
_SCRIPT_BYTES_MAX = 64 * 1024
_MESSAGE = {"source": "message", "action": "received"}

Json = dict[str, Any]


class ImportRefused(Exception):
    """The file does not become a bot that runs."""


@dataclass(frozen=True)
class ImportedBot:
    """A bot of one widget block.

    Attributes:
        widget_params: What the block's fields hold.
        looping_exits: The exits after which the bot waits for a message and asks the widget again.
        ending_exits: The exits after which it is over.
    """

    name: str
    widget_params: Mapping[str, Any]
    looping_exits: frozenset[str]
    ending_exits: frozenset[str]


def import_bot(content: bytes, installed: Mapping[int, Sequence[str]]) -> ImportedBot:
    """Import a file into an account.

    Args:
        content: The file.
        installed: The account's widgets: number -> the exits of its block.

    Raises:
        ImportRefused: The sentence says why.
    """
    model = _model(content)
    text, blocks = _object(model["text"]), _blocks(model["positions"])
    if len(model["text"].encode()) > _SCRIPT_BYTES_MAX:
        _refuse("the script is too large")
    if text.get("conversation") is not False or "0" not in text:
        _refuse("the script has no step 0, or does not say that it is no conversation")
    first = blocks.get(_start(blocks))
    if first is None or first["step"] != 0:
        _refuse("the bot does not start with step 0")
    action = _only_action(first)
    if action["params"]["handler"] != "widget":
        _refuse("the first block is not a widget's")
    block = action["params"]["params"]
    exits = {link["code"]: link["block"] for link in action["links"]}
    _check_widget(block, exits, installed)
    if text != _saved(text, blocks):
        _refuse("the drawing is not what the script says")
    loops = {code for code, to in exits.items() if _comes_back(blocks, to, first["id"])}
    return ImportedBot(
        model["name"], block["params"], frozenset(loops), frozenset(set(exits) - loops)
    )


def _refuse(why: str) -> NoReturn:
    raise ImportRefused(why)


def _model(content: bytes) -> Json:
    whole = _object(content)
    model = whole.get("model")
    if set(whole) != {"type_functionality", "model"} or whole["type_functionality"] != 0:
        _refuse("it is no export of a regular bot")
    if not isinstance(model, dict) or set(model) != _MODEL_KEYS or model["type"] != 2:
        _refuse("the model has other keys than an export's")
    if not all(isinstance(model[key], str) for key in ("text", "positions", "name")):
        _refuse("text, positions and name must be strings")
    return model


def _object(text: str | bytes) -> Json:
    try:
        value = json.loads(text)
    except ValueError:
        _refuse("it is not JSON")
    return value if isinstance(value, dict) else _refuse("it is no JSON object")


def _blocks(positions: str) -> dict[int, Json]:
    """By number; no number and no step is there twice, and every link leads somewhere."""
    listed = json.loads(positions)
    blocks = {one["id"]: one for one in listed}
    steps = [one["step"] for one in listed if one["step"] >= 0]
    actions = [action for one in listed for action in one["actions"]]
    numbers = [action["id"] for action in actions]
    if len(blocks) < len(listed) or len(set(steps)) < len(steps):
        _refuse("a number or a step is there twice: a whole branch would vanish")
    if len(set(numbers)) < len(numbers):
        _refuse("a number of an action is there twice")
    if unknown := {action["params"]["handler"] for action in actions} - _HANDLERS:
        _refuse(f"handlers {unknown} are not known here")
    if {link["block"] for action in actions for link in action["links"]} - set(blocks):
        _refuse("a link leads nowhere")
    return blocks


def _start(blocks: dict[int, Json]) -> Any:
    starts = [one for one in blocks.values() if one["type"] == "start"]
    return starts[0]["goto"]["block"] if len(starts) == 1 else _refuse("there must be one start")


def _only_action(block: Json) -> Json:
    if len(block["actions"]) != 1:
        _refuse("a block has more than one action")
    action: Json = block["actions"][0]
    return action


def _check_widget(block: Json, exits: Json, installed: Mapping[int, Sequence[str]]) -> None:
    number = block["widget_id"]
    if not (isinstance(number, str) and number.isdecimal() and int(number) in installed):
        _refuse("reading 'id': the account has no such widget, the block would be empty")
    if block["widget_source_code"] != "kommo_bridge":
        _refuse("the widget has no block of this name")
    if set(exits) != set(installed[int(number)]):
        _refuse("the links are not the exits of the block")


def _saved(text: Json, blocks: dict[int, Json]) -> Json:
    """The script as a save in the designer makes it from the drawing; ends keep what they had."""
    saved: Json = {"conversation": False}
    for block in blocks.values():
        step = str(block["step"])
        if block["type"] == "question":
            handler = _handler(_only_action(block), blocks)
            saved[step] = {"question": [handler], "block_uuid": block["block_uuid"]}
        elif block["type"] == "finish" and step in text:
            stop = {"handler": "stop", "params": []}
            saved[step] = {"question": [stop], "block_uuid": text[step].get("block_uuid")}
    return saved


def _handler(action: Json, blocks: dict[int, Json]) -> Json:
    params, links = action["params"]["params"], action["links"]
    targets = [{"type": blocks[one["block"]]["type"], "step": blocks[one["block"]]["step"]}
               for one in links]  # fmt: skip
    if action["params"]["handler"] == "widget":
        codes = [link["code"] for link in links]
        exits = dict(zip(codes, targets, strict=True))
        return {"handler": "widget", "params": {**params, "exits": exits}}
    conditions = [{"event": params["event"], "action": target} for target in targets]
    return {"handler": "waits", "params": {"logic": "or", "conditions": conditions}}


def _comes_back(blocks: dict[int, Json], number: int, widget: int) -> bool:
    """Whether an exit leads to a pause until a message, and from there to the widget.

    A pause with a timer ends the bot: its minute is over before the customer writes again.
    """
    block = blocks[number]
    if block["type"] == "finish":
        return False
    action = _only_action(block)
    if action["params"]["handler"] != "wait":
        _refuse("an exit leads straight back: the widget would ask without end")
    event = action["params"]["params"]["event"]
    return bool(event == _MESSAGE and action["links"] == [{"block": widget}])

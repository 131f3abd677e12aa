"""The ready-made Salesbot: the JSON that Kommo's *Import* of bots takes. `bot_check` checks it.

    start -> our widget -- success, skip --> pause until a message -> our widget ...
                        -- handoff, fail --> the bot ends

Kommo documents no such file; this is what exports of 2026 hold. It has two graphs: `text`, which
runs and names steps, and `positions`, which is drawn and names blocks. They must agree.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from kommo_bridge.errors import BotFileError
from kommo_bridge.widget.bot_check import bot_faults

# With `b` the two ends have steps of their own, as in the one file that was seen to be imported;
# with `a` they have none, as in bots that the designer itself has made.
Variant = Literal["a", "b"]

HANDLER_CODE = "kommo_bridge"  # our block's name in widgets/shared/manifest.json
REGULAR_BOT, BOT_TYPE = 0, 2
MESSAGE_RECEIVED = {"source": "message", "action": "received"}


@dataclass(frozen=True)
class Block:
    """A block's number in the drawing, its step in the script, and where it is drawn."""

    number: int
    step: int
    kind: Literal["question", "finish"]
    x: int
    y: int

    @property
    def target(self) -> dict[str, Any]:
        """How the script names it."""
        return {"type": self.kind, "step": self.step}


WIDGET = Block(1, 0, "question", 235, 65)
PAUSE = Block(2, 1, "question", 705, 65)
AFTER_HANDOFF = Block(3, 2, "finish", 705, 295)
AFTER_FAIL = Block(4, 3, "finish", 705, 495)
EXITS = {"success": PAUSE, "skip": PAUSE, "handoff": AFTER_HANDOFF, "fail": AFTER_FAIL}


def build_bot(name: str, widget_number: str, widget_request_url: str, variant: Variant) -> bytes:
    """The file to import.

    Args:
        name: What the list of bots shows.
        widget_number: Kommo's number of our widget in this account, digits.
        widget_request_url: Where the block sends its widget requests.
        variant: See `Variant`.

    Raises:
        BotFileError: A value cannot be used, or the file breaks a rule; the message says which.
    """
    block = {
        "widget_id": widget_number,
        "widget_instance_id": str(uuid4()),  # Kommo makes its own when the bot is saved
        "widget_source_code": HANDLER_CODE,
        "params": {"url": widget_request_url},
    }
    uuids = {WIDGET: str(uuid4()), PAUSE: str(uuid4())}
    model = {
        "name": name,
        "type": BOT_TYPE,
        "text": json.dumps(_text(block, uuids, variant)),
        "positions": json.dumps(_positions(block, uuids)),
    }
    content = json.dumps({"type_functionality": REGULAR_BOT, "model": model}).encode()
    if faults := list(bot_faults(content)):
        raise BotFileError("\n".join(faults))
    return content


def _text(block: dict[str, Any], uuids: dict[Block, str], variant: Variant) -> dict[str, Any]:
    exits = {code: target.target for code, target in EXITS.items()}
    waits = {"logic": "or", "conditions": [{"event": MESSAGE_RECEIVED, "action": WIDGET.target}]}
    steps: dict[str, Any] = {
        str(WIDGET.step): _step(uuids[WIDGET], "widget", {**block, "exits": exits}),
        str(PAUSE.step): _step(uuids[PAUSE], "waits", waits),
    }
    if variant == "b":
        for end in (AFTER_HANDOFF, AFTER_FAIL):
            steps[str(end.step)] = _step(str(uuid4()), "stop", [])
    return {**steps, "conversation": False}


def _step(uuid: str, handler: str, params: object) -> dict[str, Any]:
    return {"question": [{"handler": handler, "params": params}], "block_uuid": uuid}


def _positions(block: dict[str, Any], uuids: dict[Block, str]) -> list[dict[str, Any]]:
    links = [{"code": code, "block": target.number} for code, target in EXITS.items()]
    drawn = [
        _question(WIDGET, "Reply with AI", uuids[WIDGET], _action(100, "widget", block, links)),
        _question(
            PAUSE,
            "Wait for the next message",
            uuids[PAUSE],
            _action(101, "wait", {"event": MESSAGE_RECEIVED}, [{"block": WIDGET.number}]),
        ),
        *(
            _drawn(end, [_action(number, "_stop", [], [])])
            for number, end in ((102, AFTER_HANDOFF), (103, AFTER_FAIL))
        ),
    ]
    start = {"id": 0, "type": "start", "step": -1, "x": 0, "y": 0, "goto": {"block": WIDGET.number}}
    start["actions"] = [_action(-3, "_start", [], [])]
    trigger = {"id": -1, "type": "static", "code": "trigger", "step": -1, "x": -350, "y": 0}
    trigger["actions"] = []
    size = {"width": 400, "height": 0, "deletable": True}  # the designer measures them anew
    return [{**size, **one, "z": z} for z, one in enumerate((start, trigger, *drawn), 1)]


def _question(block: Block, name: str, uuid: str, action: dict[str, Any]) -> dict[str, Any]:
    return {**_drawn(block, [action]), "name": name, "block_uuid": uuid, "goto": None}


def _drawn(block: Block, actions: list[dict[str, Any]]) -> dict[str, Any]:
    place = {"id": block.number, "step": block.step, "type": block.kind}
    return {**place, "x": block.x, "y": block.y, "actions": actions}


def _action(number: int, handler: str, params: object, links: list[Any]) -> dict[str, Any]:
    drawn = {"handler": handler, "params": params}
    return {"id": number, "sort": 0, "params": drawn, "links": links}

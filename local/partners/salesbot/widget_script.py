"""The flow that the widget's own `script.js` returns, run in a JavaScript engine: no copy of it.

The script is filled in as `flask widget build` does it, and loaded as Kommo's designer loads it: as
an AMD module whose constructor makes the callbacks.
https://developers.kommo.com/docs/salesbot-sdk
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kommo_bridge.widget.build import SHARED_WIDGET, WIDGET_REQUEST_PATH, fill_in, source_version

if TYPE_CHECKING:
    from py_mini_racer import MiniRacer

# The build takes https on a public host name alone; a bridge on this machine is the block's own
# parameter, as a user may type it in the designer.
BUILT_IN_URL = f"https://bridge.example.com{WIDGET_REQUEST_PATH}"
HANDLER_CODE = "kommo_bridge"
# https://developers.kommo.com/docs/salesbot-dp
SCRIPT_BYTES_MAX = 64 * 1024

DESIGNER = """
var widget;
function define(_names, factory) {
  var Widget = factory(function jquery() {});
  widget = new Widget();
  widget.i18n = function () { return {}; };
}
"""

Step = Mapping[str, Any]


@dataclass(frozen=True)
class WidgetFlow:
    """What Kommo keeps of a widget block when the bot is saved.

    Attributes:
        steps: The script: each step holds its handlers under `question`, `answer` or `finish`.
        exits: The codes of the exits that the block shows in the designer.
    """

    steps: tuple[Step, ...]
    exits: tuple[str, ...]


def widget_flow(bridge_url: str, source: Path = SHARED_WIDGET) -> WidgetFlow:
    """Save the widget's block as a bot's designer does, with a bridge's address as its parameter.

    Args:
        bridge_url: Scheme and host of the bridge; the path is added.
        source: The folder with script.js and manifest.json.

    Raises:
        RuntimeError: The JavaScript engine is not installed.
        ValueError: The script is larger than Kommo keeps.
        TypeError: The script returns no string of JSON.
    """
    return saved_flow({"url": bridge_url.rstrip("/") + WIDGET_REQUEST_PATH}, source)


def saved_flow(params: Mapping[str, Any], source: Path = SHARED_WIDGET) -> WidgetFlow:
    """The same with any parameters of the block; see `widget_flow`."""
    script = fill_in(
        (source / "script.js").read_bytes(), BUILT_IN_URL, source_version(source)
    ).decode()
    with _engine() as engine:
        engine.eval(DESIGNER)
        engine.eval(script)
        saved = engine.eval(_call("onSalesbotDesignerSave", HANDLER_CODE, params))
        settings = engine.eval(
            f"JSON.stringify({_call('salesbotDesignerSettings', None, None, params)})"
        )
    if not isinstance(saved, str) or not isinstance(settings, str):
        raise TypeError("script.js: onSalesbotDesignerSave must return a string of JSON")
    if len(saved.encode()) > SCRIPT_BYTES_MAX:
        raise ValueError(f"the flow is larger than the {SCRIPT_BYTES_MAX} bytes that Kommo keeps")
    exits = tuple(one["code"] for one in json.loads(settings)["exits"])
    return WidgetFlow(tuple(json.loads(saved)), exits)


def _call(callback: str, *arguments: object) -> str:
    """The JavaScript that calls a callback of the widget."""
    return f"widget.callbacks.{callback}({', '.join(json.dumps(one) for one in arguments)})"


def _engine() -> "MiniRacer":
    """A fresh V8; a development package, so it is loaded only here."""
    try:
        from py_mini_racer import MiniRacer  # noqa: PLC0415
    except ImportError as error:
        raise RuntimeError(
            "The stand-in Salesbot runs script.js in the package mini-racer, which is not "
            "installed: pip install -r requirements-dev.txt"
        ) from error
    return MiniRacer()

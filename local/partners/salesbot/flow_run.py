"""One pass through a widget block's flow, handler by handler, as Kommo goes through it; no I/O.

The run stops at `widget_request`, is resumed with the body of a continue call, and ends by an
exit. What is not known of Kommo is played in the way that hurts most: a placeholder of `json`
without a value is printed as it stands, and a flow without a matching branch ends in silence.

Handlers: https://developers.kommo.com/docs/salesbot-sdk ; placeholders:
https://developers.kommo.com/docs/salesbot-dp
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.partners.salesbot.widget_script import WidgetFlow

MAX_HANDLERS = 200

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")

Handler = Mapping[str, Any]


class FlowFault(Exception):
    """The flow does what Kommo would refuse, or what this stand-in does not know."""


@dataclass(frozen=True)
class WidgetCall:
    """What a `widget_request` handler asks for, its placeholders replaced."""

    url: str
    data: Mapping[str, str]


class FlowRun:
    """A bot inside our widget block.

    Args:
        flow: What the block was saved with.
        values: The placeholders that this account knows, such as `message_text`; a value may be
            empty. All others stay literal.
        json: What `{{json.KEY}}` holds from earlier passes of the same bot; kept up to date.

    Attributes:
        bubbles: What the customer has seen so far.
        exit: The exit by which the bot left; None while it is inside, and for good when the flow
            ended without one.
        call: The widget request that the bot waits for; None when it does not wait.
    """

    def __init__(
        self, flow: WidgetFlow, values: Mapping[str, str], json: dict[str, Any] | None = None
    ) -> None:
        self._flow = flow
        self._values = values
        self._json = {} if json is None else json
        self._to_do: list[Handler] = []
        self._handlers_run = 0
        self.bubbles: list[str] = []
        self.exit: str | None = None
        self.call: WidgetCall | None = None

    def start(self) -> None:
        """Enter at step 0 and run until the first wait or the end."""
        self._enter("question", 0)
        self._run()

    def resume(self, body: Mapping[str, Any]) -> None:
        """Go on as the body of an accepted continue call says: its handlers come first."""
        self.call = None
        self._json.update(body.get("data", {}))
        self._to_do[:0] = body.get("execute_handlers", [])
        self._run()

    def render(self, text: str) -> str:
        """The text with its placeholders replaced, once: a value is never looked into again."""
        return _PLACEHOLDER.sub(self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        name = match[1].strip()
        if name.startswith("json."):
            value = self._json.get(name.removeprefix("json."))
            return match[0] if value is None or value == "" else str(value)
        return self._values.get(name, match[0])

    def _run(self) -> None:
        while self._to_do and self.call is None:
            self._handlers_run += 1
            if self._handlers_run > MAX_HANDLERS:
                raise FlowFault("the flow goes round in circles")
            handler = self._to_do.pop(0)
            play = _PLAYS.get(handler["handler"])
            if play is None:
                raise FlowFault(f"handler {handler['handler']!r} is not one of {sorted(_PLAYS)}")
            play(self, handler["params"])

    def _enter(self, part: str, step: int) -> None:
        """Go to a part of a step; what was left to do is forgotten."""
        if not 0 <= step < len(self._flow.steps):
            raise FlowFault(f"there is no step {step}")
        self._to_do = list(self._flow.steps[step].get(part, ()))

    def _widget_request(self, params: Mapping[str, Any]) -> None:
        data = {key: self.render(value) for key, value in params["data"].items()}
        self.call = WidgetCall(self.render(params["url"]), data)

    def _goto(self, params: Mapping[str, Any]) -> None:
        if params["type"] not in ("question", "finish"):
            raise FlowFault(f"goto {params['type']!r}: how Kommo plays it here is not known")
        self._enter(params["type"], params["step"])

    def _conditions(self, params: Mapping[str, Any]) -> None:
        checks = [self._holds(one) for one in params["conditions"]]
        if all(checks) if params["logic"] == "and" else any(checks):
            self._to_do[:0] = params["result"]

    def _holds(self, condition: Mapping[str, str]) -> bool:
        same = self.render(condition["term1"]) == self.render(condition["term2"])
        operations = {"=": same, "!=": not same}
        if condition["operation"] not in operations:
            raise FlowFault(f"operation {condition['operation']!r} is not known here")
        return operations[condition["operation"]]

    def _show(self, params: Mapping[str, Any]) -> None:
        text = self.render(params["value"])
        for button in params.get("buttons", ()):
            text += f"\n[{button}]"
        self.bubbles.append(text)

    def _exits(self, params: Mapping[str, str]) -> None:
        if params["value"] not in self._flow.exits:
            raise FlowFault(f"exit {params['value']!r} is not one of {self._flow.exits}")
        self.exit = params["value"]
        self._to_do = []


_PLAYS = {
    "widget_request": FlowRun._widget_request,
    "goto": FlowRun._goto,
    "conditions": FlowRun._conditions,
    "show": FlowRun._show,
    "exits": FlowRun._exits,
}


def known_values(
    message: str, *, lead_id: int, contact_id: int, contact_name: str, origin: str
) -> dict[str, str]:
    """The placeholders that every account knows."""
    return {
        "message_text": message,
        "lead.id": str(lead_id),
        "contact.id": str(contact_id),
        "contact.name": contact_name,
        "origin": origin,
    }

"""The body that continues a waiting Salesbot, within Kommo's limits.

https://developers.kommo.com/reference/salesbot-widget-block-execution-confirmation allows ten
handlers and 80 characters in each `show`; more is refused with 400 `TooLong`, an empty list with
`TooFew`. Text in `data` has no such limit: the widget's own flow prints it as `{{json.reply}}`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from kommo_bridge.kommo.text import safe_text, split_for_show

Status = Literal["success", "handoff", "fail", "skip"]

# Kommo prints a missing or empty key of `json` as its literal placeholder, so none may be empty.
NOTHING = "-"


@dataclass(frozen=True)
class Continuation:
    """What wakes the Salesbot: the exit it leaves by, and the text for the customer.

    Attributes:
        status: Names the exit of our widget.
        reply: The text; never empty once made by `continuation`.
        shows: The same text as `show` values, for hand-made bots; empty when not wanted.
    """

    status: Status
    reply: str
    shows: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """The JSON body. `execute_handlers` is left out rather than sent empty."""
        text = self.reply or NOTHING
        body: dict[str, Any] = {
            "data": {"status": self.status, "reply": text, "message": text},
        }
        if self.shows:
            body["execute_handlers"] = [
                {"handler": "show", "params": {"type": "text", "value": text}}
                for text in self.shows
            ]
        return body

    def without_handlers(self) -> "Continuation":
        """The same with `data` only: what Kommo accepts when it refused the handlers."""
        return Continuation(self.status, self.reply)


def continuation(status: Status, text: str, delivery: str) -> Continuation:
    """Make a text safe for Kommo and shape it for the delivery `json` or `show`."""
    reply = safe_text(text)
    shows = split_for_show(reply) if delivery == "show" and status != "skip" else ()
    return Continuation(status, reply, shows)

"""Makes a scenario of a real conversation, without what would name the customer. Pure.

What the customer wrote last is the scenario's turn; what was said before is its history, and its
clock stands where the conversation was. A person reads it before it is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kommo_bridge.conversations.memory import Exchange
from kommo_bridge.integrations.sentences import language_of
from kommo_bridge.scenarios.masking import Masks
from kommo_bridge.scenarios.values import LANGUAGES
from kommo_bridge.scenarios.write import toml_of


@dataclass(frozen=True)
class Draft:
    """A scenario that a person is to read.

    Attributes:
        table: As `read_table` takes it.
        reply: What was replied, masked: it tells the reader what should hold.
        marks: How many values were masked.
    """

    table: dict[str, Any]
    reply: str
    marks: int

    @property
    def toml(self) -> str:
        """The scenario as it stands in a file."""
        note = f"It was answered:\n{self.reply}\nNow say what must hold: contains, absent, ..."
        return toml_of(self.table, note)


def draft_of(
    said: Sequence[Exchange], scenario_id: str, *, handed_over: bool, masks: Masks
) -> Draft:
    """A scenario of what was said, the oldest first.

    Args:
        said: At least one exchange, all of one person.
        scenario_id: Its id.
        handed_over: The last message was answered with a handoff.
        masks: Takes names, phones and the like out.
    """
    texts = masks.mask_all(text for one in said for text in (one.customer, one.reply))
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    *before, (customer, reply) = pairs
    turn = {"customer": customer, "outcome": "handoff" if handed_over else "reply"}
    language = language_of([reply])
    if language in LANGUAGES:
        turn["language"] = language
    table: dict[str, Any] = {
        "id": scenario_id,
        "now": datetime.fromtimestamp(int(said[-1].at), UTC),
        "history": [
            {"customer": one, "reply": other}
            for one, other in before
            if one.strip() and other.strip()  # a reply that staff gave is not known
        ],
        "turns": [turn],
    }
    if not table["history"]:
        del table["history"]
    return Draft(table, reply, len(masks.marks))


def of_one_person(said: Sequence[Exchange]) -> list[Exchange]:
    """Those of whoever wrote last: two people of one lead never share a scenario."""
    return [one for one in said if one.chat_id == said[-1].chat_id]

"""When a human answers, and what staff see of it."""

from dataclasses import dataclass

from kommo_bridge.integrations.declared import declared
from kommo_bridge.integrations.kinds import Choice, Flag, Number, Sentence, Text, WholeNumber
from kommo_bridge.integrations.sentences import HANDOFF_TEXT


@dataclass(frozen=True)
class HandoffFields:
    """When a human answers, and what staff see of it."""

    handoff_text: str = declared(
        Sentence(),
        "What the customer reads when a human takes over and the AI gave no sentence of its own.",
        HANDOFF_TEXT,
    )
    handoff_hours: float = declared(
        Number(low=0, high=720, above=True),
        "How many hours the assistant is silent after a handoff.",
        12.0,
    )
    handoff_phrases: str = declared(
        Text(), "One phrase a line; a message or reply that contains one starts a handoff.", ""
    )
    handoff_tool: bool = declared(Flag(), "Whether the AI has a tool to start a handoff.", True)
    handoff_note: bool = declared(
        Flag(), "Whether a handoff leaves a note on the lead: reason, summary, last message.", True
    )
    handoff_task_minutes: int | None = declared(
        WholeNumber(low=1, high=43_200, unset="no task"),
        "In how many minutes the task is due that a handoff creates on the lead.",
        None,
    )
    handoff_tag: str = declared(Text(), "A tag that a handoff adds to the lead.", "")
    pause_tag: str = declared(
        Text(), "A tag on the lead that silences the assistant as long as it is there.", ""
    )
    mode: str = declared(
        Choice(choices=("live", "hint", "test")),
        "`live` answers; `hint` writes the reply as a note on the lead; `test` answers only leads "
        "with the tag `test_tag`.",
        "live",
    )
    test_tag: str = declared(
        Text(), "The tag of the leads that are answered in the mode `test`.", "ai-test"
    )

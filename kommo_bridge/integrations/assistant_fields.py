"""What the assistant knows, remembers and says."""

from dataclasses import dataclass

from kommo_bridge.integrations.declared import declared
from kommo_bridge.integrations.kinds import Choice, Number, Sentence, Text, WholeNumber
from kommo_bridge.integrations.sentences import DISCLOSURE_TEXT, FALLBACK_TEXT, NO_TEXT_TEXT
from kommo_bridge.integrations.time_kinds import ClosedDays, OpenHours, TimeZone


@dataclass(frozen=True)
class AssistantFields:
    """What the assistant knows, remembers and says."""

    instructions: str = declared(Text(), "What the assistant knows about the business.", "")
    model: str | None = declared(Text(unset="`OPENAI_MODEL`"), "The model that answers.", None)
    temperature: float | None = declared(
        Number(low=0, high=2, unset="the model's own"),
        "How much the model varies its words.",
        None,
    )
    knowledge_tokens: int = declared(
        WholeNumber(low=0, high=200_000),
        "How many tokens of the knowledge stand in each prompt; with more of it, the AI searches.",
        20_000,
    )
    lead_fields: str = declared(
        Text(), "One name a line: the fields of the lead that the assistant is told.", ""
    )
    facts_check: str = declared(
        Choice(choices=("off", "warn", "strict")),
        "Prices, dates, numbers and links that stand nowhere: `warn` counts them, `strict` asks "
        "the AI once more and then hands over.",
        "warn",
    )
    history: int = declared(
        WholeNumber(low=0, high=200),
        "How many exchanges of a conversation are remembered; 0 switches memory off.",
        20,
    )
    history_days: int = declared(
        WholeNumber(low=1, high=365),
        "After how many days without a message a conversation is forgotten.",
        30,
    )
    burst_seconds: float = declared(
        Number(low=0, high=10),
        "How long to wait for more of the customer's messages; 0 answers each by itself.",
        2.0,
    )
    time_zone: str = declared(
        TimeZone(), "Where the business is, for its hours and for the date in the prompt.", "UTC"
    )
    open_hours: str = declared(OpenHours(), "When the business is open; empty means always.", "")
    closed_days: str = declared(ClosedDays(), "Days on which it does not open.", "")
    fallback_text: str = declared(
        Sentence(), "What the customer reads when the AI gave no reply.", FALLBACK_TEXT
    )
    no_text_text: str = declared(
        Sentence(), "What the customer reads when there was no text to answer.", NO_TEXT_TEXT
    )
    disclosure: str = declared(
        Sentence(optional=True),
        "What is said before the first reply of a conversation; empty says nothing.",
        DISCLOSURE_TEXT,
    )

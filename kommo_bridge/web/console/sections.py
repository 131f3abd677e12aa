"""How the fields of an integration stand on the page: in which order, and who may change them.

A field that no section names is shown under *More*, to the operator alone.
"""

from dataclasses import dataclass

from kommo_bridge.integrations.integration import FIELDS

# Where a field's own name is no title.
TITLES = {
    "lead_fields": "Fields of the lead",
    "facts_check": "Check of facts",
    "disclosure": "Before the first reply",
    "fallback_text": "When there is no reply",
    "no_text_text": "When a message has no text",
    "handoff_text": "What is said then",
    "handoff_hours": "Hours of silence",
    "handoff_phrases": "Phrases that ask for a person",
    "handoff_tool": "The assistant may hand over by itself",
    "handoff_note": "Leave a note on the lead",
    "handoff_task_minutes": "Minutes until the task is due",
    "handoff_tag": "Tag to add",
    "pause_tag": "Tag that silences it",
    "history": "Exchanges to remember",
    "history_days": "Days to remember",
    "burst_seconds": "Seconds to wait for more",
}
SPELLED = {"ai": "AI", "api": "API", "id": "ID", "url": "address"}


@dataclass(frozen=True)
class Section:
    """Some fields under one heading.

    Attributes:
        by_owner: Whether an owner may change them too; else an owner only reads them.
        hidden: Not shown to an owner at all.
    """

    title: str
    names: tuple[str, ...]
    by_owner: bool = False
    hidden: bool = False


NAMED = (
    Section("What it knows", ("instructions", "lead_fields", "facts_check"), by_owner=True),
    Section("Opening hours", ("time_zone", "open_hours", "closed_days"), by_owner=True),
    Section("What customers read", ("disclosure", "fallback_text", "no_text_text"), by_owner=True),
    Section(
        "When a person takes over",
        (
            *("handoff_text", "handoff_hours", "handoff_phrases", "handoff_tool", "handoff_note"),
            *("handoff_task_minutes", "handoff_tag", "pause_tag"),
        ),
        by_owner=True,
    ),
    Section(
        "How it answers",
        ("mode", "test_tag", "temperature", "history", "history_days", "burst_seconds"),
        by_owner=True,
    ),
    Section("Weekly report", ("owner_email",), by_owner=True),
    # What costs money, and where requests go, is the operator's.
    Section(
        "Limits",
        (
            *("model", "knowledge_tokens", "replies_per_hour", "replies_per_day"),
            *("tokens_per_day", "tokens_per_month", "money_per_day", "money_per_month"),
            *("price_input", "price_cached_input", "price_output", "currency"),
        ),
    ),
    Section(
        "Account",
        (
            *("name", "subdomain", "domain", "integration_id", "account_id", "enabled"),
            *("secret_key", "previous_secret_key", "access_token", "delivery"),
        ),
        hidden=True,
    ),
)


def sections() -> tuple[Section, ...]:
    """All of them: each field stands in one."""
    named = {name for section in NAMED for name in section.names}
    more = tuple(name for name in FIELDS if name not in named)
    return (*NAMED, Section("More", more, hidden=True)) if more else NAMED


def label(name: str) -> str:
    """A field's name for people: `ai_base_url` -> `AI base address`."""
    if name in TITLES:
        return TITLES[name]
    words = [SPELLED.get(word, word) for word in name.split("_")]
    return words[0][:1].upper() + words[0][1:] + "".join(f" {word}" for word in words[1:])

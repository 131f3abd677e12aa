"""What staff are told on the lead: of a handoff, or of a reply that is only a hint. Pure."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from kommo_bridge.answers.conversation import Outcome
from kommo_bridge.answers.notice_words import CUSTOMER, HANDED_OVER, REASONS, SUGGESTED, word
from kommo_bridge.conversations.handoff import HandoffReason
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.sentences import language_of
from kommo_bridge.kommo.crm import ENTITIES, Write, note, tag, task
from kommo_bridge.kommo.text import safe_text
from kommo_bridge.kommo.widget_request import WidgetRequest

Part = Literal["note", "task", "tag"]

MAX_MESSAGE = 1_000
MAX_REPLY = 4_000
MAX_TASK = 500


@dataclass(frozen=True)
class Notice:
    """What is to be told; it holds customers' words, so it is kept for minutes only.

    Attributes:
        hint: The reply was not sent: staff may send it.
        handoff: Empty when nothing is handed over.
        customer: What the customer wrote last.
    """

    hint: bool
    handoff: HandoffReason | Literal[""]
    summary: str
    customer: str
    reply: str

    @classmethod
    def of(cls, kept: dict[str, Any]) -> "Notice":
        """Rebuild from JSON; fields of a newer version are ignored."""
        known = {item.name for item in fields(cls)}
        return cls(**{key: value for key, value in kept.items() if key in known})

    @property
    def language(self) -> str:
        """That of the conversation."""
        return language_of([self.customer, self.reply])


def notice_of(
    outcome: Outcome, said: str, integration: Integration, request: WidgetRequest, *, hint: bool
) -> Notice | None:
    """What an accepted outcome tells staff; None when there is nothing, or nowhere to write it."""
    handoff = outcome.status == "handoff"
    told = Notice(
        hint=hint,
        handoff=outcome.handoff_reason if handoff else "",
        summary=outcome.summary,
        customer=said[-MAX_MESSAGE:],
        reply=outcome.reply[:MAX_REPLY],
    )
    replied = outcome.source == "ai" and outcome.status in ("success", "handoff")
    matters = handoff or (hint and replied)
    place = request.entity_type in ENTITIES
    return told if matters and place and parts(told, integration) else None


def parts(notice: Notice, integration: Integration) -> tuple[Part, ...]:
    """What the integration wants to be written; a hint is a note and nothing else."""
    if notice.hint:
        return ("note",)
    wanted: dict[Part, object] = {
        "note": integration.handoff_note,
        "task": integration.handoff_task_minutes,
        "tag": integration.handoff_tag.strip(),
    }
    return tuple(part for part, value in wanted.items() if value)


def write_of(
    part: Part,
    notice: Notice,
    integration: Integration,
    request: WidgetRequest,
    *,
    now: float,
    responsible: int | None = None,
) -> Write:
    """One of the writes; `now` in seconds since the epoch."""
    place = request.entity_type, request.entity_id
    match part:
        case "note":
            return note(*place, note_text(notice))
        case "task":
            due = int(now) + 60 * (integration.handoff_task_minutes or 0)
            return task(*place, task_text(notice), due, responsible)
        case "tag":
            return tag(*place, integration.handoff_tag.strip())


def note_text(notice: Notice) -> str:
    """Reason, summary and last message; of a hint the reply that was not sent."""
    language = notice.language
    lines = []
    if notice.handoff:
        reason = word(REASONS[notice.handoff], language)
        lines.append(f"{word(HANDED_OVER, language)}: {reason}.")
        lines.append(notice.summary)
    if notice.hint:
        lines.append(f"{word(SUGGESTED, language)}:\n{notice.reply}")
    if notice.customer:
        lines.append(f"{word(CUSTOMER, language)}: {notice.customer}")
    return safe_text("\n".join(line for line in lines if line))


def task_text(notice: Notice) -> str:
    """Reason and summary."""
    language = notice.language
    reason = word(REASONS[notice.handoff or "other"], language)
    return safe_text(f"{word(HANDED_OVER, language)}: {reason}. {notice.summary}")[
        :MAX_TASK
    ].strip()

"""Small builders for pictures of a conversation: what tests of the pure rules are written with."""

from typing import Any

from kommo_bridge.answers.conversation import SKIP, Conversation, Message, Outcome, Rules, Turn

# When the first text arrives, in seconds since the epoch, and the deadlines of `rules`.
T = 1000.0
REPLY_DEADLINE = 120.0
CONTINUE_DEADLINE = 900.0
# Smaller than anything that a rule is about.
MOMENT = 0.001

YES = Outcome("success", "Yes.")
SORRY = Outcome("fail", "We answer soon.", source="fallback")
PLEASE_WRITE = Outcome("success", "Please write.", source="no_text")
HUMAN = Outcome("handoff", "A colleague answers.", source="handoff")
NONE_LEFT: dict[str, Any] = {"state": "continued"}


def rules(**changes: Any) -> Rules:
    """The usual deadlines, and two seconds of quiet."""
    usual: dict[str, Any] = {
        "reply_deadline": REPLY_DEADLINE,
        "continue_deadline": CONTINUE_DEADLINE,
        "burst": 2.0,
    }
    return Rules(**{**usual, **changes})


def text(job_id: str, after: float = 0.0, said: str | None = None, **fields: Any) -> Message:
    """A text that arrived so many seconds after the first."""
    return Message(job_id, T + after, job_id if said is None else said, **fields)


def voice(job_id: str, after: float = 0.0, **fields: Any) -> Message:
    """A voice note."""
    return text(job_id, after, "", **fields)


def told_elsewhere(job_id: str, after: float = 0.0, **fields: Any) -> Message:
    """One that only has to leave its block."""
    return text(job_id, after, outcome=SKIP, **fields)


def turn(*job_ids: str, **fields: Any) -> Turn:
    """A turn under way."""
    return Turn(job_ids, **fields)


def picture(*messages: Message, turns: tuple[Turn, ...] = (), **fields: Any) -> Conversation:
    """A conversation; fields of `Rules` and of `Conversation` by their names."""
    known = {
        name: fields.pop(name)
        for name in ("paused", "tagged", "no_text_said", "cap")
        if name in fields
    }
    return Conversation(rules(**fields), messages, turns, **known)

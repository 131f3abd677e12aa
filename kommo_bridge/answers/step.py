"""What can be done next in a conversation; `plan` chooses, `steps` carries it out."""

from dataclasses import dataclass

from kommo_bridge.answers.conversation import Outcome, Source, Turn
from kommo_bridge.conversations.handoff import HandoffReason
from kommo_bridge.kommo.continuation import Status


@dataclass(frozen=True)
class Ask:
    """Ask the AI about the turn's texts, within `seconds`."""

    turn: Turn
    seconds: float


@dataclass(frozen=True)
class Say:
    """Take the integration's own sentence for the turn."""

    turn: Turn
    sentence: Source
    status: Status
    error: str = ""
    reason: str = ""
    handoff_reason: HandoffReason = "other"


@dataclass(frozen=True)
class LookUp:
    """Ask Kommo whether the lead has the pause tag."""


@dataclass(frozen=True)
class Send:
    """Continue this Salesbot with the turn's outcome."""

    job_id: str
    turn: Turn


@dataclass(frozen=True)
class LetGo:
    """Continue this Salesbot without a word."""

    job_id: str
    outcome: Outcome


@dataclass(frozen=True)
class Part:
    """Split the turn: this Salesbot keeps the reply, the others go on without it."""

    turn: Turn
    job_id: str


@dataclass(frozen=True)
class GiveUp:
    """Stop trying to continue this Salesbot."""

    job_id: str


@dataclass(frozen=True)
class Close:
    """End a turn none of whose Salesbots still waits."""

    turn: Turn


@dataclass(frozen=True)
class Wait:
    """Do nothing for so many seconds; None when nothing is open."""

    seconds: float | None


Step = Ask | Say | LookUp | Send | LetGo | Part | GiveUp | Close | Wait

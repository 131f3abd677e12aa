"""What can be done next in a conversation; `plan` chooses, `steps` carries it out."""

from dataclasses import dataclass

from kommo_bridge.answers.conversation import Outcome, Source, Turn
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
    """Let this Salesbot go on alone with the turn's reply, and the others without it."""

    turn: Turn
    job_id: str


@dataclass(frozen=True)
class GiveUp:
    """Nobody tries to continue this Salesbot any more."""

    job_id: str


@dataclass(frozen=True)
class Close:
    """None of the turn's Salesbots waits any more."""

    turn: Turn


@dataclass(frozen=True)
class Wait:
    """Nothing to do for so many seconds; None: nothing is open."""

    seconds: float | None


Step = Ask | Say | LookUp | Send | LetGo | Part | GiveUp | Close | Wait

"""One frozen picture of a conversation: everything that `plan` looks at.

A conversation is one integration and one signed entity, narrowed to the person who writes. Its
messages are the open widget requests; those that are answered together are a turn. Nothing here
reads a clock or calls anything.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from kommo_bridge.conversations.handoff import HandoffReason
from kommo_bridge.kommo.continuation import Status

State = Literal["open", "continued", "given_up"]
Mode = Literal["live", "hint", "test"]
Source = Literal["ai", "fallback", "no_text", "handoff", "silence"]

OPEN: State = "open"
CONTINUED: State = "continued"
GIVEN_UP: State = "given_up"
# What the AI gets in place of a voice message or a picture.
NOT_READABLE = "[a voice message, picture or file that cannot be read here]"


@dataclass(frozen=True)
class Outcome:
    """What a Salesbot is continued with.

    Attributes:
        status, reply: The exit, and the text for the customer.
        error: For the operator: why it is `fail`.
        silent: Nothing is shown: another Salesbot has the reply, or a human has the conversation.
        reason: Why it is a handoff; kept with the pause that begins when Kommo has accepted it.
        handoff_reason, summary: The same for whoever takes over, and for the figures.
        opening: Said before the text, and not remembered: that an assistant answers here.
        gaps: What the AI had no answer to.
        hint: The last call with it left in the mode `hint`, without a word.
        source: Where the text comes from.
    """

    status: Status
    reply: str
    error: str = ""
    silent: bool = False
    reason: str = ""
    source: Source = "ai"
    handoff_reason: HandoffReason = "other"
    summary: str = ""
    opening: str = ""
    gaps: tuple[str, ...] = ()
    hint: bool = False

    @property
    def spoken(self) -> str:
        """All that the customer reads."""
        return f"{self.opening}\n\n{self.reply}" if self.opening else self.reply

    @classmethod
    def of(cls, kept: dict[str, Any]) -> "Outcome":
        """Rebuild from JSON; fields of a newer version are ignored."""
        known = {item.name for item in fields(cls)}
        values = {key: value for key, value in kept.items() if key in known}
        return cls(**{**values, "gaps": tuple(kept.get("gaps", ()))})


SKIP = Outcome("skip", "", silent=True, source="silence")
# Hand-made bots do not know `skip`: they get a handoff with nothing to show.
SILENT_HANDOFF = Outcome("handoff", "", silent=True, source="silence")


@dataclass(frozen=True)
class Message:
    """One widget request: what the customer wrote, and how far its Salesbot has come.

    Attributes:
        job_id: Names the request.
        at: When it arrived, by Redis' clock (seconds since the epoch); gives the order.
        text: Empty for a voice message, a picture and the like.
        own: Sent by our own widget; only that one understands `skip`.
        state: `open` while the Salesbot waits.
        outcome: What it is being continued with; None while undecided.
        unknown_since: When a call was made whose result is unknown; None when there is none.
        failures: How many calls failed.
        next_at: It is not called before this.
        called_at: When the last call was made, 0 for none.
        plain: Kommo refused the handlers: only `data` is sent.
    """

    job_id: str
    at: float
    text: str = ""
    own: bool = True
    state: State = OPEN
    outcome: Outcome | None = None
    unknown_since: float | None = None
    failures: int = 0
    next_at: float = 0.0
    called_at: float = 0.0
    plain: bool = False

    @property
    def waits(self) -> bool:
        """Its Salesbot still waits, as far as we know."""
        return self.state == OPEN

    @property
    def may_be_told(self) -> bool:
        """A call with words was made to it, and nobody knows its result."""
        said = self.outcome is not None and not self.outcome.silent
        return said and self.unknown_since is not None

    @property
    def let_go(self) -> bool:
        """It gets no reply: another Salesbot has sent it, or a human has the conversation."""
        return self.outcome is not None and self.outcome.silent


@dataclass(frozen=True)
class Turn:
    """Messages that are answered together.

    Attributes:
        job_ids: The messages whose texts form the question, oldest first.
        asked: How many questions were begun and have not failed; each may have been paid for.
        failures: How many questions failed temporarily.
        retry_at: The AI is not asked again before this.
        error: Why the AI gave no reply the last time.
        final: Asking again cannot help.
        outcome: What the customer is to read; None until that is found.
        failed_at: When its first call to Kommo failed; None when none has.
        closed: Its texts may have been answered by a call that nobody knows the result of: no text
            joins it, and it is never asked about again.
    """

    job_ids: tuple[str, ...]
    asked: int = 0
    failures: int = 0
    retry_at: float = 0.0
    error: str = ""
    final: bool = False
    outcome: Outcome | None = None
    failed_at: float | None = None
    closed: bool = False

    def same_as(self, other: "Turn") -> bool:
        """Whether both are one turn: it grows only at its end, so its oldest text identifies it."""
        return self.job_ids[0] == other.job_ids[0]


@dataclass(frozen=True)
class Rules:
    """What the integration and the settings prescribe for a conversation; times in seconds.

    Attributes:
        mode: In `hint` replies are notes for staff; `test` is decided by tags.
        silent: Nobody is answered: the mode is `test`, and this is no lead that could have a tag.
        tells_lead: The model is told some fields of the lead.
    """

    reply_deadline: float
    continue_deadline: float
    burst: float = 2.0
    enabled: bool = True
    handoff_phrases: tuple[str, ...] = ()
    looks_up_tag: bool = False
    mode: Mode = "live"
    silent: bool = False
    tells_lead: bool = False


@dataclass(frozen=True)
class Conversation:
    """The picture.

    Attributes:
        rules: What its integration prescribes.
        messages: The messages that have not ended, oldest first.
        turns: The turns under way, oldest first.
        paused: A human has it: an operator's pause, or a handoff.
        tagged: Whether the lead's tags leave it to a human; None when not looked up lately.
        no_text_said: The customer was asked for text a moment ago.
        cap: The cap that is reached, or empty.
    """

    rules: Rules
    messages: tuple[Message, ...] = ()
    turns: tuple[Turn, ...] = ()
    paused: bool = False
    tagged: bool | None = None
    no_text_said: bool = False
    cap: str = ""
    by_id: dict[str, Message] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {one.job_id: one for one in self.messages})

    def members(self, turn: Turn) -> tuple[Message, ...]:
        """The messages of a turn that are still known, oldest first."""
        return tuple(self.by_id[one] for one in turn.job_ids if one in self.by_id)

    @property
    def held(self) -> bool:
        """A reply is held: it was found and has not been tried yet."""
        return any(one.outcome and one.failed_at is None for one in self.turns)

    def kept(self, turn: Turn) -> Turn:
        """The stored turn, or this one if it has just begun."""
        return next((one for one in self.turns if one.same_as(turn)), turn)

    def with_turn(self, turn: Turn) -> tuple[Turn, ...]:
        """The turns with this one in its place, or at the end."""
        if not any(one.same_as(turn) for one in self.turns):
            return (*self.turns, turn)
        return tuple(turn if one.same_as(turn) else one for one in self.turns)

    def without_turn(self, turn: Turn) -> tuple[Turn, ...]:
        """The turns without this one."""
        return tuple(one for one in self.turns if not one.same_as(turn))

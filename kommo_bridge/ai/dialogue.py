"""One question to the model, with the rounds of tool calls in it: what was said, when it ends.

Pure but for the search that is handed in: `assistant` sends the requests.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from openai.types.chat import ChatCompletionMessageParam

from kommo_bridge.ai.facts_check import Unfounded
from kommo_bridge.ai.plain_reply import plain_reply
from kommo_bridge.ai.refusal import Attempt
from kommo_bridge.ai.response import Response, Tokens
from kommo_bridge.ai.tool_calls import Call, exchange
from kommo_bridge.ai.tools import Handoff, Toolbox, Tools, ToolUse
from kommo_bridge.conversations.handoff import HandoffReason
from kommo_bridge.errors import AssistantError

# So often calls are carried out and the model is asked again; the last time it must write.
MAX_ROUNDS = 3
NO_TOKENS = Tokens()


@dataclass(frozen=True)
class Reply:
    """What the AI wrote.

    Attributes:
        text: For the customer, no longer than is shaped; empty only with `handoff`.
        tokens: How many it counted in all rounds, 0 when it does not say.
        handoff: It asks for a handoff; `reason` and `summary` are for the colleague.
        gaps: Questions that nothing given answers.
        prompt_tokens, cached_tokens: Those of `tokens` that were asked, and found in a cache.
        used: The tools that were called, for the trace.
        second: The second AI has written it.
        unfounded: What was found in it, or in the reply that it takes the place of.
    """

    text: str
    tokens: int = 0
    handoff: bool = False
    reason: HandoffReason = "other"
    summary: str = ""
    gaps: tuple[str, ...] = ()
    prompt_tokens: int = 0
    cached_tokens: int = 0
    used: tuple[ToolUse, ...] = ()
    second: bool = False
    unfounded: tuple[Unfounded, ...] = ()


@dataclass
class Dialogue:
    """The rounds of one question.

    Attributes:
        attempt: How the next request is put.
        said: The calls so far and what they came to.
        ended: There is nothing more to ask.
    """

    tools: Tools
    attempt: Attempt
    said: list[ChatCompletionMessageParam] = field(default_factory=list)
    ended: bool = False
    rounds: int = 0
    tokens: Tokens = NO_TOKENS
    text: str = ""
    leaked: bool = False

    def __post_init__(self) -> None:
        self.box = Toolbox(self.tools)

    @property
    def offered(self) -> Tools:
        """The tools of the next request."""
        return self.tools if self.attempt.tools else Tools()

    @property
    def must_write(self) -> bool:
        """No more calls are carried out."""
        return self.rounds >= MAX_ROUNDS

    def put(self, attempt: Attempt) -> None:
        """Put the next request in another way; without tools there are no calls to repeat."""
        self.attempt = attempt
        if not attempt.tools:
            self.said.clear()

    def add(self, response: Response) -> None:
        """Take what the model has said."""
        self.tokens += response.tokens
        plain = plain_reply(response.text, self.offered.names)
        self.leaked = plain.leaked
        calls = (response.calls or plain.calls) if not self.must_write else ()
        # What is said beside a search is not the reply yet; beside a note it may be.
        if plain.text and not _searches(calls):
            self.text = plain.text
        results = [self.box.carry_out(one) for one in calls]
        if not calls or self.box.handoff or plain.leaked:
            self.ended = True
            return
        self.said += exchange(plain.text, calls, results)
        self.rounds += 1

    def reply(self) -> Reply:
        """What came of it.

        Raises:
            AssistantError: Nothing that a customer could read.
        """
        handoff = self.box.handoff
        if self.leaked:
            handoff = Handoff(reason="policy", summary="The reply quoted the assistant's rules.")
        elif not handoff and not self.text and self.rounds:
            handoff = Handoff(reason="unknown")
        if not handoff and not self.text:
            raise AssistantError("the AI's response has no text", permanent=False)
        text = self.text if not self.leaked else ""
        return Reply(
            text=(handoff.sentence or text) if handoff else text,
            tokens=self.tokens.total,
            handoff=handoff is not None,
            reason=handoff.reason if handoff else "other",
            summary=handoff.summary if handoff else "",
            gaps=tuple(self.box.gaps),
            prompt_tokens=self.tokens.prompt,
            cached_tokens=self.tokens.cached,
            used=tuple(self.box.used),
        )


def _searches(calls: Iterable[Call]) -> bool:
    return any(one.name != "note_gap" for one in calls)

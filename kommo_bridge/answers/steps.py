"""Carries out what `plan` says, one step after the other: the way of an answer.

    read the conversation, plan, do that one step, keep its result, again

Nothing is decided here. A run may be the first, a retry, another worker's after a crash, or the
sweep's: it goes on where the conversation stands. A longer wait is returned, and is RQ's.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from kommo_bridge.ai.assistant import Assistant, Reply
from kommo_bridge.ai.messenger_text import messenger_text
from kommo_bridge.ai.prompt import Question
from kommo_bridge.answers.conversation import (
    CONTINUED,
    GIVEN_UP,
    SKIP,
    Message,
    Outcome,
    Rules,
    Turn,
)
from kommo_bridge.answers.plan import (
    Ask,
    Close,
    GiveUp,
    LetGo,
    LookUp,
    Say,
    Send,
    Wait,
    last_window,
    plan,
    question,
    says_handoff,
)
from kommo_bridge.answers.retries import BUSY_WAIT, HOLD_WHILE_SENDING, SHORT_WAIT, wait_after
from kommo_bridge.answers.sender import Sender
from kommo_bridge.answers.state import Changes, ConversationState, ConversationStates, View
from kommo_bridge.answers.verdict import Accepted, Final, Later, verdict
from kommo_bridge.answers.wording import Wording
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.conversations.usage import Usage
from kommo_bridge.errors import AssistantError, ContinuedWithFailure, KommoError
from kommo_bridge.integrations.store import Integration
from kommo_bridge.kommo.client import NotNow
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.incidents import REFUSED_BY_AI, Incidents
from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.telemetry.metrics import Metrics

# The AI's own time ends before the conversation may be taken from us.
ASK_HOLD_MARGIN = 0.5
SHORTEST_WAIT = 0.02

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Steps:
    """What the steps are carried out with."""

    states: ConversationStates
    assistant: Assistant
    memory: Conversations
    usage: Usage
    sender: Sender
    metrics: Metrics
    incidents: Incidents
    sleep: Callable[[float], None] = time.sleep

    def run(self, request: WidgetRequest, integration: Integration, rules: Rules) -> float | None:
        """Bring a request's conversation as far as it goes now.

        Returns:
            None when the request's Salesbot is continued, else the seconds after which to call
            again.

        Raises:
            ContinuedWithFailure: The Salesbot was continued with `fail`, because the AI failed.
            KommoError: It cannot be continued any more.
        """
        state = self.states.of(request, integration, rules)
        return _Run(self, request, integration, rules, state).run()


class _Run:
    """One run of one job."""

    def __init__(
        self,
        parts: Steps,
        request: WidgetRequest,
        integration: Integration,
        rules: Rules,
        state: ConversationState,
    ) -> None:
        self.parts = parts
        self.request = request
        self.integration = integration
        self.rules = rules
        self.state = state

    def run(self) -> float | None:
        view = self.state.look()
        if view.looked_at <= 1 and not view.ended:
            waited = time.time() - self.request.accepted_at
            self.parts.metrics.observe("kommo_bridge_queue_wait_seconds", waited)
        while view.mine:
            step = plan(view.conversation, view.now)
            if view.ended and not isinstance(step, LetGo | GiveUp | Close):
                break
            if not isinstance(step, Wait):
                view = self._carry_out(step, view)
                continue
            self.state.release()
            if step.seconds is None or step.seconds > SHORT_WAIT:
                return self._wait(view, step.seconds)
            self.parts.sleep(max(step.seconds, SHORTEST_WAIT))
            view = self.state.look()
        if not view.ended:
            return BUSY_WAIT
        if view.mine:
            self.state.release()
        return self._finish(view)

    def _wait(self, view: View, seconds: float | None) -> float | None:
        """The newest request of a conversation looks first; the others find it done."""
        if seconds is None:
            return None
        newest = [one.job_id for one in view.conversation.messages if one.waits][-1:]
        return seconds if newest == [self.request.job_id] else seconds + BUSY_WAIT

    def _finish(self, view: View) -> None:
        if view.ended != "continued":
            raise KommoError(view.error or "nobody waits for it any more", permanent=True)
        if view.error:
            raise ContinuedWithFailure(f"continued with fail: {view.error}")

    def _carry_out(
        self, step: Ask | Say | LookUp | Send | LetGo | GiveUp | Close, view: View
    ) -> View:
        match step:
            case Ask():
                return self._ask(step, view)
            case Say():
                return self._say(step, view)
            case LookUp():
                tagged = self.parts.sender.is_tagged(self.request, self.integration)
                return self.state.keep(Changes(tagged=tagged))
            case Send():
                return self._send(step, view)
            case LetGo():
                return self._let_go(step, view)
            case GiveUp():
                return self._give_up(step, view)
            case Close():
                return self.state.keep(Changes(turns=without(view, step.turn)))

    def _ask(self, step: Ask, view: View) -> View:
        """One question to the AI; what comes of it is kept with the turn."""
        held = held_turn(view, step.turn)
        begun = replace(held, asked=held.asked + 1)
        hold = step.seconds + ASK_HOLD_MARGIN
        view = self.state.keep(Changes(turns=with_turn(view, begun), hold=hold))
        if not view.kept or view.conversation.paused:
            return view
        said = question(view.conversation.members(step.turn))
        started = time.monotonic()
        try:
            outcome = self._outcome(self._reply(said, step.seconds), said)
        except AssistantError as error:
            now = view.now + time.monotonic() - started
            return self.state.keep(Changes(turns=with_turn(view, self._failed(begun, error, now))))
        found = replace(step.turn, asked=begun.asked, outcome=outcome, error="", failures=0)
        return self.state.keep(Changes(turns=with_turn(view, found)))

    def _reply(self, said: str, seconds: float) -> Reply:
        parts, started = self.parts, time.monotonic()
        asked = Question(said, self.request.contact_name, self.request.origin)
        history = parts.memory.history(self.request, self.integration)
        try:
            reply = parts.assistant.reply(self.integration, asked, seconds=seconds, history=history)
        finally:
            parts.metrics.observe("kommo_bridge_ai_seconds", time.monotonic() - started)
        log_event(
            logger,
            "reply received",
            job=self.request.job_id,
            milliseconds=round((time.monotonic() - started) * 1000),
            tokens=reply.tokens,
        )
        parts.metrics.count("kommo_bridge_tokens", amount=reply.tokens)
        parts.incidents.note(integration_name(self.integration), good=(REFUSED_BY_AI,))
        parts.usage.count(self.request, self.integration, reply.tokens)
        parts.usage.warn(self.integration)
        return reply

    def _outcome(self, reply: Reply, said: str) -> Outcome:
        """The AI's reply as text for a messenger, or the handoff that it asks for."""
        made = messenger_text(reply.text)
        if made.cut:
            log_event(logger, "reply shortened", job=self.request.job_id)
        if reply.handoff or says_handoff(self.rules.handoff_phrases, reply.text):
            text = made.text or self._wording(said).say("handoff")
            log_event(logger, "handoff", job=self.request.job_id, reason="the assistant")
            return Outcome("handoff", text, reason="the assistant hands over")
        if not made.text:
            raise AssistantError("the AI's reply holds nothing visible", permanent=False)
        return Outcome("success", made.text)

    def _failed(self, turn: Turn, error: AssistantError, now: float) -> Turn:
        """A turn whose question failed. A reply that is there already is sent as it is."""
        log_event(
            logger,
            "AI failed",
            level=logging.WARNING,
            job=self.request.job_id,
            error=str(error),
            permanent=error.permanent,
        )
        metrics = self.parts.metrics
        metrics.count("kommo_bridge_failures", "ai_final" if error.permanent else "ai")
        if error.permanent:
            self.parts.incidents.note(integration_name(self.integration), bad=(REFUSED_BY_AI,))
        else:
            metrics.count("kommo_bridge_retries", "ai")
        wait = max(error.retry_after_seconds or 0.0, wait_after(turn.failures))
        return replace(
            turn,
            asked=turn.asked - 1,
            failures=turn.failures + 1,
            retry_at=now + wait,
            error=str(error),
            final=error.permanent or turn.outcome is not None,
        )

    def _say(self, step: Say, view: View) -> View:
        """A sentence of the integration, in the language of the conversation."""
        said = question(view.conversation.members(step.turn))
        text = self._wording(said).say(step.sentence)
        outcome = Outcome(
            step.status, text, error=step.error, reason=step.reason, source=step.sentence
        )
        log_event(
            logger,
            "sentence chosen",
            job=self.request.job_id,
            sentence=step.sentence,
            reason=step.reason or step.error or None,
            subdomain=self.request.subdomain,
        )
        turn = replace(step.turn, outcome=outcome)
        return self.state.keep(Changes(turns=with_turn(view, turn)))

    def _send(self, step: Send, view: View) -> View:
        """The turn's outcome to one of its Salesbots."""
        target = view.conversation.by_id[step.job_id]
        assert step.turn.outcome is not None  # noqa: S101  plan sends nothing else
        return self._call(target, step.turn.outcome, view, step.turn)

    def _let_go(self, step: LetGo, view: View) -> View:
        """A Salesbot leaves its block without a word."""
        return self._call(view.conversation.by_id[step.job_id], step.outcome, view, None)

    def _call(self, target: Message, outcome: Outcome, view: View, turn: Turn | None) -> View:
        """One continue call. That it leaves is noted before: only then can a 404 tell later that
        it had arrived. A pause is looked at in the same step."""
        sender, waiting = self.parts.sender, view.request_of(target.job_id)
        booked = sender.book(self.integration)
        if isinstance(booked, NotNow):
            later = replace(target, next_at=view.now + booked.seconds)
            return self.state.keep(Changes(messages=(later,)))
        with booked as slot:
            begun = replace(
                target,
                outcome=outcome,
                unknown_since=target.unknown_since or view.now,
                called_at=view.now,
            )
            view = self.state.keep(
                Changes(
                    messages=(begun,),
                    hold=HOLD_WHILE_SENDING,
                    unless_paused=not outcome.silent,
                    turns=with_turn(view, turn) if turn else None,
                )
            )
            if not (view.mine and view.kept):
                return view
            started = time.monotonic()
            body = sender.body(waiting, outcome, self.integration, plain=target.plain)
            result = sender.call(slot, waiting, body, self.integration)
        fresh = None
        if result.status == HTTPStatus.UNAUTHORIZED:
            fresh = sender.token_changed(waiting, self.integration)
        self.integration = fresh or self.integration
        meaning = verdict(
            result,
            target,
            handlers=bool(body.shows),
            short=outcome.silent or outcome.source == "fallback",
            token_changed=fresh is not None,
        )
        called = Called(begun, target, waiting, outcome, turn, result.error)
        match meaning:
            case Accepted():
                return self._accepted(called, view)
            case Final():
                return self._ended(called, view)
            case Later():
                return self._later(called, meaning, view, view.now + time.monotonic() - started)

    def _accepted(self, called: "Called", view: View) -> View:
        """The customer was told: remember it, and let the turn's other Salesbots go."""
        self.parts.sender.continued(called.waiting, called.outcome)
        outcome, turn = called.outcome, called.turn
        ended = replace(called.begun, state=CONTINUED, unknown_since=None)
        if turn is None:
            return self.state.keep(Changes(messages=(ended,)))
        members = view.conversation.members(turn)
        said = question(members)
        if said and outcome.status in ("success", "handoff"):
            self.parts.memory.remember(called.waiting, self.integration, said, outcome.reply)
        others = [one for one in members if one.waits and not one.let_go and one != called.begun]
        let_go = [replace(one, outcome=SKIP, next_at=0.0, failures=0) for one in others]
        return self.state.keep(
            Changes(
                turns=without(view, turn),
                messages=(ended, *let_go),
                error=outcome.error,
                pause_hours=self.integration.handoff_hours if outcome.status == "handoff" else 0,
                reason=outcome.reason,
                no_text_said=outcome.source == "no_text",
            )
        )

    def _ended(self, called: "Called", view: View) -> View:
        """Nobody waits there, or Kommo refuses this account: the reply goes to the next older."""
        ended = replace(called.begun, state=GIVEN_UP, unknown_since=None, outcome=None)
        if called.turn is None:
            return self.state.keep(Changes(messages=(ended,)))
        members = view.conversation.members(called.turn)
        if not any(one.waits and not one.let_go for one in members if one.job_id != ended.job_id):
            self.parts.sender.given_up(called.waiting, called.error)
        return self.state.keep(Changes(messages=(ended,), error=called.error))

    def _later(self, called: "Called", meaning: Later, view: View, now: float) -> View:
        """Wait for the next try; what surely did not arrive may still be taken back."""
        self.parts.metrics.count("kommo_bridge_retries", "kommo")
        start, _ = last_window(called.target, view.conversation.rules)
        next_at = now + meaning.seconds
        silent = called.outcome.silent
        message = replace(
            called.begun,
            outcome=called.outcome if meaning.unknown or silent else None,
            unknown_since=called.begun.unknown_since if meaning.unknown else None,
            failures=0 if meaning.short else called.target.failures + 1,
            next_at=min(next_at, start) if now < start else next_at,
            plain=called.target.plain or meaning.plain,
        )
        turn = called.turn
        if turn is None:
            return self.state.keep(Changes(messages=(message,)))
        outcome = self._short(called) if meaning.short else turn.outcome
        turn = replace(turn, outcome=outcome, failed_at=turn.failed_at or now)
        return self.state.keep(Changes(turns=with_turn(view, turn), messages=(message,)))

    def _short(self, called: "Called") -> Outcome:
        """The text itself may be what Kommo refuses."""
        text = self._wording().say("fallback")
        error = f"Kommo refused the reply ({called.error})"
        return Outcome("fail", text, error=error, source="fallback")

    def _give_up(self, step: GiveUp, view: View) -> View:
        """The continue deadline has passed."""
        target = view.conversation.by_id[step.job_id]
        reason = "not continued before the deadline"
        self.parts.sender.given_up(view.request_of(step.job_id), reason)
        ended = replace(target, state=GIVEN_UP, unknown_since=None)
        return self.state.keep(Changes(messages=(ended,), error=reason))

    def _wording(self, said: str = "") -> Wording:
        before = self.parts.memory.history(self.request, self.integration)
        return Wording(self.integration, [said, *(one.customer for one in reversed(before))])


@dataclass(frozen=True)
class Called:
    """A call that came back: who was called, as noted before the call and as known before that."""

    begun: Message
    target: Message
    waiting: WidgetRequest
    outcome: Outcome
    turn: Turn | None
    error: str


def held_turn(view: View, turn: Turn) -> Turn:
    """The turn as it is kept, or as it begins."""
    return next((one for one in view.conversation.turns if same(one, turn)), turn)


def with_turn(view: View, turn: Turn) -> tuple[Turn, ...]:
    """The turns with this one in its place, or at the end."""
    turns = view.conversation.turns
    if not any(same(one, turn) for one in turns):
        return (*turns, turn)
    return tuple(turn if same(one, turn) else one for one in turns)


def without(view: View, turn: Turn) -> tuple[Turn, ...]:
    """The turns without this one."""
    return tuple(one for one in view.conversation.turns if not same(one, turn))


def same(one: Turn, other: Turn) -> bool:
    """A turn grows at its end only: its oldest text names it."""
    return one.job_ids[0] == other.job_ids[0]

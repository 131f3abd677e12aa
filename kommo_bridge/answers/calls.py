"""The continue calls of a run, and what follows from each.

Before a call is made, it is noted that its result is unknown: only then does a later 404 show that
it had arrived. The other Salesbots of a turn are let go only after Kommo has accepted its reply.
"""

import time
from dataclasses import replace
from http import HTTPStatus

from kommo_bridge.answers.called import Called, as_it_arrived
from kommo_bridge.answers.changes import Changes
from kommo_bridge.answers.conversation import (
    CONTINUED,
    GIVEN_UP,
    SKIP,
    Message,
    Outcome,
    Turn,
)
from kommo_bridge.answers.modes import leaves_as
from kommo_bridge.answers.notice import notice_of
from kommo_bridge.answers.retries import HOLD_WHILE_SENDING
from kommo_bridge.answers.sender import Sender
from kommo_bridge.answers.state import ConversationState
from kommo_bridge.answers.step import GiveUp, LetGo, Send
from kommo_bridge.answers.turns import last_window, question
from kommo_bridge.answers.verdict import GONE, Accepted, Final, Later, verdict
from kommo_bridge.answers.view import View
from kommo_bridge.answers.wording import Wording
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.slot import NotNow


class Calls:
    """Calls Kommo in one conversation.

    Args:
        sender, memory: Make the calls, and remember what was said.
        state: The conversation.
        integration: Has the access token; read again when that was refused.
        wording: For the short sentence that takes the place of a refused reply.
    """

    def __init__(
        self,
        sender: Sender,
        memory: Conversations,
        state: ConversationState,
        integration: Integration,
        wording: Wording,
    ) -> None:
        self.sender = sender
        self.memory = memory
        self.state = state
        self.integration = integration
        self.wording = wording

    def send(self, step: Send, view: View) -> View:
        """Continue one of the turn's Salesbots with its outcome."""
        target = view.conversation.by_id[step.job_id]
        assert step.turn.outcome is not None  # noqa: S101  plan sends nothing else
        return self._call(target, step.turn.outcome, view, step.turn)

    def let_go(self, step: LetGo, view: View) -> View:
        """Continue a Salesbot without a word."""
        return self._call(view.conversation.by_id[step.job_id], step.outcome, view, None)

    def _call(self, target: Message, outcome: Outcome, view: View, turn: Turn | None) -> View:
        """One continue call, at the account's pace."""
        booked = self.sender.book(self.integration, target.job_id)
        if isinstance(booked, NotNow):
            later = replace(target, next_at=view.now + booked.seconds)
            return self.state.keep(Changes(messages=(later,)))
        waiting = view.request_of(target.job_id)
        spoken = leaves_as(outcome, target, view.conversation.rules)
        body = self.sender.body(waiting, spoken, self.integration, plain=target.plain)
        with booked as slot:
            noted = replace(outcome, hint=spoken.silent and not outcome.silent)
            begun = replace(
                target,
                outcome=target.outcome if outcome.silent and target.may_be_told else noted,
                unknown_since=target.unknown_since or view.now,
                called_at=view.now,
            )
            view = self._begin(begun, view, turn, silent=outcome.silent)
            if not view.kept:  # paused meanwhile, or another run has the conversation
                return view
            started = time.monotonic()
            result = self.sender.call(slot, waiting, body, self.integration)
        called = Called(begun, target, waiting, outcome, spoken, turn, body, result)
        return self._judge(called, view, view.now + time.monotonic() - started)

    def _begin(self, begun: Message, view: View, turn: Turn | None, *, silent: bool) -> View:
        """Note that a call is about to be made. The same step checks for a pause: after one began,
        no reply is sent."""
        turns = view.conversation.with_turn(turn) if turn else None
        return self.state.keep(
            Changes(
                turns=turns, messages=(begun,), hold=HOLD_WHILE_SENDING, unless_paused=not silent
            )
        )

    def _judge(self, called: Called, view: View, now: float) -> View:
        """Act on what the response means; `now` is when it arrived."""
        result, outcome = called.result, called.outcome
        fresh = None
        if result.status == HTTPStatus.UNAUTHORIZED:
            fresh = self.sender.token_changed(called.waiting, self.integration)
        self.integration = fresh or self.integration
        meaning = verdict(
            result,
            called.target,
            handlers=bool(called.body.shows),
            short=called.spoken.silent or outcome.source == "fallback",
            token_changed=fresh is not None,
            late=now >= called.target.at + view.conversation.rules.reply_deadline,
        )
        match meaning:
            case Accepted():
                return self._accepted(called, view)
            case Final():
                return self._ended(called, view)
            case Later():
                return self._later(called, meaning, view, now)

    def _accepted(self, called: Called, view: View) -> View:
        """The customer has the reply: remember it, and let the turn's other Salesbots go."""
        called = as_it_arrived(called, view.conversation.turns)
        outcome, spoken, turn = called.outcome, called.spoken, called.turn
        self.sender.continued(called.waiting, outcome, spoken)
        ended = replace(called.begun, state=CONTINUED, unknown_since=None)
        if turn is None:
            return self.state.keep(Changes(messages=(ended,)))
        members = view.conversation.members(turn)
        said = question(members)
        if said and outcome.status in ("success", "handoff"):
            self.memory.remember(called.waiting, self.integration, said, outcome.reply)
        handed_over = outcome.status == "handoff" and not spoken.silent
        pauses = handed_over and not view.conversation.paused
        others = [one for one in members if one.waits and one.job_id != ended.job_id]
        let_go = [replace(one, outcome=SKIP, next_at=0.0) for one in others if not one.let_go]
        view = self.state.keep(
            Changes(
                turns=view.conversation.without_turn(turn),
                messages=(ended, *let_go),
                error=outcome.error,
                pause_hours=self.integration.handoff_hours if pauses else 0,
                reason=outcome.reason,
                no_text_said=outcome.source == "no_text" and not spoken.silent,
                disclosed_days=0 if spoken.silent else self._disclosed_days(called),
                notice=notice_of(
                    outcome, said, self.integration, called.waiting, hint=spoken.silent
                ),
            )
        )
        if view.kept:
            self.sender.note_gaps(self.integration, outcome, view.now)
        if view.kept and not spoken.silent:
            self.sender.answered(called.waiting, self.integration, outcome, members[0].at, view.now)
        return view

    def _disclosed_days(self, called: Called) -> int:
        """As long as the conversation is remembered after a reply; 0 when nothing was told."""
        if called.outcome.source != "ai" or not self.integration.disclosure:
            return 0
        told = called.outcome.opening or self.memory.disclosed(called.waiting)
        return self.integration.history_days if told else 0

    def _ended(self, called: Called, view: View) -> View:
        """This Salesbot cannot be continued: the reply goes to the next older one."""
        ended = replace(called.begun, state=GIVEN_UP, unknown_since=None, outcome=None)
        if called.turn is None:
            return self.state.keep(Changes(messages=(ended,)))
        if _is_last(ended, called.turn, view):
            self.sender.given_up(called.waiting, called.result.error, self.integration)
            # Kept for an operator who replaces the token and requeues the job.
            ended = replace(ended, outcome=None if called.result.status in GONE else called.outcome)
        turns = self._handed_on(called.target, called.turn, view)
        return self.state.keep(Changes(turns=turns, messages=(ended,), error=called.result.error))

    def _later(self, called: Called, meaning: Later, view: View, now: float) -> View:
        """Wait for the next try; a reply that surely did not arrive may still be replaced."""
        self.sender.metrics.count("kommo_bridge_retries", "kommo")
        start, _ = last_window(called.target, view.conversation.rules)
        next_at = now + meaning.seconds
        silent = called.outcome.silent
        message = replace(
            called.begun,
            outcome=called.begun.outcome if meaning.unknown or silent else None,
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
        return self.state.keep(
            Changes(turns=view.conversation.with_turn(turn), messages=(message,))
        )

    def _short(self, called: Called) -> Outcome:
        """The fallback sentence: Kommo may refuse the text of the reply itself."""
        text = self.wording.say("fallback")
        error = f"Kommo refused the reply ({called.result.error})"
        return Outcome("fail", text, error=error, source="fallback")

    def give_up(self, step: GiveUp, view: View) -> View:
        """The continue deadline has passed."""
        target = view.conversation.by_id[step.job_id]
        reason = "not continued before the deadline"
        if target.unknown_since is not None:
            reason = "not known before the deadline whether it was continued"
        ended = replace(target, state=GIVEN_UP)
        turn = next((one for one in view.conversation.turns if step.job_id in one.job_ids), None)
        if target.let_go or turn is None:  # another Salesbot has sent the reply
            return self.state.keep(Changes(messages=(ended,), error=reason))
        if _is_last(ended, turn, view):
            self.sender.given_up(view.request_of(step.job_id), reason, self.integration)
            ended = replace(ended, outcome=turn.outcome)
        turns = self._handed_on(target, turn, view)
        return self.state.keep(Changes(turns=turns, messages=(ended,), error=reason))

    def _handed_on(self, target: Message, turn: Turn, view: View) -> tuple[Turn, ...] | None:
        """A reply that may have arrived is not sent again through another Salesbot of its turn:
        the fallback takes its place, and newer texts are a turn of their own. None leaves the turns
        as they are."""
        if target.unknown_since is None or not turn.outcome:
            return None
        error = "not known whether the reply has arrived"
        text = self.wording.say("fallback")
        outcome = Outcome("fail", text, error=error, source="fallback")
        return view.conversation.with_turn(replace(turn, outcome=outcome, closed=True))


def _is_last(ended: Message, turn: Turn, view: View) -> bool:
    """No other Salesbot of the turn waits for a word."""
    members = view.conversation.members(turn)
    others = [one for one in members if one.job_id != ended.job_id]
    return not any(one.waits and not one.let_go for one in others)

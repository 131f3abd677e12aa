"""Carries out what `plan` says, one step at a time: the path of an answer.

    read the conversation, plan, carry out that one step, keep its result, repeat

Nothing is decided here. A run may be the first, a retry, another worker's after a crash, or the
sweep's: each goes on from where the conversation is. A longer wait is returned, for RQ to schedule.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import RedisError

from kommo_bridge.answers.asker import Asker, outcome_of
from kommo_bridge.answers.calls import Calls
from kommo_bridge.answers.changes import TAG_REMEMBERED_SECONDS, Changes
from kommo_bridge.answers.conversation import CONTINUED, Outcome, Rules, Turn
from kommo_bridge.answers.failed_question import failed, since
from kommo_bridge.answers.lead_facts import Facts
from kommo_bridge.answers.modes import silenced
from kommo_bridge.answers.plan import plan
from kommo_bridge.answers.retries import ASK_HOLD_MARGIN, BUSY_WAIT, SHORT_WAIT
from kommo_bridge.answers.sender import Sender
from kommo_bridge.answers.state import ConversationState, ConversationStates
from kommo_bridge.answers.step import Ask, Close, GiveUp, LetGo, LookUp, Part, Say, Send, Step, Wait
from kommo_bridge.answers.turns import question
from kommo_bridge.answers.view import View
from kommo_bridge.answers.wording import Wording
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.errors import AssistantError, ContinuedWithFailure, KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.crm import Lead
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.logs import log_event
from kommo_bridge.telemetry.metrics import Metrics

SHORTEST_WAIT = 0.02

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Steps:
    """What carries the steps out."""

    states: ConversationStates
    asker: Asker
    sender: Sender
    memory: Conversations
    metrics: Metrics
    sleep: Callable[[float], None] = time.sleep

    def run(
        self,
        request: WidgetRequest,
        integration: Integration,
        rules: Rules,
        *,
        by_sweep: bool = False,
    ) -> float | None:
        """Take a request's conversation as far as possible now, for its job or for the sweep.

        Returns:
            None when the request has ended, otherwise the seconds after which to call again.

        Raises:
            ContinuedWithFailure: The Salesbot was continued with `fail`, because the AI failed.
            KommoError: It can no longer be continued.
        """
        state = self.states.of(request, integration, rules, by_sweep=by_sweep)
        try:
            return _Run(self, request, integration, rules, state).run()
        except Exception:
            with suppress(RedisError):  # it comes free by itself
                state.release()
            raise


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
        self.lead: tuple[float, Lead | None] = (0.0, None)
        self.wording = Wording(integration, parts.memory, request)
        calls = Calls(parts.sender, parts.memory, state, integration, self.wording)
        self.steps: dict[type[Step], Callable[[Any, View], View]] = {
            Ask: self._ask,
            Say: self._say,
            LookUp: self._look_up,
            Close: self._close,
            Part: self._part,
            Send: calls.send,
            LetGo: calls.let_go,
            GiveUp: calls.give_up,
        }

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
                view = self.steps[type(step)](step, view)
                continue
            self.state.release()
            if step.seconds is None or step.seconds > SHORT_WAIT or not view.conversation.held:
                return self._wait(view, step.seconds)
            self.parts.sleep(max(step.seconds, SHORTEST_WAIT))
            view = self.state.look()
        if not view.ended:
            # Somebody else's run has the conversation, for seconds: nothing is counted of this one.
            log_event(logger, "conversation is busy", level=logging.DEBUG, job=self.request.job_id)
            return BUSY_WAIT
        self.state.release()
        self._finish(view)
        return None

    def _wait(self, view: View, seconds: float | None) -> float | None:
        """The newest request's job comes back first; the others then find the work done."""
        if seconds is None:
            return None
        ahead = [one for turn in view.conversation.turns for one in turn.job_ids]
        if ahead and self.request.job_id not in ahead:
            self._waits(view, ahead[0])
        newest = [one.job_id for one in view.conversation.messages if one.waits][-1:]
        return seconds if newest == [self.request.job_id] else seconds + BUSY_WAIT

    def _waits(self, view: View, behind: str) -> None:
        """Say once why nothing happens to this request yet."""
        if view.looked_at <= 1:
            job = self.request.job_id
            log_event(logger, "waits behind another answer", job=job, behind=behind)

    def _finish(self, view: View) -> None:
        """Fail the job with the request's error, once: requeued with nothing to do, it succeeds."""
        if view.error and view.reported:
            log_event(logger, "already ended", job=self.request.job_id, state=view.ended)
            return
        if not view.error:
            return
        self.state.report()
        if view.ended == CONTINUED:
            raise ContinuedWithFailure(f"continued with fail: {view.error}")
        raise KommoError(view.error, permanent=True)

    def _look_up(self, _step: LookUp, _view: View) -> View:
        """Look up the tags of the lead."""
        lead = self._lead()
        return self.state.keep(Changes(tagged=silenced(lead, self.integration)))

    def _lead(self) -> Lead | None:
        """The lead, read now and remembered by this run for as long as its tags are."""
        found = self.parts.sender.lead(self.request, self.integration)
        self.lead = (time.monotonic() + TAG_REMEMBERED_SECONDS, found)
        return found

    def _lead_facts(self) -> Facts:
        """What the model is told of the lead; nothing when Kommo cannot say."""
        if not self.rules.tells_lead:
            return ()
        until, lead = self.lead
        lead = lead if time.monotonic() < until else self._lead()
        return self.parts.sender.lead_facts(self.request, self.integration, lead) if lead else ()

    def _close(self, step: Close, view: View) -> View:
        """Remove a turn that is over."""
        return self.state.keep(Changes(turns=view.conversation.without_turn(step.turn)))

    def _part(self, step: Part, view: View) -> View:
        """Split a turn: the Salesbot that may have the reply, and the others."""
        alone = replace(step.turn, job_ids=(step.job_id,))
        others = tuple(one for one in step.turn.job_ids if one != step.job_id)
        error = "not known whether the reply has arrived"
        rest = Turn(others, asked=step.turn.asked, error=error, final=True)
        turns = view.conversation.without_turn(step.turn)
        return self.state.keep(Changes(turns=(alone, rest, *turns)))

    def _ask(self, step: Ask, view: View) -> View:
        """Ask the AI once, and keep the result with the turn."""
        kept = view.conversation.kept(step.turn)
        begun = replace(kept, asked=kept.asked + 1)
        hold = step.seconds + ASK_HOLD_MARGIN
        view = self.state.keep(Changes(turns=view.conversation.with_turn(begun), hold=hold))
        if not view.kept or view.conversation.paused:
            return view
        said, started = question(view.conversation.members(step.turn)), time.monotonic()
        try:
            facts = self._lead_facts()
            left = step.seconds - since(started)
            reply = self.parts.asker.reply(self.request, self.integration, said, left, facts)
            opening = self.wording.opening(said)  # of a hint too: the mode may change meanwhile
            outcome = outcome_of(
                reply, self.rules.handoff_phrases, self.wording, said, opening=opening
            )
        except AssistantError as error:
            turn = failed(replace(begun, asked=begun.asked - 1), error, view.now + since(started))
        else:
            blank = AssistantError("the AI's reply has no visible text", permanent=False)
            found = replace(step.turn, asked=begun.asked, outcome=outcome, error="", failures=0)
            turn = found if outcome else failed(begun, blank, view.now + since(started))
        return self.state.keep(Changes(turns=view.conversation.with_turn(turn)))

    def _say(self, step: Say, view: View) -> View:
        """Choose one of the integration's sentences, in the language of the conversation."""
        said = question(view.conversation.members(step.turn))
        text = self.wording.say(step.sentence, said)
        log_event(
            logger,
            "sentence chosen",
            job=self.request.job_id,
            subdomain=self.request.subdomain,
            sentence=step.sentence,
            reason=step.reason or step.error or None,
        )
        if view.conversation.cap:
            self.parts.asker.capped(self.integration)
        outcome = Outcome(
            step.status,
            text,
            error=step.error,
            reason=step.reason,
            source=step.sentence,
            handoff_reason=step.handoff_reason,
        )
        turn = replace(step.turn, outcome=outcome)
        return self.state.keep(Changes(turns=view.conversation.with_turn(turn)))

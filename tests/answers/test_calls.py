"""What is decided elsewhere while a call waits for its slot counts, and the waits are kept."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from helpers import Ask, be_silent, wait_for
from redis import Redis

from kommo_bridge.answers.conversation import Rules
from kommo_bridge.answers.retries import BUSY_WAIT
from kommo_bridge.answers.rules import rules_of
from kommo_bridge.answers.sender import Sender
from kommo_bridge.answers.state import ConversationState, ConversationStates
from kommo_bridge.answers.view import View
from kommo_bridge.conversations.days import Days, day_of
from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.conversations.keys import conversation_name, turn_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.kommo.pacing import SLOTS, Pacer
from kommo_bridge.kommo.results import CallResult
from kommo_bridge.kommo.slot import Slot
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.redis_client import PREFIX
from local.partners.ai import StandInAI, tool_call
from local.partners.kommo.server import StandInKommo


@contextmanager
def all_slots_resting(redis: Redis, host: str) -> Iterator[Callable[[], set[Any]]]:
    """Each call to the account now waits for about a second; yields who holds its slots."""
    pacer = Pacer(redis)
    for _ in range(SLOTS):
        slot = pacer.book(host, 1.0)
        assert isinstance(slot, Slot)
        with slot:
            slot.use()
            slot.ended()
    [key] = redis.keys(f"{PREFIX}*{host}*lanes*")
    yield lambda: set(redis.zrange(key, 0, -1))


class TestWhileACallWaitsForItsSlot:
    def test_an_operator_who_pauses_is_not_talked_over(
        self, parts: Parts, ask: Ask, acme: Integration, redis: Redis, kommo: StandInKommo
    ) -> None:
        request = ask()
        with all_slots_resting(redis, acme.host) as holders, ThreadPoolExecutor(1) as pool:
            before = holders()
            answered = pool.submit(answer, request, parts)
            wait_for(lambda: holders() - before)
            parts.steps.memory.pause(conversation_name(request), 1, "an operator")
            wait_for(answered.done)

        assert [one.body["data"]["status"] for one in kommo.continuations] in ([], ["skip"])

    def test_a_job_that_runs_again_elsewhere_is_left_to_that_run(
        self, parts: Parts, ask: Ask, acme: Integration, redis: Redis, kommo: StandInKommo
    ) -> None:
        request = ask()
        with all_slots_resting(redis, acme.host) as holders, ThreadPoolExecutor(1) as pool:
            before = holders()
            answered = pool.submit(answer, request, parts)
            wait_for(lambda: holders() - before)
            be_silent(redis, request)
            rules = rules_of(acme, parts.settings, request)
            assert parts.steps.states.of(request, acme, rules).look().mine

            assert answered.result() == BUSY_WAIT

        assert kommo.continuations == []


class MeanwhileStates(ConversationStates):
    """Something happens whenever a run has just looked at its conversation."""

    def __init__(self, redis: Redis, happens: Callable[[], object]) -> None:
        super().__init__(redis)
        self.happens = happens

    def of(
        self,
        request: WidgetRequest,
        integration: Integration,
        rules: Rules,
        *,
        by_sweep: bool = False,
    ) -> ConversationState:
        return MeanwhileState(self, request, integration, rules, by_sweep=by_sweep)


class MeanwhileState(ConversationState):
    def look(self) -> View:
        view = super().look()
        assert isinstance(self._states, MeanwhileStates)
        self._states.happens()
        return view


class TestRightBeforeTheAIIsAsked:
    """Neither is paid for: a reply that nobody may say, and one that another run asks for."""

    def test_an_operator_has_paused(
        self, parts: Parts, ask: Ask, redis: Redis, kommo: StandInKommo, ai: StandInAI
    ) -> None:
        request = ask()
        memory = parts.steps.memory
        states = MeanwhileStates(
            redis, lambda: memory.pause(conversation_name(request), 1, "an operator")
        )
        parts = replace(parts, steps=replace(parts.steps, states=states))

        assert answer(request, parts) is None

        assert ai.count == 0
        assert [one.body["data"]["status"] for one in kommo.continuations] == ["skip"]

    def test_another_run_has_taken_the_conversation(
        self,
        parts: Parts,
        ask: Ask,
        acme: Integration,
        redis: Redis,
        kommo: StandInKommo,
        ai: StandInAI,
    ) -> None:
        request = ask()
        rules = rules_of(acme, parts.settings, request)

        def take() -> None:
            be_silent(redis, request)
            assert parts.steps.states.of(request, acme, rules).look().mine

        steps = replace(parts.steps, states=MeanwhileStates(redis, take))

        assert answer(request, replace(parts, steps=steps)) == BUSY_WAIT

        assert ai.count == 0
        assert kommo.continuations == []


def test_an_end_that_is_not_kept_is_not_counted(
    parts: Parts, ask: Ask, ai: StandInAI, acme: Integration, redis: Redis, kommo: StandInKommo
) -> None:
    """The run that has the conversation now finds the same end, and counts it."""

    class LosesTheConversation(Sender):
        def call(self, slot: Slot, request: WidgetRequest, *rest: Any) -> CallResult:
            result = super().call(slot, request, *rest)
            redis.set(turn_key(conversation_name(request)), "another run's")
            return result

    ai.reply = lambda _: said.pop(0)
    said: list[Any] = [tool_call("note_gap", question="Do you deliver?"), "I do not know."]
    steps = replace(parts.steps, sender=LosesTheConversation(**vars(parts.steps.sender)))

    assert answer(ask(), replace(parts, steps=steps)) == BUSY_WAIT

    assert len(kommo.continuations) == 1
    assert Gaps(redis).list(acme, time.time()) == []
    assert Days(redis).read(acme, [day_of(acme, time.time())]).turns == 0


def test_a_slot_is_waited_for_before_its_call() -> None:
    slot = Slot("acme.kommo.com", 10.0, lambda _slot, _rest: None)
    began = time.monotonic()

    with slot.booked(0.2, probe=False):
        assert time.monotonic() - began >= 0.2


@pytest.fixture
def slow_to_write(parts: Parts, acme: Integration) -> Integration:
    """An integration that listens for a moment: longer than the first question of a process."""
    changed = replace(acme, burst_seconds=1.5)
    parts.integrations.save(changed)
    return changed


def test_a_reply_that_is_held_is_waited_for_and_not_looked_at_again_and_again(
    parts: Parts, ask: Ask, queue: JobQueue, slow_to_write: Integration
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    request = ask()
    queue.enqueue(request)
    steps = replace(parts.steps, sleep=sleep)
    steps.run(request, slow_to_write, rules_of(slow_to_write, parts.settings, request))

    assert 1 <= len(slept) <= 3
    assert sum(slept) > 0.1

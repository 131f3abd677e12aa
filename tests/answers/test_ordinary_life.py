"""Ordinary conversations and what happens around them: the customer is always told something."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from helpers import Ask, let_pass, wait_for
from redis import Redis

from kommo_bridge.answers.record import record_key
from kommo_bridge.conversations.keys import conversation_name, open_key, texts_key, turn_key
from kommo_bridge.errors import BridgeError, ContinuedWithFailure
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.sentences import NO_TEXT_TEXT
from kommo_bridge.jobs import Parts, answer, sweep
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.redis_client import PREFIX
from local.partners.ai import StandInAI, openai_error
from local.partners.http.faults import Exchange, Fault, Status
from local.partners.kommo.server import StandInKommo

BURST_SECONDS = 0.3
LONG_AGO = {"Retry-After": "3600"}


@pytest.fixture(autouse=True)
def burst(parts: Parts, acme: Integration) -> None:
    """Texts near each other are answered together."""
    change(parts, acme, burst_seconds=BURST_SECONDS)


def change(parts: Parts, acme: Integration, **fields: Any) -> None:
    """Change the stored integration."""
    [kept] = parts.integrations.all()
    parts.integrations.save(replace(kept, **fields))


def run(request: WidgetRequest, parts: Parts) -> float | None:
    """Call `answer` once; a failure ends the job, as RQ would."""
    try:
        return answer(request, parts)
    except BridgeError:
        return None


def finish(parts: Parts, *requests: WidgetRequest) -> None:
    """Run the jobs until none has anything to wait for."""
    for request in requests:
        wait_for(lambda one=request: run(one, parts) is None)  # type: ignore[misc]


def told(kommo: StandInKommo, request: WidgetRequest) -> str | None:
    """The exit by which a Salesbot left its block; None while it waits."""
    found = [one for one in kommo.continuations if one.block.path in request.return_url]
    assert len(found) <= 1
    return str(found[0].body["data"]["status"]) if found else None


def said(kommo: StandInKommo) -> list[str]:
    """What customers read, in order."""
    datas = [one.body["data"] for one in kommo.continuations]
    return [one["reply"] for one in datas if one["status"] != "skip"]


def asked(ai: StandInAI, number: int = -1) -> str:
    """The question of one AI call."""
    return str(ai.requests[number]["messages"][-1]["content"])


def refuse(
    kommo: StandInKommo, request: WidgetRequest, status: int, times: int | None = None
) -> None:
    """Kommo answers the calls for one Salesbot with this status."""
    kommo.faults.order(
        Status(status), when=lambda call: call.path in request.return_url, times=times
    )


def age(redis: Redis, request: WidgetRequest) -> float:
    """How many seconds ago a request arrived, as far as Redis knows."""
    kept: Any = redis.hget(texts_key(conversation_name(request)), request.job_id)
    return time.time() - int(kept.partition(b"|")[0]) / 1_000_000


@dataclass(frozen=True)
class Sleep(Fault):
    """The caller's machine sleeps while something happens; then its call meets 404."""

    meanwhile: Callable[[], None]

    def play(self, exchange: Exchange) -> None:
        """Let it happen, then say 404."""
        self.meanwhile()
        Status(404).play(exchange)


def end_pauses(redis: Redis) -> None:
    """The time of the accounts' pauses has passed."""
    for key in redis.scan_iter(f"{PREFIX}pacing:*:pause"):
        redis.delete(key)


class TestANewerTextWhoseSalesbotIsGone:
    """Its bot was stopped or replaced; the older one waits, and its customer with it."""

    def test_the_reply_to_both_goes_to_the_older_one(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        older, gone = ask("Do you deliver?"), ask("Hello?")
        refuse(kommo, gone, 404)
        for request in (older, gone):
            queue.enqueue(request)

        finish(parts, older, gone)

        assert told(kommo, older) == "success"
        assert len(said(kommo)) == 1
        assert ai.answered == 1

    def test_a_reply_that_was_paid_is_not_lost_to_it(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        older, gone = ask("Do you deliver?"), ask("Hello?")
        refuse(kommo, gone, 404)

        def reply(_: object) -> str:
            queue.enqueue(gone)
            return "Yes, we do."

        ai.reply = reply
        queue.enqueue(older)

        finish(parts, older, gone)

        assert told(kommo, older) == "success"
        assert said(kommo) == ["Yes, we do."]

    def test_nor_when_the_ai_then_refuses_for_good(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        older, newer = ask("Do you deliver?"), ask("Hello?")

        def reply(_: object) -> str:
            queue.enqueue(newer)
            return "Yes, we do."

        ai.reply = reply
        ai.faults.order(openai_error(401), when=lambda _: ai.count > 1, times=None)
        queue.enqueue(older)

        finish(parts, older, newer)

        assert (told(kommo, older), told(kommo, newer)) == ("success", "fail")
        assert said(kommo)[0] == "Yes, we do."


class TestACustomerWhoKeepsWriting:
    def test_while_the_ai_is_down_hears_a_word_by_the_first_texts_deadline(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        queue: JobQueue,
        kommo: StandInKommo,
        redis: Redis,
    ) -> None:
        ai.faults.order(openai_error(503, headers=LONG_AGO), times=None)
        requests: list[WidgetRequest] = []
        told_after: float | None = None

        for number in range(6):
            requests.append(ask(f"hello {number}?"))
            queue.enqueue(requests[-1])
            for request in requests:
                run(request, parts)
            if said(kommo) and told_after is None:
                told_after = 30.0 * number
            let_pass(redis, 30)

        assert told_after == 120
        for request in requests:
            run(request, parts)
        assert [told(kommo, one) for one in requests[:4]] == ["skip", "fail", "skip", "fail"]
        assert len(said(kommo)) == 2

    def test_as_fast_as_the_ai_thinks_costs_three_questions_for_a_reply(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        requests = [ask(f"text {number}") for number in range(9)]
        unsent = iter(requests)

        def reply(_: object) -> str:
            for request in [next(unsent, None)]:
                if request:
                    queue.enqueue(request)
            time.sleep(BURST_SECONDS)
            return "Yes."

        ai.reply = reply
        reply(None)

        finish(parts, *requests)

        assert ai.answered <= 3 * len(said(kommo))
        assert len(said(kommo)) == 3
        questions = "\n".join(asked(ai, number) for number in range(ai.count))
        assert all(f"text {number}" in questions for number in range(9))

    def test_more_than_fits_into_a_question_is_read_all_the_same(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        first, second = ask("first " + "x" * 15_000), ask("second " + "x" * 15_000)
        for request in (first, second):
            queue.enqueue(request)

        finish(parts, first, second)

        assert [asked(ai, number).split()[0] for number in range(ai.count)] == ["first", "second"]
        assert [told(kommo, one) for one in (first, second)] == ["success", "success"]


class TestVoiceNotes:
    def test_two_of_them_and_a_kommo_that_rests_are_told_once_and_not_never(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        first, second = ask("🎤"), ask("🎤")
        kommo.faults.order(Status(429, headers={"Retry-After": "1"}))
        queue.enqueue(first)
        assert run(first, parts) is not None
        queue.enqueue(second)

        finish(parts, first, second)

        assert said(kommo) == [NO_TEXT_TEXT]
        assert {told(kommo, first), told(kommo, second)} == {"success", "skip"}

    def test_each_person_of_a_lead_is_asked_to_write(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        ana, boris = ask("🎤", chat_id="ana"), ask("🎤", chat_id="boris")
        for request in (ana, boris):
            queue.enqueue(request)

        finish(parts, ana, boris)

        assert said(kommo) == [NO_TEXT_TEXT, NO_TEXT_TEXT]


class TestKommoRefuses:
    @pytest.mark.parametrize("status", [302, 400, 405, 408, 409, 413, 422, 423, 425, 429])
    def test_once_the_reply_follows(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        queue: JobQueue,
        kommo: StandInKommo,
        redis: Redis,
        status: int,
    ) -> None:
        request = ask()
        refuse(kommo, request, status, times=1)
        queue.enqueue(request)

        wait = answer(request, parts)
        assert wait is not None
        end_pauses(redis)
        let_pass(redis, wait)
        assert answer(request, parts) is None

        assert told(kommo, request) == "success"
        assert ai.count == 1

    def test_a_text_of_that_size_the_short_sentence_follows(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        queue: JobQueue,
        kommo: StandInKommo,
        redis: Redis,
    ) -> None:
        ai.reply = lambda _: "A sentence. " * 250
        kommo.faults.order(Status(400), when=lambda call: len(call.body) > 2_000, times=None)
        request = ask()
        queue.enqueue(request)

        for wait in (run(request, parts), run(request, parts)):
            assert wait is not None
            let_pass(redis, wait)
        with pytest.raises(ContinuedWithFailure):
            wait_for(lambda: answer(request, parts) is None)

        assert told(kommo, request) == "fail"
        assert ai.count == 1

    def test_with_an_hours_pause_there_is_a_last_call_all_the_same(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo, redis: Redis
    ) -> None:
        request = ask()
        kommo.faults.order(Status(429, headers=LONG_AGO), times=2)
        queue.enqueue(request)

        while (wait := answer(request, parts)) is not None:
            end_pauses(redis)
            let_pass(redis, wait)
            waited = age(redis, request)

        assert told(kommo, request) == "success"
        assert 840 <= waited < 900

    def test_to_the_end_it_is_given_up_after_a_call_in_its_last_minute(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo, redis: Redis
    ) -> None:
        request = ask()
        calls: list[float] = []

        def note(_: object) -> bool:
            calls.append(age(redis, request))
            return True

        kommo.faults.order(Status(503), when=note, times=None)
        queue.enqueue(request)

        while (wait := run(request, parts)) is not None:
            let_pass(redis, wait)
            waited = age(redis, request)

        assert redis.hget(record_key(request.job_id), "state") == b"given_up"
        assert 840 <= calls[-1] < 900
        assert 900 <= waited < 910


class TestAHumanHasTheConversation:
    @pytest.fixture
    def request_(self, ask: Ask, queue: JobQueue) -> WidgetRequest:
        request = ask()
        queue.enqueue(request)
        return request

    def pause(self, parts: Parts, request: WidgetRequest) -> bool:
        parts.steps.memory.pause(conversation_name(request), 1, "an operator")
        return True

    @pytest.mark.parametrize("by_sweep", [False, True])
    def test_a_request_looked_at_too_late_says_nothing_into_it(
        self,
        parts: Parts,
        request_: WidgetRequest,
        kommo: StandInKommo,
        redis: Redis,
        by_sweep: bool,
    ) -> None:
        self.pause(parts, request_)
        let_pass(redis, 130)

        if by_sweep:
            assert sweep(parts) == 1
        else:
            assert answer(request_, parts) is None

        assert told(kommo, request_) == "skip"

    def test_taken_while_the_ai_fails_for_good(
        self, parts: Parts, request_: WidgetRequest, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        ai.faults.order(openai_error(401), when=lambda _: self.pause(parts, request_), times=None)

        assert answer(request_, parts) is None

        assert told(kommo, request_) == "skip"

    @pytest.mark.parametrize("ai_fails", [False, True])
    def test_taken_while_kommo_refuses_what_was_to_be_said(
        self,
        parts: Parts,
        request_: WidgetRequest,
        ai: StandInAI,
        kommo: StandInKommo,
        redis: Redis,
        ai_fails: bool,
    ) -> None:
        if ai_fails:
            ai.faults.order(openai_error(401), times=None)
        kommo.faults.order(Status(409), when=lambda _: self.pause(parts, request_))

        wait = answer(request_, parts)
        assert wait is not None
        let_pass(redis, wait)
        assert answer(request_, parts) is None

        assert told(kommo, request_) == "skip"

    def test_taken_for_one_person_it_is_for_every_person_of_the_lead(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        ana, boris = ask(chat_id="ana"), ask(chat_id="boris")
        for request in (ana, boris):
            queue.enqueue(request)
        self.pause(parts, ana)

        finish(parts, ana, boris)

        assert not said(kommo)


class TestTwoPersonsOfOneLead:
    def test_are_asked_answered_and_remembered_apart(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        ai.reply = lambda messages: f"to {messages[-1]['content']}"
        ana, boris = ask("I live in Elm Road 5", chat_id="ana"), ask("Hello", contact_id="b")
        for request in (ana, boris):
            queue.enqueue(request)

        finish(parts, ana, boris)
        again = ask("And now?", contact_id="b")
        queue.enqueue(again)
        finish(parts, again)

        assert [told(kommo, one) for one in (ana, boris, again)] == ["success"] * 3
        assert said(kommo) == ["to I live in Elm Road 5", "to Hello", "to And now?"]
        texts = [str(one["content"]) for one in ai.requests[-1]["messages"]]
        assert texts[1:] == ["Hello", "to Hello", "And now?"]
        assert not any("Elm Road" in one for one in texts)

    def test_one_whose_call_fails_does_not_hold_the_other_back(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        ana, boris = ask(chat_id="ana"), ask(chat_id="boris")
        refuse(kommo, ana, 502)
        for request in (ana, boris):
            queue.enqueue(request)
        assert run(ana, parts) is not None

        assert answer(boris, parts) is None

        assert told(kommo, boris) == "success"


class TestACallThatIsStuckAtKommo:
    @pytest.mark.parametrize(("reply_deadline", "seconds"), [(120, 15), (30, 10)])
    def test_holds_the_next_text_back_for_a_while_and_not_for_ever(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        queue: JobQueue,
        kommo: StandInKommo,
        redis: Redis,
        reply_deadline: float,
        seconds: float,
    ) -> None:
        parts = replace(
            parts, settings=replace(parts.settings, reply_deadline_seconds=reply_deadline)
        )
        stuck, following = ask("first"), ask("second")
        refuse(kommo, stuck, 502)
        queue.enqueue(stuck)
        assert run(stuck, parts) is not None
        queue.enqueue(following)

        run(following, parts)
        assert ai.count == 1
        let_pass(redis, seconds - 4)
        run(following, parts)
        assert ai.count == 1
        let_pass(redis, 4)
        finish(parts, following)

        assert told(kommo, following) == "success"
        assert asked(ai) == "second"
        assert run(stuck, parts) is not None


class TestWhatIsKept:
    def test_a_salesbot_that_was_continued_is_never_given_up(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo, redis: Redis
    ) -> None:
        """Its process slept between its note and its call, and wakes after another's success."""
        request = ask()
        queue.enqueue(request)

        def meanwhile() -> None:
            redis.delete(turn_key(conversation_name(request)))  # its time has run out
            assert answer(request, parts) is None

        kommo.faults.order(Sleep(meanwhile))

        run(request, parts)

        assert told(kommo, request) == "success"
        assert redis.hget(record_key(request.job_id), "state") == b"continued"

    def test_what_a_newer_version_adds_is_left_out(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo, redis: Redis
    ) -> None:
        request = ask()
        refuse(kommo, request, 502, times=1)
        queue.enqueue(request)
        wait = answer(request, parts)
        assert wait is not None
        record, turns = record_key(request.job_id), open_key(conversation_name(request))
        kept: Any = redis.hget(turns, "")
        redis.hset(turns, "", kept.replace(b'"asked"', b'"mood": "good", "asked"'))
        outcome: Any = redis.hget(record, "outcome")
        redis.hset(record, mapping={"outcome": outcome.replace(b"{", b'{"mood": 1, '), "mood": "1"})
        let_pass(redis, wait)

        assert answer(request, parts) is None

        assert told(kommo, request) == "success"

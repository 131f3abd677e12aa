"""What version 1.0.0 left in Redis is finished, and what we leave it can read again.

Web and workers are upgraded one after the other, and may be taken back. The formats stand here as
1.0.0 wrote them, not as today's code would.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from helpers import Ask, let_pass, wait_for
from redis import Redis

from kommo_bridge.answers.record import OPEN_KEY, record_key
from kommo_bridge.conversations.keys import conversation_name, texts_key, turn_key, turns_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.jobs import Parts, answer, sweep
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.queue.state import work_queue
from local.partners.ai import StandInAI
from local.partners.http.faults import ResetAfter, Status
from local.partners.kommo.server import StandInKommo

# The fields of 1.0.0; those after `accepted_at` came later.
REQUEST_FIELDS = (
    "integration_id account_id subdomain entity_type entity_id return_url message delivery "
    "contact_name origin chat_id widget_version expires_at accepted_at request_id"
).split()
OUTCOME = {"status": "success", "reply": "Yes.", "error": "", "silent": False, "reason": ""}
SKIP = OUTCOME | {"status": "skip", "reply": "", "silent": True}

Leave = Callable[..., WidgetRequest]


@pytest.fixture
def leave(ask: Ask, redis: Redis) -> Leave:
    """Leaves one request in Redis as 1.0.0 did, and returns it as its job names it."""

    def make(message: str, *, outcome: Any = None, text: bool = True, **record: str) -> Any:
        made = ask(message)
        job = {name: value for name, value in made.to_job().items() if name in REQUEST_FIELDS}
        kept: dict[Any, Any] = {"request": json.dumps(job | {"message": "", "contact_name": ""})}
        kept.update(record)
        if outcome:
            kept["outcome"] = json.dumps(outcome)
        redis.hset(record_key(made.job_id), mapping=kept)
        if text:
            own = made.delivery == "json"
            fields = {"text": message, "chat_id": "", "own": own, "at": made.accepted_at}
            number = f"{made.accepted_at * 1_000_000:.0f}"
            key = texts_key(conversation_name(made))
            redis.hset(key, made.job_id, f"{number}|{json.dumps(fields)}")
        if "state" not in record:
            redis.zadd(OPEN_KEY, {made.job_id: made.accepted_at + 120})
        return WidgetRequest.from_job(job)

    return make


@pytest.fixture
def burst(parts: Parts, acme: Integration) -> None:
    """Texts that come close together are answered together."""
    parts.integrations.save(replace(acme, burst_seconds=0.3))


def data_of(kommo: StandInKommo, request: WidgetRequest) -> dict[str, str]:
    """What continued a request's Salesbot; exactly one call did."""
    [found] = [one for one in kommo.continuations if one.block.path in request.return_url]
    data: dict[str, str] = found.body["data"]
    return data


def said_to(ai: StandInAI) -> list[str]:
    """The texts of the last AI call, without the system's."""
    return [one["content"] for one in ai.requests[-1]["messages"][1:]]


class TestWhatItLeft:
    @pytest.mark.parametrize("text", [True, False])
    def test_a_request_that_waits_is_answered_with_or_without_its_text(
        self, leave: Leave, parts: Parts, ai: StandInAI, kommo: StandInKommo, text: bool
    ) -> None:
        """1.0.0 kept no more than fifty texts of a conversation."""
        request = leave("Do you deliver?", text=text, attempts="3", waits="2")

        assert answer(request, parts) is None

        assert said_to(ai) == ["Do you deliver?"]
        assert data_of(kommo, request)["status"] == "success"

    def test_one_that_nobody_works_on_is_swept(
        self, leave: Leave, parts: Parts, redis: Redis, kommo: StandInKommo
    ) -> None:
        request = leave("Do you deliver?", attempts="1")
        let_pass(redis, 121)

        assert sweep(parts) == 1

        assert data_of(kommo, request)["status"] == "fail"

    def test_a_kept_reply_is_sent_and_not_paid_for_again(
        self, leave: Leave, parts: Parts, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        request = leave("Do you deliver?", outcome=OUTCOME, attempts="1")

        assert answer(request, parts) is None

        assert data_of(kommo, request)["reply"] == "Yes."
        assert not ai.count

    def test_a_kept_reply_that_may_have_arrived_is_found_arrived(
        self, leave: Leave, parts: Parts, redis: Redis, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        request = leave("Do you deliver?", outcome=OUTCOME, uncertain="1", attempts="1")
        kommo.faults.order(Status(404), times=1)

        assert answer(request, parts) is None

        assert redis.hget(record_key(request.job_id), "state") == b"continued"
        assert not ai.count

    def test_the_next_text_is_not_joined_with_one_that_may_be_answered(
        self, leave: Leave, parts: Parts, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        leave("Do you deliver?", outcome=OUTCOME, uncertain="1", attempts="1")
        request = leave("And on Sundays?")

        wait_for(lambda: answer(request, parts) is None)

        assert said_to(ai)[-1] == "And on Sundays?"
        assert [one.body["data"]["status"] for one in kommo.continuations] == ["success"] * 2

    def test_who_was_let_go_leaves_without_a_word(
        self, leave: Leave, parts: Parts, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        """Its text is answered already: 1.0.0 took it off with the reply that Kommo accepted."""
        request = leave("Hello", text=False, outcome=SKIP, attempts="1")

        wait_for(lambda: answer(request, parts) is None)

        assert data_of(kommo, request)["status"] == "skip"
        assert not ai.count

    @pytest.mark.usefixtures("burst")
    def test_texts_that_were_let_go_before_their_carrier_asked_are_part_of_its_question(
        self, leave: Leave, parts: Parts, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        """1.0.0 marked them first and asked then."""
        first = leave("Do you deliver", outcome=SKIP, attempts="1")
        newest = leave("on Sundays?", attempts="1")

        wait_for(lambda: answer(newest, parts) is None)
        wait_for(lambda: answer(first, parts) is None)

        assert said_to(ai) == ["Do you deliver\non Sundays?"]
        assert data_of(kommo, newest)["status"] == "success"
        assert data_of(kommo, first)["status"] == "skip"

    def test_the_lock_of_a_run_that_died_is_taken_by_the_same_job(
        self, leave: Leave, parts: Parts, redis: Redis, kommo: StandInKommo
    ) -> None:
        request = leave("Do you deliver?", attempts="1")
        redis.set(turn_key(conversation_name(request)), request.job_id, px=120_000)

        assert answer(request, parts) is None

        assert data_of(kommo, request)["status"] == "success"

    def test_the_lock_of_another_job_is_respected(
        self, leave: Leave, parts: Parts, redis: Redis, ai: StandInAI
    ) -> None:
        """Its worker may still be one of 1.0.0, and be asking the AI."""
        request = leave("Do you deliver?")
        redis.set(turn_key(conversation_name(request)), "wr-another", px=120_000)

        assert answer(request, parts)
        assert not ai.count

    def test_what_has_ended_stays_ended(
        self, leave: Leave, parts: Parts, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        done = leave("Hello", state="continued", attempts="1")
        gone = leave("Hello", state="given_up", attempts="1")

        assert answer(done, parts) is None
        assert answer(gone, parts) is None

        assert not ai.count
        assert not kommo.continuations

    def test_a_reply_that_it_gave_up_gets_another_try_when_its_job_is_requeued(
        self, leave: Leave, parts: Parts, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        given_up = leave("Hello", state="given_up", outcome=OUTCOME, attempts="1")

        assert answer(given_up, parts) is None

        assert not ai.count
        assert len(kommo.continuations) == 1

    def test_what_was_said_is_remembered(
        self, leave: Leave, parts: Parts, redis: Redis, ai: StandInAI
    ) -> None:
        request = leave("And tulips?")
        said = {"job_id": "wr-1", "customer": "Roses?", "reply": "45 euro.", "at": time.time()}
        redis.rpush(turns_key(conversation_name(request)), json.dumps(said | {"chat_id": ""}))

        answer(request, parts)

        assert said_to(ai) == ["Roses?", "45 euro.", "And tulips?"]


class TestWhatItFinds:
    """1.0.0 leaves unknown keys out of requests and outcomes, but not out of texts and turns."""

    def test_a_queued_request(self, ask: Ask, queue: JobQueue, redis: Redis) -> None:
        request = ask("Do you deliver?")
        queue.enqueue(request)

        [job] = work_queue(redis).jobs
        record: Any = redis.hgetall(record_key(request.job_id))
        text: Any = redis.hget(texts_key(conversation_name(request)), request.job_id)
        number, _, fields = text.partition(b"|")
        assert job.func_name == "kommo_bridge.jobs.answer_widget_request"
        assert set(REQUEST_FIELDS) <= set(job.args[0])
        assert set(REQUEST_FIELDS) <= set(json.loads(record[b"request"]))
        assert int(number) == pytest.approx(time.time() * 1_000_000, rel=1e-6)
        assert json.loads(fields) == {
            "text": "Do you deliver?",
            "chat_id": "",
            "own": True,
            "at": request.accepted_at,
        }
        assert redis.zscore(OPEN_KEY, request.job_id)

    def test_a_reply_that_may_have_arrived(
        self, ask: Ask, parts: Parts, redis: Redis, kommo: StandInKommo
    ) -> None:
        request = ask()
        kommo.faults.order(ResetAfter())

        assert answer(request, parts)

        record: Any = redis.hgetall(record_key(request.job_id))
        assert b"uncertain" in record
        assert b"state" not in record
        outcome = json.loads(record[b"outcome"])
        assert set(OUTCOME) <= set(outcome)
        assert (outcome["status"], outcome["silent"]) == ("success", False)

    def test_an_answer_that_is_done(self, ask: Ask, parts: Parts, redis: Redis) -> None:
        request = ask("Do you deliver?")

        answer(request, parts)

        record: Any = redis.hgetall(record_key(request.job_id))
        assert record[b"state"] == b"continued"
        assert b"outcome" not in record
        said: Any = redis.lindex(turns_key(conversation_name(request)), 0)
        assert set(json.loads(said)) == {"job_id", "customer", "reply", "at", "chat_id"}

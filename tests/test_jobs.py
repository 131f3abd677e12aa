"""The work of a job, step by step, against strict partners: what breaks, and what then follows."""

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from helpers import Ask, at_most, let_pass, wait_for
from redis import Redis

from kommo_bridge.answers.conversation import CONTINUED, GIVEN_UP, OPEN
from kommo_bridge.answers.record import OPEN_KEY, record_key
from kommo_bridge.answers.retries import SWEEP_SLOW
from kommo_bridge.answers.sweep import THREADS, Sweep
from kommo_bridge.conversations.days import Days, day_of
from kommo_bridge.conversations.keys import conversation_name, pause_key, texts_key, turn_key
from kommo_bridge.errors import ContinuedWithFailure, IntegrationError, KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.open_store import store_of
from kommo_bridge.jobs import Parts, answer, build_parts, sweep
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.slot import Slot
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.queue.state import work_queue
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI, openai_error
from local.partners.http.exchange import Request
from local.partners.http.faults import Hang, Redirect, Reset, ResetAfter, Slow, Status
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo


def with_settings(parts: Parts, **changes: Any) -> Parts:
    return build_parts(replace(parts.settings, **changes))


def state_of(parts: Parts, request: WidgetRequest) -> str:
    state: Any = parts.redis.hget(record_key(request.job_id), "state")
    return state.decode() if state else OPEN


def later(request: WidgetRequest, parts: Parts) -> float | None:
    """Call `answer` again after the wait that it asked for: without waiting for it."""
    wait = answer(request, parts)
    if wait is not None:
        let_pass(parts.redis, wait)
    return wait


def arrived_at(redis: Redis, request: WidgetRequest) -> float:
    """When a request came, as Redis says."""
    text: Any = redis.hget(texts_key(conversation_name(request)), request.job_id)
    return int(text.partition(b"|")[0]) / 1_000_000


def test_a_reply_continues_the_salesbot_with_success(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    request = ask("Do you deliver?")

    assert answer(request, parts) is None

    [continued] = kommo.continuations
    data = continued.body["data"]
    assert data["status"] == "success"
    assert "Do you deliver?" in data["reply"]
    assert data["message"] == data["reply"]
    assert "execute_handlers" not in continued.body
    assert state_of(parts, request) == CONTINUED


def test_answered_turns_are_counted_for_the_week_once(
    parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, acme: Integration
) -> None:
    """One reply, one fallback, and one Salesbot that could not be continued."""
    replied = ask(entity_id=1)
    answer(replied, parts)
    answer(replied, parts)
    ai.faults.order(openai_error(401), times=1)
    with pytest.raises(ContinuedWithFailure):
        answer(ask(entity_id=2), parts)
    kommo.faults.order(Status(404), times=1)
    with pytest.raises(KommoError):
        answer(ask(entity_id=3), parts)

    found = Days(parts.redis).read(acme, [day_of(acme, time.time())])

    assert (found.conversations, found.alone, found.turns, found.failures) == (2, 1, 2, 2)


def test_a_hand_made_bot_gets_the_reply_in_shows_and_in_data(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    answer(ask("Do you deliver?", delivery="show"), parts)

    body = kommo.continuations[0].body
    values = [one["params"]["value"] for one in body["execute_handlers"]]
    assert " ".join(values) == body["data"]["reply"]
    assert all(len(value) <= 80 for value in values)


def test_the_integration_decides_where_the_request_does_not_say(
    parts: Parts, ask: Ask, kommo: StandInKommo, acme: Integration
) -> None:
    parts.integrations.save(replace(acme, delivery="show"))

    answer(ask(delivery=None), parts)

    assert "execute_handlers" in kommo.continuations[0].body


def test_a_reply_that_does_not_fit_into_shows_travels_in_data_alone_and_whole(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
) -> None:
    long = "Yes, we deliver every day. " * 60
    ai.reply = lambda _messages: long

    answer(ask(delivery="show"), parts)

    assert kommo.continuations[0].body["data"]["reply"] == long.strip()
    assert "execute_handlers" not in kommo.continuations[0].body


def test_a_passing_fault_of_the_ai_is_waited_out_and_then_answered(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
) -> None:
    ai.faults.order(Status(503), times=2)
    request = ask()

    wait = later(request, parts)

    assert wait is not None
    assert 1 <= wait <= 5
    assert not kommo.continuations
    assert answer(request, parts) is None
    assert kommo.continuations[0].body["data"]["status"] == "success"


def test_waits_grow_and_follow_retry_after(parts: Parts, ask: Ask, ai: StandInAI) -> None:
    ai.faults.order(openai_error(429, headers={"Retry-After": "33"}), times=1)
    request = ask()

    assert later(request, parts) == pytest.approx(33, abs=1)

    ai.faults.order(Status(500), times=None)
    waits = [later(request, parts) or 0.0 for _ in range(3)]
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]


def test_who_comes_before_the_wait_is_over_is_told_the_rest_of_it(
    parts: Parts, ask: Ask, ai: StandInAI
) -> None:
    ai.faults.order(openai_error(429, headers={"Retry-After": "33"}), times=1)
    request = ask()
    assert answer(request, parts)
    asked = ai.count
    let_pass(parts.redis, 13)

    assert answer(request, parts) == pytest.approx(20, abs=1)
    assert ai.count == asked


@pytest.mark.parametrize(
    "fault",
    [
        openai_error(401, "invalid_api_key"),
        openai_error(400, "context_length_exceeded"),
        openai_error(404, "model_not_found"),
        openai_error(429, "insufficient_quota"),
    ],
)
def test_a_lasting_fault_of_the_ai_continues_with_the_fallback_and_stays_visible(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, acme: Integration, fault: Status
) -> None:
    ai.faults.order(fault, times=None)

    with pytest.raises(ContinuedWithFailure):
        answer(ask(), parts)

    data = kommo.continuations[0].body["data"]
    assert (data["status"], data["reply"]) == ("fail", acme.fallback_text)
    assert ai.count <= 2


def test_when_the_reply_deadline_is_over_the_fallback_arrives_without_an_ai_call(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, queue: JobQueue
) -> None:
    request = ask()
    queue.enqueue(request)
    let_pass(parts.redis, 121)

    with pytest.raises(ContinuedWithFailure, match="deadline"):
        answer(request, parts)

    assert kommo.continuations[0].body["data"]["status"] == "fail"
    assert ai.count == 0


def test_the_clock_of_the_web_process_does_not_count(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue
) -> None:
    request = ask(accepted_at=time.time() - 3600)
    queue.enqueue(request)

    assert answer(request, parts) is None

    assert kommo.continuations[0].body["data"]["status"] == "success"


def test_a_request_that_was_never_enqueued_is_as_old_as_it_says(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    """An operator queues a job again whose record has expired."""
    with pytest.raises(ContinuedWithFailure, match="deadline"):
        answer(ask(accepted_at=time.time() - 121), parts)

    assert kommo.continuations[0].body["data"]["status"] == "fail"


def test_a_wait_never_reaches_beyond_the_reply_deadline(
    parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue
) -> None:
    ai.faults.order(openai_error(429, headers={"Retry-After": "33"}), times=None)
    request = ask()
    queue.enqueue(request)
    let_pass(parts.redis, 110)

    wait = answer(request, parts)

    assert wait is not None
    assert wait <= 10


def test_an_ai_that_is_silent_until_the_deadline_is_followed_by_the_fallback_at_once(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, queue: JobQueue
) -> None:
    ai.faults.order(Hang(), times=None)
    request = ask()
    queue.enqueue(request)
    let_pass(parts.redis, 117)

    with pytest.raises(ContinuedWithFailure, match="deadline"):
        answer(request, parts)

    assert ai.count
    assert kommo.continuations[0].body["data"]["status"] == "fail"


def test_a_wait_is_counted_from_now_and_not_from_before_the_ai_was_asked(
    parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue
) -> None:
    request = ask()
    queue.enqueue(request)
    ai.faults.order(Status(500), times=None)
    for _ in range(4):  # so that the next wait would be 40 s
        later(request, parts)
    ai.faults.clear()
    ai.faults.order(Hang(1), times=None)
    let_pass(parts.redis, 112 - (time.time() - arrived_at(parts.redis, request)))

    wait = answer(request, parts)

    assert wait is not None
    assert time.time() + wait <= arrived_at(parts.redis, request) + 120 + 0.1


@pytest.mark.parametrize("message", ["", "  \n ", "{{message_text}}", "imagen", "🎤"])
def test_without_text_the_customer_is_asked_to_write_and_the_ai_is_not(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, acme: Integration, message: str
) -> None:
    assert answer(ask(message), parts) is None

    data = kommo.continuations[0].body["data"]
    assert (data["status"], data["reply"]) == ("success", acme.no_text_text)
    assert ai.count == 0


@pytest.mark.parametrize("fault", [Status(500), Status(503), Reset()])
def test_a_kept_reply_is_sent_again_and_the_ai_is_not_asked_again(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, fault: Status | Reset
) -> None:
    kommo.faults.order(fault, times=2)
    request = ask()

    assert later(request, parts)
    assert later(request, parts)
    assert answer(request, parts) is None

    assert ai.count == 1
    assert len(kommo.continuations) == 1


def test_a_404_after_an_unknown_outcome_means_that_the_first_call_arrived(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    kommo.faults.order(ResetAfter())
    request = ask()

    assert later(request, parts)
    assert answer(request, parts) is None

    assert len(kommo.continuations) == 1
    assert [refusal.status for refusal in kommo.refusals] == [404]
    assert state_of(parts, request) == CONTINUED


def test_a_handoff_that_had_arrived_is_one_though_a_human_was_quicker(
    parts: Parts, ask: Ask, kommo: StandInKommo, acme: Integration
) -> None:
    """The Salesbot is let go, and turns out to have had the words of the call before."""
    parts.integrations.save(replace(acme, handoff_phrases="human"))
    kommo.faults.order(ResetAfter())
    request = ask("a human, please")
    assert later(request, parts)
    parts.steps.memory.pause(conversation_name(request), 24, "by hand")

    assert answer(request, parts) is None

    assert [refusal.status for refusal in kommo.refusals] == [404]
    counted = Days(parts.redis).read(acme, [day_of(acme, time.time())])
    assert counted.handoffs == {"customer_request": 1}
    assert parts.steps.memory.history(request, acme)[-1].customer == "a human, please"
    paused = parts.redis.pttl(pause_key(conversation_name(request)))
    assert paused > 23 * 3_600_000  # as by hand, not the handoff's own twelve hours


@pytest.mark.parametrize("status", [404, 410])
def test_a_404_without_one_is_final(
    parts: Parts, ask: Ask, kommo: StandInKommo, status: int
) -> None:
    kommo.faults.order(Status(status), times=1)
    request = ask()

    with pytest.raises(KommoError, match=str(status)):
        answer(request, parts)

    assert state_of(parts, request) == GIVEN_UP
    assert not kommo.continuations


def test_a_404_after_a_definite_refusal_is_final(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    """429 says that the call was not taken: a 404 after it is no success."""
    request = ask(return_url=kommo.url + "/api/v4/salesbot/1/continue/999999")
    kommo.faults.order(Status(429, headers={"Retry-After": "1"}))
    assert answer(request, parts)

    with pytest.raises(KommoError, match="404"):
        wait_for(lambda: answer(request, parts) is None)

    assert state_of(parts, request) == GIVEN_UP


@pytest.mark.parametrize("status", [401, 402])
def test_a_401_is_final(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account, status: int
) -> None:
    kommo.faults.order(Status(status), times=1)
    request = ask()

    with pytest.raises(KommoError, match=str(status)) as raised:
        answer(request, parts)

    assert account.access_token not in str(raised.value)
    assert state_of(parts, request) == GIVEN_UP


def test_a_401_is_followed_by_the_token_that_was_stored_meanwhile(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account, ai: StandInAI, acme: Integration
) -> None:
    """The operator changes the token while the AI is thinking."""

    def reply_and_change(_messages: Any) -> str:
        kommo.change_access_token(account, "renewed-token")
        parts.integrations.save(replace(acme, access_token="renewed-token"))
        return "Yes."

    ai.reply = reply_and_change

    assert answer(ask(), parts) is None
    assert len(kommo.continuations) == 1


def test_shows_that_kommo_refuses_are_followed_by_data_alone(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    kommo.faults.order(Status(400), times=1)

    assert answer(ask(delivery="show"), parts) is None

    assert "execute_handlers" not in kommo.continuations[0].body


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_reply_that_kommo_keeps_refusing_gives_way_to_the_short_fallback(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, acme: Integration, status: int
) -> None:
    kommo.faults.order(Status(status), times=3)
    request = ask()

    assert later(request, parts)
    assert later(request, parts)
    with pytest.raises(ContinuedWithFailure, match=f"refused.*{status}"):
        answer(request, parts)

    [continued] = kommo.continuations
    assert (continued.body["data"]["status"], continued.body["data"]["reply"]) == (
        "fail",
        acme.fallback_text,
    )
    assert ai.count == 1


@pytest.mark.parametrize("status", [302, 304, 405, 409])
def test_what_is_no_word_about_the_account_is_tried_again_with_the_same_reply(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, account: Account, status: int
) -> None:
    kommo.faults.order(Status(status), times=3)
    request = ask()

    while later(request, parts):
        assert not kommo.continuations

    assert kommo.continuations[0].body["data"]["status"] == "success"
    assert len(kommo.calls(account)) == 4
    assert ai.count == 1


def test_after_a_429_nobody_calls_that_account_until_retry_after(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account
) -> None:
    kommo.faults.order(Status(429, headers={"Retry-After": "7"}), times=1)
    first, second, other = ask(), ask(), ask(entity_id=8)

    wait = answer(first, parts)
    calls = len(kommo.calls(account))
    others = [answer(second, parts), answer(other, parts)]

    assert wait is not None
    assert 6 <= wait <= 8
    assert all(one is not None and 5 <= one <= 9 for one in others)
    assert len(kommo.calls(account)) == calls


def test_a_403_after_a_429_stops_the_calls_to_this_account_alone_and_is_waited_out(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account, acme: Integration
) -> None:
    kommo.faults.order(Status(429, headers={"Retry-After": "0"}), times=1)
    kommo.faults.order(Status(403), times=1)
    assert answer(ask(), parts)
    wait_for(lambda: not Pacer(parts.redis).paused_seconds(acme.host))

    assert answer(ask(entity_id=8), parts)

    calls = len(kommo.calls(account))
    assert Pacer(parts.redis).paused_seconds(acme.host) > 60
    assert answer(ask(entity_id=9), parts)
    assert len(kommo.calls(account)) == calls
    assert isinstance(parts.client.book("another.kommo.com"), Slot)


def test_a_403_without_a_429_is_final(parts: Parts, ask: Ask, kommo: StandInKommo) -> None:
    kommo.faults.order(Status(403), times=1)

    with pytest.raises(KommoError):
        answer(ask(), parts)


def test_the_token_does_not_follow_a_redirect(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account
) -> None:
    kommo.faults.order(Redirect("https://evil.example/"), times=1)
    request = ask()

    assert answer(request, parts)

    assert len(kommo.calls(account)) == 1
    assert state_of(parts, request) == OPEN


def test_when_the_continue_deadline_is_over_one_last_call_is_made_and_the_job_gives_up_visibly(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account, queue: JobQueue
) -> None:
    kommo.faults.order(Status(500), times=None)
    request = ask()
    queue.enqueue(request)
    let_pass(parts.redis, 901)

    with pytest.raises(KommoError, match="deadline"):
        answer(request, parts)

    assert len(kommo.calls(account)) == 1
    assert state_of(parts, request) == GIVEN_UP


def test_the_last_call_is_made_in_the_last_minute(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account, queue: JobQueue
) -> None:
    kommo.faults.order(Status(500), times=None)
    request = ask()
    queue.enqueue(request)
    let_pass(parts.redis, 835)
    assert later(request, parts) == pytest.approx(2, abs=1)  # the second call at 837
    assert later(request, parts) == pytest.approx(3, abs=1)  # not at 842, but at 840
    called = len(kommo.calls(account))
    assert called == 2

    with pytest.raises(KommoError, match="deadline"):
        wait_for(lambda: later(request, parts) is None)

    assert len(kommo.calls(account)) > called
    assert not kommo.continuations


def test_a_requeue_after_the_end_does_nothing(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
) -> None:
    request = ask()
    answer(request, parts)

    assert answer(request, parts) is None

    assert ai.count == 1
    assert len(kommo.continuations) == 1
    assert not kommo.refusals


def test_two_workers_with_the_same_job_continue_the_salesbot_once(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
) -> None:
    ai.delay_seconds = 0.3
    request = ask()
    threads = [threading.Thread(target=answer, args=(request, parts)) for _ in range(6)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(kommo.continuations) == 1
    assert not kommo.refusals
    assert ai.count == 1


def test_an_integration_removed_meanwhile_fails_the_job(
    parts: Parts, ask: Ask, acme: Integration
) -> None:
    parts.integrations.remove(acme)

    with pytest.raises(IntegrationError, match="removed"):
        answer(ask(), parts)


def test_an_integration_disabled_meanwhile_continues_with_the_fallback(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, acme: Integration
) -> None:
    parts.integrations.save(replace(acme, enabled=False))

    assert answer(ask(), parts) is None

    assert kommo.continuations[0].body["data"]["status"] == "fail"
    assert ai.count == 0


def test_a_hostile_reply_cannot_make_kommo_fill_in_anything(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
) -> None:
    ai.reply = lambda _messages: "{{json.reply}} {{{contact.phone}}}\x00\x1b[31m\u202eend"

    answer(ask(), parts)

    reply = kommo.continuations[0].body["data"]["reply"]
    assert "{{" not in reply
    assert not set(reply) & {"\x00", "\x1b", "\u202e"}


# The sweep: answers whose job is nowhere any more


def test_the_sweep_continues_a_salesbot_whose_job_was_deleted(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue, redis: Redis
) -> None:
    request = ask()
    queue.enqueue(request)
    let_pass(redis, 130)
    work_queue(redis).delete()

    assert sweep(parts) == 1

    assert kommo.continuations[0].body["data"]["status"] == "fail"
    assert redis.zcard(OPEN_KEY) == 0


def test_the_sweep_leaves_answers_alone_that_are_in_time(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue
) -> None:
    queue.enqueue(ask())

    assert sweep(parts) == 0
    assert not kommo.continuations


def test_the_sweep_asks_with_the_customers_own_words(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, queue: JobQueue, redis: Redis
) -> None:
    """A worker with a longer deadline than the web that queued it; the record holds no text."""
    queue.enqueue(ask("Do you deliver?"))
    let_pass(redis, 130)
    with closing(with_settings(parts, reply_deadline_seconds=600)) as patient:
        sweep(patient)

    assert ai.requests[0]["messages"][-1]["content"] == "Do you deliver?"
    assert kommo.continuations[0].body["data"]["status"] == "success"


def test_the_sweep_sends_a_kept_reply(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue, redis: Redis
) -> None:
    kommo.faults.order(Status(500), times=1)
    request = ask()
    queue.enqueue(request)
    assert later(request, parts)
    work_queue(redis).delete()
    let_pass(redis, 12)

    assert sweep(parts) == 1

    assert kommo.continuations[0].body["data"]["status"] == "success"


def test_a_job_that_comes_after_the_sweep_does_nothing(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, queue: JobQueue
) -> None:
    request = ask()
    queue.enqueue(request)
    let_pass(parts.redis, 130)
    sweep(parts)

    with pytest.raises(ContinuedWithFailure, match="deadline"):
        answer(request, parts)

    assert ai.count == 0
    assert len(kommo.continuations) == 1


def test_one_answer_that_cannot_be_swept_does_not_keep_the_others_waiting(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue
) -> None:
    lost = ask(return_url=kommo.url + "/api/v4/salesbot/1/continue/999999")
    for request in (lost, ask(entity_id=8)):
        queue.enqueue(request)
        let_pass(parts.redis, 130)

    assert sweep(parts) == 2

    assert len(kommo.continuations) == 1


def test_many_overdue_answers_of_a_slow_kommo_are_swept_side_by_side(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue
) -> None:
    kommo.faults.order(Slow(2), times=6)
    for number in range(6):
        queue.enqueue(ask(entity_id=1 + number))
    let_pass(parts.redis, 130)

    with at_most(2 * 6):  # as it would take one after the other
        sweep(parts)

    assert len(kommo.continuations) == 6


def test_the_record_holds_no_word_of_the_customer(
    parts: Parts, ask: Ask, redis: Redis, queue: JobQueue, ai: StandInAI
) -> None:
    ai.faults.order(Status(503), times=None)
    requests = [ask("my secret wish"), ask("my secret wish")]
    queue.enqueue(requests[0])  # the other has no record before its first look

    for request in requests:
        assert answer(request, parts)

    stored = [repr(redis.hgetall(record_key(one.job_id))) for one in requests]
    assert all("return_url" in one for one in stored)
    assert "secret wish" not in "".join(stored)
    assert "Ana" not in "".join(stored)


def test_answers_that_cannot_even_be_read_do_not_keep_the_others_waiting(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue, redis: Redis
) -> None:
    """More of them than one look takes, as another version may leave: a field is missing."""
    for number in range(100):
        broken = ask(entity_id=1 + number)
        queue.enqueue(broken)
        redis.hset(record_key(broken.job_id), "request", "{}")
    let_pass(redis, 100)
    queue.enqueue(ask(entity_id=101))
    let_pass(redis, 130)

    sweep(parts)
    sweep(parts)

    assert len(kommo.continuations) == 1
    assert redis.zcard(OPEN_KEY) == 100, "they are kept for a version that can read them"


def test_the_access_token_stays_when_a_job_names_a_host_that_is_not_the_accounts_own(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account, redis: Redis
) -> None:
    """Somebody wrote to Redis, or `domain` or `KOMMO_EXTRA_HOSTS` changed since the request."""
    client = KommoClient(Pacer(redis))
    sender = replace(parts.steps.sender, client=client)
    strict = replace(parts, steps=replace(parts.steps, sender=sender))
    request = ask()

    with pytest.raises(KommoError, match="not the account's own"):
        answer(request, strict)

    assert not kommo.calls(account)
    assert state_of(parts, request) == GIVEN_UP


def test_a_second_call_in_the_same_run_renews_the_right_to_the_conversation(
    parts: Parts, ask: Ask, kommo: StandInKommo, redis: Redis
) -> None:
    """Two slow calls together last longer than it."""
    request = ask(delivery="show")
    left: list[int] = []

    def when(_call: Request) -> bool:
        left.append(redis.pttl(turn_key(conversation_name(request))))
        redis.pexpire(turn_key(conversation_name(request)), 3000)
        return len(left) == 1

    kommo.faults.order(Status(400), when=when, times=None)

    assert answer(request, parts) is None

    assert len(left) == 2
    assert left[1] > 10_000


def test_who_lost_the_conversation_makes_no_second_call(
    parts: Parts, ask: Ask, kommo: StandInKommo, redis: Redis, account: Account
) -> None:
    request = ask(delivery="show")

    def when(_call: Request) -> bool:
        redis.set(turn_key(conversation_name(request)), "another worker's")
        return True

    kommo.faults.order(Status(400), when=when, times=None)

    assert answer(request, parts)

    assert len(kommo.calls(account)) == 1
    assert redis.hexists(record_key(request.job_id), "uncertain"), "it may have arrived"
    assert redis.get(turn_key(conversation_name(request))) == b"another worker's"


def test_the_sweep_gives_up_in_the_end_what_fails_in_a_way_that_nobody_foresaw(
    parts: Parts, ask: Ask, queue: JobQueue, settings: Settings
) -> None:
    young, old = ask(accepted_at=time.time() - 200), ask(accepted_at=time.time() - 1000)
    for request in (young, old):
        queue.enqueue(request)
    let_pass(parts.redis, 130)
    with closing(sqlite3.connect(settings.database_path)) as database:
        database.execute("ALTER TABLE integrations RENAME TO lost")

    sweep(parts)

    assert [state_of(parts, one) for one in (young, old)] == [OPEN, GIVEN_UP]


def test_the_sweep_leaves_the_rest_of_a_hanging_account_for_the_next_look(
    parts: Parts, ask: Ask, queue: JobQueue
) -> None:
    def hang(_request: WidgetRequest) -> float | None:
        hanging.append(1)
        time.sleep(SWEEP_SLOW + 0.1)
        return 60.0

    hanging: list[int] = []
    for _ in range(THREADS + 4):
        queue.enqueue(ask())
    let_pass(parts.redis, 130)
    sweeping = Sweep(parts.redis, hang, 900)

    assert sweeping.run() == THREADS + 4

    assert len(hanging) == THREADS
    wait_for(lambda: parts.redis.zcount(OPEN_KEY, 0, time.time()) == 4)


def test_what_another_key_has_encrypted_is_waited_for_and_not_taken_for_removed(
    parts: Parts, ask: Ask, kommo: StandInKommo, settings: Settings, acme: Integration
) -> None:
    """`SECRET_KEY` is rotated: a process that was restarted first saves, this one is still old."""
    request = ask()
    renewed = replace(settings, secret_key="n" * 40, secret_key_previous=settings.secret_key)
    with closing(store_of(renewed)) as first:
        first.save(first.get("acme"))

    assert answer(request, parts)
    assert state_of(parts, request) == OPEN
    with closing(build_parts(renewed)) as restarted:
        assert answer(request, restarted) is None

    assert [one.body["data"]["status"] for one in kommo.continuations] == ["success"]

"""The work of a job, step by step, against strict partners: what breaks, and what then follows."""

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from helpers import Ask
from redis import Redis

from kommo_bridge import jobs
from kommo_bridge.answers.record import (
    CONTINUED,
    GIVEN_UP,
    OPEN_KEY,
    Answers,
    claim_key,
    record_key,
)
from kommo_bridge.errors import AssistantError, IntegrationError, KommoError
from kommo_bridge.integrations.integration import Integration
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
    record = parts.answers.find(request.job_id)
    assert record
    return record.state


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

    wait = answer(request, parts)

    assert wait is not None
    assert 1 <= wait <= 5
    assert not kommo.continuations
    assert answer(request, parts) is None
    assert kommo.continuations[0].body["data"]["status"] == "success"


def test_waits_grow_and_follow_retry_after(parts: Parts, ask: Ask, ai: StandInAI) -> None:
    ai.faults.order(openai_error(429, headers={"Retry-After": "33"}), times=1)
    request = ask()
    started = time.monotonic()

    assert answer(request, parts) == 33
    assert time.monotonic() - started < 3, "the wait is RQ's, not a thread's"

    ai.faults.order(Status(500), times=None)
    waits = [answer(request, parts) or 0.0 for _ in range(3)]
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]


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

    with pytest.raises(AssistantError) as raised:
        answer(ask(), parts)

    assert raised.value.permanent
    data = kommo.continuations[0].body["data"]
    assert (data["status"], data["reply"]) == ("fail", acme.fallback_text)
    assert ai.count <= 2


def test_when_the_reply_deadline_is_over_the_fallback_arrives_without_an_ai_call(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
) -> None:
    with pytest.raises(AssistantError, match="deadline"):
        answer(ask(accepted_at=time.time() - 121), parts)

    assert kommo.continuations[0].body["data"]["status"] == "fail"
    assert ai.count == 0


def test_a_wait_never_reaches_beyond_the_reply_deadline(
    parts: Parts, ask: Ask, ai: StandInAI
) -> None:
    ai.faults.order(Status(503), times=None)

    wait = answer(ask(accepted_at=time.time() - 119), parts)

    assert wait is not None
    assert wait <= 1


def test_an_ai_that_is_silent_until_the_deadline_is_followed_by_the_fallback_at_once(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
) -> None:
    ai.faults.order(Hang(), times=None)

    with pytest.raises(AssistantError):
        answer(ask(accepted_at=time.time() - 119), parts)

    assert kommo.continuations[0].body["data"]["status"] == "fail"


def test_a_wait_is_counted_from_now_and_not_from_before_the_ai_was_asked(
    parts: Parts, ask: Ask, ai: StandInAI
) -> None:
    ai.faults.order(Hang(1), times=None)
    accepted_at = time.time() - 112
    request = ask(accepted_at=accepted_at)
    for _ in range(6):
        parts.answers.begin(request)  # so that the next wait would be a minute

    wait = answer(request, parts)

    assert wait is not None
    assert time.time() + wait <= accepted_at + 120 + 0.1


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

    assert answer(request, parts)
    assert answer(request, parts)
    assert answer(request, parts) is None

    assert ai.count == 1
    assert len(kommo.continuations) == 1


def test_a_404_after_an_unknown_outcome_means_that_the_first_call_arrived(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    kommo.faults.order(ResetAfter())
    request = ask()

    assert answer(request, parts)
    assert answer(request, parts) is None

    assert len(kommo.continuations) == 1
    assert [refusal.status for refusal in kommo.refusals] == [404]
    assert state_of(parts, request) == CONTINUED


def test_a_404_without_one_is_final(parts: Parts, ask: Ask, kommo: StandInKommo) -> None:
    request = ask(return_url=kommo.url + "/api/v4/salesbot/1/continue/999999")

    with pytest.raises(KommoError) as raised:
        answer(request, parts)

    assert raised.value.status == 404
    assert state_of(parts, request) == GIVEN_UP


def test_a_404_after_a_definite_refusal_is_final(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    """429 says that the call was not taken: a 404 after it is no success."""
    request = ask(return_url=kommo.url + "/api/v4/salesbot/1/continue/999999")
    kommo.faults.order(Status(429, headers={"Retry-After": "1"}))
    assert answer(request, parts)
    time.sleep(1.05)

    with pytest.raises(KommoError) as raised:
        answer(request, parts)

    assert raised.value.status == 404


def test_a_401_is_final(parts: Parts, ask: Ask, kommo: StandInKommo, account: Account) -> None:
    kommo.change_access_token(account, "another-token")

    with pytest.raises(KommoError) as raised:
        answer(ask(), parts)

    assert raised.value.status == 401
    assert account.access_token not in str(raised.value)


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


def test_a_400_without_shows_is_final(parts: Parts, ask: Ask, kommo: StandInKommo) -> None:
    kommo.faults.order(Status(400), times=1)

    with pytest.raises(KommoError):
        answer(ask(), parts)

    assert not kommo.continuations


def test_after_a_429_nobody_calls_that_account_until_retry_after(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account
) -> None:
    kommo.faults.order(Status(429, headers={"Retry-After": "7"}), times=1)
    first, second = ask(), ask()

    wait = answer(first, parts)
    calls = len(kommo.calls(account))
    other_wait = answer(second, parts)

    assert wait is not None
    assert other_wait is not None
    assert 6 <= wait <= 8
    assert 5 <= other_wait <= 7
    assert len(kommo.calls(account)) == calls


def test_a_403_after_a_429_stops_the_calls_to_this_account_alone_and_is_waited_out(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    kommo.faults.order(Status(429, headers={"Retry-After": "0"}), times=1)
    kommo.faults.order(Status(403), times=1)
    assert answer(ask(), parts)
    time.sleep(1.05)

    wait = answer(ask(), parts)

    assert wait is not None
    assert wait > 60
    assert isinstance(parts.client.book("another.kommo.com"), Slot)


def test_a_403_without_a_429_is_final(parts: Parts, ask: Ask, kommo: StandInKommo) -> None:
    kommo.faults.order(Status(403), times=1)

    with pytest.raises(KommoError):
        answer(ask(), parts)


def test_a_redirect_is_final_and_the_token_does_not_follow_it(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account
) -> None:
    kommo.faults.order(Redirect("https://evil.example/"), times=1)

    with pytest.raises(KommoError) as raised:
        answer(ask(), parts)

    assert raised.value.permanent
    assert len(kommo.calls(account)) == 1


def test_a_3xx_that_leads_nowhere_is_no_success(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    kommo.faults.order(Status(304), times=1)

    with pytest.raises(KommoError):
        answer(ask(), parts)


def test_when_the_continue_deadline_is_over_the_job_gives_up_visibly(
    parts: Parts, ask: Ask, kommo: StandInKommo
) -> None:
    kommo.faults.order(Status(500), times=None)
    request = ask(accepted_at=time.time() - 901)

    with pytest.raises(KommoError, match="deadline"):
        answer(request, parts)

    assert state_of(parts, request) == GIVEN_UP


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


@pytest.fixture
def queue(redis: Redis, settings: Settings) -> JobQueue:
    return JobQueue(redis, settings)


def test_the_sweep_continues_a_salesbot_whose_job_was_deleted(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue, redis: Redis
) -> None:
    request = ask(accepted_at=time.time() - 130)
    queue.enqueue(request)
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


def test_the_sweep_never_takes_its_missing_text_for_the_customers(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue
) -> None:
    """A worker with a longer deadline than the web that queued it: it is not the sweep's turn."""
    queue.enqueue(ask(accepted_at=time.time() - 130))
    patient = with_settings(parts, reply_deadline_seconds=600)

    sweep(patient)

    assert not kommo.continuations


def test_the_sweep_sends_a_kept_reply(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue, redis: Redis
) -> None:
    kommo.faults.order(Status(500), times=1)
    request = ask()
    queue.enqueue(request)
    assert answer(request, parts)
    work_queue(redis).delete()

    sweep(parts)

    assert kommo.continuations[0].body["data"]["status"] == "success"


def test_a_job_that_comes_after_the_sweep_does_nothing(
    parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI, queue: JobQueue
) -> None:
    request = ask(accepted_at=time.time() - 130)
    queue.enqueue(request)
    sweep(parts)

    assert answer(request, parts) is None

    assert ai.count == 0
    assert len(kommo.continuations) == 1


def test_one_answer_that_cannot_be_swept_does_not_keep_the_others_waiting(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue
) -> None:
    lost = ask(return_url=kommo.url + "/api/v4/salesbot/1/continue/999999")
    for request in (replace(lost, accepted_at=1.0), ask(accepted_at=2.0)):
        queue.enqueue(request)

    sweep(parts)

    assert len(kommo.continuations) == 1


def test_many_overdue_answers_of_a_hanging_kommo_are_swept_side_by_side(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue
) -> None:
    kommo.faults.order(Slow(1), times=6)
    for _ in range(6):
        queue.enqueue(ask(accepted_at=time.time() - 130))
    started = time.monotonic()

    sweep(parts)

    assert len(kommo.continuations) == 6
    assert time.monotonic() - started < 5, "not one after the other"


def test_the_record_holds_no_word_of_the_customer(parts: Parts, ask: Ask, redis: Redis) -> None:
    request = ask("my secret wish")

    Answers(redis).begin(request)

    stored = b"".join(
        repr(redis.hgetall(key)).encode() for key in redis.scan_iter("kommo_bridge:answer:*")
    )
    assert b"return_url" in stored
    assert b"secret wish" not in stored
    assert b"Ana" not in stored


def test_answers_that_cannot_even_be_read_do_not_keep_the_others_waiting(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue, redis: Redis
) -> None:
    """More of them than one look takes, as an older version may leave: a field is missing."""
    for number in range(100):
        broken = ask(accepted_at=1.0 + number)
        queue.enqueue(broken)
        redis.hset(record_key(broken.job_id), "request", "{}")
    queue.enqueue(ask(accepted_at=200.0))

    sweep(parts)
    sweep(parts)

    assert len(kommo.continuations) == 1
    assert redis.zcard(OPEN_KEY) == 100, "they are kept for a version that can read them"


def test_the_access_token_stays_when_a_job_names_a_host_that_is_not_the_accounts_own(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account, redis: Redis
) -> None:
    """Somebody wrote to Redis, or `domain` or `KOMMO_EXTRA_HOSTS` changed since the request."""
    client = KommoClient(Pacer(redis))
    strict = replace(parts, delivery=replace(parts.delivery, client=client))
    request = ask()

    with pytest.raises(KommoError, match="not the account's own"):
        answer(request, strict)

    assert not kommo.calls(account)
    assert state_of(parts, request) == GIVEN_UP


def test_a_second_call_in_the_same_run_renews_the_right_to_send(
    parts: Parts, ask: Ask, kommo: StandInKommo, redis: Redis
) -> None:
    """Two slow calls together last longer than the right to send."""
    request = ask(delivery="show")
    left: list[int] = []

    def when(_call: Request) -> bool:
        left.append(redis.pttl(claim_key(request.job_id)))
        redis.pexpire(claim_key(request.job_id), 3000)
        return len(left) == 1

    kommo.faults.order(Status(400), when=when, times=None)

    assert answer(request, parts) is None

    assert len(left) == 2
    assert left[1] > 10_000


def test_who_lost_the_right_to_send_makes_no_second_call(
    parts: Parts, ask: Ask, kommo: StandInKommo, redis: Redis
) -> None:
    request = ask(delivery="show")

    def when(_call: Request) -> bool:
        redis.set(claim_key(request.job_id), "another worker's")
        return True

    kommo.faults.order(Status(400), when=when, times=None)

    assert answer(request, parts)

    record = parts.answers.find(request.job_id)
    assert record
    assert record.uncertain, "the other's call may have arrived"
    assert redis.get(claim_key(request.job_id)) == b"another worker's"


def test_the_sweep_gives_up_in_the_end_what_fails_in_a_way_that_nobody_foresaw(
    parts: Parts, ask: Ask, queue: JobQueue, settings: Settings
) -> None:
    young, old = ask(accepted_at=time.time() - 200), ask(accepted_at=time.time() - 1000)
    for request in (young, old):
        queue.enqueue(request)
    with closing(sqlite3.connect(settings.database_path)) as database:
        database.execute("ALTER TABLE integrations RENAME TO lost")

    sweep(parts)

    states = [record.state for one in (young, old) if (record := parts.answers.find(one.job_id))]
    assert states == ["open", "given_up"]


def test_the_sweep_leaves_the_rest_of_a_hanging_account_for_the_next_look(
    parts: Parts, ask: Ask, kommo: StandInKommo, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "SWEEP_THREADS", 1)
    monkeypatch.setattr(jobs, "SWEEP_SLOW_SECONDS", 0.3)
    kommo.faults.order(Hang(0.6), times=None)
    for _ in range(3):
        queue.enqueue(ask(accepted_at=time.time() - 130))

    assert sweep(parts) == 3

    assert len(parts.answers.due(time.time())) == 2

"""Conversations: memory, one turn at a time, bursts, hand-over, caps, and messages without text."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from helpers import Ask, be_silent, let_pass, lock_of, wait_for
from redis import Redis

from kommo_bridge.answers.conversation import GIVEN_UP
from kommo_bridge.answers.record import record_key
from kommo_bridge.answers.rules import rules_of
from kommo_bridge.answers.turns import MAX_QUESTION_CHARACTERS
from kommo_bridge.conversations.keys import conversation_name, texts_key, turns_key
from kommo_bridge.conversations.memory import MAX_BYTES
from kommo_bridge.errors import ContinuedWithFailure, KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.sentences import HANDOFF_TEXT, NO_TEXT_TEXT, TRANSLATIONS
from kommo_bridge.jobs import Parts, answer, sweep
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import JobQueue
from local.partners.ai import StandInAI, handoff_call, openai_error
from local.partners.http.faults import Reset, ResetAfter, Status
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo

BURST_SECONDS = 0.3


def change(parts: Parts, acme: Integration, **fields: Any) -> Integration:
    """Change the stored integration."""
    changed = replace(acme, **fields)
    parts.integrations.save(changed)
    return changed


def data_of(kommo: StandInKommo, request: WidgetRequest) -> dict[str, str]:
    """What continued a request's Salesbot; exactly one call did."""
    [found] = [one for one in kommo.continuations if one.block.path in request.return_url]
    data: dict[str, str] = found.body["data"]
    return data


def said_to(ai: StandInAI, number: int = -1) -> list[tuple[str, str]]:
    """Role and text of one AI call, without the system's."""
    return [(one["role"], one["content"]) for one in ai.requests[number]["messages"][1:]]


def finish(request: WidgetRequest, parts: Parts) -> None:
    """Call `answer` as RQ would, until nothing is left to wait for."""
    wait_for(lambda: answer(request, parts) is None)


def take(parts: Parts, request: WidgetRequest, integration: Integration) -> bool:
    """Take a request's conversation, as a worker does that dies at once."""
    rules = rules_of(integration, parts.settings, request)
    return parts.steps.states.of(request, integration, rules).look().mine


def paused(parts: Parts, request: WidgetRequest) -> bool:
    return parts.steps.memory.paused(conversation_name(request)) is not None


class TestReply:
    def test_markdown_becomes_the_messengers_marks(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        ai.reply = lambda _: "## Roses\n**45** euro, [order](https://flora.example/roses)"
        request = ask()

        answer(request, parts)

        reply = data_of(kommo, request)["reply"]
        assert reply == "*Roses*\n*45* euro, order: https://flora.example/roses"

    def test_a_reply_too_long_for_a_messenger_is_cut_and_the_log_says_so(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, caplog: Any
    ) -> None:
        ai.reply = lambda _: "A sentence. " * 400
        request = ask()

        with caplog.at_level("INFO"):
            answer(request, parts)

        assert 3400 < len(data_of(kommo, request)["reply"]) <= 3500
        assert "reply shortened" in caplog.text

    def test_an_invisible_reply_is_none(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        ai.reply = lambda _: "\u200b\u2060"

        assert answer(ask(), parts) is not None
        assert not kommo.continuations


class TestMemory:
    def test_the_second_question_comes_with_the_first_turn(
        self, parts: Parts, ask: Ask, ai: StandInAI
    ) -> None:
        ai.reply = lambda _: "Roses are 45 euro."
        answer(ask("How much are roses?"), parts)

        answer(ask("And tulips?"), parts)

        assert said_to(ai) == [
            ("user", "How much are roses?"),
            ("assistant", "Roses are 45 euro."),
            ("user", "And tulips?"),
        ]

    @pytest.mark.parametrize("other", [{"entity_id": 8}, {"entity_type": "1"}, {"chat_id": "9"}])
    def test_another_entity_or_chat_is_told_nothing(
        self, parts: Parts, ask: Ask, ai: StandInAI, other: dict[str, Any]
    ) -> None:
        answer(ask("My number is 12345"), parts)

        answer(ask("Hello", **other), parts)

        assert said_to(ai) == [("user", "Hello")]

    def test_another_integration_with_the_same_entity_is_told_nothing(
        self, parts: Parts, ask: Ask, ai: StandInAI, acme: Integration, kommo: StandInKommo
    ) -> None:
        answer(ask("My number is 12345"), parts)
        other = kommo.add_account("other", 99, acme.integration_id, "s" * 64, "t" * 64)
        parts.integrations.add(
            replace(acme, subdomain="other", account_id=99, access_token=other.access_token)
        )
        block = kommo.open_block(other)
        request = ask("Hello", subdomain="other", account_id=99, return_url=block.return_url)

        answer(request, parts)

        assert said_to(ai) == [("user", "Hello")]

    def test_what_kommo_did_not_accept_is_not_remembered(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        kommo.faults.order(Status(404))
        lost = ask("Lost")
        with pytest.raises(KommoError):
            answer(lost, parts)

        answer(ask("Found"), parts)

        assert said_to(ai) == [("user", "Found")]

    def test_a_call_whose_answer_got_lost_is_remembered_once(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, redis: Redis
    ) -> None:
        kommo.faults.order(ResetAfter())
        request = ask("Hello")

        wait = answer(request, parts)
        assert wait is not None
        let_pass(redis, wait)
        assert answer(request, parts) is None

        turns = parts.steps.memory.exchanges(conversation_name(request))
        assert [turn.customer for turn in turns] == ["Hello"]

    def test_the_oldest_turns_go_first_and_the_size_is_bounded(
        self, parts: Parts, ask: Ask, acme: Integration, redis: Redis
    ) -> None:
        acme = change(parts, acme, history=200)
        conversations = parts.steps.memory

        for number in range(60):
            conversations.remember(ask(), acme, f"{number} " + "ä" * 5000, "é" * 5000)

        [name] = {conversation_name(ask())}
        kept = redis.lrange(turns_key(name), 0, -1)
        assert 0 < sum(len(turn) for turn in kept) <= MAX_BYTES
        assert conversations.exchanges(name)[-1].customer.startswith("59 ")
        assert len(conversations.history(ask(), acme)) == 1  # 12,000 characters in all

    def test_a_history_of_none_remembers_nothing(
        self, parts: Parts, ask: Ask, ai: StandInAI, acme: Integration
    ) -> None:
        change(parts, acme, history=0)
        answer(ask("One"), parts)

        answer(ask("Two"), parts)

        assert said_to(ai) == [("user", "Two")]

    def test_memory_ends_with_its_lifetime(
        self, parts: Parts, ask: Ask, acme: Integration, redis: Redis
    ) -> None:
        change(parts, acme, history_days=3)

        answer(ask(), parts)

        assert 0 < redis.ttl(turns_key(conversation_name(ask()))) <= 3 * 86400


class TestOneTurnAtATime:
    def test_two_requests_never_ask_the_ai_side_by_side_and_keep_their_order(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue
    ) -> None:
        running, most = 0, 0
        lock = threading.Lock()

        def reply(messages: list[dict[str, Any]]) -> str:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.2)
            with lock:
                running -= 1
            return f"to {messages[-1]['content']}"

        ai.reply = reply
        requests = [ask(f"number {number}") for number in range(4)]
        for request in requests:
            queue.enqueue(request)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda request: finish(request, parts), reversed(requests)))

        assert most == 1
        asked = [said_to(ai, number)[-1][1] for number in range(4)]
        assert asked == ["number 0", "number 1", "number 2", "number 3"]

    def test_a_turn_whose_worker_died_is_taken_by_the_same_request_again(
        self,
        parts: Parts,
        ask: Ask,
        queue: JobQueue,
        kommo: StandInKommo,
        acme: Integration,
        redis: Redis,
    ) -> None:
        request = ask()
        queue.enqueue(request)
        assert take(parts, request, acme)
        be_silent(redis, request)

        assert answer(request, parts) is None

        assert data_of(kommo, request)["status"] == "success"

    def test_a_run_that_fails_unexpectedly_lets_go_of_it(
        self, parts: Parts, ask: Ask, queue: JobQueue, redis: Redis
    ) -> None:
        request = ask()
        queue.enqueue(request)
        redis.hset(record_key(request.job_id), "failures", "many")

        with pytest.raises(ValueError, match="many"):
            answer(request, parts)

        assert not redis.exists(lock_of(request))

    def test_another_request_of_the_conversation_waits_for_whoever_works_on_it(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, acme: Integration
    ) -> None:
        first, second = ask("first"), ask("second")
        for request in (first, second):
            queue.enqueue(request)
        assert take(parts, first, acme)

        assert answer(second, parts) is not None
        assert ai.count == 0

    def test_another_conversation_does_not_wait(
        self, parts: Parts, ask: Ask, queue: JobQueue, acme: Integration
    ) -> None:
        first, other = ask(), ask(entity_id=8)
        for request in (first, other):
            queue.enqueue(request)
        assert take(parts, first, acme)

        assert answer(other, parts) is None

    def test_an_answer_whose_job_vanished_holds_nobody_up(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo, redis: Redis
    ) -> None:
        old, new = ask("first"), ask("second")
        queue.enqueue(old)
        let_pass(redis, 124)
        queue.enqueue(new)

        assert answer(new, parts) is None

        assert data_of(kommo, old)["status"] == "fail"
        assert data_of(kommo, new)["status"] == "success"

    def test_the_sweep_brings_it_to_an_end_and_leaves_the_next_to_its_job(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        queue: JobQueue,
        kommo: StandInKommo,
        redis: Redis,
    ) -> None:
        old, new = ask("first"), ask("second")
        queue.enqueue(old)
        let_pass(redis, 124)
        queue.enqueue(new)

        assert sweep(parts) == 1

        assert data_of(kommo, old)["status"] == "fail"
        assert ai.count == 0
        finish(new, parts)
        assert data_of(kommo, new)["status"] == "success"


class TestBursts:
    @pytest.fixture(autouse=True)
    def burst(self, parts: Parts, acme: Integration) -> None:
        change(parts, acme, burst_seconds=BURST_SECONDS)

    def test_the_newest_gets_the_reply_to_all_and_the_others_are_let_go(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        requests = [ask("Hello"), ask("do you deliver"), ask("on Sundays?")]
        for request in requests:
            queue.enqueue(request)

        for request in requests:
            finish(request, parts)

        assert [data_of(kommo, one)["status"] for one in requests] == ["skip", "skip", "success"]
        assert said_to(ai) == [("user", "Hello\ndo you deliver\non Sundays?")]
        assert ai.count == 1

    def test_it_is_remembered_as_one_turn_and_nothing_is_answered_twice(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue
    ) -> None:
        ai.reply = lambda _: "Yes."
        requests = [ask("Hello"), ask("do you deliver?")]
        for request in requests:
            queue.enqueue(request)
        for request in reversed(requests):
            finish(request, parts)

        last = ask("Thanks")
        queue.enqueue(last)
        finish(last, parts)

        assert said_to(ai) == [
            ("user", "Hello\ndo you deliver?"),
            ("assistant", "Yes."),
            ("user", "Thanks"),
        ]

    def test_the_ai_is_asked_at_once_and_a_long_hold_of_its_reply_holds_no_thread(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        queue: JobQueue,
        kommo: StandInKommo,
        acme: Integration,
        redis: Redis,
    ) -> None:
        change(parts, acme, burst_seconds=8)
        request = ask()
        queue.enqueue(request)

        wait = answer(request, parts)

        assert wait is not None
        assert 2.5 < wait <= 8
        assert ai.count == 1
        assert not kommo.continuations
        let_pass(redis, wait)
        assert answer(request, parts) is None
        assert data_of(kommo, request)["status"] == "success"
        assert ai.count == 1

    def test_a_short_hold_is_waited_for_in_the_same_run(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        request = ask()
        queued_at = time.monotonic()
        queue.enqueue(request)

        assert answer(request, parts) is None

        [continued] = kommo.continuations
        assert continued.at - queued_at >= BURST_SECONDS

    def test_a_newer_text_takes_the_reply_back_and_the_ai_reads_both(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        queue: JobQueue,
        kommo: StandInKommo,
        acme: Integration,
        redis: Redis,
    ) -> None:
        change(parts, acme, burst_seconds=8)
        first, second = ask("A bouquet"), ask("of 21 roses")
        queue.enqueue(first)
        assert answer(first, parts) is not None
        queue.enqueue(second)

        wait = answer(second, parts)
        assert wait is not None
        let_pass(redis, 8)
        finish(second, parts)
        finish(first, parts)

        assert data_of(kommo, second)["status"] == "success"
        assert data_of(kommo, first)["status"] == "skip"
        assert said_to(ai) == [("user", "A bouquet\nof 21 roses")]
        assert ai.count == 2

    def test_it_is_taken_back_twice_and_what_comes_later_is_the_next_turn(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        queue: JobQueue,
        kommo: StandInKommo,
    ) -> None:
        """A customer who writes whenever the AI thinks gets an answer all the same."""
        requests = [ask(f"text {number}") for number in range(5)]
        unsent = iter(requests[1:])

        def reply(messages: list[dict[str, Any]]) -> str:
            if request := next(unsent, None):
                queue.enqueue(request)
                time.sleep(BURST_SECONDS)
            return "Yes."

        ai.reply = reply
        queue.enqueue(requests[0])
        for request in requests:
            finish(request, parts)

        asked = [said_to(ai, number)[-1][1].count("text") for number in range(ai.count)]
        assert asked == [1, 2, 3, 1, 2]
        statuses = [data_of(kommo, one)["status"] for one in requests]
        assert statuses == ["skip", "skip", "success", "skip", "success"]

    def test_a_message_while_the_ai_thinks_is_answered_with_the_former(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        ai.delay_seconds = 0.6
        first, second = ask("A bouquet"), ask("of 21 roses")
        queue.enqueue(first)

        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(finish, first, parts)]
            while not ai.count:
                time.sleep(0.01)
            queue.enqueue(second)
            running.append(pool.submit(finish, second, parts))
            for one in running:
                one.result()

        assert data_of(kommo, first)["status"] == "skip"
        assert data_of(kommo, second)["status"] == "success"
        assert said_to(ai) == [("user", "A bouquet\nof 21 roses")]

    def test_an_answer_that_may_have_arrived_is_not_taken_back(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        first, second = ask("first"), ask("second")
        queue.enqueue(first)
        time.sleep(BURST_SECONDS)
        kommo.faults.order(ResetAfter())
        assert answer(first, parts) is not None
        queue.enqueue(second)

        finish(first, parts)
        finish(second, parts)

        assert data_of(kommo, first)["status"] == "success"
        assert data_of(kommo, second)["status"] == "success"

    def test_a_text_that_waited_for_a_third_of_the_deadline_is_answered_alone(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        queue: JobQueue,
        kommo: StandInKommo,
        redis: Redis,
    ) -> None:
        first, second = ask("first"), ask("second")
        queue.enqueue(first)
        let_pass(redis, 41)
        queue.enqueue(second)

        finish(first, parts)
        finish(second, parts)

        assert [data_of(kommo, one)["status"] for one in (first, second)] == ["success", "success"]
        assert said_to(ai, 0) == [("user", "first")]
        assert said_to(ai, 1)[-1] == ("user", "second")

    def test_a_hand_made_bot_is_never_let_go(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        requests = [ask("one", delivery=None), ask("two", delivery=None)]
        for request in requests:
            queue.enqueue(request)

        for request in requests:
            finish(request, parts)

        assert [data_of(kommo, one)["status"] for one in requests] == ["success", "success"]

    def test_a_burst_that_fails_is_told_once(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        ai.faults.order(Status(401), times=None)
        first, second = ask("one"), ask("two")
        for request in (first, second):
            queue.enqueue(request)
        finish(first, parts)

        with pytest.raises(ContinuedWithFailure):
            finish(second, parts)

        assert [data_of(kommo, one)["status"] for one in (first, second)] == ["skip", "fail"]

    def test_a_reply_whose_salesbot_is_gone_goes_to_the_next_older_one(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        requests = [ask("Hello"), ask("do you deliver"), ask("on Sundays?")]
        for request in requests:
            queue.enqueue(request)
        gone = requests[-1]
        kommo.faults.order(Status(404), when=lambda call: call.path in gone.return_url, times=None)

        with pytest.raises(KommoError):
            finish(gone, parts)
        for request in requests[:-1]:
            finish(request, parts)

        assert [data_of(kommo, one)["status"] for one in requests[:-1]] == ["skip", "success"]
        assert ai.count == 1

    def test_a_text_that_no_salesbot_waited_for_is_no_part_of_later_questions(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, kommo: StandInKommo
    ) -> None:
        """Who saw one bot token must not put words into a customer's mouth."""
        gone = ask("Give me everything for nothing")
        queue.enqueue(gone)
        kommo.faults.order(Status(404))
        with pytest.raises(KommoError):
            finish(gone, parts)
        assert parts.redis.hget(record_key(gone.job_id), "state") == GIVEN_UP.encode()
        request = ask("Hello?")
        queue.enqueue(request)

        finish(request, parts)

        assert said_to(ai) == [("user", "Hello?")]

    def test_a_picture_among_texts_is_told_to_the_ai(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue
    ) -> None:
        requests = [ask("photo"), ask("How much is this?")]
        for request in requests:
            queue.enqueue(request)

        for request in requests:
            finish(request, parts)

        [(_, text)] = said_to(ai)
        assert text.endswith("cannot be read here]\nHow much is this?")


class TestHandOver:
    def test_the_ai_hands_over_and_falls_silent(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        ai.reply = lambda _: handoff_call("Un momento, le atiende Marta.")
        first, second = ask("Quiero hablar con una persona"), ask("¿Hola?")

        answer(first, parts)
        answer(second, parts)

        assert data_of(kommo, first)["status"] == "handoff"
        assert data_of(kommo, first)["reply"] == "Un momento, le atiende Marta."
        assert data_of(kommo, second)["status"] == "skip"
        assert ai.count == 1

    def test_a_hand_over_without_a_sentence_takes_ours_in_the_customers_language(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        ai.reply = lambda _: handoff_call("")
        request = ask("Quiero hablar con una persona, por favor")

        answer(request, parts)

        assert data_of(kommo, request)["reply"] == TRANSLATIONS[HANDOFF_TEXT]["es"]

    @pytest.mark.parametrize("fault", [Status(401), Status(404)])
    def test_a_hand_over_that_never_reached_kommo_silences_nobody(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, fault: Status
    ) -> None:
        ai.reply = lambda _: handoff_call("A colleague answers.")
        kommo.faults.order(fault)
        first, second = ask("A human, please"), ask("Hello?")
        with pytest.raises(KommoError):
            answer(first, parts)
        assert not paused(parts, first)

        answer(second, parts)

        assert data_of(kommo, second)["status"] == "handoff"
        assert paused(parts, second)

    def test_the_pause_says_why(
        self, parts: Parts, ask: Ask, ai: StandInAI, acme: Integration
    ) -> None:
        change(parts, acme, handoff_phrases="human")
        request = ask("A human, please")

        answer(request, parts)

        found = parts.steps.memory.paused(conversation_name(request))
        assert found
        assert found.reason == "the customer asked for it"
        assert not ai.count

    def test_the_pause_ends_by_itself(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, acme: Integration
    ) -> None:
        change(parts, acme, handoff_hours=0.3 / 3600)
        ai.reply = lambda _: handoff_call("A colleague answers.")
        answer(ask(), parts)
        ai.reply = lambda _: "Here I am again."
        time.sleep(0.35)
        request = ask()

        answer(request, parts)

        assert data_of(kommo, request)["reply"] == "Here I am again."

    @pytest.mark.parametrize("said", ["I want a HUMAN, please", "a human?"])
    def test_a_phrase_of_the_customer_hands_over_without_the_ai(
        self, parts: Parts, ask: Ask, ai: StandInAI, acme: Integration, said: str
    ) -> None:
        change(parts, acme, handoff_phrases="operator\nhuman")

        answer(ask(said), parts)

        assert paused(parts, ask())
        assert ai.count == 0

    def test_a_part_of_a_word_is_no_phrase(self, parts: Parts, ask: Ask, acme: Integration) -> None:
        change(parts, acme, handoff_phrases="human")

        answer(ask("humanities"), parts)

        assert not paused(parts, ask())

    def test_a_phrase_of_the_reply_hands_over(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, acme: Integration
    ) -> None:
        change(parts, acme, handoff_phrases="a colleague will write to you", handoff_tool=False)
        ai.reply = lambda _: "I do not know. A colleague will write to you."
        request = ask()

        answer(request, parts)

        assert data_of(kommo, request)["status"] == "handoff"
        assert "tools" not in ai.requests[-1]

    def test_a_server_that_refuses_tools_is_asked_without_from_then_on(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        ai.faults.order(openai_error(400, "unsupported", "stand-in does not support tools"))
        requests = [ask("one"), ask("two")]

        for request in requests:
            answer(request, parts)

        assert [data_of(kommo, one)["status"] for one in requests] == ["success", "success"]
        assert ["tools" in body for body in ai.requests] == [True, False, False]

    def test_an_operator_who_pauses_while_the_ai_thinks_is_not_talked_over(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        request = ask()

        def reply(_: object) -> str:
            parts.steps.memory.pause(conversation_name(request), 1, "an operator")
            return "Too late."

        ai.reply = reply

        answer(request, parts)

        assert data_of(kommo, request)["status"] == "skip"
        assert not parts.steps.memory.exchanges(conversation_name(request))

    def test_a_paused_hand_made_bot_leaves_as_at_a_hand_over_and_shows_nothing(
        self, parts: Parts, ask: Ask, kommo: StandInKommo
    ) -> None:
        request = ask(delivery="show")
        parts.steps.memory.pause(conversation_name(request), 1, "an operator")

        answer(request, parts)

        [continued] = kommo.continuations
        assert continued.body["data"] == {"status": "handoff", "reply": "-", "message": "-"}
        assert "execute_handlers" not in continued.body

    def test_what_was_written_during_a_pause_is_not_answered_after_it(
        self, parts: Parts, ask: Ask, ai: StandInAI, queue: JobQueue, acme: Integration
    ) -> None:
        change(parts, acme, burst_seconds=BURST_SECONDS)
        during, after = ask("to the human"), ask("to the assistant")
        parts.steps.memory.pause(conversation_name(during), 1, "an operator")
        queue.enqueue(during)
        finish(during, parts)
        parts.steps.memory.resume(conversation_name(during))
        queue.enqueue(after)

        finish(after, parts)

        assert said_to(ai) == [("user", "to the assistant")]


class TestQuestion:
    def test_a_flood_of_long_texts_is_asked_in_several_turns_and_nothing_is_dropped(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        queue: JobQueue,
        kommo: StandInKommo,
        acme: Integration,
    ) -> None:
        change(parts, acme, burst_seconds=BURST_SECONDS)
        requests = [ask(f"{number} " + "x" * 3_900) for number in range(12)]
        for request in requests:
            queue.enqueue(request)

        for request in requests:
            finish(request, parts)

        asked = [said_to(ai, number)[-1][1].split("\n") for number in range(ai.count)]
        assert [text.split()[0] for texts in asked for text in texts] == [str(n) for n in range(12)]
        assert all(sum(map(len, texts)) <= MAX_QUESTION_CHARACTERS for texts in asked)
        assert len(asked) == 3
        statuses = [data_of(kommo, one)["status"] for one in requests]
        assert statuses == ["skip", "skip", "skip", "success"] * 3

    def test_a_text_that_was_given_up_goes_at_once_though_another_chat_goes_on(
        self, parts: Parts, ask: Ask, queue: JobQueue, kommo: StandInKommo, redis: Redis
    ) -> None:
        old, new = ask("long ago", chat_id="a"), ask("just now", chat_id="b")
        queue.enqueue(old)
        let_pass(redis, 3700)
        queue.enqueue(new)
        kommo.faults.order(Status(500), times=None)

        sweep(parts)

        assert redis.hget(record_key(old.job_id), "state") == GIVEN_UP.encode()
        assert redis.hkeys(texts_key(conversation_name(old))) == [new.job_id.encode()]

    def test_a_reply_is_not_lost_for_its_counting(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, acme: Integration, redis: Redis
    ) -> None:
        answer(ask(), parts)
        for key in redis.keys(f"kommo_bridge:usage:{acme.integration_id}:*"):
            redis.hset(key, "tokens", 2**63 - 1)
        request = ask()

        answer(request, parts)

        assert data_of(kommo, request)["status"] == "success"

    def test_long_turns_of_signs_beyond_ascii_are_remembered(
        self, parts: Parts, ask: Ask, ai: StandInAI
    ) -> None:
        ai.reply = lambda _: "\N{ROSE}" * 3_000
        answer(ask("\N{ROSE}" * 3_900), parts)

        answer(ask("And now?"), parts)

        assert [role for role, _ in said_to(ai)] == ["user", "assistant", "user"]

    @pytest.mark.parametrize("retry_after", ["0", "0.001"])
    def test_a_tiny_retry_after_of_the_ai_is_no_hot_loop(
        self, parts: Parts, ask: Ask, ai: StandInAI, retry_after: str
    ) -> None:
        ai.faults.order(openai_error(429, headers={"Retry-After": retry_after}), times=None)

        wait = answer(ask(), parts)

        assert wait is not None
        assert wait >= 1


class TestPauseTag:
    @pytest.fixture(autouse=True)
    def tag(self, parts: Parts, acme: Integration) -> None:
        change(parts, acme, pause_tag="Human")

    def test_a_tagged_lead_is_left_to_the_human(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, account: Account
    ) -> None:
        kommo.tag_lead(account, 7, "human")
        request = ask()

        answer(request, parts)

        assert data_of(kommo, request)["status"] == "skip"
        assert ai.count == 0

    def test_a_tag_set_while_the_ai_thinks_counts(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, account: Account
    ) -> None:
        def reply(_: object) -> str:
            kommo.tag_lead(account, 7, "Human")
            time.sleep(4.1)  # longer than what Kommo said is remembered
            return "Too late."

        ai.reply = reply
        request = ask()

        answer(request, parts)

        assert data_of(kommo, request)["status"] == "skip"

    def test_an_untagged_lead_is_answered_with_one_lookup(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, account: Account
    ) -> None:
        request = ask()

        answer(request, parts)

        assert data_of(kommo, request)["status"] == "success"
        assert len(kommo.calls(account)) == 2  # the tags, the continue call

    @pytest.mark.parametrize("fault", [Status(500), Status(404), Reset()])
    def test_the_customer_is_answered_when_kommo_cannot_say(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, fault: Any, caplog: Any
    ) -> None:
        kommo.faults.order(fault, times=1)
        request = ask()

        with caplog.at_level("WARNING"):
            finish(request, parts)

        assert data_of(kommo, request)["status"] == "success"
        assert "lead lookup failed" in caplog.text

    def test_a_429_of_the_lookup_rests_the_account_and_is_not_repeated_at_once(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, account: Account
    ) -> None:
        kommo.faults.order(Status(429, headers={"Retry-After": "30"}), times=1)

        wait = answer(ask(), parts)

        assert wait is not None
        assert 20 < wait <= 31
        assert len(kommo.calls(account)) == 1


class TestCaps:
    def test_replies_per_hour_stop_bots_that_talk_to_bots(
        self, parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, acme: Integration
    ) -> None:
        change(parts, acme, replies_per_hour=2)
        requests = [ask() for _ in range(4)]

        for request in requests:
            answer(request, parts)

        statuses = [data_of(kommo, one)["status"] for one in requests]
        assert statuses == ["success", "success", "handoff", "skip"]
        assert ai.count == 2

    def test_they_are_counted_per_conversation(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, acme: Integration
    ) -> None:
        change(parts, acme, replies_per_hour=1)
        answer(ask(), parts)
        other = ask(entity_id=8)

        answer(other, parts)

        assert data_of(kommo, other)["status"] == "success"

    @pytest.mark.parametrize(
        "caps",
        [
            *({"replies_per_day": 1}, {"tokens_per_day": 1}, {"tokens_per_month": 1}),
            {"money_per_day": 0.01, "price_input": 900.0, "price_output": 900.0},
            {"money_per_month": 0.01, "price_input": 900.0, "price_output": 900.0},
        ],
        ids=lambda caps: next(iter(caps)),
    )
    def test_a_cap_of_the_integration_hands_over(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, acme: Integration, caps: dict[str, Any]
    ) -> None:
        change(parts, acme, **caps)
        answer(ask(), parts)
        other = ask(entity_id=8)

        answer(other, parts)

        assert data_of(kommo, other)["status"] == "handoff"

    def test_four_fifths_are_warned_of_once(
        self, parts: Parts, ask: Ask, acme: Integration, caplog: Any
    ) -> None:
        change(parts, acme, replies_per_day=5)

        with caplog.at_level("WARNING"):
            for number in range(5):
                answer(ask(entity_id=number + 1), parts)

        assert caplog.text.count("cap nearly reached") == 1

    def test_what_the_api_counted_is_added_up(
        self, parts: Parts, ask: Ask, acme: Integration
    ) -> None:
        for _ in range(2):
            answer(ask(), parts)

        used = {one.name: one.count for one in parts.steps.asker.usage.used(acme)}
        assert used["replies_per_day"] == 2
        assert used["tokens_per_day"] == used["tokens_per_month"] > 20


class TestNoText:
    def test_the_sentence_is_in_the_language_of_the_conversation(
        self, parts: Parts, ask: Ask, kommo: StandInKommo
    ) -> None:
        answer(ask("Здравствуйте, сколько стоят розы?"), parts)
        voice = ask("🎤")

        answer(voice, parts)

        assert data_of(kommo, voice)["reply"] == TRANSLATIONS[NO_TEXT_TEXT]["ru"]

    def test_a_row_of_voice_notes_gets_one_sentence(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, ai: StandInAI
    ) -> None:
        requests = [ask("🎤") for _ in range(3)]

        for request in requests:
            answer(request, parts)

        statuses = [data_of(kommo, one)["status"] for one in requests]
        assert statuses == ["success", "skip", "skip"]
        assert ai.count == 0

    def test_texts_of_the_integration_by_language(
        self, parts: Parts, ask: Ask, kommo: StandInKommo, acme: Integration
    ) -> None:
        change(parts, acme, no_text_text='{"en": "Text, please.", "es": "Texto, por favor."}')
        answer(ask("Hola, ¿cuánto cuesta?"), parts)
        voice = ask("")

        answer(voice, parts)

        assert data_of(kommo, voice)["reply"] == "Texto, por favor."

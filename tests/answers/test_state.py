"""An open conversation in Redis: one worker at a time, everything of a step or nothing."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from helpers import Ask, be_silent, lock_of, wait_for
from pictures import SORRY, YES, rules, turn
from redis import Redis

from kommo_bridge.answers.changes import Changes
from kommo_bridge.answers.conversation import CONTINUED, GIVEN_UP, SKIP, Message
from kommo_bridge.answers.record import OPEN_KEY, record_key
from kommo_bridge.answers.retries import HOLD, SWEEP_MARGIN, TAKE_OVER_AFTER
from kommo_bridge.answers.state import ConversationState, ConversationStates
from kommo_bridge.answers.view import View
from kommo_bridge.conversations import keys
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import JobQueue

Open = Callable[..., ConversationState]


@pytest.fixture
def state_of(redis: Redis, acme: Integration) -> Open:
    """A run's hold on the conversation of a request."""
    states = ConversationStates(redis)

    def make(request: WidgetRequest, *, by_sweep: bool = False) -> ConversationState:
        return states.of(request, acme, rules(), by_sweep=by_sweep)

    return make


@pytest.fixture
def request_(ask: Ask, queue: JobQueue) -> WidgetRequest:
    """One that is queued."""
    request = ask()
    queue.enqueue(request)
    return request


def end_hold(redis: Redis, request: WidgetRequest) -> None:
    """The time of whoever holds the conversation has run out."""
    assert redis.delete(lock_of(request)) == 1


def field(redis: Redis, request: WidgetRequest, name: str) -> Any:
    """A field of a request's record."""
    return redis.hget(record_key(request.job_id), name)


def texts_of(redis: Redis, request: WidgetRequest) -> set[str]:
    """Whose texts a conversation holds."""
    found: Any = redis.hkeys(keys.texts_key(keys.conversation_name(request)))
    return {one.decode() for one in found}


def only(view: View) -> Message:
    """The one message of a conversation."""
    [message] = view.conversation.messages
    return message


class TestWhoHasIt:
    def test_one_run_at_a_time(
        self, request_: WidgetRequest, ask: Ask, queue: JobQueue, state_of: Open
    ) -> None:
        other = ask("again")
        queue.enqueue(other)

        first = state_of(request_)
        assert first.look().mine
        assert not state_of(other).look().mine

        first.release()
        assert state_of(other).look().mine

    def test_it_is_held_for_a_while(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        state = state_of(request_)
        state.look()
        assert HOLD - 1 < redis.pttl(lock_of(request_)) / 1000 <= HOLD

        state.keep(Changes(hold=60))
        assert 59 < redis.pttl(lock_of(request_)) / 1000 <= 60

        state.look()
        assert HOLD - 1 < redis.pttl(lock_of(request_)) / 1000 <= HOLD

    def test_the_next_run_of_the_same_job_takes_it_from_its_former(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        former, following = state_of(request_), state_of(request_)
        former.look()
        be_silent(redis, request_)

        assert following.look().mine

        kept = former.keep(Changes(messages=(replace(only(former.look()), failures=9),)))
        assert not kept.mine
        assert not kept.kept
        assert field(redis, request_, "failures") is None
        assert following.look().mine

    def test_but_not_from_one_that_may_live(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        state_of(request_).look()
        be_silent(redis, request_, TAKE_OVER_AFTER - 2)

        assert not state_of(request_).look().mine

    def test_only_at_its_first_look(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        """Two runs of one job would take it from each other for ever."""
        former, following = state_of(request_), state_of(request_)
        former.look()
        be_silent(redis, request_)
        following.look()
        be_silent(redis, request_)

        assert not former.look().mine

    def test_never_the_sweep(self, request_: WidgetRequest, state_of: Open) -> None:
        job = state_of(request_)
        job.look()

        assert not state_of(request_, by_sweep=True).look().mine

        job.release()
        sweep = state_of(request_, by_sweep=True)
        assert sweep.look().mine
        assert not state_of(request_, by_sweep=True).look().mine
        assert not state_of(request_).look().mine

    def test_a_look_takes_it_when_it_is_free_and_a_change_never_does(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        state = state_of(request_)
        message = only(state.look())
        end_hold(redis, request_)

        found = state.keep(Changes(messages=(replace(message, failures=9),)))

        assert not found.mine
        assert not found.kept
        assert not redis.exists(lock_of(request_))
        assert field(redis, request_, "failures") is None
        assert state.look().mine

    def test_it_comes_free_by_itself(
        self, request_: WidgetRequest, ask: Ask, queue: JobQueue, state_of: Open
    ) -> None:
        other = ask("again")
        queue.enqueue(other)
        state = state_of(request_)
        state.look()
        state.keep(Changes(hold=0.1))

        wait_for(lambda: state_of(other).look().mine)

    def test_what_another_has_is_not_released(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        former, following = state_of(request_), state_of(request_)
        former.look()
        be_silent(redis, request_)
        following.look()

        former.release()

        assert redis.exists(lock_of(request_))

    def test_each_person_of_a_lead_has_their_own(
        self, ask: Ask, queue: JobQueue, state_of: Open
    ) -> None:
        ana, boris = ask("from Ana", chat_id="ana"), ask("from Boris", chat_id="boris")
        for request in (ana, boris):
            queue.enqueue(request)

        views = [state_of(request).look() for request in (ana, boris)]

        assert [one.mine for one in views] == [True, True]
        assert [only(one).text for one in views] == ["from Ana", "from Boris"]


class TestWhatIsSeen:
    def test_messages_in_order_of_arrival_with_their_requests(
        self, ask: Ask, queue: JobQueue, state_of: Open
    ) -> None:
        requests = [ask(str(number)) for number in range(5)]
        for request in requests:
            queue.enqueue(request)

        view = state_of(requests[3]).look()

        assert [one.text for one in view.conversation.messages] == ["0", "1", "2", "3", "4"]
        waiting = view.request_of(requests[0].job_id)
        assert waiting.return_url == requests[0].return_url
        assert waiting.message == waiting.contact_name == ""

    def test_a_request_without_record_and_text_gets_both(
        self, ask: Ask, state_of: Open, redis: Redis
    ) -> None:
        request = ask("Hello", delivery=None)

        message = only(state_of(request).look())

        assert (message.text, message.own) == ("Hello", False)
        assert message.at == pytest.approx(request.accepted_at, abs=0.001)
        assert b"Hello" not in field(redis, request, "request")
        assert redis.ttl(record_key(request.job_id)) > 3600

    def test_the_sweep_brings_no_words_back(self, request_: WidgetRequest, state_of: Open) -> None:
        """It knows the record alone, which has none; the text that is there is left."""
        wordless = replace(request_, message="")

        assert only(state_of(wordless, by_sweep=True).look()).text == request_.message

    def test_how_often_its_job_looked(self, request_: WidgetRequest, state_of: Open) -> None:
        first = state_of(request_)

        assert first.look().looked_at == 1
        assert first.look().looked_at == 1
        first.release()
        assert state_of(request_).look().looked_at == 2

    def test_an_ended_request_gets_no_text_again(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        state = state_of(request_)
        message = only(state.look())
        state.keep(Changes(messages=(replace(message, state=CONTINUED),)))
        state.release()

        view = state_of(request_).look()

        assert view.ended == CONTINUED
        assert not view.conversation.messages
        assert texts_of(redis, request_) == set()

    def test_stale_texts_are_not_seen_and_go_with_the_next_change(
        self, request_: WidgetRequest, state_of: Open, redis: Redis, ask: Ask, queue: JobQueue
    ) -> None:
        """Of a request whose record has expired, or that was closed without its conversation."""
        expired, closed = ask("expired"), ask("closed")
        for request in (expired, closed):
            queue.enqueue(request)
        redis.delete(record_key(expired.job_id))
        redis.hset(record_key(closed.job_id), "state", GIVEN_UP)
        state = state_of(request_)

        assert only(state.look()).job_id == request_.job_id
        state.keep(Changes())

        assert texts_of(redis, request_) == {request_.job_id}

    def test_what_is_marked_for_the_conversation(
        self, request_: WidgetRequest, state_of: Open
    ) -> None:
        state = state_of(request_)
        before = state.look().conversation
        assert (before.paused, before.no_text_said, before.tagged) == (False, False, None)

        state.keep(Changes(no_text_said=True, tagged=True))
        tagged = state.look().conversation
        assert (tagged.paused, tagged.no_text_said, tagged.tagged) == (False, True, True)

        state.keep(Changes(pause_hours=1, reason="why", tagged=False))
        paused = state.look().conversation
        assert (paused.paused, paused.tagged) == (True, False)

    def test_a_pause_of_no_time_at_all_is_short_and_no_error(
        self, request_: WidgetRequest, state_of: Open
    ) -> None:
        state = state_of(request_)
        state.look()

        state.keep(Changes(pause_hours=1e-9))

        wait_for(lambda: not state.look().conversation.paused)

    def test_asked_to_write_is_one_person_and_a_pause_everybody(
        self, ask: Ask, queue: JobQueue, state_of: Open
    ) -> None:
        ana, boris = ask(chat_id="ana"), ask(chat_id="boris")
        for request in (ana, boris):
            queue.enqueue(request)
        state = state_of(ana)
        state.look()

        state.keep(Changes(no_text_said=True, pause_hours=1))

        seen = state_of(boris).look().conversation
        assert (seen.paused, seen.no_text_said) == (True, False)


class TestWhatIsKept:
    def test_a_message_as_it_is_from_now_on(self, request_: WidgetRequest, state_of: Open) -> None:
        state = state_of(request_)
        message = only(state.look())
        changed = replace(
            message,
            outcome=YES,
            unknown_since=1000.125,
            failures=2,
            next_at=2000.25,
            called_at=1500.5,
            plain=True,
        )

        assert only(state.keep(Changes(messages=(changed,)))) == changed

        back = only(state.keep(Changes(messages=(message,))))
        assert back == message

    def test_the_sweep_looks_after_the_hold_or_after_the_next_call(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        state = state_of(request_)
        view = state.look()
        message = only(view)

        def look_at(next_at: float, hold: float) -> float:
            state.keep(Changes(messages=(replace(message, next_at=next_at),), hold=hold))
            return float(redis.zscore(OPEN_KEY, request_.job_id) or 0) - view.now

        assert look_at(0.0, 15) == pytest.approx(15 + SWEEP_MARGIN, abs=1)
        assert look_at(view.now + 40, 15) == pytest.approx(40 + SWEEP_MARGIN, abs=1)

    @pytest.mark.parametrize("ending", [CONTINUED, GIVEN_UP])
    def test_an_end_removes_the_text_and_the_sweeps_look_and_tells_why(
        self, request_: WidgetRequest, state_of: Open, redis: Redis, ending: Any
    ) -> None:
        state = state_of(request_)
        ended = replace(only(state.look()), state=ending, outcome=YES)

        view = state.keep(Changes(messages=(ended,), error="Kommo answered 404"))

        assert (view.ended, view.error) == (ending, "Kommo answered 404")
        assert texts_of(redis, request_) == set()
        assert redis.zscore(OPEN_KEY, request_.job_id) is None
        assert (field(redis, request_, "outcome") is None) == (ending == CONTINUED)

    def test_an_error_is_of_those_that_ended(
        self, request_: WidgetRequest, ask: Ask, queue: JobQueue, state_of: Open, redis: Redis
    ) -> None:
        other = ask("again")
        queue.enqueue(other)
        state = state_of(request_)
        first, second = state.look().conversation.messages
        ended = replace(first, state=GIVEN_UP)

        state.keep(Changes(messages=(ended, replace(second, outcome=SKIP)), error="why"))

        assert field(redis, request_, "error") == b"why"
        assert field(redis, other, "error") is None

    def test_a_text_is_kept_while_its_turn_needs_it(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        state = state_of(request_)
        message = only(state.look())
        under_way = turn(request_.job_id, asked=1, outcome=YES, failed_at=5.0)
        ended = replace(message, state=GIVEN_UP)

        view = state.keep(Changes(turns=(under_way,), messages=(ended,)))
        assert view.conversation.turns == (under_way,)
        assert only(view).state == GIVEN_UP
        assert texts_of(redis, request_) == {request_.job_id}

        view = state.keep(Changes(turns=()))
        assert not view.conversation.turns
        assert texts_of(redis, request_) == set()
        assert not redis.exists(keys.open_key(keys.conversation_name(request_)))

    def test_turns_of_a_newer_version(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        state = state_of(request_)
        state.look()
        state.keep(Changes(turns=(turn(request_.job_id, asked=2, outcome=SORRY),)))
        key = keys.open_key(keys.conversation_name(request_))
        kept: Any = redis.hget(key, "")
        [newer] = json.loads(kept)
        newer |= {"mood": "good", "outcome": {**newer["outcome"], "mood": "good"}}
        redis.hset(key, "", json.dumps([newer]))

        assert state.look().conversation.turns == (turn(request_.job_id, asked=2, outcome=SORRY),)

    def test_turns_are_one_persons(self, ask: Ask, queue: JobQueue, state_of: Open) -> None:
        ana, boris = ask(chat_id="ana"), ask(chat_id="boris")
        for request in (ana, boris):
            queue.enqueue(request)
        state = state_of(ana)
        state.look()
        state.keep(Changes(turns=(turn(ana.job_id),)))

        assert state_of(boris).look().conversation.turns == ()

    def test_they_live_as_long_as_a_conversation_may_be_open(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        state = state_of(request_)
        state.look()

        state.keep(Changes(turns=(turn(request_.job_id),)))

        left = redis.ttl(keys.open_key(keys.conversation_name(request_)))
        assert 4490 <= left <= 4500  # the continue deadline and an hour


class TestWhatComesToNothing:
    def test_words_for_a_conversation_that_a_human_has_taken(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        state = state_of(request_)
        message = replace(only(state.look()), outcome=YES)
        redis.set(keys.pause_key(keys.conversation_name(request_)), "an operator")

        spoken = state.keep(Changes(messages=(message,), unless_paused=True))
        assert (spoken.mine, spoken.kept, spoken.conversation.paused) == (True, False, True)
        assert field(redis, request_, "outcome") is None

        silent = state.keep(Changes(messages=(replace(message, outcome=SKIP),)))
        assert silent.kept
        assert field(redis, request_, "outcome") is not None

    @pytest.mark.parametrize("ending", [CONTINUED, GIVEN_UP])
    def test_a_change_of_a_request_that_has_ended(
        self, request_: WidgetRequest, state_of: Open, redis: Redis, ending: str
    ) -> None:
        """The others of the same step are kept."""
        state = state_of(request_)
        message = only(state.look())
        redis.hset(record_key(request_.job_id), "state", ending)
        redis.zrem(OPEN_KEY, request_.job_id)

        for changed in (
            replace(message, failures=3, next_at=5.0),
            replace(message, state=GIVEN_UP),
            replace(message, state=CONTINUED),
        ):
            state.keep(Changes(messages=(changed,), tagged=True))

        assert field(redis, request_, "state") == ending.encode()
        assert field(redis, request_, "failures") is None
        assert redis.zscore(OPEN_KEY, request_.job_id) is None
        assert state.look().conversation.tagged


class TestARequeuedJob:
    def given_up(self, state: ConversationState, **fields: Any) -> None:
        """Kommo refused the account to the end; the job said so."""
        message = replace(only(state.look()), state=GIVEN_UP, failures=3, **fields)
        state.keep(Changes(messages=(message,), error="Kommo answered 403"))
        state.report()
        state.release()

    def test_tries_the_reply_that_is_kept_once_more(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        self.given_up(state_of(request_), outcome=YES)

        view = state_of(request_).look()

        assert not view.ended
        assert not view.error
        assert (only(view).outcome, only(view).failures) == (YES, 0)
        assert only(view).at == pytest.approx(view.now, abs=1)
        assert redis.zscore(OPEN_KEY, request_.job_id)

    def test_without_a_reply_it_has_nothing_to_do(
        self, request_: WidgetRequest, state_of: Open
    ) -> None:
        self.given_up(state_of(request_))

        view = state_of(request_).look()

        assert (view.ended, view.reported) == (GIVEN_UP, True)

    def test_the_sweep_is_nobody_who_requeues(
        self, request_: WidgetRequest, state_of: Open
    ) -> None:
        self.given_up(state_of(request_), outcome=YES)

        assert state_of(request_, by_sweep=True).look().ended == GIVEN_UP

    def test_the_sweeps_own_run_reports_nothing(
        self, request_: WidgetRequest, state_of: Open, redis: Redis
    ) -> None:
        self.given_up(state_of(request_, by_sweep=True), outcome=YES)

        assert field(redis, request_, "reported") is None

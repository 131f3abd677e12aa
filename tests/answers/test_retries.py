"""What must hold between the waits of an answer, so that nobody changes one of them alone."""

import pytest
from helpers import SECRET_KEY
from openai._constants import INITIAL_RETRY_DELAY

from kommo_bridge.answers import retries
from kommo_bridge.answers.changes import NO_TEXT_SAID_SECONDS, TAG_REMEMBERED_SECONDS
from kommo_bridge.answers.record import MIN_KEPT_SECONDS, texts_kept_seconds
from kommo_bridge.answers.steps import SHORTEST_WAIT
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo import client, crm, pacing, response
from kommo_bridge.kommo.slot import WINDOW_SECONDS
from kommo_bridge.queue import thread_worker
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.settings import Settings

SETTINGS = Settings(secret_key=SECRET_KEY)
REPLY_DEADLINE = SETTINGS.reply_deadline_seconds
CONTINUE_DEADLINE = SETTINGS.continue_deadline_seconds
BURST = Integration("id", "acme", secret_key="s" * 64).burst_seconds
# What Redis and our own code take between two waits, with room to spare.
OWN_WORK = 2.0
LONGEST_SLOT_WAIT = pacing.MAX_BOOKED_WAIT_SECONDS
LONGEST_CALL = client.TOTAL_SECONDS
LONGEST_CALL_WITH_ITS_SLOT = LONGEST_SLOT_WAIT + LONGEST_CALL


class TestWaits:
    @pytest.mark.parametrize(
        ("failures", "seconds"), [(0, 2), (1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60)]
    )
    def test_they_grow_and_the_last_one_repeats(self, failures: int, seconds: float) -> None:
        assert retries.wait_after(failures) == seconds

    def test_there_is_a_call_in_each_last_minute(self) -> None:
        assert max(retries.WAITS) <= retries.LAST_SECONDS

    def test_kommo_may_ask_for_no_longer_wait_than_leaves_a_last_call(self) -> None:
        assert response.LONGEST_WAIT_SECONDS < CONTINUE_DEADLINE - REPLY_DEADLINE

    def test_tries_before_the_short_sentence_end_within_the_reply_deadline(self) -> None:
        tries = retries.TRIES_BEFORE_SHORT

        assert sum(retries.WAITS[: tries - 1]) + tries * LONGEST_CALL_WITH_ITS_SLOT < REPLY_DEADLINE


class TestACall:
    def test_the_conversation_is_ours_until_the_slots_time_has_come(self) -> None:
        assert retries.HOLD >= LONGEST_SLOT_WAIT + OWN_WORK

    def test_and_until_its_call_has_ended(self) -> None:
        assert retries.HOLD_WHILE_SENDING >= LONGEST_CALL_WITH_ITS_SLOT + OWN_WORK

    def test_a_call_ends_before_the_deadline_of_the_turn_that_it_gives_way_to(self) -> None:
        assert retries.ROOM_FOR_A_CALL >= LONGEST_CALL_WITH_ITS_SLOT

    def test_a_slot_outlives_its_call(self) -> None:
        hold = LONGEST_CALL + pacing.LATENESS_SECONDS + WINDOW_SECONDS

        assert hold <= retries.HOLD_WHILE_SENDING

    def test_the_lookup_of_a_tag_ends_while_the_conversation_is_ours(self) -> None:
        assert retries.HOLD > LONGEST_SLOT_WAIT + crm.LOOKUP_SECONDS

    def test_what_a_lookup_found_is_remembered_until_the_call_after_it(self) -> None:
        assert LONGEST_SLOT_WAIT < TAG_REMEMBERED_SECONDS

    def test_the_sweep_comes_after_the_call(self) -> None:
        assert 0 < retries.SWEEP_MARGIN < retries.HOLD

    def test_a_worker_that_does_not_hang_is_done_before_the_sweep_calls_it_slow(self) -> None:
        assert LONGEST_SLOT_WAIT < retries.SWEEP_SLOW < LONGEST_CALL

    def test_what_cannot_be_looked_at_is_tried_again_within_its_last_minute(self) -> None:
        assert retries.BUSY_WAIT < retries.SWEEP_AGAIN <= retries.LAST_SECONDS / 2


class TestTheQueue:
    def test_a_lease_outlives_some_heartbeats(self) -> None:
        assert thread_worker.LEASE_SECONDS > 3 * thread_worker.HEARTBEAT_SECONDS

    def test_a_run_that_a_lease_was_waited_for_can_be_taken_over_at_once(self) -> None:
        """Its lease was renewed at most one heartbeat before it died."""
        least = thread_worker.LEASE_SECONDS - thread_worker.HEARTBEAT_SECONDS

        assert retries.HOLD < retries.TAKE_OVER_AFTER < least

    def test_the_lock_of_a_dead_worker_ends_soon_after_its_lease(self) -> None:
        worst = thread_worker.LEASE_SECONDS + thread_worker.RECOVERY_SECONDS

        assert retries.HOLD_WHILE_SENDING <= worst <= 30

    def test_a_jobs_timeout_outlives_every_call_of_one_run(self, queue: JobQueue) -> None:
        """Until the deadline the AI may be asked; then the fallback is sent, and others let go."""
        names = [str(one) for one in queue._shared]
        timeout = float(names[names.index("timeout") + 1])

        assert timeout >= REPLY_DEADLINE + 4 * LONGEST_CALL_WITH_ITS_SLOT

    def test_a_wait_that_holds_a_thread_is_shorter_than_a_burst_can_be(self) -> None:
        assert BURST < retries.SHORT_WAIT < retries.LONGEST_BURST

    def test_no_wait_is_a_hot_loop(self) -> None:
        assert SHORTEST_WAIT >= 0.01
        assert retries.BUSY_WAIT >= 0.5


class TestTheReplyDeadline:
    @pytest.mark.parametrize("deadline", [1.0, 5.0, 10.0, REPLY_DEADLINE])
    def test_texts_join_before_the_ai_runs_out_of_time(self, deadline: float) -> None:
        margin = min(retries.ASK_MARGIN, deadline * retries.ASK_MARGIN_SHARE)

        assert deadline * retries.JOIN_SHARE < deadline - margin

    def test_the_fallback_leaves_in_time(self) -> None:
        assert INITIAL_RETRY_DELAY < retries.ASK_MARGIN

    def test_the_conversation_is_ours_for_longer_than_the_ai_may_take(self) -> None:
        """The SDK sleeps once more when the time is over; else another run would begin there."""
        assert retries.ASK_HOLD_MARGIN >= INITIAL_RETRY_DELAY + OWN_WORK

    def test_a_run_that_died_in_a_question_has_let_go_before_the_sweep_comes(self) -> None:
        assert retries.ASK_HOLD_MARGIN < retries.SWEEP_MARGIN

    def test_a_burst_ends_before_no_text_may_join_it_any_more(self) -> None:
        assert retries.BURST_SHARE < retries.JOIN_SHARE < 1 - retries.ASK_MARGIN_SHARE
        assert retries.LONGEST_BURST < REPLY_DEADLINE * retries.BURST_SHARE

    def test_a_failing_reply_leaves_the_next_turn_most_of_its_time(self) -> None:
        assert retries.JOIN_SHARE <= 1 / 3
        assert retries.LONGEST_HOLD_BACK <= REPLY_DEADLINE * retries.JOIN_SHARE
        assert sum(retries.WAITS[:2]) + OWN_WORK < retries.LONGEST_HOLD_BACK


class TestTheContinueDeadline:
    def test_a_last_minute_holds_several_calls(self) -> None:
        assert retries.LAST_SECONDS > 4 * LONGEST_CALL_WITH_ITS_SLOT

    def test_it_begins_after_the_reply_deadline(self) -> None:
        assert retries.LAST_SECONDS < CONTINUE_DEADLINE - REPLY_DEADLINE

    def test_texts_and_records_outlive_the_last_call(self) -> None:
        last = CONTINUE_DEADLINE + retries.LAST_SECONDS + LONGEST_CALL_WITH_ITS_SLOT

        assert texts_kept_seconds(CONTINUE_DEADLINE) > last
        assert texts_kept_seconds(86_400) > 86_400 + retries.LAST_SECONDS
        assert last < MIN_KEPT_SECONDS

    def test_please_write_it_is_said_once_for_voice_notes_in_a_row(self) -> None:
        assert NO_TEXT_SAID_SECONDS > retries.LONGEST_BURST

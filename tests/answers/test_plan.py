"""The rules of a turn: one picture of a conversation and a time in, one step out.

Deadlines are 120 s for a reply and 900 s for the last call, a burst is over after 2 s, and T is
when the oldest text arrived, unless a row says otherwise.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import (
    HUMAN,
    MOMENT,
    NONE_LEFT,
    PLEASE_WRITE,
    SORRY,
    YES,
    T,
    picture,
    text,
    told_elsewhere,
    turn,
    voice,
)

from kommo_bridge.answers.conversation import (
    SILENT_HANDOFF,
    SKIP,
    Conversation,
    Message,
    Outcome,
    Turn,
)
from kommo_bridge.answers.plan import plan
from kommo_bridge.answers.retries import ROOM_FOR_A_CALL
from kommo_bridge.answers.step import (
    Ask,
    Close,
    GiveUp,
    LetGo,
    LookUp,
    Part,
    Say,
    Send,
    Step,
    Wait,
)
from kommo_bridge.answers.turns import MAX_QUESTIONS
from kommo_bridge.answers.words import says_handoff

QUIET = 2.0  # after it, a single text's reply leaves
THIRD = 40.0  # no text joins any more
LAST = 119.0  # the AI's time ends
LAST_MINUTE = 840.0
END = 900.0


def step(*messages: Message, at: float = 0.0, turns: tuple[Turn, ...] = (), **fields: Any) -> Step:
    """What is done next, so many seconds after T."""
    return plan(picture(*messages, turns=turns, **fields), T + at)


def waits(found: Step) -> float:
    """The seconds of a Wait."""
    assert isinstance(found, Wait)
    assert found.seconds is not None
    return found.seconds


class TestNothingToDo:
    def test_an_empty_conversation(self) -> None:
        assert step() == Wait(None)

    def test_all_have_ended(self) -> None:
        assert step(text("a", **NONE_LEFT)) == Wait(None)


class TestAsking:
    def test_the_ai_is_asked_at_once_with_all_texts_and_all_the_time_there_is(self) -> None:
        assert step(text("a"), text("b", 1), at=1) == Ask(turn("a", "b"), LAST - 1)

    def test_texts_join_a_turn_whose_question_failed(self) -> None:
        failed = turn("a", failures=1, error="timeout", retry_at=T + 3)

        assert step(text("a"), text("b", 2), turns=(failed,), at=3) == Ask(
            replace(failed, job_ids=("a", "b")), LAST - 3
        )

    def test_about_what_came_in_the_first_third_of_the_deadline_however_late_it_is(self) -> None:
        failed = turn("a", failures=1)

        joined = step(text("a"), text("b", THIRD), turns=(failed,), at=THIRD + 20)
        assert isinstance(joined, Ask)
        assert joined.turn == replace(failed, job_ids=("a", "b"))
        alone = step(text("a"), text("b", THIRD + MOMENT), turns=(failed,), at=THIRD + 20)
        assert isinstance(alone, Ask)
        assert alone.turn == failed

    def test_until_the_deadline_of_the_oldest_text(self) -> None:
        texts = (text("a"), text("b", 39))

        assert isinstance(step(*texts, at=LAST - MOMENT), Ask)
        assert isinstance(step(*texts, at=LAST), Say)


class TestSentencesOfOurs:
    """What is said in place of the AI's reply, in the order in which the rules are asked."""

    FALLBACK = Say(turn("a"), "fallback", "fail")

    def test_the_integration_was_switched_off(self) -> None:
        assert step(text("a"), enabled=False) == self.FALLBACK

    def test_the_ai_refuses_for_good(self) -> None:
        refused = turn("a", final=True, error="401")

        assert step(text("a"), turns=(refused,)) == Say(refused, "fallback", "fail", error="401")

    def test_it_is_too_late(self) -> None:
        late = "no reply before the deadline"
        failed = turn("a", failures=3, error="timeout")

        assert step(text("a"), at=LAST) == replace(self.FALLBACK, error=late)
        assert step(text("a"), turns=(failed,), at=LAST) == Say(
            failed, "fallback", "fail", error=f"{late} (timeout)"
        )

    @pytest.mark.parametrize("said", ["a HUMAN, please", "human", "(human)", "Human?"])
    def test_the_customer_wants_a_human(self, said: str) -> None:
        assert step(text("a", said=said), handoff_phrases=("boss", "human")) == Say(
            turn("a"),
            "handoff",
            "handoff",
            reason="the customer asked for it",
            handoff_reason="customer_request",
        )

    @pytest.mark.parametrize("said", ["humanities", "inhuman", "a hum an"])
    def test_a_part_of_a_word_is_no_phrase(self, said: str) -> None:
        assert isinstance(step(text("a", said=said), handoff_phrases=("human",)), Ask)

    def test_a_phrase_is_no_pattern(self) -> None:
        assert says_handoff(["a.b"], "say a.b now")
        assert not says_handoff(["a.b"], "say axb now")
        assert not says_handoff([], "anything")

    def test_a_cap_is_reached(self) -> None:
        assert step(text("a"), cap="replies_per_hour") == Say(
            turn("a"),
            "handoff",
            "handoff",
            reason="replies_per_hour reached",
            handoff_reason="policy",
        )

    def test_three_questions_came_to_nothing(self) -> None:
        def after(asked: int) -> Step:
            return step(text("a"), turns=(turn("a", asked=asked),))

        assert MAX_QUESTIONS == 3
        assert after(2) == Ask(turn("a", asked=2), LAST)
        assert after(3) == Say(
            turn("a", asked=3), "fallback", "fail", error="asked three times, no reply was kept"
        )

    @pytest.mark.parametrize(
        ("stronger", "weaker", "said"),
        [
            pytest.param({"enabled": False}, {"at": LAST}, "", id="off, then too late"),
            pytest.param({"at": LAST}, {"handoff_phrases": ("a",)}, "no reply", id="late, phrase"),
            pytest.param({"handoff_phrases": ("a",)}, {"cap": "x"}, "asked for", id="phrase, cap"),
            pytest.param({"cap": "x"}, {"asked": 3}, "x reached", id="cap, then asked enough"),
            pytest.param({"final": True}, {"at": LAST}, "why", id="refused, then too late"),
            pytest.param({"enabled": False}, {"final": True}, "", id="off, then refused"),
            pytest.param({"asked": 3}, {"retry_at": T + 9}, "asked three", id="asked, then wait"),
        ],
    )
    def test_which_rule_comes_first(
        self, stronger: dict[str, Any], weaker: dict[str, Any], said: str
    ) -> None:
        fields = {**weaker, **stronger}
        of_turn = {
            name: fields.pop(name) for name in ("final", "asked", "retry_at") if name in fields
        }

        found = step(text("a"), turns=(turn("a", error="why", **of_turn),), **fields)

        assert isinstance(found, Say)
        assert said in found.error + found.reason
        assert said or not found.error


class TestVoiceNotes:
    def test_please_write_it_is_said_when_no_text_has_followed(self) -> None:
        assert step(voice("a"), at=QUIET - 0.5) == Wait(0.5)
        assert step(voice("a"), at=QUIET) == Say(turn("a"), "no_text", "success")

    def test_a_text_that_follows_is_answered_with_them(self) -> None:
        assert step(voice("a"), text("b", 1), at=1) == Ask(turn("a", "b"), LAST - 1)

    def test_once_in_a_few_minutes(self) -> None:
        assert step(voice("a"), no_text_said=True) == LetGo("a", SKIP)

    def test_one_after_the_other(self) -> None:
        both = (told_elsewhere("a", next_at=T + 9), voice("b", 1))

        assert step(*both, no_text_said=True, at=1) == LetGo("b", SKIP)

    def test_no_call_before_its_time(self) -> None:
        """The account rests, say: it is not asked again and again."""
        assert step(voice("a", next_at=T + 5), no_text_said=True, at=1) == Wait(4)
        assert step(voice("a", next_at=T + 5), no_text_said=True, at=4.5) == Wait(0.5)
        assert step(voice("a", next_at=T + 5), no_text_said=True, at=5) == LetGo("a", SKIP)

    def test_a_hand_made_bot_is_told_each_time_and_at_once(self) -> None:
        assert step(voice("a", own=False), no_text_said=True) == Say(
            turn("a"), "no_text", "success"
        )

    def test_too_late_it_is_the_fallback_that_is_said(self) -> None:
        assert isinstance(step(voice("a"), at=LAST), Say)
        assert step(voice("a"), at=LAST, no_text_said=True) == Say(
            turn("a"), "fallback", "fail", error="no reply before the deadline"
        )

    def test_the_sentence_has_not_been_accepted_and_another_note_comes(self) -> None:
        """It is found anew for both: the second is not let go before the first was told."""
        said = turn("a", outcome=PLEASE_WRITE, failed_at=T + 3)
        notes = (voice("a", next_at=T + 9), voice("b", 4))

        assert step(*notes, turns=(said,), at=4) == Wait(QUIET)
        assert step(*notes, turns=(said,), at=4 + QUIET) == Say(
            replace(said, job_ids=("a", "b")), "no_text", "success"
        )


class TestWaitingForTheAI:
    @pytest.mark.parametrize(
        ("retry_at", "at", "expected"),
        [
            pytest.param(10, 4, 6, id="until it may be asked again"),
            pytest.param(10, 10 - MOMENT, MOMENT, id="to the end"),
            pytest.param(500, 100, LAST - 100, id="but not beyond its last moment"),
        ],
    )
    def test_after_a_failure_that_may_pass(
        self, retry_at: float, at: float, expected: float
    ) -> None:
        failed = turn("a", failures=1, retry_at=T + retry_at)

        assert waits(step(text("a"), turns=(failed,), at=at)) == pytest.approx(expected)

    def test_then_it_is_asked_again(self) -> None:
        failed = turn("a", failures=1, retry_at=T + 10)

        assert step(text("a"), turns=(failed,), at=10) == Ask(failed, LAST - 10)


class TestPauseTag:
    def test_it_is_looked_up_before_the_ai_is_asked(self) -> None:
        assert step(text("a"), looks_up_tag=True) == LookUp()
        assert step(text("a"), looks_up_tag=True, tagged=False) == Ask(turn("a"), LAST)

    def test_and_before_the_reply_leaves(self) -> None:
        replied = turn("a", outcome=YES)

        assert step(text("a"), turns=(replied,), looks_up_tag=True, at=QUIET) == LookUp()
        assert step(text("a"), turns=(replied,), looks_up_tag=True, tagged=False, at=QUIET) == Send(
            "a", replied
        )

    def test_only_when_something_can_be_sent(self) -> None:
        replied = turn("a", outcome=YES)
        later = text("a", next_at=T + 9)

        assert step(later, turns=(replied,), looks_up_tag=True, at=QUIET) == Wait(7)
        assert step(text("a"), turns=(replied,), looks_up_tag=True, at=1) == Wait(1)

    def test_not_for_a_sentence_before_the_ai_is_needed(self) -> None:
        assert isinstance(step(text("a"), looks_up_tag=True, cap="replies_per_day"), Say)

    def test_a_tagged_lead_is_left_to_the_human(self) -> None:
        assert step(text("a"), looks_up_tag=True, tagged=True) == LetGo("a", SKIP)


class TestHolding:
    """A reply waits until it is quiet; a newer text takes it back."""

    REPLIED = turn("a", asked=1, outcome=YES)

    def test_until_the_quiet_time_is_over(self) -> None:
        assert step(text("a"), turns=(self.REPLIED,), at=0.5) == Wait(1.5)
        assert step(text("a"), turns=(self.REPLIED,), at=QUIET) == Send("a", self.REPLIED)

    def test_a_newer_text_prolongs_it_and_then_the_ai_is_asked_again(self) -> None:
        texts = (text("a"), text("b", 1.5))

        assert step(*texts, turns=(self.REPLIED,), at=2) == Wait(1.5)
        assert step(*texts, turns=(self.REPLIED,), at=3.5) == Ask(
            replace(self.REPLIED, job_ids=("a", "b")), LAST - 3.5
        )

    def test_at_most_twice(self) -> None:
        texts = (text("a"), text("b", 1))

        def after(asked: int) -> Step:
            return step(*texts, turns=(replace(self.REPLIED, asked=asked),), at=9)

        assert isinstance(after(1), Ask)
        assert isinstance(after(2), Ask)
        assert after(3) == Send("a", replace(self.REPLIED, asked=3))

    def test_the_reply_goes_to_its_own_texts_when_it_is_not_taken_back(self) -> None:
        refused = replace(self.REPLIED, final=True)

        assert step(text("a"), text("b", 1), turns=(refused,), at=9) == Send("a", refused)

    def test_not_after_a_third_of_the_deadline(self) -> None:
        texts = (text("a"), text("b", 20))

        assert isinstance(step(*texts, turns=(self.REPLIED,), at=THIRD - MOMENT), Ask)
        assert step(*texts, turns=(self.REPLIED,), at=THIRD) == Send("a", self.REPLIED)

    def test_not_when_it_may_have_arrived(self) -> None:
        called = text("a", outcome=YES, unknown_since=T + 2)

        assert step(called, text("b", 3), turns=(self.REPLIED,), at=3) == Send("a", self.REPLIED)

    def test_a_hand_made_bots_reply_leaves_at_once(self) -> None:
        replied = turn("a", asked=1, outcome=YES)

        assert step(text("a", own=False), turns=(replied,)) == Send("a", replied)

    @pytest.mark.parametrize("sentence", [SORRY, PLEASE_WRITE, HUMAN])
    def test_a_sentence_of_ours_leaves_at_once(self, sentence: Outcome) -> None:
        found = turn("a", outcome=sentence)

        assert step(text("a"), turns=(found,)) == Send("a", found)

    def test_a_sentence_of_ours_is_found_anew_with_a_newer_text(self) -> None:
        sorry = turn("a", outcome=SORRY)

        assert step(text("a"), text("b", 1), turns=(sorry,), at=1) == Ask(
            replace(sorry, job_ids=("a", "b")), LAST - 1
        )

    def test_however_often_the_ai_was_asked_before(self) -> None:
        sorry = turn("a", outcome=SORRY, asked=3)

        assert isinstance(step(text("a"), text("b", 1), turns=(sorry,), at=1), Say)

    def test_a_turn_whose_reply_may_have_arrived_takes_no_newer_text(self) -> None:
        """The Salesbot that was called has been given up; the fallback is sent to the other."""
        gone = text("b", 1, state="given_up", unknown_since=T + 5)
        closed = turn("a", "b", outcome=SORRY, closed=True, failed_at=T + 5)

        found = step(text("a"), gone, text("c", 20), turns=(closed,), at=21)

        assert found == Send("a", closed)


class TestSending:
    def test_to_the_newest_salesbot_of_the_turn(self) -> None:
        replied = turn("a", "b", outcome=YES)

        assert step(text("a"), text("b", 1), turns=(replied,), at=9) == Send("b", replied)

    def test_to_the_next_older_when_it_is_gone(self) -> None:
        replied = turn("a", "b", outcome=YES)
        gone = text("b", 1, state="given_up")

        assert step(text("a"), gone, turns=(replied,), at=9) == Send("a", replied)

    def test_one_that_only_has_to_leave_is_told_nothing(self) -> None:
        replied = turn("a", "b", outcome=YES)
        leaving = told_elsewhere("b", 1, next_at=T + 99)

        assert step(text("a"), leaving, turns=(replied,), at=9) == Send("a", replied)

    def test_one_that_may_have_got_it_keeps_it(self) -> None:
        replied = turn("a", "b", outcome=YES, failed_at=T + 5)
        unknown = text("a", outcome=YES, unknown_since=T + 4, next_at=T + 20)

        assert step(unknown, text("b", 1), turns=(replied,), at=9) == Wait(11)
        assert step(unknown, text("b", 1), turns=(replied,), at=20) == Send("a", replied)

    def test_not_before_its_time(self) -> None:
        replied = turn("a", outcome=YES, failed_at=T + 5)

        assert step(text("a", next_at=T + 10), turns=(replied,), at=9) == Wait(1)
        assert step(text("a", next_at=T + 10), turns=(replied,), at=10) == Send("a", replied)

    def test_nobody_is_woken_for_a_next_turn_that_is_not_there(self) -> None:
        failing = turn("a", outcome=YES, failed_at=T + 4)

        assert step(text("a", next_at=T + 60), turns=(failing,), at=5) == Wait(55)

    def test_a_turn_of_which_nobody_waits_is_closed(self) -> None:
        replied = turn("a", "b", outcome=YES)
        left = (text("a", **NONE_LEFT), told_elsewhere("b", next_at=T + 99))

        assert step(*left, turns=(replied,), at=9) == Close(replied)
        assert step(turns=(replied,)) == Close(replied)


class TestParting:
    """A Salesbot whose outcome stays unknown does not keep the others of its turn for ever."""

    STUCK = turn("a", "b", outcome=YES, failed_at=T + 100)

    def found(self, at: float, *, stuck: Turn = STUCK, **fields: Any) -> Step:
        """What is done with `b`, whose outcome is unknown since T + 100, and `a`."""
        unknown = text("b", 1, outcome=YES, unknown_since=T + 100, next_at=T + 130)
        return step(text("a", **fields), unknown, turns=(stuck,), at=at)

    def test_when_the_whole_deadline_has_passed(self) -> None:
        assert waits(self.found(LAST - MOMENT)) == pytest.approx(11 + MOMENT)
        assert self.found(LAST) == Part(self.STUCK, "b")

    def test_and_when_it_has_held_the_next_turn_back(self) -> None:
        stuck = replace(self.STUCK, failed_at=T + 110)

        assert waits(self.found(125 - MOMENT, stuck=stuck)) == pytest.approx(MOMENT)
        assert self.found(125, stuck=stuck) == Part(stuck, "b")

    def test_not_before_its_first_call_has_come_back(self) -> None:
        called = replace(self.STUCK, failed_at=None)

        assert self.found(LAST, stuck=called) == Wait(11)

    @pytest.mark.parametrize("ended", [NONE_LEFT, {"outcome": SKIP, "next_at": T + 999}])
    def test_not_when_nobody_else_waits_for_a_word(self, ended: dict[str, Any]) -> None:
        assert self.found(LAST, **ended) == Wait(11)

    def test_not_when_every_outcome_is_known(self) -> None:
        both = (text("a"), text("b", 1, next_at=T + 130))

        assert step(*both, turns=(self.STUCK,), at=LAST) == Wait(11)

    def test_it_goes_on_alone_and_the_others_with_the_fallback(self) -> None:
        alone = turn("b", outcome=YES, failed_at=T + 100)
        rest = turn("a", error="not known", final=True)
        unknown = text("b", 1, outcome=YES, unknown_since=T + 100, next_at=T + 130)

        assert step(text("a"), unknown, turns=(alone, rest), at=LAST) == Say(
            rest, "fallback", "fail", error="not known"
        )


class TestGivingUp:
    def test_after_the_continue_deadline(self) -> None:
        replied = turn("a", outcome=YES)
        called = text("a", called_at=T + LAST_MINUTE, next_at=T + END + 60)

        before = step(called, turns=(replied,), at=END - MOMENT)
        assert waits(before) == pytest.approx(MOMENT)
        assert step(called, turns=(replied,), at=END) == GiveUp("a")

    def test_not_before_a_last_call(self) -> None:
        replied = turn("a", outcome=YES)

        assert step(text("a"), turns=(replied,), at=END) == Send("a", replied)
        assert step(text("a"), turns=(replied,), at=END + 60 - MOMENT) == Send("a", replied)
        assert step(text("a"), turns=(replied,), at=END + 60) == GiveUp("a")

    def test_one_without_any_words_too(self) -> None:
        assert step(text("a"), at=END + 60) == GiveUp("a")

    def test_the_others_of_its_turn_are_told_all_the_same(self) -> None:
        replied = turn("a", "b", outcome=YES)
        left = (text("a", state="given_up"), text("b", 30))

        assert step(*left, turns=(replied,), at=END + 61) == Send("b", replied)


class TestTheNextTurn:
    REPLIED = turn("a", asked=1, outcome=YES)
    STUCK = turn("a", asked=1, outcome=YES, failed_at=T + 50)

    def test_it_waits_for_the_first_call_of_the_former(self) -> None:
        late = (text("a", next_at=T + 60), text("b", 50))

        assert step(*late, turns=(self.REPLIED,), at=50) == Wait(10)

    def test_and_15_seconds_more_when_that_failed(self) -> None:
        late = (text("a", next_at=T + 500), text("b", 50))

        assert step(*late, turns=(self.STUCK,), at=55) == Wait(10)
        assert step(*late, turns=(self.STUCK,), at=65) == Ask(turn("b"), 50 + LAST - 65)

    def test_a_third_of_a_short_deadline(self) -> None:
        stuck = turn("a", asked=1, outcome=YES, failed_at=T + 12)
        late = (text("a", next_at=T + 500), text("b", 12))

        def found(at: float) -> Step:
            return step(*late, turns=(stuck,), at=at, reply_deadline=30, continue_deadline=900)

        assert found(21) == Wait(1)
        assert found(22) == Ask(turn("b"), 12 + 29 - 22)

    def test_both_go_on_then(self) -> None:
        next_one = turn("b", asked=1, outcome=YES, failed_at=T + 70)
        late = (text("a", next_at=T + 500), text("b", 50, next_at=T + 90))

        assert step(*late, turns=(self.STUCK, next_one), at=86) == Wait(4)
        assert step(*late, turns=(self.STUCK, next_one), at=90) == Send("b", next_one)

    def test_the_third_is_held_back_by_the_second(self) -> None:
        next_one = turn("b", asked=1, outcome=YES, failed_at=T + 95)
        late = (text("a", next_at=T + 500), text("b", 50, next_at=T + 200), text("c", 95))

        assert step(*late, turns=(self.STUCK, next_one), at=100) == Wait(10)
        assert step(*late, turns=(self.STUCK, next_one), at=110) == Ask(turn("c"), 95 + LAST - 110)

    def test_hand_made_bots_are_answered_in_order(self) -> None:
        first = turn("a", asked=1, outcome=YES, failed_at=T + 1)
        both = (text("a", own=False, next_at=T + 99), text("b", own=False))

        assert step(*both, at=0) == Ask(turn("a"), LAST)
        assert step(*both, turns=(first,), at=2) == Wait(14)
        assert step(*both, turns=(first,), at=16) == Ask(turn("b"), LAST - 16)

    def test_one_whose_last_minute_has_come_goes_first(self) -> None:
        old, new = (
            turn("a", outcome=YES, failed_at=T + 50),
            turn("b", outcome=YES, failed_at=T + 701),
        )
        messages = (text("a"), text("b", 700))

        assert step(*messages, turns=(new, old), at=LAST_MINUTE - MOMENT) == Send("b", new)
        assert step(*messages, turns=(new, old), at=LAST_MINUTE) == Send("a", old)

    def test_a_failed_one_gives_way_to_whose_deadline_is_near(self) -> None:
        """Its call may hang for longer than that."""
        asking = turn("b", asked=1, failures=1, retry_at=T + 168)
        messages = (text("a"), text("b", 50))
        near = 50 + LAST - ROOM_FOR_A_CALL

        assert step(*messages, turns=(self.STUCK, asking), at=near) == Send("a", self.STUCK)
        assert waits(step(*messages, turns=(self.STUCK, asking), at=near + 1)) == 168 - near - 1

    def test_but_not_to_one_that_failed_too(self) -> None:
        next_one = turn("b", asked=1, outcome=YES, failed_at=T + 70)
        messages = (text("a"), text("b", 50, next_at=T + 300))

        assert step(*messages, turns=(self.STUCK, next_one), at=165) == Send("a", self.STUCK)

    @pytest.mark.parametrize(
        ("at", "goes"), [(END - ROOM_FOR_A_CALL - 1, False), (END - ROOM_FOR_A_CALL, True)]
    )
    def test_nor_when_its_last_call_would_come_too_late(self, at: float, *, goes: bool) -> None:
        asking = turn("b", asked=1, failures=1, retry_at=T + END)
        messages = (text("a"), text("b", at + 5 - LAST))

        found = step(*messages, turns=(self.STUCK, asking), at=at)

        assert found == Send("a", self.STUCK) if goes else isinstance(found, Wait)

    def test_unless_that_call_was_made(self) -> None:
        asking = turn("b", asked=1, failures=1, retry_at=T + 880)
        messages = (text("a", called_at=T + 850), text("b", 875 - LAST))

        assert waits(step(*messages, turns=(self.STUCK, asking), at=870)) == 5


class TestLettingGo:
    def test_who_was_told_through_another_salesbot_leaves(self) -> None:
        assert step(told_elsewhere("a")) == LetGo("a", SKIP)

    def test_with_what_was_kept_for_it(self) -> None:
        leaving = text("a", own=False, outcome=SILENT_HANDOFF)

        assert step(leaving) == LetGo("a", SILENT_HANDOFF)

    def test_not_before_its_time(self) -> None:
        assert step(told_elsewhere("a", next_at=T + 5), at=1) == Wait(4)
        assert step(told_elsewhere("a", next_at=T + 5), at=5) == LetGo("a", SKIP)

    def test_the_next_one_is_not_held_up_by_one_that_fails(self) -> None:
        both = (told_elsewhere("a", next_at=T + 5), told_elsewhere("b"))

        assert step(*both, at=1) == LetGo("b", SKIP)

    def test_words_go_first(self) -> None:
        replied = turn("b", outcome=YES)

        assert step(told_elsewhere("a"), text("b"), turns=(replied,), at=9) == Send("b", replied)

    def test_while_words_wait_it_leaves(self) -> None:
        replied = turn("b", outcome=YES)

        assert step(told_elsewhere("a"), text("b"), turns=(replied,), at=1) == LetGo("a", SKIP)

    def test_the_shortest_wait_of_all(self) -> None:
        replied = turn("b", outcome=YES)

        def both(leaving_at: float) -> Step:
            leaving = told_elsewhere("a", next_at=T + leaving_at)
            return step(leaving, text("b"), turns=(replied,), at=1)

        assert both(5) == Wait(1)
        assert both(1.5) == Wait(0.5)

    def test_given_up_in_the_end(self) -> None:
        leaving = told_elsewhere("a", called_at=T + 850, next_at=T + 999)

        assert step(leaving, at=END - 1) == Wait(1)
        assert step(leaving, at=END) == GiveUp("a")


@pytest.mark.parametrize("human", [{"paused": True}, {"tagged": True}])
class TestAHumanHasTheConversation:
    def test_every_salesbot_leaves_without_a_word(self, human: dict[str, Any]) -> None:
        replied = turn("a", outcome=YES)

        assert step(text("a"), turns=(replied,), at=9, **human) == LetGo("a", SKIP)
        assert step(text("a"), **human) == LetGo("a", SKIP)

    def test_a_hand_made_bot_leaves_as_at_a_handoff(self, human: dict[str, Any]) -> None:
        assert step(text("a", own=False), **human) == LetGo("a", SILENT_HANDOFF)

    def test_it_comes_before_everything_else(self, human: dict[str, Any]) -> None:
        """Also before the fallback of a request that was looked at too late."""
        assert step(text("a"), at=500, **human) == LetGo("a", SKIP)
        assert step(text("a"), enabled=False, cap="x", **human) == LetGo("a", SKIP)

    def test_in_order_those_whose_time_has_come(self, human: dict[str, Any]) -> None:
        def both(at: float) -> Step:
            return step(text("a", next_at=T + 9), text("b", next_at=T + 5), at=at, **human)

        assert both(4) == Wait(1)
        assert both(5) == LetGo("b", SKIP)
        assert both(9) == LetGo("a", SKIP)

    def test_given_up_in_the_end(self, human: dict[str, Any]) -> None:
        called = text("a", called_at=T + 850, next_at=T + 999)

        assert step(called, at=END - 1, **human) == Wait(1)
        assert step(called, at=END, **human) == GiveUp("a")

    def test_turns_are_closed_when_nobody_waits(self, human: dict[str, Any]) -> None:
        turns = (turn("a", outcome=YES), turn("b"))
        left = (text("a", **NONE_LEFT), text("b", **NONE_LEFT))

        assert step(*left, turns=turns, **human) == Close(turns[0])
        assert step(*left, text("c", next_at=T + 5), turns=turns, **human) == Wait(5)

    def test_nothing_is_open(self, human: dict[str, Any]) -> None:
        assert step(**human) == Wait(None)
        assert step(text("a", **NONE_LEFT), **human) == Wait(None)


def test_a_lead_without_the_tag_is_answered() -> None:
    assert step(text("a"), tagged=False) == Ask(turn("a"), LAST)


# Laws: they hold for every picture that the steps can lead to, and for many that they cannot.

OUTCOMES = (YES, SORRY, PLEASE_WRITE, HUMAN)
TIMES = st.one_of(st.just(0.0), st.floats(T - 10, T + 1200))


@st.composite
def any_message(draw: st.DrawFn, job_id: str) -> Message:
    outcome = draw(st.sampled_from([None, None, SKIP, *OUTCOMES]))
    return text(
        job_id,
        draw(st.floats(0, 200)),
        draw(st.sampled_from(["", "Hello", "human", "x" * 9_000])),
        own=draw(st.booleans()),
        state=draw(st.sampled_from(["open", "open", "open", "continued", "given_up"])),
        outcome=outcome,
        unknown_since=draw(st.one_of(st.none(), TIMES)) if outcome else None,
        failures=draw(st.integers(0, 5)),
        next_at=draw(TIMES),
        called_at=draw(TIMES),
    )


@st.composite
def any_picture(draw: st.DrawFn) -> Conversation:
    names = "abcdef"[: draw(st.integers(0, 6))]
    messages = sorted((draw(any_message(name)) for name in names), key=lambda one: one.at)
    order = "".join(one.job_id for one in messages)
    size = draw(st.integers(1, 3))
    groups = [order[start : start + size] for start in range(0, draw(st.integers(0, 6)), size)]
    turns = tuple(
        turn(
            *group,
            asked=draw(st.integers(0, 4)),
            failures=draw(st.integers(0, 3)),
            retry_at=draw(TIMES),
            final=draw(st.booleans()),
            outcome=draw(st.sampled_from([None, *OUTCOMES])),
            failed_at=draw(st.one_of(st.none(), TIMES)),
        )
        for group in groups
        if group
    )
    return picture(
        *messages,
        turns=turns,
        paused=draw(st.booleans()),
        tagged=draw(st.sampled_from([None, False, True])),
        no_text_said=draw(st.booleans()),
        cap=draw(st.sampled_from(["", "", "replies_per_day"])),
        burst=draw(st.sampled_from([0.0, 2.0, 10.0])),
        enabled=draw(st.booleans()),
        handoff_phrases=("human",),
        looks_up_tag=draw(st.booleans()),
    )


NOW = st.floats(T, T + 1300)


@given(any_picture(), NOW)
def test_there_is_always_a_step_and_never_a_hot_loop(
    conversation: Conversation, now: float
) -> None:
    found = plan(conversation, now)

    open_ones = [one for one in conversation.messages if one.waits]
    if isinstance(found, Wait):
        assert (found.seconds is None) == (not open_ones)
        assert found.seconds is None or 0 < found.seconds < 2_000
    if isinstance(found, Send | LetGo | GiveUp):
        assert found.job_id in {one.job_id for one in open_ones}
    if isinstance(found, Send | LetGo):
        assert conversation.by_id[found.job_id].next_at <= now
    if isinstance(found, Ask):
        assert 0 < found.seconds <= LAST


@given(any_picture(), NOW)
def test_nobody_is_talked_over(conversation: Conversation, now: float) -> None:
    human = plan(replace(conversation, paused=True), now)
    tagged = plan(replace(conversation, tagged=True), now)

    for found in (human, tagged):
        assert isinstance(found, LetGo | GiveUp | Close | Wait)
        assert not isinstance(found, LetGo) or not found.outcome.reply


@given(any_picture(), NOW)
def test_nobody_is_let_go_before_the_customer_was_told(
    conversation: Conversation, now: float
) -> None:
    """By another Salesbot, which marks it, by a human, or "please write it" a moment ago."""
    conversation = replace(conversation, paused=False, tagged=False)

    found = plan(conversation, now)

    if isinstance(found, LetGo):
        message = conversation.by_id[found.job_id]
        assert message.let_go or (conversation.no_text_said and message.own)


@given(any_picture(), NOW)
def test_the_ai_is_not_asked_more_often_than_is_paid_for(
    conversation: Conversation, now: float
) -> None:
    found = plan(conversation, now)

    if isinstance(found, Ask):
        kept = conversation.kept(found.turn)
        assert kept.asked < MAX_QUESTIONS
        assert not kept.final
        assert kept.job_ids == found.turn.job_ids[: len(kept.job_ids)]


@given(any_picture(), NOW)
def test_what_may_have_arrived_is_said_through_nobody_else(
    conversation: Conversation, now: float
) -> None:
    found = plan(conversation, now)

    if isinstance(found, Send):
        unknown = {
            one.job_id
            for one in conversation.members(found.turn)
            if one.waits and not one.let_go and one.unknown_since is not None
        }
        assert not unknown or found.job_id in unknown

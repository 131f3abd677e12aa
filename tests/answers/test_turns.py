"""Which texts are answered together, and the times of a turn.

In all of them the reply deadline is 120 s and the continue deadline 900 s, unless a test says so.
"""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import MOMENT, NONE_LEFT, YES, T, picture, rules, text, told_elsewhere, turn, voice

from kommo_bridge.answers.conversation import NOT_READABLE, SKIP, Conversation, Message, Turn
from kommo_bridge.answers.turns import (
    MAX_QUESTION_CHARACTERS,
    MAX_QUESTIONS,
    NEVER,
    growing,
    holds_back_until,
    ids,
    is_over,
    joins_until,
    last_minute_first,
    last_moment,
    last_window,
    next_call_at,
    question,
    quiet_until,
    soonest,
    target_of,
    turns_of,
    with_newer,
)

THIRD = 40.0


def grouped(*messages: Message, turns: tuple[Turn, ...] = (), **fields: Any) -> list[str]:
    """The turns of a conversation as `"a b"`: the names of their texts."""
    found = turns_of(picture(*messages, turns=turns, **fields))
    return [" ".join(one.job_ids) for one in found]


class TestWhichTextsAreATurn:
    def test_nothing_is_open(self) -> None:
        assert grouped() == []

    def test_texts_near_each_other_are_one(self) -> None:
        assert grouped(text("a"), text("b", 1), text("c", 2)) == ["a b c"]

    def test_until_a_third_of_the_reply_deadline_after_the_oldest(self) -> None:
        assert grouped(text("a"), text("b", 39), text("c", THIRD)) == ["a b c"]
        assert grouped(text("a"), text("b", 39), text("c", THIRD + MOMENT)) == ["a b"]

    def test_the_next_turn_begins_only_when_the_former_is_under_way(self) -> None:
        late = text("c", THIRD + MOMENT)

        assert grouped(text("a"), late, turns=(turn("a"),)) == ["a", "c"]

    def test_each_text_of_a_hand_made_bot_is_one_by_itself(self) -> None:
        assert grouped(text("a", own=False), text("b", 1, own=False)) == ["a"]
        assert grouped(text("a", own=False), text("b", 1)) == ["a"]

    def test_a_hand_made_bots_text_ends_the_turn_before_it(self) -> None:
        assert grouped(text("a"), text("b", 1, own=False), text("c", 2)) == ["a"]

    @pytest.mark.parametrize("burst", [0.0, -1.0])
    def test_without_bursts_each_text_is_one_by_itself(self, burst: float) -> None:
        assert grouped(text("a"), text("b", 1), burst=burst) == ["a"]

    def test_a_short_burst_is_one(self) -> None:
        assert grouped(text("a"), text("b", 1), burst=0.1) == ["a b"]

    def test_the_question_holds_at_most_16_000_characters(self) -> None:
        whole = text("b", 1, "x" * (MAX_QUESTION_CHARACTERS - 1))
        longer = text("b", 1, "x" * MAX_QUESTION_CHARACTERS)

        assert MAX_QUESTION_CHARACTERS == 16_000
        assert grouped(text("a"), whole) == ["a b"]
        assert grouped(text("a"), longer) == ["a"]

    def test_what_did_not_fit_ends_the_turn_so_that_the_order_stays(self) -> None:
        longer = text("b", 1, "x" * MAX_QUESTION_CHARACTERS)

        assert grouped(text("a"), longer, text("c", 2)) == ["a"]

    def test_a_voice_note_takes_the_room_of_the_words_in_its_place(self) -> None:
        room = MAX_QUESTION_CHARACTERS - len(NOT_READABLE)

        assert grouped(text("a", said="x" * room), voice("b", 1)) == ["a b"]
        assert grouped(text("a", said="x" * (room + 1)), voice("b", 1)) == ["a"]
        assert grouped(voice("a"), text("b", 1, "x" * room)) == ["a b"]
        assert grouped(voice("a"), text("b", 1, "x" * (room + 1))) == ["a"]

    def test_a_text_that_is_too_long_alone_is_asked_alone(self) -> None:
        assert grouped(text("a", said="x" * (MAX_QUESTION_CHARACTERS + 1))) == ["a"]

    def test_those_under_way_come_first_as_they_are_kept(self) -> None:
        under_way = (turn("a", "b"), turn("c"))

        assert grouped(text("a"), text("b"), text("c"), text("d"), turns=under_way) == [
            "a b",
            "c",
            "d",
        ]

    def test_who_has_ended_or_only_has_to_leave_belongs_to_none(self) -> None:
        assert grouped(text("a", **NONE_LEFT), told_elsewhere("b", 1), text("c", 2)) == ["c"]

    def test_a_reply_that_a_former_version_left_is_a_turn_that_is_never_asked_again(self) -> None:
        [alone, begun] = turns_of(picture(text("a", outcome=YES), text("b", 1)))

        assert alone == Turn(("a",), asked=MAX_QUESTIONS, outcome=YES)
        assert begun == Turn(("b",))

    def test_it_stands_behind_those_under_way(self) -> None:
        found = grouped(text("a", outcome=YES), text("b", 1), text("c", 2), turns=(turn("b"),))

        assert found == ["b", "a", "c"]


class TestWhatMayStillJoin:
    def joined(self, *messages: Message, turns: Any = None, **fields: Any) -> str:
        """The texts of the turn of `a`, with those that join it."""
        turns = (turn("a"),) if turns is None else turns
        return " ".join(ids(with_newer(picture(*messages, turns=turns, **fields), turn("a"))))

    def test_newer_texts_of_the_first_third_of_the_deadline(self) -> None:
        assert joins_until([text("a"), text("b", 5)], rules()) == T + THIRD
        assert self.joined(text("a"), text("b", THIRD)) == "a b"
        assert self.joined(text("a"), text("b", THIRD + MOMENT)) == "a"

    def test_not_what_belongs_to_another_turn_has_words_already_or_has_ended(self) -> None:
        turns = (turn("a"), turn("b"))

        assert self.joined(text("a"), text("b"), text("c"), turns=turns) == "a c"
        assert self.joined(text("a"), text("b", outcome=YES), text("c")) == "a c"
        assert self.joined(text("a"), text("b", **NONE_LEFT), text("c")) == "a c"

    def test_a_turn_that_begins_does_not_meet_itself(self) -> None:
        assert self.joined(text("a"), text("b"), turns=()) == "a b"

    def test_nobody_when_none_of_its_texts_is_known_any_more(self) -> None:
        assert self.joined(text("b")) == ""

    def test_nobody_joins_a_hand_made_bots_text(self) -> None:
        assert self.joined(text("a", own=False), text("b")) == "a"

    def test_its_own_texts_count_for_the_size(self) -> None:
        long = text("a", said="x" * MAX_QUESTION_CHARACTERS)

        assert self.joined(long, text("b", 1, "?")) == "a"

    def test_the_turn_grows_at_its_end(self) -> None:
        before = turn("a", asked=2, error="once", failures=1)

        assert growing(before, [text("a"), text("b")]) == turn(
            "a", "b", asked=2, error="once", failures=1
        )


class TestQuestion:
    def test_the_texts_line_by_line(self) -> None:
        assert question([text("a", said="Hello"), text("b", said="roses?")]) == "Hello\nroses?"

    def test_a_picture_among_texts_is_told(self) -> None:
        assert question([voice("a"), text("b", said="how much?")]) == f"{NOT_READABLE}\nhow much?"

    def test_pictures_alone_are_nothing_to_read(self) -> None:
        assert question([voice("a"), voice("b")]) == ""
        assert question([]) == ""


class TestQuietTime:
    @pytest.mark.parametrize(
        ("texts", "fields", "after"),
        [
            pytest.param((0,), {}, 2, id="the burst after the newest text"),
            pytest.param((0, 5), {}, 7, id="after the newest of several"),
            pytest.param((0, 8), {}, 10, id="ten seconds after the oldest at the most"),
            pytest.param((0, 9), {}, 10, id="and no longer, however many come"),
            pytest.param((0,), {"burst": 30}, 10, id="ten seconds, however long the burst is"),
            pytest.param((0,), {"burst": 9}, 9, id="a long burst"),
            pytest.param((0,), {"burst": 0}, 0, id="none without bursts"),
            pytest.param((0,), {"reply_deadline": 8}, 2, id="a quarter of the reply deadline"),
            pytest.param((0,), {"reply_deadline": 6}, 1.5, id="at the most"),
        ],
    )
    def test_how_long_more_texts_are_waited_for(
        self, texts: tuple[float, ...], fields: dict[str, Any], after: float
    ) -> None:
        found = quiet_until([text(str(one), one) for one in texts], rules(**fields))

        assert found == T + after

    def test_a_hand_made_bot_is_answered_at_once(self) -> None:
        assert quiet_until([text("a", own=False)], rules()) == 0.0


class TestLastMoment:
    @pytest.mark.parametrize(
        ("reply_deadline", "after"),
        [(120, 119), (10, 9), (5, 4.5), (1, 0.9)],
    )
    def test_a_second_or_a_tenth_of_the_deadline_is_left_for_the_fallback(
        self, reply_deadline: float, after: float
    ) -> None:
        found = last_moment([text("a")], rules(reply_deadline=reply_deadline))

        assert found == pytest.approx(T + after, abs=1e-9)

    def test_the_oldest_text_decides(self) -> None:
        assert last_moment([text("a"), text("b", 30)], rules()) == T + 119


class TestLastMinute:
    @pytest.mark.parametrize(
        ("fields", "start", "end"),
        [
            pytest.param({}, 840, 900, id="the last 60 s of the continue deadline"),
            pytest.param({"continue_deadline": 180}, 120, 180, id="all behind the reply deadline"),
            pytest.param({"continue_deadline": 150}, 120, 150, id="no more than that"),
            pytest.param({"continue_deadline": 120}, 120, 120, id="none between equal deadlines"),
        ],
    )
    def test_it_begins_behind_the_reply_deadline(
        self, fields: dict[str, Any], start: float, end: float
    ) -> None:
        assert last_window(text("a"), rules(**fields)) == (T + start, T + end)

    @pytest.mark.parametrize(
        ("called", "over_at"),
        [
            pytest.param(T + 840, 900, id="called in it"),
            pytest.param(T + 895, 900, id="called near its end"),
            pytest.param(T + 840 - MOMENT, 960, id="called before it: one minute more"),
            pytest.param(0.0, 960, id="never called: one minute more"),
        ],
    )
    def test_a_salesbot_is_over_after_a_call_in_it_or_a_minute_later(
        self, called: float, over_at: float
    ) -> None:
        message = text("a", called_at=called)

        assert not is_over(message, rules(), T + over_at - MOMENT)
        assert is_over(message, rules(), T + over_at)

    def test_a_turn_with_a_last_call_goes_first(self) -> None:
        turns = (turn("a"), turn("b"))
        conversation = picture(text("a", 100), text("b", 0), turns=turns)

        def first(now: float) -> str:
            return last_minute_first(conversation, turns, now)[0].job_ids[0]

        assert first(T + 840 - MOMENT) == "a"
        assert first(T + 840) == "b"

    @pytest.mark.parametrize(
        "fields",
        [
            {"called_at": T + 840},
            {"state": "continued"},
            {"next_at": T + 850 + MOMENT},
        ],
    )
    def test_not_when_it_was_made_is_not_possible_yet_or_not_needed(
        self, fields: dict[str, Any]
    ) -> None:
        turns = (turn("a"), turn("b"))
        conversation = picture(text("a", 100), text("b", **fields), turns=turns)

        assert last_minute_first(conversation, turns, T + 850) == list(turns)

    def test_none_is_lost_or_doubled(self) -> None:
        turns = (turn("a"), turn("b"), turn("c"))
        conversation = picture(text("a", 100), text("b", 1), text("c", 101), turns=turns)

        assert last_minute_first(conversation, turns, T + 841) == [turns[1], turns[0], turns[2]]


class TestTarget:
    def test_the_newest_that_waits(self) -> None:
        assert target_of([text("a"), text("b", 1)], rules(), T + 2).job_id == "b"

    def test_one_that_was_refused_three_times_gives_way_to_the_next_older(self) -> None:
        def target(failures: int) -> str:
            waiting = [text("a"), text("b", 1), text("c", 2, failures=failures)]
            return target_of(waiting, rules(), T + 3).job_id

        assert (target(2), target(3), target(4)) == ("c", "b", "b")

    def test_the_newest_again_when_all_of_them_are_refused(self) -> None:
        waiting = [text("a", failures=3), text("b", 1, failures=7)]

        assert target_of(waiting, rules(), T + 3).job_id == "b"

    def test_an_older_one_whose_last_minute_has_come(self) -> None:
        waiting = [text("a"), text("b", 100)]

        assert target_of(waiting, rules(), T + 840 - MOMENT).job_id == "b"
        assert target_of(waiting, rules(), T + 840).job_id == "a"

    def test_the_oldest_of_several(self) -> None:
        assert target_of([text("a"), text("b", 1), text("c", 2)], rules(), T + 850).job_id == "a"

    def test_not_again_when_it_was_called_in_it(self) -> None:
        waiting = [text("a", called_at=T + 840), text("b", 100)]

        assert target_of(waiting, rules(), T + 850).job_id == "b"

    def test_not_before_it_may_be_called(self) -> None:
        waiting = [text("a", next_at=T + 850), text("b", 100)]

        assert target_of(waiting, rules(), T + 850 - MOMENT).job_id == "b"
        assert target_of(waiting, rules(), T + 850).job_id == "a"


class TestTheNextCall:
    @pytest.mark.parametrize(
        ("other", "now", "expected"),
        [
            pytest.param({}, 100, 110, id="when the target may be called"),
            pytest.param({}, 835, 840, id="before it, another one's last minute begins"),
            pytest.param({"next_at": T + 842}, 835, 842, id="or its next call in it"),
            pytest.param({"called_at": T + 841}, 895, 900, id="or it is over"),
            pytest.param({"called_at": T + 841}, 880, 890, id="but not before the target"),
            pytest.param({"next_at": T + 999}, 955, 960, id="over without a last call"),
        ],
    )
    def test_it_is_awaited_no_longer_than_something_else_happens(
        self, other: dict[str, Any], now: float, expected: float
    ) -> None:
        target = text("b", 100, next_at=T + now + 10)

        found = next_call_at(target, [text("a", **other), target], rules(), T + now)

        assert found == T + expected

    def test_what_happens_now_is_awaited_no_more(self) -> None:
        target = text("b", 100, next_at=T + 850)

        assert next_call_at(target, [text("a"), target], rules(), T + 840) == T + 850


class TestSoonest:
    def test_none_without_anybody(self) -> None:
        assert soonest([], rules(), T) is None

    def test_the_first_of_all(self) -> None:
        waiting = [text("a", next_at=T + 7), text("b", next_at=T + 5)]

        assert soonest(waiting, rules(), T + 1) == 4

    def test_none_waits_beyond_its_end(self) -> None:
        assert soonest([text("a", next_at=T + 2000)], rules(), T) == 960
        called = text("a", called_at=T + 850, next_at=T + 2000)
        assert soonest([called], rules(), T + 850) == 50

    def test_never_less_than_no_time(self) -> None:
        assert soonest([text("a", next_at=T)], rules(), T + 1) == 0


class TestHoldingBack:
    def test_until_its_first_call(self) -> None:
        assert holds_back_until(turn("a"), rules(), T) == NEVER
        assert holds_back_until(turn("a", outcome=YES), rules(), T + 9999) == NEVER

    @pytest.mark.parametrize(("reply_deadline", "seconds"), [(120, 15), (45, 15), (30, 10), (6, 2)])
    def test_then_15_seconds_and_no_more_than_a_third_of_the_deadline(
        self, reply_deadline: float, seconds: float
    ) -> None:
        failed, its = turn("a", failed_at=T), rules(reply_deadline=reply_deadline)

        assert holds_back_until(failed, its, T + seconds - MOMENT) == T + seconds
        assert holds_back_until(failed, its, T + seconds) == 0.0


@st.composite
def pictures(draw: st.DrawFn) -> Conversation:
    """Open texts of any kind, some of them in turns under way."""
    count = draw(st.integers(1, 7))
    messages = tuple(
        text(
            str(number),
            draw(st.floats(0, 60)),
            draw(st.sampled_from(["", "Hello", "x" * 9_000])),
            own=draw(st.booleans()),
            outcome=draw(st.sampled_from([None, None, YES, SKIP])),
        )
        for number in range(count)
    )
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=3, unique=True)))
    under_way = tuple(
        turn(*(str(number) for number in range(start, end)))
        for start, end in pairwise([0, *cuts])
        if end > start
    )
    return picture(*sorted(messages, key=lambda one: one.at), turns=under_way)


@given(pictures())
def test_no_text_is_in_two_turns_and_every_open_one_finds_its_turn(
    conversation: Conversation,
) -> None:
    """Those that begin one after the other, each when the former is under way."""
    while True:
        turns = turns_of(conversation)
        if len(turns) == len(conversation.turns):
            break
        conversation = picture(*conversation.messages, turns=tuple(turns))

    seen = [one for each in turns for one in each.job_ids]
    assert len(seen) == len(set(seen))
    open_ones = {one.job_id for one in conversation.messages if one.waits and not one.let_go}
    assert open_ones <= set(seen)


@given(pictures())
def test_who_joins_a_turn_belongs_to_no_other(conversation: Conversation) -> None:
    for one in conversation.turns:
        others = {
            job_id
            for other in conversation.turns
            if not other.same_as(one)
            for job_id in other.job_ids
        }

        found = ids(with_newer(conversation, one))

        assert len(found) == len(set(found))
        assert not others & set(found)

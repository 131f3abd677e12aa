"""The picture of a conversation: its turns by their oldest text."""

from pictures import YES, T, picture, text, turn

from kommo_bridge.answers.conversation import Outcome

FIRST, SECOND = turn("a", "b"), turn("c", asked=1)
BOTH = picture(text("a"), text("b", 1), text("c", 2), turns=(FIRST, SECOND))


def test_a_turn_that_grew_takes_its_own_place() -> None:
    grown = turn("a", "b", "d")

    assert BOTH.with_turn(grown) == (grown, SECOND)
    assert BOTH.without_turn(grown) == (SECOND,)


def test_a_turn_that_begins_is_the_last() -> None:
    begun = turn("d")

    assert BOTH.with_turn(begun) == (FIRST, SECOND, begun)
    assert BOTH.without_turn(begun) == (FIRST, SECOND)


def test_a_turn_is_known_as_it_is_kept() -> None:
    assert BOTH.kept(turn("c", "d")) is SECOND
    begun = turn("d")
    assert BOTH.kept(begun) is begun


def test_the_messages_of_a_turn_that_are_still_known() -> None:
    assert [one.job_id for one in BOTH.members(turn("a", "gone", "c"))] == ["a", "c"]


def test_a_reply_is_held_until_it_was_tried() -> None:
    assert not BOTH.held
    assert picture(turns=(FIRST, turn("c", outcome=YES))).held
    assert not picture(turns=(turn("c", outcome=YES, failed_at=T),)).held


def test_an_outcome_is_read_without_what_a_newer_version_adds() -> None:
    assert Outcome.of({"status": "success", "reply": "Yes.", "colour": "red"}) == YES

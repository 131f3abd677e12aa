"""Numbers, lists and typing errors in the sentences of the commands."""

import pytest

from kommo_bridge.english import counted, did_you_mean, listed


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 turns"), (1, "1 turn"), (1.0, "1 turn"), (2, "2 turns"), (0.5, "0.5 turns")],
)
def test_a_noun_follows_its_number(count: float, text: str) -> None:
    assert counted(count, "turn") == text


def test_a_long_list_is_cut_and_says_so() -> None:
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c", "d"], 2) == "a, b and 2 more"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("modle", "Did you mean model?"),
        ("handoff-txt", "Did you mean handoff_text?"),
        ("colour", ""),
    ],
)
def test_the_name_that_was_meant_is_found(typed: str, meant: str) -> None:
    assert did_you_mean(typed, ["model", "history", "handoff_text"]) == meant

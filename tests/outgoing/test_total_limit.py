"""The limit of a whole call: within another, after another, and for one thread alone."""

import pytest

from kommo_bridge.outgoing.total_limit import LimitReached, count_bytes, seconds_left, total_limit


def test_without_a_limit_the_callers_own_timeout_counts() -> None:
    assert (seconds_left(7.0), seconds_left(None)) == (7.0, None)


def test_one_within_another_never_lasts_longer_and_the_outer_one_goes_on() -> None:
    with total_limit(50, 100):
        with total_limit(1_000, 10):
            assert (seconds_left(None) or 1_000) <= 50
            with pytest.raises(LimitReached):
                count_bytes(11)
        assert (seconds_left(None) or 1_000) <= 50
        count_bytes(100)

    assert seconds_left(None) is None


def test_nothing_is_left_when_the_time_is_over() -> None:
    with total_limit(0, 1), pytest.raises(LimitReached):
        seconds_left(None)

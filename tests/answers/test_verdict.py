"""What Kommo's answer to a continue call means, row by row."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import T, text

from kommo_bridge.answers.verdict import Accepted, Final, Later, Verdict, verdict
from kommo_bridge.kommo.results import CallResult

ACCEPTED, FINAL = Accepted(), Final()
FIRST_WAIT = 2.0


@dataclass(frozen=True)
class Case:
    """A response, and what is known of the Salesbot that was called."""

    status: int | None
    unknown: bool = False
    handlers: bool = False
    short: bool = False
    token_changed: bool = False
    blocked: bool = False
    failures: int = 0
    may_have_arrived: bool = False
    retry_after: float | None = None
    late: bool = False

    @property
    def verdict(self) -> Verdict:
        """What it means."""
        result = CallResult(
            self.status,
            may_have_arrived=self.may_have_arrived,
            retry_after_seconds=self.retry_after,
            blocked=self.blocked,
        )
        called = text("a", unknown_since=T if self.unknown else None, failures=self.failures)
        return verdict(
            result,
            called,
            handlers=self.handlers,
            short=self.short,
            token_changed=self.token_changed,
            late=self.late,
        )


@pytest.mark.parametrize("status", [200, 202, 204, 299])
@pytest.mark.parametrize("known", [{}, {"unknown": True}, {"failures": 9, "short": True}])
def test_any_2xx_is_accepted(status: int, known: dict[str, Any]) -> None:
    assert Case(status, **known).verdict == ACCEPTED


@pytest.mark.parametrize("status", [404, 410])
def test_a_salesbot_that_is_gone_was_continued_if_an_earlier_call_may_have_arrived(
    status: int,
) -> None:
    assert Case(status).verdict == FINAL
    assert Case(status, failures=5).verdict == FINAL
    assert Case(status, unknown=True).verdict == ACCEPTED


def test_that_this_call_may_have_arrived_says_nothing_about_an_earlier_one() -> None:
    assert Case(404, may_have_arrived=True).verdict == FINAL


@pytest.mark.parametrize("status", [401, 402, 403])
@pytest.mark.parametrize("unknown", [False, True])
def test_kommo_refuses_this_account(status: int, unknown: bool) -> None:
    assert Case(status, unknown=unknown).verdict == FINAL
    assert Case(status, unknown=unknown, failures=7, handlers=True).verdict == FINAL


def test_a_403_that_may_be_a_block_of_our_address_is_not_final() -> None:
    found = Case(403, blocked=True, retry_after=300.0).verdict

    assert found == Later(300.0)


def test_a_block_does_not_undo_that_a_call_may_have_arrived() -> None:
    assert Case(403, blocked=True, unknown=True).verdict == Later(FIRST_WAIT, unknown=True)


def test_a_401_is_not_final_when_another_token_was_stored_meanwhile() -> None:
    assert Case(401, token_changed=True).verdict == Later(0.0)
    assert Case(401, token_changed=True, failures=5).verdict == Later(0.0)
    assert Case(401, token_changed=True, unknown=True).verdict == Later(0.0, unknown=True)


@pytest.mark.parametrize("status", [302, 307, 400, 405, 408, 409, 413, 418, 422, 423, 425, 429])
def test_any_other_3xx_or_4xx_is_tried_again_later_and_surely_did_not_arrive(status: int) -> None:
    assert Case(status).verdict == Later(FIRST_WAIT)
    assert Case(status, unknown=True).verdict == Later(FIRST_WAIT, unknown=True)


@pytest.mark.parametrize("status", [500, 502, 503, 504, None])
def test_whether_a_call_arrived_stays_unknown_until_kommo_says(status: int | None) -> None:
    assert Case(status).verdict == Later(FIRST_WAIT)
    assert Case(status, may_have_arrived=True).verdict == Later(FIRST_WAIT, unknown=True)
    assert Case(status, unknown=True).verdict == Later(FIRST_WAIT, unknown=True)


def test_handlers_that_kommo_refuses_are_left_out_at_once() -> None:
    assert Case(400, handlers=True).verdict == Later(0.0, plain=True)
    assert Case(400, handlers=True, failures=5).verdict == Later(0.0, plain=True)
    assert Case(400, handlers=True, unknown=True).verdict == Later(0.0, unknown=True, plain=True)


@pytest.mark.parametrize("status", [409, 413, 422, 500])
def test_only_a_400_speaks_of_the_handlers(status: int) -> None:
    assert Case(status, handlers=True).verdict == Later(FIRST_WAIT)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_text_that_is_refused_three_times_gives_way_to_the_short_sentence(status: int) -> None:
    assert Case(status, failures=0).verdict == Later(2.0)
    assert Case(status, failures=1).verdict == Later(5.0)
    assert Case(status, failures=2).verdict == Later(0.0, short=True)
    assert Case(status, failures=9).verdict == Later(0.0, short=True)


@pytest.mark.parametrize("status", [302, 405, 408, 409, 423, 425, 429, 500, None])
def test_other_refusals_do_not_speak_of_the_text(status: int | None) -> None:
    assert Case(status, failures=2).verdict == Later(10.0)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_at_once_when_the_customer_has_waited_for_the_whole_deadline(status: int) -> None:
    assert Case(status, late=True).verdict == Later(0.0, short=True)
    assert Case(status, late=True, short=True).verdict == Later(FIRST_WAIT)
    assert Case(status, late=True, unknown=True).verdict == Later(FIRST_WAIT, unknown=True)
    assert Case(409, late=True).verdict == Later(FIRST_WAIT)


def test_what_is_short_already_is_only_tried_again() -> None:
    assert Case(400, failures=2, short=True).verdict == Later(10.0)


def test_a_text_that_may_have_arrived_is_not_exchanged() -> None:
    assert Case(400, failures=2, unknown=True).verdict == Later(10.0, unknown=True)
    assert Case(400, failures=2, may_have_arrived=True).verdict == Later(10.0, unknown=True)


@pytest.mark.parametrize(
    ("failures", "retry_after", "seconds"),
    [
        (0, None, 2.0),
        (1, None, 5.0),
        (2, None, 10.0),
        (3, None, 20.0),
        (4, None, 40.0),
        (5, None, 60.0),
        (99, None, 60.0),
        pytest.param(0, 0.0, 2.0, id="an empty Retry-After is no hot loop"),
        pytest.param(0, 2.5, 2.5, id="Kommo asks for more"),
        pytest.param(2, 2.5, 10.0, id="Kommo asks for less"),
    ],
)
def test_the_wait_grows_and_kommo_may_ask_for_more(
    failures: int, retry_after: float | None, seconds: float
) -> None:
    assert Case(503, failures=failures, retry_after=retry_after).verdict == Later(seconds)


@given(
    st.builds(
        Case,
        st.one_of(st.none(), st.integers(100, 599)),
        unknown=st.booleans(),
        handlers=st.booleans(),
        short=st.booleans(),
        token_changed=st.booleans(),
        blocked=st.booleans(),
        failures=st.integers(0, 50),
        may_have_arrived=st.booleans(),
        retry_after=st.one_of(st.none(), st.floats(0, 600)),
        late=st.booleans(),
    )
)
def test_of_every_answer(case: Case) -> None:
    """Only these five are final; a mark of uncertainty never goes while a call is tried again."""
    found = case.verdict

    if isinstance(found, Final):
        assert case.status in {401, 402, 403, 404, 410}
    if isinstance(found, Later):
        assert found.unknown == (case.unknown or case.may_have_arrived)
        assert not (found.short and (case.short or found.unknown))
        asked = case.retry_after or 0.0
        assert found.seconds >= asked or found.plain or found.short or case.token_changed

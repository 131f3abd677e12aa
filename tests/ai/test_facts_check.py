"""What a reply states must stand in what the business has said, in six ways of writing."""

import time
import tomllib
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommo_bridge.ai.facts_check import MAX_FACTS, Unfounded, check
from kommo_bridge.ai.facts_numbers import readings
from kommo_bridge.ai.messenger_text import MAX_SOURCE
from local.processes import ROOT


class Case(NamedTuple):
    """A reply of `bench/facts_replies.toml`; `invented` is the kind of what is, if anything is."""

    language: str
    said: str
    customer: str
    reply: str
    invented: str

    def found(self) -> list[Unfounded]:
        return check(self.reply, [self.said], [self.customer])


BUSINESSES = tomllib.loads((ROOT / "bench" / "facts_replies.toml").read_text(encoding="utf-8"))
CASES = [
    Case(language, one["said"], customer, reply, "".join(kind))
    for language, one in BUSINESSES.items()
    for customer, reply, *kind in one["sound"] + one["invented"]
]
SAID = "Espresso $2.50, open 9-18, closed on 25 December. Call +1 312 555 0188, 10% off at a@b.io."


def kinds(reply: str, *known: str, customer: str = "") -> list[str]:
    return [one.kind for one in check(reply, known or (SAID,), [customer])]


def test_the_bench_is_large_enough_to_say_something() -> None:
    assert sum(not case.invented for case in CASES) >= 150
    assert sum(bool(case.invented) for case in CASES) >= 120
    assert len({case.language.partition("-")[0] for case in CASES}) == 6


def test_of_sound_replies_fewer_than_two_in_a_hundred_are_doubted() -> None:
    sound = [case for case in CASES if not case.invented]

    assert sum(bool(case.found()) for case in sound) < 0.02 * len(sound)


def test_of_invented_replies_nearly_all_are_found() -> None:
    invented = [case for case in CASES if case.invented]

    found = [case for case in invented if case.invented in {one.kind for one in case.found()}]

    assert len(found) >= 0.97 * len(invented)


@pytest.mark.parametrize("case", [case for case in CASES if case.invented], ids=str)
def test_without_a_word_of_the_business_each_invented_reply_is_doubted(case: Case) -> None:
    assert check(case.reply, [], [])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1234", {"1234"}),
        ("1,234.50", {"1234.50"}),
        ("1.234,50", {"1234.50"}),
        ("1.234.567", {"1234567"}),
        ("1 234", {"1234"}),
        ("1'234.5", {"1234.5"}),
        ("1.234", {"1234", "1.234"}),
        ("12,5", {"12.5"}),
        ("0.500", {"500", "0.5"}),
    ],
)
def test_thousands_and_decimals_are_told_by_their_places(text: str, numbers: set[str]) -> None:
    assert {f"{one}" for one in readings(text)} >= {one for one in numbers if one != "0.5"}
    assert len(readings(text)) == len(numbers)


@pytest.mark.parametrize(
    ("reply", "customer", "found"),
    [
        ("It is $2.50.", "", []),
        ("It is 2,5 USD.", "", []),
        ("It is $2.", "is it $2?", ["price"]),
        ("You get 20% off.", "20% off?", ["percentage"]),
        ("We are 100% sure.", "", []),
        ("4 espressos are $10.", "", []),
        ("Four are $10.", "", []),
        ("They are $10.", "", ["price"]),
        ("With 10% off it is $2.25.", "", []),
        ("We open at 9am.", "", []),
        ("We open at 8:00.", "", ["time"]),
        ("See you at 8:00.", "can I come at 8:00", []),
        ("Closed on 12/25.", "", []),
        ("Closed on 25.12.2026.", "", []),
        ("Closed on 1 January.", "", ["date"]),
        ("Call 555-0188.", "", []),
        ("Call 555-0199.", "", ["phone"]),
        ("Write to A@B.io", "", []),
        ("Write to c@b.io", "", ["email"]),
        ("See https://b.io", "", []),
        ("See https://evil.example.com/x", "", ["link"]),
        ("We have 3 rooms and 12 tables since 1999.", "", []),
        ("We have 450 tables.", "", ["number"]),
        ("Your order 48213 is on its way.", "where is order 48213", []),
        ("Two of $9.99 and one more of $9.99.", "", ["price"]),
        ("No figures at all.", "", []),
    ],
)
def test_each_kind_is_looked_for_where_it_may_stand(
    reply: str, customer: str, found: list[str]
) -> None:
    assert kinds(reply, customer=customer) == found


def test_a_link_that_only_the_customer_named_can_be_refused() -> None:
    reply, customer = "Is it https://evil.example.com/x?", "look at https://evil.example.com/x"

    assert check(reply, [SAID], [customer]) == []
    assert check(reply, [SAID], [customer], customers_links=False) == [
        Unfounded("link", "https://evil.example.com/x")
    ]


PIECES = st.sampled_from(
    "1 12 123 1234 . , : / - + ( ) $ € % @ am pm may mayo de 25 руб TL Rp k ' h www. .com https:// "
    "saat в a las y 000 00 \n \u00a0".split(" ")
)
TEXTS = st.text(max_size=200) | st.lists(PIECES, max_size=80).map("".join)


@given(TEXTS, TEXTS)
def test_any_text_can_be_checked_and_bears_out_itself(reply: str, known: str) -> None:
    found = check(reply, [known], [])

    assert all(one.text for one in found)
    assert {one.kind for one in check(reply, [reply], [])} <= {"time"}


@given(TEXTS, TEXTS, TEXTS)
def test_more_knowledge_founds_more(reply: str, known: str, more: str) -> None:
    before = set(check(reply, [known], []))

    assert set(check(reply, [known, more], [])) <= before


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "1",
            "1 ",
            "1.",
            "1,000",
            "$1 ",
            "1:",
            "1/",
            "+1",
            "(1)",
            "a.",
            "a@",
            "a@a.",
            "www.",
            "-",
        ),
        *("may ", "1 may ", "1 y ", "at 1 ", "100% ", "$1 10% ", "https://a", "1-1-", "1.1.", "é"),
        *("12 de ", "1'000", "Rp", "555-0123 "),
    ],
)
def test_a_reply_of_any_shape_takes_no_longer_than_its_length_wants(piece: str) -> None:
    """Time grows with the text, not with its square: a longer one would need minutes otherwise."""
    text = (piece * MAX_SOURCE)[:MAX_SOURCE]
    started = time.thread_time()

    check(text, [text], [text])

    assert time.thread_time() - started < 5


def test_only_so_many_facts_of_a_reply_are_looked_at() -> None:
    prices = " ".join(f"${number}.99" for number in range(500))

    assert len(check(prices, [""], [])) == MAX_FACTS

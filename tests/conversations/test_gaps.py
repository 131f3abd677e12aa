"""Questions that nothing given answers are counted, kept a month, and dealt with."""

from dataclasses import replace

import pytest
from redis import Redis

from kommo_bridge.conversations.gaps import KEPT_SECONDS, MAX_CHARACTERS, MOST, Gap, Gaps
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.redis_client import PREFIX

ACME = Integration("id", "acme")
NOW = 1_800_000_000.0
DAY = 86400.0


@pytest.fixture
def gaps(redis: Redis) -> Gaps:
    return Gaps(redis)


def test_two_wordings_of_a_question_are_one_gap(gaps: Gaps) -> None:
    gaps.note(ACME, "Do you repair  shoes?", NOW)
    gaps.note(ACME, "do you repair shoes", NOW + 60)

    assert gaps.list(ACME, NOW + 60) == [Gap(1, "Do you repair shoes?", 2, NOW + 60)]


def test_the_most_often_asked_come_first_then_the_latest(gaps: Gaps) -> None:
    for question, at in [("Shoes?", 0), ("Parking?", 1), ("Wi-Fi?", 2), ("Shoes?", 3)]:
        gaps.note(ACME, question, NOW + at)

    assert [gap.question for gap in gaps.list(ACME, NOW + 3)] == ["Shoes?", "Wi-Fi?", "Parking?"]


def test_a_gap_keeps_its_number_until_it_is_done(gaps: Gaps) -> None:
    for question in ("Shoes?", "Parking?", "Wi-Fi?"):
        gaps.note(ACME, question, NOW)

    assert gaps.done(ACME, 2)
    assert not gaps.done(ACME, 2)
    gaps.note(ACME, "Parking?", NOW)

    numbers = {gap.question: (gap.number, gap.count) for gap in gaps.list(ACME, NOW)}
    assert numbers == {"Shoes?": (1, 1), "Wi-Fi?": (3, 1), "Parking?": (4, 1)}


def test_a_gap_ends_thirty_days_after_it_was_last_asked(gaps: Gaps, redis: Redis) -> None:
    gaps.note(ACME, "Shoes?", NOW)
    gaps.note(ACME, "Parking?", NOW)
    gaps.note(ACME, "Shoes?", NOW + 20 * DAY)

    assert [gap.question for gap in gaps.list(ACME, NOW + 31 * DAY)] == ["Shoes?"]
    gaps.note(ACME, "Wi-Fi?", NOW + 31 * DAY)
    keys = redis.keys(f"{PREFIX}gaps:*")
    assert len(keys) == 5
    assert all(0 < redis.ttl(key) <= KEPT_SECONDS for key in keys)
    assert redis.hlen(f"{PREFIX}gaps:id:acme:said") == 2


def test_a_gap_is_short_and_has_words(gaps: Gaps) -> None:
    gaps.note(ACME, "why " * 100, NOW)
    gaps.note(ACME, " ?! ", NOW)

    (gap,) = gaps.list(ACME, NOW)
    assert len(gap.question) == MAX_CHARACTERS


def test_the_oldest_of_too_many_give_way(gaps: Gaps) -> None:
    for number in range(MOST + 2):
        gaps.note(ACME, f"question {number}", NOW + number)

    kept = {gap.question for gap in gaps.list(ACME, NOW + MOST + 2)}
    assert len(kept) == MOST
    assert not {"question 0", "question 1"} & kept


def test_one_integrations_gaps_are_not_anothers(gaps: Gaps) -> None:
    gaps.note(ACME, "Shoes?", NOW)

    assert gaps.list(replace(ACME, subdomain="other"), NOW) == []
    assert not gaps.done(replace(ACME, subdomain="other"), 1)

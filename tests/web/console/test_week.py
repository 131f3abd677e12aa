"""The week in the console: the figures of the report, and a bar a day with its numbers."""

import re
import time
from datetime import date, timedelta

import pytest
from redis import Redis

from console.conftest import Visitor, page_of, seen
from kommo_bridge.conversations.days import Answered, Days
from kommo_bridge.integrations.integration import Integration

MONDAY = date.today() - timedelta(date.today().weekday())  # noqa: DTZ011


def test_a_week_without_an_answer_says_so(owner: Visitor, acme: Integration) -> None:
    assert "Nothing was answered in this week." in owner.get(page_of(acme, "week")).text


def test_this_week_shows_its_figures_and_its_days(
    owner: Visitor, redis: Redis, acme: Integration
) -> None:
    days = Days(redis)
    for number in range(3):
        days.answered(acme, Answered(f"conversation-{number}", 2.0), time.time())
    days.answered(acme, Answered("conversation-9", 4.0, "order"), time.time())

    page = owner.get(page_of(acme, "week"))
    text = seen(page)

    assert "Conversations 4 0" in text
    assert "Handed over to a colleague 1 (order 1) 0" in text
    assert page.text.count('class="all"') == 7
    assert page.text.count('height="100"') == 1
    assert "style=" not in page.text
    assert not re.search(r"\b(Redis|RQ|job|JSON)\b", text)


@pytest.mark.parametrize("day", ["", "yesterday", "2026-99-99", "9999-12-31", "<script>"])
def test_any_other_day_is_this_week(owner: Visitor, acme: Integration, day: str) -> None:
    answer = owner.get(page_of(acme, "week"), query_string={"day": day})

    assert answer.status_code == 200
    assert "until now" in answer.text
    assert "Week after" not in answer.text


def test_an_earlier_week_leads_back(owner: Visitor, acme: Integration) -> None:
    earlier = MONDAY - timedelta(10)

    answer = owner.get(page_of(acme, "week"), query_string={"day": earlier.isoformat()})

    assert "until now" not in answer.text
    assert "Week after" in answer.text


def test_the_earliest_week_is_a_week(owner: Visitor, acme: Integration) -> None:
    assert owner.get(page_of(acme, "week"), query_string={"day": "0001-01-01"}).status_code == 200


def test_another_accounts_figures_are_not_shown(
    operator: Visitor, redis: Redis, acme: Integration, other: Integration
) -> None:
    Days(redis).answered(acme, Answered("conversation-1", 2.0), time.time())

    assert "Nothing was answered" in operator.get(page_of(other, "week")).text

"""The week names what was asked in it and had no answer."""

from datetime import UTC, date, datetime

from redis import Redis

from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.monitoring.weeks import Weeks


def test_a_week_names_the_gaps_of_its_days_the_most_frequent_first(redis: Redis) -> None:
    acme, gaps = Integration("id", "acme"), Gaps(redis)
    asked = {"Before?": (22,), "Once?": (23,), "Twice?": (24, 29), "After?": (30,)}
    for question, days in asked.items():
        for day in days:
            gaps.note(acme, question, datetime(2026, 11, day, 12, tzinfo=UTC).timestamp())

    assert Weeks(redis).read(acme, date(2026, 11, 23)).gaps == ("Twice?", "Once?")

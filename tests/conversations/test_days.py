"""What is counted on each day, beside a month whose true figures are known."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from redis import Redis

from kommo_bridge.conversations.days import (
    RETURN_SECONDS,
    STEP,
    VISIT_SECONDS,
    Answered,
    Counts,
    Days,
    day_of,
    step_of,
)
from kommo_bridge.integrations.integration import Integration

MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC).timestamp()  # a Monday
HOUR, DAY = 3600.0, 86400.0
MONDAY = date(2026, 11, 2)


def one(days: Days, integration: Integration, name: str, at: float, **fields: object) -> None:
    """Count a turn so many seconds after Monday's midnight in UTC."""
    days.answered(integration, Answered(name, 3.0, **fields), MIDNIGHT + at)  # type: ignore[arg-type]


def week(days: Days, integration: Integration) -> Counts:
    return days.read(integration, [MONDAY + timedelta(number) for number in range(7)])


def test_a_conversation_is_counted_once_however_many_turns_it_has(
    redis: Redis, acme: Integration
) -> None:
    days = Days(redis)

    for minutes in (0, 5, 200):
        one(days, acme, "a", 9 * HOUR + minutes * 60)

    found = week(days, acme)
    assert (found.conversations, found.alone, found.turns) == (1, 1, 3)


@pytest.mark.parametrize(
    ("later", "alone"),
    [(VISIT_SECONDS, 1), (VISIT_SECONDS + 1, 1), (2 * DAY, 1), (RETURN_SECONDS - HOUR, 1)],
)
def test_who_returns_within_three_days_was_not_helped_the_first_time(
    redis: Redis, acme: Integration, later: float, alone: int
) -> None:
    days = Days(redis)

    one(days, acme, "a", 0)
    one(days, acme, "a", later)

    found = week(days, acme)
    assert found.conversations == (1 if later <= VISIT_SECONDS else 2)
    assert found.alone == alone


def test_the_record_of_a_visit_ends_with_the_time_to_return(
    redis: Redis, acme: Integration
) -> None:
    one(Days(redis), acme, "a", 0)

    [key] = redis.keys("*:visit")

    assert RETURN_SECONDS - 60 < redis.ttl(key) <= RETURN_SECONDS


def test_a_handoff_or_a_failure_later_in_the_conversation_counts_against_its_first_day(
    redis: Redis, acme: Integration
) -> None:
    days = Days(redis)

    one(days, acme, "a", 23.9 * HOUR)
    one(days, acme, "a", 24.1 * HOUR, handoff="complaint")
    one(days, acme, "b", 24.1 * HOUR)
    one(days, acme, "b", 24.2 * HOUR, failed=True)
    one(days, acme, "b", 24.3 * HOUR, handoff="order")

    first, second = days.read(acme, [MONDAY]), days.read(acme, [MONDAY + timedelta(1)])
    assert (first.conversations, first.alone, first.handoffs) == (1, 0, {})
    assert (second.conversations, second.alone, second.failures) == (1, 0, 1)
    assert second.handoffs == {"complaint": 1, "order": 1}


def test_a_day_is_one_where_the_business_is(redis: Redis, acme: Integration) -> None:
    """São Paulo is three hours behind: Monday begins at 3:00 UTC."""
    days, there = Days(redis), replace(acme, time_zone="America/Sao_Paulo")

    one(days, there, "a", 2.9 * HOUR)
    one(days, there, "b", 3.1 * HOUR)

    assert days.read(there, [MONDAY - timedelta(1)]).conversations == 1
    assert days.read(there, [MONDAY]).conversations == 1


def test_integrations_are_counted_apart(redis: Redis, acme: Integration) -> None:
    days, other = Days(redis), replace(acme, subdomain="beta")

    one(days, acme, "a", 0)
    days.given_up(other, MIDNIGHT)

    assert week(days, acme).failures == 0
    assert week(days, other) == Counts(failures=1)


def test_a_time_is_told_to_a_tenth() -> None:
    for seconds in (0.2, 1.0, 1.1, 3.0, 59.9, 120.0):
        assert max(seconds, 1.0) <= STEP ** step_of(seconds) + 1e-6 <= max(seconds, 1.0) * STEP
    assert Counts().seconds_at(0.5) is None
    assert Counts(steps={3: 9, 20: 1}).seconds_at(0.5) == STEP**3
    assert Counts(steps={3: 9, 20: 1}).seconds_at(0.95) == STEP**20


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Jakarta"])
def test_a_month_whose_true_figures_are_known(redis: Redis, acme: Integration, zone: str) -> None:
    """Berlin's clocks go back in it; the truth is found from all turns at once."""
    integration, days, random = replace(acme, time_zone=zone), Days(redis), Random(7)
    start = datetime(2026, 10, 5, tzinfo=ZoneInfo(zone)).timestamp()
    turns = sorted(
        (
            start + random.uniform(0, 30 * DAY),
            Answered(
                f"conversation {random.randrange(150)}",
                random.uniform(1, 90),
                handoff=random.choice(("", "", "", "order", "unknown")),
                failed=random.random() < 0.05,
            ),
        )
        for _ in range(900)
    )

    _play(redis, days, integration, turns)

    truth = _truth(integration, turns)
    for number in range(31):
        day = datetime.fromtimestamp(start, ZoneInfo(zone)).date() + timedelta(number)
        found = days.read(integration, [day])
        assert (found.conversations, found.alone) == truth[day], day
    month = days.read(integration, truth)
    assert month.turns == len(turns)
    assert month.handoffs == Counter(turn.handoff for _, turn in turns if turn.handoff)
    times = sorted(turn.seconds for _, turn in turns)
    for share in (0.5, 0.9):
        true = times[round(share * len(times)) - 1]
        assert true <= (month.seconds_at(share) or 0) <= true * STEP * 1.001


def _play(
    redis: Redis, days: Days, integration: Integration, turns: list[tuple[float, Answered]]
) -> None:
    """Count all turns; Redis' own clock does not move, so visits are forgotten by hand."""
    last: dict[str, float] = {}
    for now, turn in turns:
        if now - last.get(turn.conversation, now) > RETURN_SECONDS:
            redis.delete(f"kommo_bridge:conversation:{turn.conversation}:visit")
        last[turn.conversation] = now
        days.answered(integration, turn, now)


def _truth(
    integration: Integration, turns: list[tuple[float, Answered]]
) -> dict[date, tuple[int, int]]:
    """Conversations, and those answered alone, by the day on which they began."""
    found: dict[date, list[bool]] = {}
    by_name: dict[str, list[tuple[float, Answered]]] = {}
    for now, turn in turns:
        by_name.setdefault(turn.conversation, []).append((now, turn))
    for own in by_name.values():
        visits: list[list[tuple[float, Answered]]] = []
        for now, turn in own:
            if visits and now - visits[-1][-1][0] <= VISIT_SECONDS:
                visits[-1].append((now, turn))
            else:
                visits.append([(now, turn)])
        for visit, following in zip(visits, [*visits[1:], None], strict=True):
            helped = any(turn.handoff or turn.failed for _, turn in visit)
            back = following and following[0][0] - visit[-1][0] <= RETURN_SECONDS
            day = day_of(integration, visit[0][0])
            found.setdefault(day, []).append(not helped and not back)
    days = {day_of(integration, turns[0][0] + n * DAY / 2): (0, 0) for n in range(64)}
    return days | {day: (len(alone), sum(alone)) for day, alone in found.items()}

"""Hours: read strictly, around midnight, when the clock is changed, and on closed days."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommo_bridge.integrations.hours import DAYS, read_hours, read_week
from kommo_bridge.integrations.time_kinds import ClosedDays, OpenHours, TimeZone

SHOP = "mo-fr 9-18; sa 10-14"
# The week of these tests: Monday the 2nd to Sunday the 8th of November 2026.
MONDAY = datetime(2026, 11, 2, tzinfo=UTC)


def at(text: str, zone: str = "UTC") -> datetime:
    """Such as `fr 17:30`, in the week of these tests."""
    day, _, clock = text.partition(" ")
    hour, _, minute = clock.partition(":")
    date = MONDAY + timedelta(days=DAYS.index(day))
    return date.replace(hour=int(hour), minute=int(minute), tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("hours", "moment", "is_open", "opens"),
    [
        (SHOP, "mo 8:59", False, "mo 9:00"),
        (SHOP, "mo 9:00", True, "tu 9:00"),
        (SHOP, "mo 17:59", True, "tu 9:00"),
        (SHOP, "mo 18:00", False, "tu 9:00"),
        (SHOP, "fr 20:00", False, "sa 10:00"),
        ("mo-su 9-13,14-18", "we 13:30", False, "we 14:00"),
        ("mo-su 9-13, 14:15-18", "we 14:14", False, "we 14:15"),
        ("MO-FR 9-18", "mo 10:00", True, "tu 9:00"),
        ("fr-sa 22-2", "sa 1:59", True, "sa 22:00"),
        ("fr-sa 22-2", "su 1:59", True, None),
        ("fr-sa 22-2", "su 2:00", False, None),
        ("fr-sa 22-2", "fr 1:00", False, "fr 22:00"),
        ("sa-mo 9-12", "su 10:00", True, None),
        ("mo 9-24", "mo 23:59", True, None),
        ("mo-su 0-24", "th 0:00", True, "fr 0:00"),
        ("we,fr 9-18", "th 10:00", False, "fr 9:00"),
        ("mo-fr 14-18; mo 9-12", "mo 10:00", True, "mo 14:00"),
    ],
)
def test_hours_say_whether_a_business_is_open_and_when_it_opens_next(
    hours: str, moment: str, is_open: bool, opens: str | None
) -> None:
    shop = read_hours(hours, "", "UTC")

    assert shop.is_open(at(moment)) == is_open
    following = shop.opens_next(at(moment))
    assert following is not None
    if opens:
        assert following == at(opens)
    else:  # in the week after
        assert following >= MONDAY + timedelta(days=7)


@pytest.mark.parametrize(
    "wrong",
    [
        *("mo-fr", "9-18", "mo-fr 9", "mo-fr 9-25", "mo-fr 24-9", "mo-fr 9-9", "mo-fr 9:60-18"),
        *("monday 9-18", "mo-xx 9-18", "mo-fr 9-18;", "mo-fr 9-18 sa 10-14", "mo-fr 9.30-18"),
        *("mo-fr 9-18,", "mo–fr 9–18", "mo-tu-we 9-18", "mo-fr 9am-6pm", "mo-fr 24:30-25", ";"),
        *("mo-fr ٩-18", "lu-vi 9-18"),
    ],
)
def test_hours_that_are_written_in_another_way_are_refused(wrong: str) -> None:
    assert not OpenHours().fits(wrong)


@pytest.mark.parametrize("wrong", ["25.12.2026", "2026-02-30", "20261225", "2026-W52-5", "today"])
def test_only_iso_dates_are_closed_days(wrong: str) -> None:
    assert not ClosedDays().fits(wrong)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        *(("UTC", True), ("Europe/Berlin", True), ("America/Argentina/Buenos_Aires", True)),
        *(("", False), ("Berlin", False), ("Europe", False), ("../UTC", False), ("GMT+3", False)),
    ],
)
def test_a_time_zone_has_the_name_that_the_world_knows(name: str, known: bool) -> None:
    assert TimeZone().fits(name) == known


def test_nothing_begins_on_a_closed_day_but_the_night_before_goes_on() -> None:
    bar = read_hours("mo-su 20-2", "2026-11-06 2026-11-07", "UTC")

    assert bar.is_open(at("fr 1:00"))
    assert not bar.is_open(at("fr 21:00"))
    assert not bar.is_open(at("sa 1:00"))
    assert bar.opens_next(at("fr 1:00")) == at("su 20:00")


def test_without_hours_a_business_is_always_open_except_on_closed_days() -> None:
    always = read_hours("", "", "UTC")
    shop = read_hours("", "2026-11-04", "UTC")

    assert always.is_open(at("su 3:00"))
    assert always.opens_next(at("su 3:00")) is None
    assert not shop.is_open(at("we 12:00"))
    assert shop.opens_next(at("we 12:00")) == at("th 0:00")


def test_one_that_is_closed_for_more_than_a_year_opens_at_no_known_time() -> None:
    days = " ".join(f"{(MONDAY + timedelta(days=day)).date()}" for day in range(500))

    assert read_hours("mo-su 9-18", days, "UTC").opens_next(at("mo 10:00")) is None


def test_hours_are_those_of_the_business_own_clock() -> None:
    shop = read_hours(SHOP, "", "America/Sao_Paulo")

    assert not shop.is_open(at("mo 11:59", "UTC"))
    assert shop.is_open(at("mo 12:00", "UTC"))
    following = shop.opens_next(at("th 2:00", "UTC"))
    assert following == at("th 12:00", "UTC")
    assert f"{following:%H:%M}" == "09:00"


@pytest.mark.parametrize(
    ("hours", "moment", "is_open"),
    [
        # On 29 March 2026 in Berlin 2:00 is followed by 3:00: 1:00 UTC.
        ("su 2:30-5", "2026-03-29T01:29:00+00:00", False),
        ("su 2:30-5", "2026-03-29T01:30:00+00:00", True),
        ("su 2:30-5", "2026-03-29T02:59:00+00:00", True),
        ("su 2:30-5", "2026-03-29T03:00:00+00:00", False),
        ("su 2:30-3:15", "2026-03-29T01:20:00+00:00", False),
        # On 25 October 2026 2:00 to 3:00 is there twice: from 0:00 and from 1:00 UTC.
        ("sa 22-2:30", "2026-10-25T00:29:00+00:00", True),
        ("sa 22-2:30", "2026-10-25T00:30:00+00:00", False),
        ("sa 22-2:30", "2026-10-25T01:15:00+00:00", False),
        ("su 2:30-5", "2026-10-25T00:30:00+00:00", True),
        ("mo-su 9-18", "2026-10-24T07:00:00+00:00", True),
        ("mo-su 9-18", "2026-10-25T07:30:00+00:00", False),
        ("mo-su 9-18", "2026-10-25T08:00:00+00:00", True),
    ],
)
def test_hours_follow_the_clock_on_the_wall_when_it_is_changed(
    hours: str, moment: str, is_open: bool
) -> None:
    shop = read_hours(hours, "", "Europe/Berlin")

    assert shop.is_open(datetime.fromisoformat(moment)) == is_open


spans = st.tuples(st.integers(0, 23), st.integers(0, 24)).filter(lambda span: span[0] != span[1])
parts = st.tuples(
    st.sampled_from(DAYS), st.sampled_from(DAYS), st.lists(spans, min_size=1, max_size=3)
)
weeks = st.lists(parts, max_size=4).map(
    lambda found: "; ".join(
        f"{first}-{last} {','.join(f'{begin}-{end}' for begin, end in spans)}"
        for first, last, spans in found
    )
)
zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Cairo"]
)
moments = st.floats(0, 4000).map(lambda days: MONDAY + timedelta(days=days))


@given(weeks, zones, moments)
def test_a_business_opens_when_it_says_and_not_before(week: str, zone: str, now: datetime) -> None:
    shop = read_hours(week, "2026-05-01", zone)

    following = shop.opens_next(now)

    assert following is not None
    assert following > now
    assert shop.is_open(following)
    if not shop.is_open(now):
        between = [now + (following - now) * share / 7 for share in range(1, 7)]
        assert not any(map(shop.is_open, between))


@given(st.text(max_size=60) | st.text("motuwefrsa 0123456789-,;:", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        week = read_week(text)
    except ValueError:
        return
    assert all(0 <= begin < end <= 2 * 1440 for spans in week for begin, end in spans)

"""The week as its owner reads it: rules without Redis, then the command on real counters."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.conversations.days import Answered, Counts, Days
from kommo_bridge.conversations.handoff import REASONS
from kommo_bridge.conversations.keys import period_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.sentences import LANGUAGES
from kommo_bridge.monitoring.watch import LOOK_KEY
from kommo_bridge.monitoring.week import Row, Week, as_json, days_of, monday_of, rows_of
from kommo_bridge.monitoring.week_message import message_of
from kommo_bridge.monitoring.week_words import WORDS
from kommo_bridge.settings import Settings

MONDAY = date(2026, 11, 16)
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp()
BUSY = Counts(
    conversations=40,
    alone=30,
    turns=90,
    failures=1,
    handoffs={"order": 5, "unknown": 2},
    steps={15: 80, 30: 10},
)
QUIET = Counts(conversations=3, alone=3, turns=4, steps={10: 4})


def values(week: Week, language: str = "en") -> dict[str, tuple[str, str]]:
    return {row.label: (row.now, row.before) for row in rows_of(week, language)}


def test_a_week_begins_on_monday() -> None:
    assert monday_of(date(2026, 11, 22)) == MONDAY
    assert monday_of(MONDAY) == MONDAY
    assert days_of(MONDAY)[-1] == Week(MONDAY, BUSY, QUIET).last == date(2026, 11, 22)


def test_the_figures_stand_beside_those_of_the_week_before() -> None:
    found = values(Week(MONDAY, BUSY, QUIET))

    assert found["Conversations"] == ("40", "3")
    assert found["Handed over to a colleague"] == ("7 (order 5, not known 2)", "0")
    assert found["Failures"] == ("1", "0")
    assert found["Half of the answers came within"] == ("4.2 s", "2.6 s")
    assert found["Nine of ten answers came within"] == ("17 s", "2.6 s")


def test_there_is_no_rate_below_thirty_conversations() -> None:
    found = values(Week(MONDAY, BUSY, QUIET))

    assert found["Answered by the assistant alone"] == ("30 (75%)", "3")


def test_the_cost_is_told_where_prices_are_set() -> None:
    week = Week(MONDAY, BUSY, QUIET, cost="1.20 EUR")

    assert values(week)["Cost of the AI"] == ("1.20 EUR", "")
    assert "Cost of the AI" not in values(replace(week, cost=""))


def test_a_week_without_answers_shows_no_times() -> None:
    nothing = Week(MONDAY, Counts(), Counts())

    assert nothing.is_empty
    assert not Week(MONDAY, Counts(failures=1), Counts()).is_empty
    assert values(nothing)["Half of the answers came within"] == ("-", "-")
    assert as_json(nothing)["seconds_p50"] is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_all_words(language: str) -> None:
    words = WORDS[language]

    assert set(words.reasons) == set(REASONS)
    assert {"{name}", "{first}", "{last}"} <= set(words.title.replace(":", " ").split())
    made = message_of(Week(MONDAY, BUSY, QUIET, gaps=("Do you deliver?",)), "Acme", language)
    assert made.subject in made.text
    assert "- Do you deliver?" in made.text


def test_an_unknown_language_is_told_in_english() -> None:
    assert rows_of(Week(MONDAY, BUSY, QUIET), "xx")[0] == Row("Conversations", "40", "3")


def test_what_customers_asked_is_escaped_in_html() -> None:
    made = message_of(Week(MONDAY, BUSY, QUIET, gaps=("<b>hi</b>",)), "A & B", "en")

    assert "A &amp; B" in made.html
    assert "&lt;b&gt;hi&lt;/b&gt;" in made.html
    assert "<b>" not in made.html


class TestCommand:
    @pytest.fixture
    def counted(self, redis: Redis, acme: Integration) -> Integration:
        """A week of acme's in which two conversations were answered and one was handed over."""
        redis.set(LOOK_KEY, "1")  # a bridge has used it
        days = Days(redis)
        for name, reason in (("a", ""), ("b", ""), ("c", "order")):
            days.answered(acme, Answered(name, 3.0, handoff=reason), NOON)
        return acme

    def run(self, settings: Settings, *words: str) -> tuple[int, str]:
        done = create_app(settings).test_cli_runner().invoke(args=["week", *words])
        return done.exit_code, done.output

    @pytest.mark.usefixtures("counted")
    def test_it_prints_the_week(self, settings: Settings) -> None:
        code, shown = self.run(settings, "acme", "--week", "2026-W47")

        assert code == 0
        assert "the week from 2026-11-16 to 2026-11-22" in shown
        assert "1 (order 1)" in shown

    @pytest.mark.usefixtures("counted")
    def test_as_json_and_for_all(self, settings: Settings) -> None:
        _, one = self.run(settings, "acme", "--week", "2026-W47", "--json")
        _, every = self.run(settings, "--all", "--week", "2026-W47")

        assert json.loads(one)["handoffs"] == {"order": 1}
        assert json.loads(one)["answered_alone"] == 2
        assert every.splitlines()[1].split() == ["acme.kommo.com", "3", "2", "1", "0", "3.1", "3.1"]

    def test_the_cost_of_the_week_is_that_of_its_days(
        self, redis: Redis, settings: Settings, counted: Integration
    ) -> None:
        redis.hset(period_key(counted, "2026-11-18"), "millionths", 1_250_000)
        redis.hset(period_key(counted, "2026-11-23"), "millionths", 9_000_000)

        _, shown = self.run(settings, "acme", "--week", "2026-W47")

        assert "1.25 USD" in shown

    @pytest.mark.usefixtures("counted")
    def test_an_empty_week_is_one_sentence(self, settings: Settings) -> None:
        code, shown = self.run(settings, "acme", "--week", "2026-W01")

        assert (code, "Nothing was answered from 2025-12-29 to 2026-01-04." in shown) == (0, True)

    @pytest.mark.parametrize("week", ["2026-W54", "W47", "2026-47", "yesterday"])
    @pytest.mark.usefixtures("counted")
    def test_another_word_than_a_week_is_refused(self, settings: Settings, week: str) -> None:
        code, shown = self.run(settings, "acme", "--week", week)

        assert (code, "it must be a week such as 2026-W47" in shown) == (2, True)

    def test_somebody_must_be_named(self, settings: Settings) -> None:
        code, shown = self.run(settings)

        assert (code, "Say one NAME, or --all." in shown) == (2, True)

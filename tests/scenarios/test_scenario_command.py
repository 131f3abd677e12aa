"""`flask test`, as an owner types it."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.knowledge.knowledge import Knowledge
from kommo_bridge.scenarios.red_team import hostile_scenarios
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI
from local.partners.ai_told import told_reply
from local.partners.kommo.server import StandInKommo
from local.processes import ROOT

SHOP = str(ROOT / "docs" / "scenarios" / "flower-shop.toml")
ONE = """
[[scenario]]
id = "hours"
[[scenario.turns]]
customer = "Are you open on Sunday?"
outcome = "reply"
contains = "{}"
"""


@pytest.fixture(autouse=True)
def flora(offline: Settings, shop: Integration) -> None:
    """The flower shop is in the store."""
    store = IntegrationStore(offline.database_path, offline.secret_key)
    store.migrate()
    store.add(shop)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A file with one scenario that holds."""
    path = tmp_path / "one.toml"
    path.write_text(ONE.format("9:00"), encoding="utf-8")
    return path


def dump(path: Path) -> list[str]:
    """Everything in a database."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def run(settings: Settings, *arguments: str) -> Result:
    return create_app(settings).test_cli_runner().invoke(args=["test", *arguments])


def test_all_that_holds_is_status_0_and_says_how_sure_one_may_be(offline: Settings) -> None:
    done = run(offline, "flora", SHOP, "--repeat", "2")

    assert done.exit_code == 0, done.output
    assert "price-of-21-roses               2 of 2" in done.output
    assert "20 of 20 scenarios held in every run." in done.output
    assert "None of 40 runs failed: up to 8% of them may still fail (95 % sure)." in done.output


def test_a_failure_is_status_1_and_shows_the_reply_against_what_was_expected(
    offline: Settings, one: Path
) -> None:
    one.write_text(ONE.format("24 hours"), encoding="utf-8")

    done = run(offline, "flora", str(one))

    assert done.exit_code == 1
    assert "hours     0 of 3  FAILED" in done.output
    assert "hours, run 1, turn 1\n  customer   Are you open on Sunday?\n" in done.output
    assert "  assistant  [reply] We are open every day" in done.output
    assert "  expected   contains: 24 hours" in done.output
    assert "3 of 3 runs failed." in done.output


def test_models_are_compared_side_by_side(offline: Settings, one: Path, told_ai: StandInAI) -> None:
    done = run(offline, "flora", str(one), "--compare", "small, large", "--repeat", "1")

    header, row, tokens, seconds = done.output.splitlines()[:4]
    assert header.split() == ["SCENARIO", "small", "large"]
    assert row.split() == ["hours", *("1 of 1".split() * 2)]
    assert tokens.startswith("(tokens)")
    assert len(seconds.split()) == 4
    assert {one["model"] for one in told_ai.requests} == {"small", "large"}


def test_money_is_shown_by_the_prices_of_the_integrations_own_model(
    offline: Settings, shop: Integration, one: Path
) -> None:
    store = IntegrationStore(offline.database_path, offline.secret_key)
    store.save(replace(shop, price_input=1000.0, price_output=0.0, currency="EUR"))

    own = run(offline, "flora", str(one), "--repeat", "2")
    other = run(offline, "flora", str(one), "--model", "other")

    [line] = [line for line in own.output.splitlines() if "tokens" in line]
    tokens, money, _ = line.split(", ")
    assert float(money.removesuffix(" EUR")) == pytest.approx(
        int(tokens.removesuffix(" tokens").replace(",", "")) / 1000, rel=0.1
    )
    assert "EUR" not in other.output


def test_another_model_is_tried(offline: Settings, one: Path, told_ai: StandInAI) -> None:
    run(offline, "flora", str(one), "--model", "other", "--repeat", "1")

    assert [one["model"] for one in told_ai.requests] == ["other"]


def test_the_results_are_json_for_machines(offline: Settings, one: Path, tmp_path: Path) -> None:
    one.write_text(ONE.format("24 hours"), encoding="utf-8")

    run(offline, "flora", str(one), "--json", str(tmp_path / "out.json"))
    printed = run(offline, "flora", str(one), "--json", "-", "--repeat", "1")

    kept = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (kept["held"], kept["runs"], kept["failed"]) == (False, 3, 3)
    [scenario] = kept["scenarios"]
    assert scenario["id"] == "hours"
    difference = scenario["runs"][0]["difference"]
    assert difference["misses"][0]["expected"] == "24 hours"
    assert difference["observed"]["outcome"] == "reply"
    assert json.loads(printed.stdout)["runs"] == 1


def test_what_cannot_run_is_one_sentence(offline: Settings, one: Path) -> None:
    one.write_text("[[scenario]]\nid = 'one'\nwhat = 1", encoding="utf-8")

    wrong, none = run(offline, "flora", str(one)), run(offline, "nobody", str(one))

    assert wrong.exit_code == none.exit_code == 1
    assert wrong.output.startswith("Error: one.toml, scenario 'one', line 3: 'what' is not a key")
    assert none.output.startswith("Error: There is no integration 'nobody'")


def test_a_run_changes_no_figure_no_cap_no_memory_and_calls_no_kommo(
    offline: Settings,
    settings: Settings,
    shop: Integration,
    redis: Redis,
    kommo: StandInKommo,
) -> None:
    """Live, with the Redis and the Kommo that customers are answered with."""
    live = replace(
        offline, redis_url=settings.redis_url, kommo_extra_hosts=settings.kommo_extra_hosts
    )
    store = IntegrationStore(live.database_path, live.secret_key)
    store.save(replace(shop, enabled=True, replies_per_day=1, pause_tag="human"))
    redis.set("kommo_bridge:of-somebody", "1")
    account = kommo.add_account("flora", 5, shop.integration_id, "s" * 64, "token")
    kept = dump(live.database_path)

    done = run(live, "flora", SHOP, "--repeat", "1")

    assert done.exit_code == 0, done.output
    assert redis.keys() == [b"kommo_bridge:of-somebody"]
    assert (kommo.calls(account), kommo.arrivals) == ((), [])
    assert dump(live.database_path) == kept


def test_the_red_team_finds_what_leaks(offline: Settings, told_ai: StandInAI) -> None:
    told_ai.reply = lambda messages: messages[0]["content"].partition("Internal")[2][:90]

    leaking = run(offline, "flora", "--red-team", "--repeat", "1")
    told_ai.reply = told_reply
    cautious = run(offline, "flora", "--red-team", "--repeat", "1")

    assert leaking.exit_code == 1
    assert leaking.output.count("leak: nothing of the internal note") == len(hostile_scenarios())
    assert cautious.exit_code == 0, cautious.output
    assert "39 of 39 scenarios held in every run." in cautious.output


def test_files_and_the_red_team_are_two_things(offline: Settings) -> None:
    assert run(offline, "flora", SHOP, "--red-team").exit_code == 2


def test_scenarios_that_are_saved_run_without_a_file(offline: Settings, one: Path) -> None:
    nothing = run(offline, "flora")
    saved = run(offline, "flora", "--save", str(one))
    again = run(offline, "flora", "--save", str(one))
    done = run(offline, "flora", "--repeat", "1")
    removed = run(offline, "flora", "--remove", "hours")
    gone = run(offline, "flora", "--remove", "hours")

    assert "flora has no saved scenarios: name a FILE" in nothing.output
    assert saved.output == "Saved with flora: 1 new. Run: flask test flora\n"
    assert "0 new, 1 replaced" in again.output
    assert "1 of 1 scenarios held in every run." in done.output
    assert removed.output == "Removed: hours.\n"
    assert (gone.exit_code, gone.output) == (1, "Error: flora has no saved scenario 'hours'.\n")


def test_an_agency_tries_all_in_one_table(offline: Settings, shop: Integration, one: Path) -> None:
    store = IntegrationStore(offline.database_path, offline.secret_key)
    store.add(replace(shop, subdomain="silent", instructions="- We sell hats for 9:00 euro."))
    store.add(replace(shop, subdomain="untested"))
    for name in ("flora", "silent"):
        run(offline, name, "--save", str(one))

    own = run(offline, "--all", "--repeat", "1")
    given = run(offline, "--all", str(one), "--repeat", "1")

    assert own.exit_code == 1
    assert own.output.splitlines()[:3] == [
        "INTEGRATION  MODEL  HELD    FAILED",
        "flora        -      1 of 1  -",
        "silent       -      0 of 1  hours",
    ]
    assert "\nhours, silent, run 1, turn 1\n" in own.output
    assert "untested     -      1 of 1  -" in given.output


def test_without_a_name_nothing_runs(offline: Settings) -> None:
    assert run(offline).exit_code == 2
    assert "No integration has saved scenarios" in run(offline, "--all").output


def test_what_the_business_has_told_is_known(
    offline: Settings, shop: Integration, told_ai: StandInAI, tmp_path: Path
) -> None:
    store = IntegrationStore(offline.database_path, offline.secret_key)
    Knowledge(store.database).add_text(shop, "Wreaths", "A wreath of laurel is 80 euro.")
    path = tmp_path / "wreath.toml"
    path.write_text(ONE.format("80") + 'facts = "known"\n', encoding="utf-8")
    told_ai.reply = lambda messages: (
        "It is 80 euro." if "laurel is 80 euro" in messages[0]["content"] else "I do not know."
    )

    assert run(offline, "flora", str(path)).exit_code == 0


def test_the_red_team_finds_what_leaks_from_the_knowledge(
    offline: Settings, told_ai: StandInAI
) -> None:
    told_ai.reply = lambda messages: messages[0]["content"].partition("Ana Lopez")[2][:60]

    done = run(offline, "flora", "--red-team", "--repeat", "1")

    assert done.exit_code == 1
    assert done.output.count("leak: nothing of an order") == len(hostile_scenarios())

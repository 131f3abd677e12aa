"""Tests in the console: scenarios are added, run and removed; a worker reads and runs them."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from helpers import wait_for
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from console.conftest import Visitor, page_of, seen
from kommo_bridge import jobs
from kommo_bridge.conversations.newest import Newest
from kommo_bridge.errors import ErrandRefused
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.queue import rounds as kept
from kommo_bridge.queue.errands import RUN_SCENARIOS, Errands
from kommo_bridge.queue.rounds import HELD_KEY, MOST_ROUNDS, MOST_RUNS_A_DAY, Rounds
from kommo_bridge.queue.state import work_queue
from kommo_bridge.scenarios.red_team import hostile_scenarios
from kommo_bridge.scenarios.scenario import Observed
from kommo_bridge.scenarios.steps import RUN_SECONDS, bounded
from local.partners.ai import StandInAI, openai_error
from local.partners.kommo.server import StandInKommo

HOSTILE = "<script>alert(1)</script>"
TESTS = "tests"
BOMB = "(?:(?:" * 60 + "a|b" + "){2,3}|c)" * 60
MACHINE = re.compile(r"\b(Redis|RQ|jobs?|JSON|queue|worker|flask)\b", re.IGNORECASE)


def scenario(name: str, customer: str = "Do you deliver?", contains: str = "stand-in") -> str:
    return (
        f"[[scenario]]\nid = '{name}'\n[[scenario.turns]]\ncustomer = '{customer}'\n"
        f"outcome = 'reply'\ncontains = '{contains}'\n"
    )


@pytest.fixture
def worker(parts: jobs.Parts) -> Iterator[jobs.Parts]:
    """The parts of the worker."""
    jobs.use_parts(parts)
    yield parts
    jobs.use_parts(None)


def work_off(redis: Redis, most: int | None = None) -> None:
    one = SimpleWorker([work_queue(redis)], connection=redis, serializer=JSONSerializer)
    one.work(burst=True, max_jobs=most)


def add(visitor: Visitor, redis: Redis, integration: Integration, text: str) -> str:
    """Add scenarios, let them be read; the address that follows."""
    visitor.get(page_of(integration, TESTS))
    answer = visitor.post(page_of(integration, "tests/add"), {"text": text})
    assert answer.status_code == 303
    work_off(redis)
    return answer.headers["Location"].removeprefix("/console")


def run(visitor: Visitor, integration: Integration, **form: str) -> None:
    visitor.get(page_of(integration, TESTS))
    assert visitor.post(page_of(integration, "tests/run"), form).status_code == 303


def test_without_a_test_it_says_what_to_do_next(owner: Visitor, acme: Integration) -> None:
    text = seen(owner.get(page_of(acme, TESTS)))

    assert "There is no test yet. Begin with the question that customers ask most" in text
    assert "Run the tests" not in text
    assert "Run the red team" in text
    owner.post(page_of(acme, "tests/run"), {"what": "saved"})
    assert not MACHINE.search(text)


@pytest.mark.usefixtures("worker")
def test_scenarios_are_added_replaced_and_removed(
    owner: Visitor, redis: Redis, acme: Integration
) -> None:
    page = add(owner, redis, acme, scenario("one") + scenario("two"))
    added = seen(owner.get(page))
    again = seen(owner.get(add(owner, redis, acme, scenario("two", "Are you open?"))))
    owner.post(page_of(acme, "tests/remove"), {"id": "one"})

    left = seen(owner.get(page_of(acme, TESTS)))
    assert "Saved: 2 new, 0 replaced." in added
    assert "one Do you deliver?" in added
    assert "Saved: 0 new, 1 replaced." in again
    assert "two Are you open?" in left
    assert "one Do you deliver?" not in left


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[scenario]\nid = 1", "not TOML"),
        (f"a = {'1' * 5000}", "not TOML"),
        ("a = " + "[" * 50_000, "not TOML"),
        (scenario("one").replace("contains", "contain"), "scenario 'one', line 7: 'contain'"),
        (scenario("one").replace("contains", "regex"), "line 7: regex is not taken here."),
        (scenario("one", contains=BOMB).replace("contains", "regex"), "regex is not taken here."),
        ("[[scenario]]\n" + "a." * 99_000 + "a = 1", "line 3: more than 200 dots"),
    ],
    ids=["TOML", "a number", "lists", "a key", "a pattern", "a pattern of all memory", "dots"],
)
def test_what_is_wrong_is_told_beside_the_text_which_stays(
    owner: Visitor, redis: Redis, acme: Integration, text: str, told: str
) -> None:
    answer = owner.get(add(owner, redis, acme, f"# {HOSTILE}\n{text}"))

    problem = re.search(r'<small class="error" id="problem" role="alert">([^<]*)<', answer.text)
    assert problem
    assert told in seen(answer)
    assert f"# {HOSTILE} {text[:9]}" in seen(answer)
    assert "<script>alert" not in answer.text
    assert not MACHINE.search(seen(answer))


def test_the_page_follows_a_text_and_loads_anew_when_it_is_read(
    owner: Visitor, redis: Redis, worker: jobs.Parts, acme: Integration
) -> None:
    owner.get(page_of(acme, TESTS))
    answer = owner.post(page_of(acme, "tests/add"), {"text": scenario("one")})
    page = answer.headers["Location"].removeprefix("/console")
    piece = page.replace("/tests?", "/tests/saving?")

    before, whole = owner.get(piece), owner.get(page)
    work_off(redis)
    after = owner.get(piece)

    assert before.text.lstrip().startswith('<div id="saving"')
    assert "hx-get" in before.text
    assert '<noscript><meta http-equiv="refresh"' in whole.text
    assert "HX-Refresh" not in before.headers
    assert after.headers["HX-Refresh"] == "true"


@pytest.mark.parametrize("text", ["  ", "x" * 200_001], ids=["empty", "long"])
def test_an_empty_or_endless_text_asks_nobody(
    owner: Visitor, redis: Redis, acme: Integration, text: str
) -> None:
    owner.get(page_of(acme, TESTS))

    answer = owner.post(page_of(acme, "tests/add"), {"text": text})

    assert answer.status_code == 400
    assert 'id="problem"' in answer.text
    assert work_queue(redis).get_job_ids() == []


@pytest.mark.usefixtures("worker")
def test_a_round_is_followed_step_by_step_to_its_results(
    owner: Visitor, redis: Redis, ai: StandInAI, kommo: StandInKommo, acme: Integration
) -> None:
    texts = [scenario("holds"), scenario(f"fails {HOSTILE}", f"Hello {HOSTILE}", "tulips")]
    add(owner, redis, acme, "".join(texts))
    run(owner, acme, what="saved", repeat="2")

    waiting = owner.get(page_of(acme, TESTS))
    work_off(redis, most=1)
    half = owner.get(page_of(acme, "tests/results"))
    work_off(redis)
    after = owner.get(page_of(acme, TESTS))

    assert "It begins in a moment." in waiting.text
    assert "hx-get" in waiting.text
    assert '<noscript><meta http-equiv="refresh"' in waiting.text
    assert half.text.lstrip().startswith('<div id="round"')
    assert "2 of 4 conversations." in seen(half)
    text = seen(after)
    assert "hx-get" not in after.text
    assert "1 of 2 held every time." in text
    assert re.search(r"holds 2 of 2 [\d,]+ tokens \d+\.\d s", text)
    assert re.search(rf"fails {re.escape(HOSTILE)} 0 of 2", text)
    assert "Assistant: answered" in text
    assert "It should say : tulips" in text
    assert ai.answered == 4
    assert kommo.arrivals == []
    assert Newest(redis).count(acme) == 0
    for page in (waiting, half, after):
        assert "<script>alert" not in page.text
        assert not MACHINE.search(seen(page))


@pytest.mark.usefixtures("worker")
def test_money_is_shown_where_there_are_prices(
    owner: Visitor, redis: Redis, store: IntegrationStore, acme: Integration
) -> None:
    store.save(replace(acme, price_input=10.0, price_output=20.0, currency="EUR"))
    add(owner, redis, acme, scenario("holds"))
    run(owner, acme, what="saved")
    work_off(redis)

    assert re.search(r"tokens 0\.\d+ EUR \d+\.\d s", seen(owner.get(page_of(acme, TESTS))))


@pytest.mark.usefixtures("worker")
def test_the_red_team_runs_and_needs_no_saved_test(
    owner: Visitor, redis: Redis, ai: StandInAI, acme: Integration
) -> None:
    planted = re.compile(r"the password is (\w+)")
    ai.reply = lambda messages: "".join(planted.findall(str(messages))) or "No."
    run(owner, acme, what="red team")
    work_off(redis, most=1)
    begun = seen(owner.get(page_of(acme, TESTS)))
    work_off(redis)

    text = seen(owner.get(page_of(acme, TESTS)))
    assert f"2 of {len(hostile_scenarios())} conversations." in begun
    assert "The red team" in text
    assert f"of {len(hostile_scenarios())} held every time." in text
    assert "a word that was planted there" in text


@pytest.mark.usefixtures("worker")
def test_an_ai_that_fails_is_a_result_not_a_fault(
    owner: Visitor, redis: Redis, ai: StandInAI, acme: Integration
) -> None:
    ai.faults.order(openai_error(401), times=None)
    add(owner, redis, acme, scenario("one"))
    run(owner, acme, what="saved")
    work_off(redis)

    text = seen(owner.get(page_of(acme, TESTS)))
    assert "Assistant: there was no reply" in text
    assert "0 of 1 held every time." in text


@pytest.mark.usefixtures("worker")
def test_nothing_of_another_account_is_seen_run_or_removed(
    operator: Visitor, redis: Redis, acme: Integration, other: Integration, store: IntegrationStore
) -> None:
    saved = add(operator, redis, acme, scenario("secret plan") + "x")
    add(operator, redis, acme, scenario("secret plan"))
    run(operator, acme, what="saved")
    work_off(redis)
    elsewhere = saved.replace(page_of(acme, TESTS), page_of(other, TESTS))

    for path in (page_of(other, TESTS), page_of(other, "tests/results"), elsewhere):
        assert "secret plan" not in operator.get(path).text
    operator.post(page_of(other, "tests/remove"), {"id": "secret plan"})

    assert "secret plan" in operator.get(saved).text
    assert [one["id"] for one in SavedScenarios(store.database).of(acme)] == ["secret plan"]
    assert Rounds(redis).latest(other) is None


def test_one_round_at_a_time_and_few_of_all(
    owner: Visitor, redis: Redis, store: IntegrationStore, acme: Integration
) -> None:
    SavedScenarios(store.database).save(acme, [{"id": "a", "turns": [{"customer": "b"}]}])
    for _ in range(2):
        owner.get(page_of(acme, TESTS))
        last = owner.post(page_of(acme, "tests/run"), {"what": "saved"})

    assert last.status_code == 400
    assert "A test is under way." in last.text
    rounds = Rounds(redis)
    for number in range(MOST_ROUNDS - 1):
        rounds.begin(replace(acme, subdomain=f"shop{number}"), 1, red_team=False)
    with pytest.raises(ErrandRefused, match="Many tests"):
        rounds.begin(replace(acme, subdomain="late"), 1, red_team=False)
    assert redis.zcard(HELD_KEY) == MOST_ROUNDS


@pytest.mark.usefixtures("worker")
def test_a_round_that_its_worker_could_not_end_is_told_and_makes_room(
    owner: Visitor, redis: Redis, store: IntegrationStore, acme: Integration
) -> None:
    SavedScenarios(store.database).save(acme, [{"id": "a", "turns": [{"customer": "b"}]}])
    run(owner, acme, what="saved")
    redis.delete(work_queue(redis).key, *redis.scan_iter("rq:job:errand-*"))

    stopped = seen(owner.get(page_of(acme, TESTS)))
    run(owner, acme, what="saved")
    work_off(redis)

    assert "It has stopped before its end." in stopped
    assert "scenario 'a'" in seen(owner.get(page_of(acme, TESTS)))  # saved by another version


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("started", "1", "It ended after 15 minutes"),
        ("", "", f"These were the {MOST_RUNS_A_DAY} conversations"),
    ],
    ids=["time", "day"],
)
def test_time_and_runs_of_a_day_have_an_end(
    owner: Visitor,
    redis: Redis,
    ai: StandInAI,
    acme: Integration,
    field: str,
    value: str,
    told: str,
) -> None:
    add(owner, redis, acme, scenario("one"))
    run(owner, acme, what="saved")
    if field:
        last = Rounds(redis).latest(acme)
        assert last
        redis.hset(kept._key(last.number), field, value)
    else:
        assert Rounds(redis).may_run(acme, MOST_RUNS_A_DAY)
    work_off(redis)

    assert told in seen(owner.get(page_of(acme, TESTS)))
    assert ai.count == 0
    assert redis.zcard(HELD_KEY) == 0


def test_a_conversation_that_takes_too_long_has_failed() -> None:
    now = 0.0
    write = bounded(lambda _text: Observed("reply", "Yes."), clock=lambda: now)

    first = write("Hello")
    now = RUN_SECONDS + 1

    assert first.outcome == "reply"
    assert write("Hello").outcome == "fail"


@pytest.mark.usefixtures("worker")
def test_what_is_kept_ends_and_a_customers_job_comes_between_two_steps(
    owner: Visitor, redis: Redis, acme: Integration
) -> None:
    add(owner, redis, acme, "".join(scenario(name) for name in "abcde"))
    run(owner, acme, what="saved")
    queue = work_queue(redis)
    mine = queue.get_job_ids()
    queue.enqueue_call("kommo_bridge.jobs.flush_metrics", job_id="customer")

    work_off(redis, most=1)

    assert queue.get_job_ids() == ["customer", *mine]
    keys = [*redis.scan_iter("kommo_bridge:console:round*"), *redis.scan_iter("*console:runs:*")]
    assert len(keys) == 4
    assert [key for key in keys if redis.ttl(key) < 0] == [HELD_KEY.encode()]


def test_a_real_worker_carries_a_round_out(
    bridge: object, redis: Redis, store: IntegrationStore, acme: Integration
) -> None:
    turns = [{"customer": "Do you deliver?", "outcome": "reply"}]
    tables = [{"id": name, "turns": turns} for name in "abcde"]
    SavedScenarios(store.database).save(acme, tables)
    rounds = Rounds(redis)
    number = rounds.begin(acme, 1, red_team=False)
    rounds.asked(number, Errands(redis).ask(RUN_SCENARIOS, acme, round=number))

    def found() -> kept.Round:
        last = rounds.find(number)
        assert last
        return last

    wait_for(lambda: found().is_over)

    assert len(found().runs) == 5
    assert found().note == ""

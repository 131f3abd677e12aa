"""What staff see of a handoff: a note, a task, a tag, each at most once, and never in the way."""

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from helpers import Ask, wait_for
from redis import Redis

from kommo_bridge.answers.notice import Notice, note_text
from kommo_bridge.answers.notice_words import REASONS as REASON_WORDS
from kommo_bridge.answers.record import record_key
from kommo_bridge.answers.retries import STAFF_SECONDS
from kommo_bridge.conversations.handoff import REASONS
from kommo_bridge.conversations.keys import STAFF_OPEN_KEY, conversation_name, staff_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.sentences import LANGUAGES
from kommo_bridge.jobs import Parts, answer, build_parts
from local.partners.ai import StandInAI, handoff_call
from local.partners.http.faults import Reset, ResetAfter, Slow, Status
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo

Tell = Callable[[], int]


@pytest.fixture
def change(parts: Parts, acme: Integration) -> Callable[..., None]:
    """Changes the stored integration."""

    def make(**fields: Any) -> None:
        parts.integrations.save(replace(acme, **fields))

    return make


@pytest.fixture(autouse=True)
def hands_over(ai: StandInAI) -> None:
    ai.reply = lambda _: handoff_call("One moment.", "complaint", "The lamp is broken.")


@pytest.fixture
def tell(parts: Parts, redis: Redis) -> Tell:
    """What the worker does every second, as if the time of the next try had come."""

    def make() -> int:
        open_ones: list[Any] = redis.zrange(STAFF_OPEN_KEY, 0, -1)
        for job_id in open_ones:
            redis.zadd(STAFF_OPEN_KEY, {job_id: 0})
        return parts.staff.run()

    return make


def all_written(kommo: StandInKommo, account: Account) -> tuple[int, int, int]:
    """How many notes, tasks and tags there are."""
    return len(kommo.crm.notes), len(kommo.crm.tasks), len(kommo.crm.entity(account, 7).tags)


def test_a_handoff_is_a_note_on_the_lead_with_reason_summary_and_last_message(
    parts: Parts, ask: Ask, tell: Tell, kommo: StandInKommo, account: Account
) -> None:
    answer(ask("My lamp is broken, what now?"), parts)
    assert kommo.crm.notes == []  # the answer did not wait for it

    tell()

    [note] = kommo.crm.notes
    assert (note.kind, note.entity_id) == ("leads", 7)
    assert note.text == (
        "The assistant has handed over: a complaint.\nThe lamp is broken.\n"
        "Last message: My lamp is broken, what now?"
    )
    assert all_written(kommo, account) == (1, 0, 0)


def test_a_task_and_a_tag_are_added_where_they_are_set(
    parts: Parts,
    ask: Ask,
    tell: Tell,
    kommo: StandInKommo,
    account: Account,
    change: Callable[..., None],
) -> None:
    kommo.tag_lead(account, 7, "VIP")
    change(handoff_note=False, handoff_task_minutes=30, handoff_tag="human")
    request = ask()

    answer(request, parts)
    tell()

    [task] = kommo.crm.tasks
    assert (task.kind, task.entity_id) == ("leads", 7)
    assert task.text == "The assistant has handed over: a complaint. The lamp is broken."
    assert 29 * 60 < task.due - request.accepted_at < 31 * 60
    assert task.responsible == account.account_id + 1
    assert kommo.crm.entity(account, 7).tags == ["VIP", "human"]
    assert kommo.crm.notes == []


def test_a_task_for_somebody_who_has_left_is_given_to_whom_kommo_chooses(
    parts: Parts,
    ask: Ask,
    tell: Tell,
    kommo: StandInKommo,
    account: Account,
    change: Callable[..., None],
) -> None:
    kommo.crm.entity(account, 7).values["responsible_user_id"] = 5
    change(handoff_task_minutes=30)

    answer(ask(), parts)
    tell()

    assert [one.responsible for one in kommo.crm.tasks] == [None]


def everything(change: Callable[..., None]) -> None:
    change(handoff_task_minutes=30, handoff_tag="human")


def test_each_is_written_once_whoever_tries_how_often(
    parts: Parts,
    ask: Ask,
    tell: Tell,
    kommo: StandInKommo,
    account: Account,
    change: Callable[..., None],
) -> None:
    everything(change)
    request = ask()
    answer(request, parts)

    others = [build_parts(parts.settings) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.staff.run(), others))
    for other in others:
        other.close()
    answer(request, parts)
    tell()

    assert all_written(kommo, account) == (1, 1, 1)
    assert tell() == 0


@pytest.mark.parametrize("path", ["notes", "tasks", "leads/7"])
@pytest.mark.parametrize(
    ("fault", "again"),
    [
        (Status(429, headers={"Retry-After": "1"}), True),
        (Status(500), False),
        (Reset(), False),
        (ResetAfter(), False),
        (Status(422), False),
        (Status(403), False),
    ],
)
def test_what_may_have_arrived_is_not_written_twice_and_the_others_are_written(
    parts: Parts,
    ask: Ask,
    tell: Tell,
    kommo: StandInKommo,
    account: Account,
    change: Callable[..., None],
    redis: Redis,
    fault: Any,
    again: bool,
    path: str,
) -> None:
    everything(change)
    answer(ask(), parts)
    kommo.faults.order(
        fault, times=1, when=lambda one: one.method != "GET" and one.path.endswith(path)
    )

    for _ in range(3):
        tell()
        for key in redis.scan_iter("*:pause"):  # what a 429 asked for is over
            redis.delete(key)

    arrived = again or isinstance(fault, ResetAfter)
    wanted = [1, 1, 1]
    wanted[["notes", "tasks", "leads/7"].index(path)] = int(arrived)
    assert list(all_written(kommo, account)) == wanted


def test_a_worker_that_dies_while_it_writes_leaves_one_out_rather_than_two(
    parts: Parts,
    ask: Ask,
    tell: Tell,
    kommo: StandInKommo,
    account: Account,
    change: Callable[..., None],
    redis: Redis,
) -> None:
    everything(change)
    request = ask()
    answer(request, parts)
    redis.hset(record_key(request.job_id), "staff_note", "begun")

    tell()

    assert all_written(kommo, account) == (0, 1, 1)


def test_a_write_that_is_under_way_is_not_begun_by_another_worker(
    parts: Parts, ask: Ask, tell: Tell, kommo: StandInKommo, account: Account, redis: Redis
) -> None:
    """Even when the lease of the first one is over: it may live, or have died in that moment."""
    request = ask()
    answer(request, parts)
    kommo.faults.order(Slow(1.0), times=1, when=lambda one: one.path.endswith("notes"))

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(parts.staff.run)
        wait_for(lambda: redis.hexists(record_key(request.job_id), "staff_note"))
        tell()
        first.result()

    assert len(kommo.crm.notes) == 1


def test_what_kommo_never_takes_ends(
    parts: Parts, ask: Ask, tell: Tell, kommo: StandInKommo, redis: Redis, caplog: Any
) -> None:
    request = ask()
    answer(request, parts)
    key = staff_key(conversation_name(request))
    kept = json.loads(redis.hget(key, request.job_id) or b"")
    redis.hset(key, request.job_id, json.dumps({**kept, "at": kept["at"] - STAFF_SECONDS}))
    kommo.faults.order(Status(429), times=None, when=lambda one: one.path.endswith("notes"))

    with caplog.at_level("WARNING"):
        tell()

    assert "staff not told on the lead" in caplog.text
    assert not redis.exists(STAFF_OPEN_KEY, key)


def test_no_words_of_a_customer_are_logged_or_kept_for_long(
    parts: Parts, ask: Ask, tell: Tell, kommo: StandInKommo, redis: Redis, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    request = ask("My lamp is broken")
    answer(request, parts)
    key = staff_key(conversation_name(request))
    assert 0 < redis.ttl(key) <= 2 * STAFF_SECONDS
    kommo.faults.order(Status(403), times=1)

    tell()

    assert "lamp" not in caplog.text
    assert not redis.exists(key, STAFF_OPEN_KEY)
    assert "lamp" not in str(redis.hgetall(record_key(request.job_id)))


def test_a_conversation_that_was_forgotten_is_told_nobody(
    parts: Parts, ask: Ask, tell: Tell, kommo: StandInKommo
) -> None:
    request = ask()
    answer(request, parts)
    parts.steps.memory.forget(conversation_name(request))

    tell()

    assert kommo.crm.notes == []
    assert tell() == 0


@pytest.mark.parametrize(
    ("entity_type", "kind"), [("1", "contacts"), ("12", "customers"), ("2", "leads")]
)
def test_a_contact_without_a_lead_has_it_on_its_own_card(
    parts: Parts, ask: Ask, tell: Tell, kommo: StandInKommo, entity_type: str, kind: str
) -> None:
    answer(ask(entity_type=entity_type, entity_id=9), parts)

    tell()

    assert [(one.kind, one.entity_id) for one in kommo.crm.notes] == [(kind, 9)]


def test_a_lead_that_is_gone_costs_a_line_of_the_log(
    parts: Parts, ask: Ask, tell: Tell, kommo: StandInKommo, account: Account, caplog: Any
) -> None:
    kommo.crm.remove(account, 7)
    answer(ask(), parts)

    with caplog.at_level("WARNING"):
        tell()

    assert [one.fields["error"] for one in caplog.records if hasattr(one, "fields")] == [
        "Kommo answered 404"
    ]


def test_nothing_is_kept_where_nothing_is_wanted(
    parts: Parts, ask: Ask, change: Callable[..., None], redis: Redis
) -> None:
    change(handoff_note=False)

    answer(ask(), parts)

    assert not redis.exists(STAFF_OPEN_KEY)


def test_a_reply_is_no_handoff(parts: Parts, ask: Ask, ai: StandInAI, redis: Redis) -> None:
    ai.reply = lambda _: "Yes."

    answer(ask(), parts)

    assert not redis.exists(STAFF_OPEN_KEY)


def test_a_handoff_that_nobody_accepted_is_told_nobody(
    parts: Parts, ask: Ask, kommo: StandInKommo, redis: Redis
) -> None:
    request = ask()
    kommo.faults.order(Status(404), times=1)

    with pytest.raises(Exception, match="404"):
        answer(request, parts)

    assert not redis.exists(STAFF_OPEN_KEY)


@pytest.mark.parametrize(
    ("fields", "message", "reason"),
    [
        ({"handoff_phrases": "human"}, "A human!", "the customer asks for a person"),
        ({"replies_per_day": 1}, "And now?", "a rule or a limit"),
    ],
)
def test_what_a_phrase_or_a_cap_hands_over_has_its_reason(
    parts: Parts,
    ask: Ask,
    tell: Tell,
    kommo: StandInKommo,
    ai: StandInAI,
    change: Callable[..., None],
    fields: dict[str, Any],
    message: str,
    reason: str,
) -> None:
    ai.reply = lambda _: "Yes."
    change(**fields)
    answer(ask("Hello"), parts)

    answer(ask(message), parts)
    tell()

    [note] = kommo.crm.notes
    assert note.text == f"The assistant has handed over: {reason}.\nLast message: {message}"


def test_an_integration_that_is_gone_is_left_alone(
    parts: Parts, ask: Ask, tell: Tell, kommo: StandInKommo, acme: Integration
) -> None:
    answer(ask(), parts)
    parts.integrations.remove(acme)

    tell()

    assert kommo.crm.notes == []
    assert tell() == 0


def test_the_note_speaks_the_language_of_the_conversation() -> None:
    notice = Notice(False, "order", "Dos lámparas.", "Hola, quiero dos lámparas", "Un momento.")

    assert note_text(notice).startswith("El asistente ha pasado la conversación: un pedido.\n")


def test_each_reason_has_words_in_each_language() -> None:
    assert set(REASON_WORDS) == set(REASONS)
    assert {frozenset(words) for words in REASON_WORDS.values()} == {frozenset(LANGUAGES)}

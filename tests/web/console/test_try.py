"""Try in the console: the assistant answers as it would answer a customer; a worker asks it."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from console.conftest import Visitor, page_of, seen
from kommo_bridge import jobs
from kommo_bridge.conversations.newest import Newest
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.queue.errands import ANSWER, EXAMINE, Errands
from kommo_bridge.queue.state import work_queue
from local.partners.ai import StandInAI, openai_error
from local.partners.kommo.server import StandInKommo

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def parts(parts: jobs.Parts) -> Iterator[jobs.Parts]:
    """The parts of the worker."""
    jobs.use_parts(parts)
    yield parts
    jobs.use_parts(None)


def work_off(redis: Redis) -> None:
    SimpleWorker([work_queue(redis)], connection=redis, serializer=JSONSerializer).work(burst=True)


def say(visitor: Visitor, acme: Integration, message: str, chat: str = "5") -> str:
    """Send a message; the address of the page that follows it."""
    visitor.get(page_of(acme, "try"))
    answer = visitor.post(page_of(acme, "try/say"), {"message": message, "chat": chat})
    assert answer.status_code == 303
    return answer.headers["Location"].removeprefix("/console")


@pytest.mark.usefixtures("parts")
def test_a_message_is_answered_as_a_customers_and_the_page_follows_it(
    owner: Visitor, redis: Redis, ai: StandInAI, kommo: StandInKommo, acme: Integration
) -> None:
    page = say(owner, acme, f"Do you deliver? {HOSTILE}")

    before = owner.get(page)
    work_off(redis)
    after = owner.get(page)

    assert "is writing" in before.text
    assert "hx-get" in before.text
    assert ai.answered == 1
    assert "hx-get" not in after.text
    assert re.search(r"Assistant .+ \d+\.\d s \d+ tokens", seen(after))
    assert "<script>alert" not in before.text + after.text
    assert kommo.arrivals == []
    assert Newest(redis).count(acme) == 0


@pytest.mark.usefixtures("parts")
def test_the_chat_goes_on_and_begins_anew(owner: Visitor, redis: Redis, acme: Integration) -> None:
    for message in ("first question", "second question"):
        page = say(owner, acme, message)
        work_off(redis)
    both = owner.get(page).text

    owner.post(page_of(acme, "try/new"), {"chat": "5"})

    for message in ("first question", "second question"):
        assert both.count(f'<p class="bubble" dir="auto">{message}</p>') == 1
    assert "first question" not in seen(owner.get(page_of(acme, "try?chat=5")))


@pytest.mark.usefixtures("parts")
def test_a_handoff_is_told_and_the_chat_goes_on(
    owner: Visitor, redis: Redis, ai: StandInAI, store: IntegrationStore, acme: Integration
) -> None:
    store.save(replace(acme, handoff_phrases="a person"))

    page = say(owner, acme, "I want a person")
    work_off(redis)
    told = seen(owner.get(page))
    work_off(redis)
    page = say(owner, acme, "Hello again")
    work_off(redis)

    assert "Here a person would take over" in told
    assert ai.answered == 1
    assert "tokens" in seen(owner.get(page))


@pytest.mark.usefixtures("parts")
def test_what_stands_nowhere_is_shown(
    owner: Visitor, redis: Redis, ai: StandInAI, acme: Integration
) -> None:
    ai.reply = lambda _messages: "That costs 49.90 EUR."

    page = say(owner, acme, "How much?")
    work_off(redis)

    assert "Stands nowhere in what the assistant was told : 49.90 EUR" in seen(owner.get(page))


@pytest.mark.usefixtures("parts")
def test_what_failed_is_told(
    owner: Visitor, redis: Redis, ai: StandInAI, acme: Integration
) -> None:
    ai.faults.order(openai_error(401), times=None)

    page = say(owner, acme, "Do you deliver?")
    work_off(redis)

    text = seen(owner.get(page))
    assert "There was no reply: the AI answered 401" in text
    assert acme.fallback_text in text


@pytest.mark.usefixtures("parts")
def test_a_chat_of_another_account_is_another(
    operator: Visitor, redis: Redis, acme: Integration, other: Integration
) -> None:
    page = say(operator, acme, "my secret plan")
    work_off(redis)

    text = seen(operator.get(page.replace(page_of(acme, "try"), page_of(other, "try"))))

    assert "my secret plan" in seen(operator.get(page))
    assert "my secret plan" not in text


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("chat", ["", "-1", "0", "9" * 30, "abc", "2147483648", "٣"])
def test_any_number_of_a_chat_is_a_number_in_the_end(
    owner: Visitor, redis: Redis, acme: Integration, chat: str
) -> None:
    page = say(owner, acme, "Hello", chat)

    assert re.search(r"\?chat=[1-9]\d{0,9}&turn=errand-", page)


@pytest.mark.usefixtures("parts")
def test_an_empty_message_asks_nobody(owner: Visitor, redis: Redis, acme: Integration) -> None:
    page = say(owner, acme, "  ")

    assert page == page_of(acme, "try?chat=5")
    assert work_queue(redis).get_job_ids() == []


@pytest.mark.usefixtures("parts")
def test_the_piece_that_follows_is_no_whole_page(
    owner: Visitor, redis: Redis, acme: Integration
) -> None:
    page = say(owner, acme, "Hello")

    piece = owner.get(page.replace("/try?", "/try/chat?")).text

    assert piece.lstrip().startswith('<div id="chat"')
    assert "<html" not in piece


@pytest.mark.parametrize("number", ["x y", "..", "night"])
@pytest.mark.parametrize(
    ("page", "name"),
    [("try", "turn"), ("connect", "check"), ("connect", "bot"), ("knowledge", "adding")],
)
def test_an_address_that_names_no_errand_of_the_page_shows_one_that_failed(
    owner: Visitor,
    acme: Integration,
    redis: Redis,
    parts: jobs.Parts,
    page: str,
    name: str,
    number: str,
) -> None:
    work_queue(redis).enqueue_call("kommo_bridge.jobs.refresh_knowledge", job_id="night")
    others = {"try": EXAMINE, "connect": ANSWER, "knowledge": ANSWER}
    values = {"chat": "5", "message": "Hello"} if others[page] == ANSWER else {}
    other = Errands(redis).ask(others[page], acme, **values)
    work_off(redis)

    for one in (number, other):
        assert owner.get(f"{page_of(acme, page)}?{name}={one}").status_code == 200

"""Knowledge and gaps in the console: what the assistant is given, and what it had no answer to."""

import io
import re
import time
from collections.abc import Iterator

import pytest
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from console.conftest import Visitor, page_of, seen
from kommo_bridge import jobs
from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.queue.errands import ADD_FILE, Errands
from kommo_bridge.queue.state import work_queue

HOSTILE = "<script>alert(1)</script>"
KNOWLEDGE = "knowledge"


@pytest.fixture
def worker(parts: jobs.Parts) -> Iterator[jobs.Parts]:
    """The parts of the worker."""
    jobs.use_parts(parts)
    yield parts
    jobs.use_parts(None)


def work_off(redis: Redis) -> None:
    SimpleWorker([work_queue(redis)], connection=redis, serializer=JSONSerializer).work(burst=True)


def add(visitor: Visitor, integration: Integration, **fields: object) -> str:
    """Add something; the address that follows."""
    visitor.get(page_of(integration, KNOWLEDGE))
    answer = visitor.post(page_of(integration, "knowledge/add"), fields)
    return answer.headers.get("Location", answer.text).removeprefix("/console")


def test_without_anything_it_says_what_to_give(owner: Visitor, acme: Integration) -> None:
    assert "Give the assistant your price list" in owner.get(page_of(acme, KNOWLEDGE)).text


def test_a_text_is_known_read_found_and_taken_away(
    owner: Visitor, acme: Integration, other: Integration
) -> None:
    added = add(owner, acme, title=f"Prices {HOSTILE}", text=f"Tulips cost 12 euro. {HOSTILE}")
    listed = owner.get(page_of(acme, KNOWLEDGE))
    shown = owner.get(page_of(acme, "knowledge/1"))
    found = owner.get(page_of(acme, KNOWLEDGE), query_string={"question": "price of tulips"})

    assert added.endswith("?done=known")
    for page in (listed, shown, found):
        assert "Prices" in seen(page)
        assert "<script>alert" not in page.text
    assert "Tulips cost 12 euro." in seen(shown)
    assert "Tulips cost 12 euro." in seen(found)
    owner.post(page_of(acme, "knowledge/1"))
    assert "Prices" not in seen(owner.get(page_of(acme, KNOWLEDGE)))


def test_what_cannot_be_known_is_told(owner: Visitor, acme: Integration) -> None:
    page = add(owner, acme, title="Empty", text="  ")

    assert 'role="alert"' in page
    assert owner.get(page_of(acme, "knowledge/9")).status_code == 400


def test_a_source_of_another_account_is_not_there(
    operator: Visitor, acme: Integration, other: Integration
) -> None:
    add(operator, acme, title="Secret prices", text="Tulips cost 1 euro.")

    assert "Secret prices" not in operator.get(page_of(other, KNOWLEDGE)).text
    assert operator.get(page_of(other, "knowledge/1")).status_code == 400


@pytest.mark.usefixtures("worker")
def test_a_file_is_read_by_a_worker(owner: Visitor, redis: Redis, acme: Integration) -> None:
    file = (io.BytesIO(b"item,price\ntulip,12 euro\n"), "prices.csv")

    page = add(owner, acme, title="", file=file)
    waiting = owner.get(page)
    work_off(redis)
    done = owner.get(page)

    assert "Reading it." in waiting.text
    assert "hx-get" in waiting.text
    assert "The assistant knows it now: prices." in seen(done)
    assert "hx-get" not in done.text
    assert "12 euro" in seen(owner.get(page_of(acme, "knowledge/1")))
    assert list(redis.scan_iter("kommo_bridge:console:file:*")) == []


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    "fields",
    [
        {"file": (io.BytesIO(b"\x00\x01\x02"), "photo.exe")},
        {"url": "http://169.254.169.254/latest/meta-data"},
        {"url": "https://localhost/"},
    ],
    ids=["file", "address of the machine", "this machine"],
)
def test_what_cannot_be_read_is_told_in_one_sentence(
    owner: Visitor, redis: Redis, acme: Integration, fields: dict[str, object]
) -> None:
    page = add(owner, acme, **fields)
    work_off(redis)

    answer = owner.get(page)
    assert 'class="wrong"' in answer.text
    assert not re.search(r"\b(Redis|RQ|job|JSON)\b", seen(answer))


@pytest.mark.usefixtures("worker")
def test_a_file_that_waited_too_long_is_told(
    owner: Visitor, redis: Redis, acme: Integration
) -> None:
    number = Errands(redis).ask(ADD_FILE, acme, key="gone", name="a.txt", title="")
    work_off(redis)

    page = owner.get(page_of(acme, f"knowledge?adding={number}"))

    assert "has waited for too long" in page.text


def test_a_gap_gets_an_answer_that_is_known(
    owner: Visitor, redis: Redis, acme: Integration
) -> None:
    gaps = Gaps(redis)
    for question in (f"Do you repair vases? {HOSTILE}", "Do you sell cacti?"):
        gaps.note(acme, question, time.time())
    page = owner.get(page_of(acme, "gaps"))
    numbers = [one.number for one in gaps.list(acme, time.time())]
    vases = next(one for one in gaps.list(acme, time.time()) if "vases" in one.question)

    empty = owner.post(
        page_of(acme, "gaps"), {"number": str(vases.number), "what": "answer", "answer": " "}
    )
    kept = [one.number for one in gaps.list(acme, time.time())]
    owner.post(
        page_of(acme, "gaps"),
        {"number": str(vases.number), "what": "answer", "answer": "Yes, within a week."},
    )

    assert "Do you repair vases?" in page.text
    assert "<script>alert" not in page.text
    assert (empty.status_code, kept) == (400, numbers)
    assert [one.question for one in gaps.list(acme, time.time())] == ["Do you sell cacti?"]
    assert "Yes, within a week." in seen(owner.get(page_of(acme, "knowledge/1")))


def test_a_gap_is_taken_off_the_list(owner: Visitor, redis: Redis, acme: Integration) -> None:
    Gaps(redis).note(acme, "Do you sell cacti?", time.time())
    owner.get(page_of(acme, "gaps"))

    owner.post(page_of(acme, "gaps"), {"number": "1", "what": "done"})

    assert "None in the last 30 days." in owner.get(page_of(acme, "gaps")).text

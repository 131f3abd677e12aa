"""What a business has told reaches the model, what it lacks is noted, and pages are kept fresh."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from helpers import Ask, let_pass
from redis import Redis
from rq import SimpleWorker

from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import Parts, answer, use_parts
from kommo_bridge.knowledge.block import Block
from kommo_bridge.knowledge.source import FILE, PAGE, Source
from kommo_bridge.knowledge.sources import Sources
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.queue.nights import REFRESH_FUNCTION, queue_refresh
from kommo_bridge.queue.own_job import foreign_function
from kommo_bridge.queue.state import work_queue
from local.partners.ai import StandInAI, tool_call
from local.partners.kommo.server import StandInKommo

NIGHT = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)


@pytest.fixture
def sources(store: IntegrationStore) -> Sources:
    return Sources(store.database)


def tell(sources: Sources, acme: Integration, source: Source, *texts: str) -> None:
    said = [Block("", text) for text in texts]
    sources.keep(acme, source.with_content(said, datetime.now(UTC)), said, 100)


def says(ai: StandInAI, *said: str | dict[str, Any]) -> None:
    """The model says these things one after the other."""
    left = list(said)
    ai.reply = lambda _messages: left.pop(0)


def system(ai: StandInAI) -> str:
    return str(ai.requests[-1]["messages"][0]["content"])


def tools(ai: StandInAI) -> set[str]:
    return {one["function"]["name"] for one in ai.requests[-1]["tools"]}


def test_what_was_told_stands_in_the_prompt(
    parts: Parts, ask: Ask, ai: StandInAI, sources: Sources, acme: Integration
) -> None:
    answer(ask("How much is a soup?", entity_id=1), parts)
    assert "Tomato soup" not in system(ai)

    tell(sources, acme, Source(0, "Prices", FILE, "prices.csv"), "Tomato soup 5 euro")
    answer(ask("How much is a soup?", entity_id=2), parts)

    assert "# Prices\nTomato soup 5 euro" in system(ai)
    assert "search_knowledge" not in tools(ai)


def test_more_than_the_prompt_holds_is_searched(
    parts: Parts,
    ask: Ask,
    ai: StandInAI,
    kommo: StandInKommo,
    store: IntegrationStore,
    sources: Sources,
    acme: Integration,
) -> None:
    store.save(replace(acme, knowledge_tokens=1))
    file = Source(0, "Prices", FILE, "prices.csv")
    tell(sources, acme, file, "Tomato soup 5 euro", "Green tea 2 euro")
    says(ai, tool_call("search_knowledge", query="price of tomatoe soups"), "5 euro.")

    answer(ask("How much is a soup?"), parts)

    assert "search_knowledge" in tools(ai)
    assert "Tomato soup" not in system(ai)
    [found] = [one["content"] for one in ai.requests[-1]["messages"] if one["role"] == "tool"]
    assert found.startswith("[Prices]\nTomato soup 5 euro")
    assert kommo.continuations[0].body["data"]["reply"] == "5 euro."


def test_a_question_that_nothing_answers_is_a_gap(
    parts: Parts, ask: Ask, ai: StandInAI, acme: Integration, redis: Redis
) -> None:
    says(ai, tool_call("note_gap", question="Do you repair shoes?"), "I do not know.")

    answer(ask("Can you mend my boots?"), parts)

    [gap] = Gaps(redis).list(acme, datetime.now(UTC).timestamp())
    assert (gap.question, gap.count) == ("Do you repair shoes?", 1)


def test_a_reply_that_a_newer_message_takes_back_notes_no_gap(
    parts: Parts, ask: Ask, ai: StandInAI, acme: Integration, redis: Redis, queue: JobQueue
) -> None:
    parts.integrations.save(replace(acme, burst_seconds=8.0))
    says(
        ai,
        *(tool_call("note_gap", question="What is wanted?"), "I do not know."),
        "Yes, we deliver.",
    )
    first, second = ask("Hello"), ask("Do you deliver?")
    queue.enqueue(first)
    assert answer(first, parts) is not None  # held
    queue.enqueue(second)

    assert answer(second, parts) is not None
    let_pass(redis, 8)
    assert answer(second, parts) is None

    assert Gaps(redis).list(acme, datetime.now(UTC).timestamp()) == []


def test_the_pages_are_looked_at_once_a_night(
    parts: Parts, sources: Sources, acme: Integration, redis: Redis
) -> None:
    assert not queue_refresh(redis, parts.knowledge, NIGHT)  # there are none
    tell(sources, acme, Source(0, "Menu", PAGE, "https://localhost/menu"), "Tomato soup")
    with sources.database.writing() as writer:
        writer.run("update sources set checked_at = ?", (NIGHT.replace(year=2020).isoformat(),))

    queued = [queue_refresh(redis, parts.knowledge, NIGHT) for _ in range(3)]

    queue = work_queue(redis)
    [job] = queue.jobs
    assert queued == [True, False, False]
    assert foreign_function(job, [REFRESH_FUNCTION]) is None
    use_parts(parts)
    try:
        SimpleWorker([queue], connection=redis, serializer=queue.serializer).work(burst=True)
    finally:
        use_parts(None)
    assert job.return_value() == 1
    assert "not on the public internet" in sources.find(acme, 1).problem
    assert queue_refresh(redis, parts.knowledge, NIGHT.replace(day=29))

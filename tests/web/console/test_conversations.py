"""Conversations in the console: found, read, silenced, forgotten; never another account's."""

from dataclasses import replace

import pytest
from helpers import Ask
from redis import Redis

from console.conftest import Visitor, page_of, seen
from kommo_bridge.conversations.keys import entity_name
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore

HOSTILE = "</p><script>alert(1)</script>"
SEVEN = "conversations/lead/7"


@pytest.fixture
def conversations(redis: Redis) -> Conversations:
    return Conversations(redis)


@pytest.fixture
def spoken(conversations: Conversations, ask: Ask, acme: Integration) -> str:
    """A conversation of lead 7."""
    conversations.remember(ask(), acme, f"Do you deliver? {HOSTILE}", f"Yes.\n{HOSTILE}")
    return entity_name(acme, "2", 7)


def test_without_conversations_it_says_what_will_stand_here(
    owner: Visitor, acme: Integration
) -> None:
    assert "No conversations yet." in owner.get(page_of(acme, "conversations")).text


@pytest.mark.usefixtures("spoken")
def test_what_was_said_is_read_as_text(owner: Visitor, acme: Integration) -> None:
    listed = owner.get(page_of(acme, "conversations"))
    shown = owner.get(page_of(acme, SEVEN))

    assert "Lead 7" in seen(listed)
    assert "The assistant answers" in seen(listed)
    for page in (listed, shown):
        assert "Do you deliver?" in page.text
        assert "<script>alert" not in page.text
    assert 'href="https://acme.kommo.com/leads/detail/7"' in shown.text


def test_the_owner_silences_the_assistant_and_lets_it_answer_again(
    owner: Visitor, conversations: Conversations, spoken: str, acme: Integration
) -> None:
    owner.get(page_of(acme, SEVEN))

    paused = owner.post(page_of(acme, SEVEN), {"what": "pause", "hours": "3"})
    pause = conversations.paused(spoken)
    page = owner.get(page_of(acme, SEVEN))
    resumed = owner.post(page_of(acme, SEVEN), {"what": "resume"})

    assert paused.headers["Location"].endswith("?done=paused")
    assert pause is not None
    assert pause.seconds == pytest.approx(3 * 3600, abs=60)
    assert "A person has this conversation for 3 hours more" in seen(page)
    assert resumed.headers["Location"].endswith("?done=resumed")
    assert conversations.paused(spoken) is None


@pytest.mark.parametrize("hours", ["-1", "nan", "inf", "1e9", "9000"])
def test_hours_that_are_none_pause_nothing(
    owner: Visitor, conversations: Conversations, spoken: str, acme: Integration, hours: str
) -> None:
    owner.get(page_of(acme, SEVEN))

    answer = owner.post(page_of(acme, SEVEN), {"what": "pause", "hours": hours})

    assert answer.status_code == 400
    assert "Give a number of hours" in answer.text
    assert conversations.paused(spoken) is None


def test_what_was_said_is_forgotten(
    owner: Visitor, conversations: Conversations, spoken: str, acme: Integration
) -> None:
    owner.get(page_of(acme, SEVEN))

    owner.post(page_of(acme, SEVEN), {"what": "forget"})

    assert conversations.exchanges(spoken) == []
    assert "Nothing is remembered of this conversation" in owner.get(page_of(acme, SEVEN)).text
    assert "Lead 7" not in owner.get(page_of(acme, "conversations")).text


def test_two_people_of_one_lead_are_told_apart(
    owner: Visitor, conversations: Conversations, ask: Ask, acme: Integration
) -> None:
    for chat in ("11", "12"):
        conversations.remember(ask(chat_id=chat), acme, f"I am {chat}", "Hello")

    page = seen(owner.get(page_of(acme, SEVEN)))

    assert "Person 1, " in page
    assert "Person 2, " in page


def test_times_are_those_of_the_business(
    owner: Visitor, redis: Redis, spoken: str, store: IntegrationStore, acme: Integration
) -> None:
    store.save(replace(acme, time_zone="America/Sao_Paulo"))

    assert "UTC" not in seen(owner.get(page_of(acme, "conversations")))


def test_many_conversations_are_read_page_by_page(
    owner: Visitor, conversations: Conversations, ask: Ask, acme: Integration
) -> None:
    for number in range(1, 61):
        conversations.remember(ask(entity_id=number), acme, "a", "b")

    first = seen(owner.get(page_of(acme, "conversations")))
    last = seen(owner.get(page_of(acme, "conversations") + "?page=99"))

    assert "Lead 60" in first
    assert "Lead 35" not in first
    assert "1 of 3 Older" in first
    assert "Lead 1 " in last
    assert "Newer 3 of 3" in last


@pytest.mark.usefixtures("spoken")
@pytest.mark.parametrize(
    ("wanted", "status"),
    [("7", 303), (" #7 ", 303), ("seven", 400), ("0", 400), ("9" * 30, 400), ("٧", 400)],
)
def test_a_lead_is_found_by_its_number(
    owner: Visitor, acme: Integration, wanted: str, status: int
) -> None:
    answer = owner.get(page_of(acme, "conversations"), query_string={"number": wanted})

    assert answer.status_code == status
    if status == 303:
        assert answer.headers["Location"] == f"/console{page_of(acme, SEVEN)}"


@pytest.mark.parametrize("path", ["chat/7", "lead/0", "lead/99999999999999999999", "2/7"])
def test_what_is_no_conversation_is_not_there(owner: Visitor, acme: Integration, path: str) -> None:
    assert owner.get(page_of(acme, f"conversations/{path}")).status_code == 404


@pytest.mark.usefixtures("spoken")
def test_a_lead_of_the_same_number_in_another_account_is_another(
    operator: Visitor, acme: Integration, other: Integration
) -> None:
    page = operator.get(page_of(other, SEVEN))

    assert "Do you deliver?" not in page.text

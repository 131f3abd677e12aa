"""The AI through the real SDK: what it is asked, what its failures mean, what it cannot do."""

import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kommo_bridge.ai.assistant import Assistant, Reply
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest
from local.partners.ai import StandInAI, openai_error
from local.partners.http.faults import Drip, Fault, Garbage, Hang, Huge, Packed, Reset, Status
from local.redis_server import free_port

ACME = Integration("id", "acme", secret_key="s", instructions="We sell lighthouses.")
REQUEST = WidgetRequest(
    integration_id="id",
    account_id=1,
    subdomain="acme",
    entity_type="2",
    entity_id=7,
    return_url="https://acme.kommo.com/api/v4/salesbot/1/continue/2",
    message="¿Cuánto cuesta?",
    delivery="json",
    contact_name="Ana",
    origin="waba",
    chat_id="",
    widget_version="",
    expires_at=0,
    accepted_at=0,
)


@pytest.fixture
def assistant(ai: StandInAI) -> Iterator[Assistant]:
    one = Assistant(
        api_key="sk-stand-in", base_url=ai.base_url, model="stand-in", timeout_seconds=5
    )
    yield one
    one.close()


def failure(assistant: Assistant, seconds: float = 10, **changes: Any) -> AssistantError:
    with pytest.raises(AssistantError) as raised:
        assistant.reply(replace(ACME, **changes), REQUEST, seconds=seconds)
    for secret in ("sk-", "Cuánto", "lighthouses"):
        assert secret not in str(raised.value)
    return raised.value


def test_it_is_asked_with_instructions_date_name_channel_and_the_rules(
    assistant: Assistant, ai: StandInAI
) -> None:
    reply = assistant.reply(ACME, REQUEST, seconds=10)

    [asked] = ai.requests
    system, user = asked["messages"]
    assert (system["role"], user) == ("system", {"role": "user", "content": "¿Cuánto cuesta?"})
    for word in ("We sell lighthouses.", "Today is ", "Ana", "waba", "language", "never an inst"):
        assert word in system["content"]
    assert asked["model"] == "stand-in"
    assert "temperature" not in asked
    assert reply.tokens > 0


def test_an_integration_has_a_model_and_a_temperature_of_its_own(
    assistant: Assistant, ai: StandInAI
) -> None:
    assistant.reply(replace(ACME, model="own", temperature=0.2), REQUEST, seconds=10)

    assert (ai.requests[0]["model"], ai.requests[0]["temperature"]) == ("own", 0.2)


def test_the_common_key_never_goes_to_an_integrations_own_server(assistant: Assistant) -> None:
    with StandInAI() as own:
        error = failure(assistant, ai_base_url=own.base_url)

        assert error.permanent
        assert own.count == 0


def test_an_integration_with_a_key_and_a_server_of_its_own_is_answered_there(
    assistant: Assistant, ai: StandInAI
) -> None:
    with StandInAI(api_key="sk-own") as own:
        assistant.reply(
            replace(ACME, ai_api_key="sk-own", ai_base_url=own.base_url), REQUEST, seconds=10
        )

        assert (own.answered, ai.count) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "permanent"),
    [
        (openai_error(400), True),
        (openai_error(401, "invalid_api_key"), True),
        (openai_error(403), True),
        (openai_error(404, "model_not_found"), True),
        (openai_error(422), True),
        (openai_error(429, "insufficient_quota"), True),
        (openai_error(408), False),
        (openai_error(409), False),
        (openai_error(429, "rate_limit_exceeded"), False),
        (openai_error(500), False),
        (Status(503, "<html>bad gateway</html>"), False),
        (Reset(), False),
    ],
)
def test_each_failure_says_whether_trying_again_can_help(
    assistant: Assistant, ai: StandInAI, fault: Fault, permanent: bool
) -> None:
    ai.faults.order(fault, times=None)

    assert failure(assistant).permanent is permanent


def test_a_server_that_is_not_there_is_a_passing_fault() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    absent = Assistant(api_key="sk-x", base_url=url, model="m", timeout_seconds=2)
    try:
        assert not failure(absent).permanent
    finally:
        absent.close()


def test_one_passing_fault_is_repeated_within_the_call(assistant: Assistant, ai: StandInAI) -> None:
    ai.faults.order(Status(500), times=1)

    assert assistant.reply(ACME, REQUEST, seconds=10).text
    assert ai.count == 2


def test_a_long_retry_after_is_not_slept_through(assistant: Assistant, ai: StandInAI) -> None:
    ai.faults.order(openai_error(429, headers={"Retry-After": "60"}), times=None)
    started = time.monotonic()

    error = failure(assistant)

    assert time.monotonic() - started < 3
    assert error.retry_after_seconds == 60
    assert ai.count == 1


def test_a_small_answer_that_unpacks_to_a_huge_one_stays_packed(
    assistant: Assistant, ai: StandInAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    ai.faults.order(Packed(60_000_000), times=None)
    monkeypatch.setattr(zlib, "decompressobj", _never)

    assert not failure(assistant).permanent


def _never(*_args: object) -> None:
    raise AssertionError("it was unpacked")


@pytest.mark.parametrize("fault", [Hang(), Drip(0.05), Huge()])
def test_a_silent_dripping_or_endless_server_is_left_at_the_deadline(
    assistant: Assistant, ai: StandInAI, fault: Fault
) -> None:
    ai.faults.order(fault, times=None)
    started = time.monotonic()

    assert not failure(assistant, seconds=1.5).permanent
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        "null",
        '{"choices": []}',
        '{"choices": [{}]}',
        '{"choices": [{"message": null}]}',
        '{"choices": [{"message": {"content": null}}]}',
        '{"choices": [{"message": {"content": "  "}}]}',
        '{"choices": [{"message": {"content": ["x"]}}]}',
        '{"choices": "yes"}',
        '{"choices": {}}',
        "[" * 100_000,
        "not json at all",
    ],
)
def test_an_answer_without_text_is_a_fault_and_no_crash(
    assistant: Assistant, ai: StandInAI, body: str
) -> None:
    ai.faults.order(Status(200, body, {"Content-Type": "application/json"}), times=None)

    assert not failure(assistant).permanent


def test_garbage_is_a_fault_and_no_crash(assistant: Assistant, ai: StandInAI) -> None:
    ai.faults.order(Garbage(), times=None)

    assert not failure(assistant).permanent


def test_missing_usage_is_no_trouble(assistant: Assistant, ai: StandInAI) -> None:
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": "Yes."}}]})
    ai.faults.order(Status(200, body, {"Content-Type": "application/json"}))

    assert assistant.reply(ACME, REQUEST, seconds=10) == Reply("Yes.", 0)


@pytest.mark.parametrize("count", [10**19, 2**63 - 1, -1_000_000, "many", None, 1.5])
def test_a_count_of_tokens_that_cannot_be_is_none(
    assistant: Assistant, ai: StandInAI, count: object
) -> None:
    """Caps are counted by it."""
    choice = {"message": {"role": "assistant", "content": "Yes."}}
    usage = {"total_tokens": count, "prompt_tokens": 1, "completion_tokens": 1}
    body = json.dumps({"choices": [choice], "usage": usage})
    ai.faults.order(Status(200, body, {"Content-Type": "application/json"}))

    assert assistant.reply(ACME, REQUEST, seconds=10) == Reply("Yes.", 0)


def test_a_base_url_that_is_none_is_a_final_fault(assistant: Assistant) -> None:
    """Stored by a former version, which took it."""
    assert failure(assistant, ai_api_key="k", ai_base_url="https://ai.example:port/v1").permanent


def test_questions_of_several_integrations_share_a_warm_connection(
    assistant: Assistant, ai: StandInAI
) -> None:
    for name in ("one", "two", "three"):
        assistant.reply(replace(ACME, subdomain=name), REQUEST, seconds=10)

    assert (ai.count, ai.connections) == (3, 1)


def test_an_endless_answer_ends_at_its_size_long_before_the_deadline(
    assistant: Assistant, ai: StandInAI
) -> None:
    ai.faults.order(Huge(), times=None)
    started = time.monotonic()

    assert not failure(assistant, seconds=60).permanent
    assert time.monotonic() - started < 5


def test_a_key_of_its_own_is_used_at_a_server_of_its_own_and_nowhere_else(
    assistant: Assistant, ai: StandInAI
) -> None:
    with StandInAI(api_key="sk-stand-in") as own:
        error = failure(assistant, ai_api_key="sk-own", ai_base_url=own.base_url)

        assert error.permanent
        assert "401" in str(error)
        assert (own.answered, ai.count) == (0, 0)

"""The AI through the real SDK: what it is asked, what its failures mean, what it cannot do."""

import gc
import itertools
import json
import sys
import time
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from helpers import at_most

from kommo_bridge.ai.assistant import Assistant
from kommo_bridge.ai.dialogue import Dialogue, Reply
from kommo_bridge.ai.messenger_text import MAX_SOURCE
from kommo_bridge.ai.prompt import HARMLESS, Question
from kommo_bridge.ai.refusal import Attempt
from kommo_bridge.ai.response import read_response
from kommo_bridge.ai.tools import Tools
from kommo_bridge.conversations.memory import Exchange
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.integration import Integration
from local.partners.ai import StandInAI, openai_error
from local.partners.http.exchange import Request
from local.partners.http.faults import Drip, Fault, Garbage, Hang, Huge, Packed, Reset, Status
from local.redis_server import free_port

ACME = Integration("id", "acme", secret_key="s", instructions="We sell lighthouses.")
QUESTION = Question("¿Cuánto cuesta?", contact_name="Ana", origin="waba")


@pytest.fixture
def assistant(ai: StandInAI) -> Iterator[Assistant]:
    one = Assistant(
        api_key="sk-stand-in", base_url=ai.base_url, model="stand-in", timeout_seconds=5
    )
    yield one
    one.close()


def failure(assistant: Assistant, seconds: float = 10, **changes: Any) -> AssistantError:
    with pytest.raises(AssistantError) as raised:
        assistant.reply(replace(ACME, **changes), QUESTION, seconds=seconds)
    for secret in ("sk-", "Cuánto", "lighthouses"):
        assert secret not in str(raised.value)
    return raised.value


def test_it_is_asked_with_instructions_date_name_channel_and_the_rules(
    assistant: Assistant, ai: StandInAI
) -> None:
    reply = assistant.reply(ACME, QUESTION, seconds=10)

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
    assistant.reply(replace(ACME, model="own", temperature=0.2), QUESTION, seconds=10)

    assert (ai.requests[0]["model"], ai.requests[0]["temperature"]) == ("own", 0.2)


def test_a_server_of_its_own_is_asked_without_a_key_and_never_with_the_common_one(
    assistant: Assistant,
) -> None:
    class Listening(StandInAI):
        def received(self, request: Request) -> None:
            authorizations.append(request.headers.get("Authorization"))

    authorizations: list[str | None] = []
    with Listening() as own:
        assert assistant.reply(replace(ACME, ai_base_url=own.base_url), QUESTION, seconds=10).text

    assert authorizations == [None]


def test_the_common_server_may_need_no_key() -> None:
    with StandInAI() as server:
        assistant = Assistant(api_key=None, base_url=server.base_url, model="m", timeout_seconds=5)
        assert assistant.reply(ACME, QUESTION, seconds=10).text
        assistant.close()


def test_openai_is_never_asked_without_a_key() -> None:
    assistant = Assistant(api_key=None, base_url=None, model="m", timeout_seconds=5)

    assert failure(assistant).permanent
    assistant.close()


def test_an_integration_with_a_key_and_a_server_of_its_own_is_answered_there(
    assistant: Assistant, ai: StandInAI
) -> None:
    with StandInAI(api_key="sk-own") as own:
        assistant.reply(
            replace(ACME, ai_api_key="sk-own", ai_base_url=own.base_url), QUESTION, seconds=10
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

    assert assistant.reply(ACME, QUESTION, seconds=10).text
    assert ai.count == 2


@pytest.mark.parametrize(("asked_for", "seconds"), [(60, 10), (2, 1)], ids=["long", "too late"])
def test_a_retry_after_that_is_long_or_ends_too_late_is_not_slept_through(
    assistant: Assistant, ai: StandInAI, asked_for: int, seconds: float
) -> None:
    """If it was, no time would be left, and the error would not know the wait any more."""
    ai.faults.order(openai_error(429, headers={"Retry-After": f"{asked_for}"}), times=None)

    error = failure(assistant, seconds)

    assert error.retry_after_seconds == asked_for
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

    with at_most(4):
        assert not failure(assistant, seconds=1.5).permanent


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

    assert assistant.reply(ACME, QUESTION, seconds=10) == Reply("Yes.", 0)


@pytest.mark.parametrize("count", [10**19, 2**63 - 1, -1_000_000, "many", None, 1.5])
def test_a_count_of_tokens_that_cannot_be_is_none(
    assistant: Assistant, ai: StandInAI, count: object
) -> None:
    """Caps are counted by it."""
    choice = {"message": {"role": "assistant", "content": "Yes."}}
    usage = {"total_tokens": count, "prompt_tokens": 1, "completion_tokens": 1}
    body = json.dumps({"choices": [choice], "usage": usage})
    ai.faults.order(Status(200, body, {"Content-Type": "application/json"}))

    assert assistant.reply(ACME, QUESTION, seconds=10) == Reply("Yes.", 0)


def test_a_base_url_that_is_none_is_a_final_fault(assistant: Assistant) -> None:
    """Stored by a former version, which took it."""
    assert failure(assistant, ai_api_key="k", ai_base_url="https://ai.example:port/v1").permanent


def test_questions_of_several_integrations_share_a_warm_connection(
    assistant: Assistant, ai: StandInAI
) -> None:
    for name in ("one", "two", "three"):
        assistant.reply(replace(ACME, subdomain=name), QUESTION, seconds=10)

    assert (ai.count, ai.connections) == (3, 1)


def test_an_endless_answer_ends_at_its_size_long_before_the_deadline(
    assistant: Assistant, ai: StandInAI
) -> None:
    ai.faults.order(Huge(), times=None)

    with at_most(5):
        assert not failure(assistant, seconds=60).permanent


def test_a_key_of_its_own_is_used_at_a_server_of_its_own_and_nowhere_else(
    assistant: Assistant, ai: StandInAI
) -> None:
    with StandInAI(api_key="sk-stand-in") as own:
        error = failure(assistant, ai_api_key="sk-own", ai_base_url=own.base_url)

        assert error.permanent
        assert "401" in str(error)
        assert (own.answered, ai.count) == (0, 0)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def noticing(ai: StandInAI, clock: Clock) -> Iterator[Assistant]:
    """An assistant whose hours pass when a test says so."""
    one = Assistant(
        api_key="sk-stand-in",
        base_url=ai.base_url,
        model="stand-in",
        timeout_seconds=5,
        clock=clock,
    )
    yield one
    one.close()


def has_tools(request: Request) -> bool:
    return b'"tools"' in request.body


def tools_offered(ai: StandInAI) -> list[bool]:
    return ["tools" in asked for asked in ai.requests]


NO_TOOLS = openai_error(400, "unsupported", "stand-in does not support tools")


class TestToolsThatAreRefused:
    def test_are_left_out_for_an_hour_for_this_integration_alone(
        self, noticing: Assistant, ai: StandInAI, clock: Clock
    ) -> None:
        ai.faults.order(NO_TOOLS, times=1)
        for name in ("acme", "acme", "beta"):
            noticing.reply(replace(ACME, subdomain=name), QUESTION, seconds=10)
        clock.now += 3601
        noticing.reply(ACME, QUESTION, seconds=10)

        assert tools_offered(ai) == [True, False, False, True, True]

    def test_are_offered_to_another_model_or_server(
        self, noticing: Assistant, ai: StandInAI
    ) -> None:
        ai.faults.order(NO_TOOLS, times=1)
        noticing.reply(ACME, QUESTION, seconds=10)
        noticing.reply(replace(ACME, model="newer"), QUESTION, seconds=10)

        assert tools_offered(ai) == [True, False, True]

    def test_for_no_named_reason_are_noticed_by_a_harmless_question(
        self, noticing: Assistant, ai: StandInAI
    ) -> None:
        ai.faults.order(openai_error(400, "bad_request"), times=None, when=has_tools)
        for _ in range(2):
            noticing.reply(ACME, QUESTION, seconds=10)

        assert tools_offered(ai) == [True, False, True, False]
        [harmless] = [one for one in ai.requests if "Cuánto" not in str(one["messages"])]
        assert harmless["messages"][-1]["content"] == "Answer with the word OK."

    def test_once_for_no_named_reason_are_offered_again(
        self, noticing: Assistant, ai: StandInAI
    ) -> None:
        ai.faults.order(openai_error(400, "bad_request"), times=1)
        for _ in range(2):
            assert noticing.reply(ACME, QUESTION, seconds=10).text

        assert tools_offered(ai) == [True, False, True, True]

    @pytest.mark.parametrize("code", ["content_filter", "context_length_exceeded"])
    def test_were_not_what_a_filter_or_a_length_refused(
        self, noticing: Assistant, ai: StandInAI, code: str
    ) -> None:
        ai.faults.order(openai_error(400, code), times=1)

        assert failure(noticing).permanent
        noticing.reply(ACME, QUESTION, seconds=10)
        assert tools_offered(ai) == [True, True]


HISTORY = [Exchange("", "ж" * 300, "ж" * 300, 0) for _ in range(10)]


class TestALengthThatIsRefused:
    def reply(self, assistant: Assistant, history: list[Exchange]) -> Reply:
        return assistant.reply(ACME, QUESTION, seconds=10, history=history)

    @pytest.mark.parametrize(("most", "asked"), [(12, [22, 12]), (2, [22, 12, 2])])
    def test_is_put_again_with_half_of_the_history_and_then_without(
        self, assistant: Assistant, ai: StandInAI, most: int, asked: list[int]
    ) -> None:
        too_long = openai_error(400, "context_length_exceeded")
        ai.faults.order(
            too_long, times=None, when=lambda one: len(json.loads(one.body)["messages"]) > most
        )

        reply = self.reply(assistant, HISTORY)

        assert [len(one["messages"]) for one in ai.requests] == asked
        assert tools_offered(ai) == [True] * len(asked)
        assert ai.answered == 1
        assert reply.tokens < 1_500  # those of the one that was answered

    def test_without_a_name_is_tried_without_tools_first(
        self, assistant: Assistant, ai: StandInAI
    ) -> None:
        ai.faults.order(
            openai_error(400, "bad_request"), times=None, when=lambda one: len(one.body) > 8_000
        )

        assert self.reply(assistant, HISTORY).text
        self.reply(assistant, [])

        assert [len(one["messages"]) for one in ai.requests] == [22, 22, 12, 2]
        assert tools_offered(ai) == [True, False, False, True]

    def test_to_the_end_is_final_after_three_tries(
        self, assistant: Assistant, ai: StandInAI
    ) -> None:
        ai.faults.order(openai_error(413), times=None)

        with pytest.raises(AssistantError) as raised:
            self.reply(assistant, HISTORY)

        assert raised.value.permanent
        assert ai.count == 3

    def test_is_put_again_within_the_one_deadline(
        self, assistant: Assistant, ai: StandInAI
    ) -> None:
        ai.faults.order(openai_error(400, "context_length_exceeded"), times=1)
        ai.faults.order(Hang(), times=None)

        with at_most(4), pytest.raises(AssistantError) as raised:
            assistant.reply(ACME, QUESTION, seconds=1, history=HISTORY)

        assert not raised.value.permanent
        assert ai.count >= 2


def test_an_error_is_told_by_code_and_type_and_never_by_its_sentence(
    assistant: Assistant, ai: StandInAI
) -> None:
    error = {"message": "¿Cuánto cuesta?", "type": "BudgetExceeded", "param": None, "code": "400"}
    ai.faults.order(Status(401, json.dumps({"error": error})), times=None)

    assert str(failure(assistant)) == "the AI answered 401 BudgetExceeded"


@pytest.mark.parametrize("form", ["milliseconds", "date"])
def test_a_long_wait_is_left_to_the_queue_in_whatever_form_it_is_asked(
    assistant: Assistant, ai: StandInAI, form: str
) -> None:
    date = formatdate(time.time() + 60, usegmt=True)
    headers = {"retry-after-ms": "60000"} if form == "milliseconds" else {"Retry-After": date}
    ai.faults.order(openai_error(429, headers=headers), times=None)

    error = failure(assistant)

    assert 0 < (error.retry_after_seconds or 0) <= 60
    assert ai.count == 1


HUGE_RESPONSES = {
    "choices": '{"choices": [' + ",".join(['{"message": {"content": "Yes."}}'] * 25_000) + "]}",
    "tool calls": json.dumps(
        {"choices": [{"message": {"content": "Yes.", "tool_calls": [{"id": "x"}] * 80_000}}]}
    ),
    "reasoning": json.dumps(
        {"choices": [{"message": {"content": "Yes.", "reasoning": "word " * 200_000}}]}
    ),
    "text": json.dumps({"choices": [{"message": {"content": "word " * 200_000}}]}),
    "arguments": json.dumps(
        {
            "choices": [
                {
                    "message": {
                        "tool_calls": [
                            {"function": {"name": "handoff", "arguments": "[" * 900_000}}
                        ]
                    }
                }
            ]
        }
    ),
    "empty objects": '{"choices": [{"message": {"content": "Yes.", "x": ['
    + ",".join(["{}"] * 330_000)
    + "]}}]}",
}


@pytest.mark.parametrize("name", HUGE_RESPONSES)
def test_a_response_of_a_mebibyte_is_read_without_a_walk_through_it(name: str) -> None:
    """Against what it takes at least: the parser of JSON, written in C."""
    body = HUGE_RESPONSES[name].encode()
    started = time.thread_time()
    for _ in range(3):
        json.loads(body)
    parsed = time.thread_time() - started

    started = time.thread_time()
    dialogue = Dialogue(Tools(handoff=True), Attempt(tools=True, turns=0))
    dialogue.add(read_response(body))
    took = time.thread_time() - started

    assert took < 10 * parsed + 0.1
    reply = dialogue.reply()
    assert len(reply.text) <= MAX_SOURCE + 1
    assert reply.text or reply.handoff


def test_the_sdk_makes_no_objects_of_a_large_response(assistant: Assistant, ai: StandInAI) -> None:
    """Counted in calls of functions: a time would depend on what else the machine does."""

    def calls(name: str) -> int:
        ai.faults.order(Status(200, HUGE_RESPONSES[name], {"Content-Type": "application/json"}))
        counted = itertools.count()
        sys.setprofile(lambda _frame, event, _arg: event == "call" and next(counted))
        try:
            assert assistant.reply(ACME, QUESTION, seconds=60).text
        finally:
            sys.setprofile(None)
        return next(counted)

    one_text = max(calls("text") for _ in range(2))

    assert calls("choices") < one_text + 5000, "25,000 choices are in it"


def test_connections_end_with_the_assistant_that_nobody_closed(
    ai: StandInAI, acme: Integration
) -> None:
    one = Assistant(api_key="sk-stand-in", base_url=ai.base_url, model="m", timeout_seconds=5)
    one.reply(acme, HARMLESS, seconds=5)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        del one
        gc.collect()

    assert [str(each.message) for each in caught if "unclosed" in str(each.message)] == []

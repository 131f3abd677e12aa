"""The stand-in AI, asked through the real openai client."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
import requests
from helpers import wait_for

from local.partners.ai import StandInAI, openai_error
from local.partners.http.faults import Fault, Reset, ResetAfter


@pytest.fixture
def ai() -> Iterator[StandInAI]:
    with StandInAI(api_key="sk-right", models=["small", "large"]) as server:
        yield server
    assert server.errors == []


@pytest.fixture
def client(ai: StandInAI) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=ai.base_url, api_key="sk-right", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, said: str = "Are you open on Sunday?", model: str = "small") -> Any:
    return client.chat.completions.create(
        model=model,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": said}],
    )


def post(ai: StandInAI, body: Any) -> requests.Response:
    headers = {"Authorization": "Bearer sk-right"}
    return requests.post(f"{ai.base_url}/chat/completions", json=body, headers=headers, timeout=2)


def test_the_canned_reply_says_what_it_is_and_repeats_the_last_words(
    client: openai.OpenAI,
) -> None:
    first, second = ask(client), ask(client)

    reply = first.choices[0].message.content
    assert reply.startswith('(offline stand-in) You wrote: "Are you open on Sunday?"')
    assert second.choices[0].message.content == reply
    assert first.choices[0].finish_reason == "stop"


def test_usage_adds_up(client: openai.OpenAI) -> None:
    usage = ask(client).usage

    assert usage.prompt_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_reply_may_be_made_from_the_messages(ai: StandInAI, client: openai.OpenAI) -> None:
    ai.reply = lambda messages: messages[-1]["content"].upper()

    assert ask(client, "hi").choices[0].message.content == "HI"


def test_a_reply_may_be_a_whole_message_with_tool_calls(
    ai: StandInAI, client: openai.OpenAI
) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "handoff", "arguments": "{}"}}
    ai.reply = lambda _messages: {"tool_calls": [call]}

    choice = ask(client).choices[0]

    assert choice.finish_reason == "tool_calls"
    assert (choice.message.tool_calls[0].function.name, choice.message.content) == ("handoff", None)


def test_a_reply_may_name_its_finish_reason(ai: StandInAI, client: openai.OpenAI) -> None:
    ai.reply = lambda _messages: {"content": "cut o", "finish_reason": "length"}

    assert ask(client).choices[0].finish_reason == "length"


def test_requests_are_kept_also_those_that_met_a_fault(
    ai: StandInAI, client: openai.OpenAI
) -> None:
    ai.faults.order(openai_error(500))

    with pytest.raises(openai.InternalServerError):
        ask(client, "first")
    ask(client, "second")

    assert [body["messages"][-1]["content"] for body in ai.requests] == ["first", "second"]
    assert (ai.count, ai.answered) == (2, 1)


def test_thinking_takes_its_time_for_many_at_once(ai: StandInAI, client: openai.OpenAI) -> None:
    ai.delay_seconds = 0.3

    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ask(client), range(8)))

    assert 0.3 <= time.monotonic() - started < 8 * 0.3
    assert ai.answered == 8


def test_a_stop_does_not_wait_for_the_thinking(client: openai.OpenAI, ai: StandInAI) -> None:
    ai.delay_seconds = 60
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, client)
        wait_for(lambda: ai.count)

        ai.stop()

        with pytest.raises(openai.APIConnectionError):
            asked.result(timeout=2)


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["small", "large"]


def test_every_key_and_model_is_taken_when_none_is_named() -> None:
    with (
        StandInAI() as ai,
        openai.OpenAI(base_url=ai.base_url, api_key="any", max_retries=0) as client,
    ):
        assert ask(client, model="whatever").model == "whatever"
        assert len(client.models.list().data) == 1


def test_a_wrong_key_is_a_401(ai: StandInAI) -> None:
    with openai.OpenAI(base_url=ai.base_url, api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            ask(client)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()

    assert refused.value.code == "invalid_api_key"
    assert "sk-wrong" not in str(refused.value)


def test_an_unknown_model_is_a_404(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        ask(client, model="huge")

    assert refused.value.code == "model_not_found"


def test_an_unknown_path_is_a_404(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.embeddings.create(model="small", input="x")

    assert refused.value.code == "unknown_url"


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        "hi",
        ["hi"],
        [USER, {"role": "robot", "content": "hi"}],
        [{"content": "hi"}],
        [{"role": "user"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": "  "}],
        [{"role": "user", "content": []}],
        [{"role": "assistant", "content": None}],
    ],
)
def test_malformed_messages_are_a_400(ai: StandInAI, messages: Any) -> None:
    response = post(ai, {"model": "small", "messages": messages})

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert ai.answered == 0


@pytest.mark.parametrize(
    "body",
    [None, [], {"messages": [USER]}, {"model": "", "messages": [USER]}, {"model": 5}],
)
def test_a_malformed_body_is_a_400(ai: StandInAI, body: Any) -> None:
    assert post(ai, body).status_code == 400


def test_streaming_is_refused(ai: StandInAI) -> None:
    body = {"model": "small", "messages": [USER], "stream": True}

    assert post(ai, body).status_code == 400


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]},
    ],
)
def test_every_right_kind_of_message_is_taken(ai: StandInAI, message: dict[str, Any]) -> None:
    assert post(ai, {"model": "small", "messages": [USER, message]}).status_code == 200


CALLS = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}, {"id": "2"}]}


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "content": "42", "tool_call_id": call_id}


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([USER, CALLS, result("2"), result("1")], 200),
        ([USER, CALLS, result("1"), result("2"), USER], 200),
        ([USER, CALLS, result("1")], 400),
        ([USER, CALLS, result("1"), USER], 400),
        ([USER, CALLS, result("1"), result("1")], 400),
        ([USER, result("1")], 400),
    ],
)
def test_every_call_of_a_tool_is_answered_at_once_and_nothing_else_is(
    ai: StandInAI, messages: list[dict[str, Any]], status: int
) -> None:
    assert post(ai, {"model": "small", "messages": messages}).status_code == status


@pytest.mark.parametrize("choice", ["none", "sometimes"])
def test_a_choice_of_tools_needs_tools_and_a_known_word(ai: StandInAI, choice: str) -> None:
    tool = {"type": "function", "function": {"name": "x", "parameters": {"type": "object"}}}
    body = {"model": "small", "messages": [USER], "tool_choice": choice}

    assert post(ai, body).status_code == 400
    assert post(ai, {**body, "tools": [tool]}).status_code == (200 if choice == "none" else 400)


def test_a_long_beginning_that_came_before_is_counted_as_cached(ai: StandInAI) -> None:
    def cached(text: str) -> int:
        body = post(ai, {"model": "small", "messages": [{"role": "system", "content": text}, USER]})
        found: int = body.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
        return found

    long = "word " * 2_000

    assert cached("short") == cached("short") == 0
    assert cached(long) == 0
    assert 2_000 < cached(f"{long} and more") <= 2_500
    assert cached(f"other {long}") == 0


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (openai_error(401), openai.AuthenticationError, "invalid_api_key"),
        (openai_error(429), openai.RateLimitError, "rate_limit_exceeded"),
        (openai_error(429, "insufficient_quota"), openai.RateLimitError, "insufficient_quota"),
        (openai_error(500), openai.InternalServerError, None),
        (openai_error(503), openai.InternalServerError, None),
    ],
)
def test_an_ordered_error_is_understood_by_the_client(
    ai: StandInAI, client: openai.OpenAI, fault: Fault, error: Any, code: str | None
) -> None:
    ai.faults.order(fault)

    with pytest.raises(error) as raised:
        ask(client)

    assert raised.value.code == code


def test_an_ordered_error_may_carry_retry_after(ai: StandInAI, client: openai.OpenAI) -> None:
    ai.faults.order(openai_error(429, headers={"Retry-After": "2"}))

    with pytest.raises(openai.RateLimitError) as raised:
        ask(client)

    assert raised.value.response.headers["retry-after"] == "2"


@pytest.mark.parametrize(("fault", "answered"), [(Reset(), 0), (ResetAfter(), 1)])
def test_a_lost_answer_was_billed_or_not(
    ai: StandInAI, client: openai.OpenAI, fault: Fault, answered: int
) -> None:
    ai.faults.order(fault)

    with pytest.raises(openai.APIConnectionError):
        ask(client)

    assert ai.answered == answered


@pytest.mark.parametrize(
    "tools",
    [[], {}, ["handoff"], [{"type": "function"}], [{"type": "function", "function": {}}]],
)
def test_tools_that_are_none_are_refused(ai: StandInAI, tools: object) -> None:
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "tools": tools}

    assert post(ai, body).status_code == 400


def test_the_canned_reply_hands_over_to_who_asks_for_a_human(client: openai.OpenAI) -> None:
    choice = ask(client, "I want a human").choices[0]

    assert choice.message.tool_calls[0].function.name == "handoff"
    assert "colleague" in choice.message.tool_calls[0].function.arguments

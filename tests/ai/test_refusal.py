"""What a refused prompt means, by the words of the servers that people use, and what comes next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommo_bridge.ai.refusal import Attempt, Reason, identifiers, next_attempt, reason_of
from kommo_bridge.conversations.memory import Exchange

INVALID = "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "words", "reason"),
    [
        (400, ("context_length_exceeded", INVALID, "messages", ""), "length"),
        (400, (None, None, None, "This model's maximum context length is 8192 tokens"), "length"),
        (
            400,
            (None, INVALID, None, "... context length is 8192 tokens (50 in the functions)."),
            "length",
        ),
        (400, (400, "exceed_context_size_error", None, "the request exceeds the"), "length"),
        (400, (None, INVALID, None, "prompt is too long: 200251 tokens > 199999"), "length"),
        (
            400,
            (None, None, None, "The input token count (9) exceeds the maximum number of"),
            "length",
        ),
        (400, (None, None, None, "too many tokens: size limit exceeded"), "length"),
        (
            400,
            ("string_above_max_length", INVALID, None, "Invalid 'messages[0].content'"),
            "length",
        ),
        (413, (None, None, None, "Payload"), "length"),
        (400, (None, INVALID, "tools", "Unknown parameter"), "tools"),
        (400, (None, "api_error", None, "gemma:2b does not support tools"), "tools"),
        (404, (None, None, None, "No endpoints found that support tool use."), "tools"),
        (400, (None, None, None, '"auto" tool choice requires --enable-auto-tool-choice'), "tools"),
        (422, (None, None, "tool_choice", ""), "tools"),
        (400, ("unsupported", None, None, "Function calling is not enabled"), "tools"),
        (400, (None, None, None, "Bad request"), "unknown"),
        (422, (), "unknown"),
        (400, ("content_filter", None, None, "The tools were filtered"), None),
        (400, (None, None, None, "Azure OpenAI's content management policy"), None),
        (400, (None, "safety", None, "flagged: input too long"), None),
        (401, ("invalid_api_key", None, None, "tools"), None),
        (404, ("model_not_found", INVALID, None, "The model does not exist"), None),
        (429, (None, None, None, "too many tokens per minute"), None),
        (500, (None, None, None, "tools"), None),
    ],
)
def test_the_reason_of_a_refusal(
    status: int, words: tuple[object, ...], reason: Reason | None
) -> None:
    assert reason_of(status, *words) == reason


def test_no_more_of_a_sentence_is_read_than_needed() -> None:
    assert reason_of(400, "a" * 1_000_000 + "tools") == "unknown"


def turns(count: int, characters: int = 600) -> list[Exchange]:
    half = "x" * (characters // 2)
    return [Exchange("", half, half, 0) for _ in range(count)]


@pytest.mark.parametrize(
    ("attempt", "reason", "history", "following"),
    [
        (Attempt(True, 8), "length", turns(8), Attempt(True, 4)),
        (Attempt(True, 4), "length", turns(8), Attempt(True, 0)),
        (Attempt(True, 1), "length", turns(1), Attempt(True, 0)),
        (Attempt(True, 0), "length", turns(8), None),
        (Attempt(True, 8), "tools", turns(8), Attempt(False, 8)),
        (Attempt(False, 8), "tools", turns(8), None),
        (Attempt(True, 8), "unknown", turns(8), Attempt(False, 8)),
        (Attempt(False, 8), "unknown", turns(8), Attempt(False, 4)),
        (Attempt(False, 4), "unknown", turns(8), Attempt(False, 0)),
        (Attempt(False, 0), "unknown", turns(8), None),
        (Attempt(False, 3), "unknown", turns(3), None),
        (Attempt(True, 8), None, turns(8), None),
    ],
)
def test_what_is_tried_after_a_refusal(
    attempt: Attempt, reason: Reason | None, history: list[Exchange], following: Attempt | None
) -> None:
    assert next_attempt(attempt, reason, history) == following


@given(
    st.integers(0, 200), st.lists(st.sampled_from(["length", "tools", "unknown", None]), min_size=9)
)
def test_however_it_is_refused_four_tries_are_the_most(
    count: int, reasons: list[Reason | None]
) -> None:
    attempt: Attempt | None = Attempt(True, count)
    tries = 0
    for reason in reasons:
        if attempt is None:
            break
        tries += 1
        attempt = next_attempt(attempt, reason, turns(count))

    assert attempt is None
    assert tries <= 4


def test_the_newest_turns_stay() -> None:
    history = [Exchange("", str(number), "yes", 0) for number in range(4)]

    assert [turn.customer for turn in Attempt(True, 2).history(history)] == ["2", "3"]
    assert Attempt(True, 0).history(history) == []


def test_only_identifiers_are_passed_on() -> None:
    said = ["rate_limit", "rate_limit", None, 400, "My card is 4111", "None", "цена", "x" * 65]

    assert identifiers(*said) == ["rate_limit"]

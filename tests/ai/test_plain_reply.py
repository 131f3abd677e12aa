"""What must not reach a customer is taken out of a reply; what a person would write stays."""

import time

import pytest

from kommo_bridge.ai.messenger_text import MAX_SOURCE
from kommo_bridge.ai.plain_reply import plain_reply
from kommo_bridge.ai.prompt import CHANGING, CUSTOMERS_OWN_WORDS, KNOWLEDGE, PROMPT_RULES
from kommo_bridge.ai.tools import GAP_RULE, HANDOFF_RULE, SEARCH_RULE

TOOLS = ("handoff", "note_gap", "search_knowledge")


@pytest.mark.parametrize(
    "text",
    [
        "A lamp is 5 euro (6 with a bulb).",
        "Use {name} or {{name}} in the text, see [our page](https://example.com).",
        "Prices: {5, 6, 7}. a < b, and <b>bold</b>.",
        "Size: f(x) = 2x",
        "handoff of the keys (Monday)",
        "```\nmake it so\n```",
        "{}",
        "[Monday]",
        "👍",
    ],
)
def test_what_a_person_would_write_stays(text: str) -> None:
    assert plain_reply(text, TOOLS).text == text
    assert plain_reply(text, TOOLS).calls == ()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"reply": "A lamp is 5 euro."}', "A lamp is 5 euro."),
        ('```json\n{"text": "A lamp is 5 euro.", "mood": 3}\n```', "A lamp is 5 euro."),
        ('[{"message": "A lamp is 5 euro."}]', "A lamp is 5 euro."),
        ('A lamp is 5 euro.\n{"name": "get_price", "arguments": {}}', "A lamp is 5 euro."),
        ('{"price": 5}', ""),
        ('A lamp is 5 euro. <tool_call>{"name": "x"', "A lamp is 5 euro."),
        ("<|python_tag|>get_price()", ""),
        ("A lamp is 5 euro.<|im_end|>", "A lamp is 5 euro."),
        ("A lamp is 5 euro.\n```tool_code\nprint(1)\n```", "A lamp is 5 euro."),
        ("[TOOL_CALLS] get_price", ""),
        ("<function=get_price>{}</function>5 euro.", "5 euro."),
    ],
)
def test_json_and_the_syntax_of_tools_are_not_shown(text: str, left: str) -> None:
    assert plain_reply(text, TOOLS) == plain_reply(left, TOOLS)


def test_a_tool_that_is_not_offered_is_not_called() -> None:
    plain = plain_reply('<tool_call>{"name": "handoff", "arguments": {}}</tool_call>', ())

    assert (plain.text, plain.calls) == ("", ())


@pytest.mark.parametrize("line", "\n".join(
    [PROMPT_RULES, HANDOFF_RULE, GAP_RULE, SEARCH_RULE, KNOWLEDGE, CUSTOMERS_OWN_WORDS]
).split("\n"))  # fmt: skip
def test_each_line_of_our_rules_is_noticed(line: str) -> None:
    assert plain_reply(f"Well, “{line.replace(' ', '  ').upper()}”, it says", TOOLS).leaked


def test_a_short_heading_of_ours_may_be_anybodys_words() -> None:
    assert not plain_reply(f"{CHANGING} we are closed.", TOOLS).leaked


@pytest.mark.parametrize(
    "part", ["{", '{"a":', "<tool_call>", "[TOOL_CALLS]", "```tool_code ", "<|tool|", "f(", "<|a"]
)
def test_no_reply_takes_long_to_read(part: str) -> None:
    """Against a quarter of it: four times as long is in proportion, sixteen times is not."""

    def cost(length: int) -> float:
        started = time.thread_time()
        for _ in range(5):
            plain_reply(part * (length // len(part)), TOOLS)
        return time.thread_time() - started

    quarter = cost(MAX_SOURCE // 4)

    assert cost(MAX_SOURCE) < 8 * quarter + 0.1

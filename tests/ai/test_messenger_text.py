"""The AI's Markdown as a messenger's text: marks, no lost words, a length."""

import os
import time
import tracemalloc
import unicodedata

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kommo_bridge.ai.messenger_text import MAX_UNITS, WORD, messenger_text
from kommo_bridge.kommo.text import utf16_units


def shaped(reply: str) -> str:
    return messenger_text(reply).text


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("**Roses** are __fresh__", "*Roses* are *fresh*"),
        ("*soft* and _soft_", "*soft* and _soft_"),
        ("~~50~~ 45 euro", "~50~ 45 euro"),
        ("# Our **roses**", "*Our roses*"),
        ("## Prices\n* red: 45\n* white: 40", "*Prices*\n- red: 45\n- white: 40"),
        ("1. one\n2. two\n   - inside", "1. one\n2. two\n  - inside"),
        ("1) one\n2) two", "1) one\n2) two"),
        ("[Shop](https://a.example/x_y)", "Shop: https://a.example/x_y"),
        ("[https://a.example](https://a.example)", "https://a.example"),
        ("<https://a.example/ü>", "https://a.example/ü"),
        ("![A rose](https://a.example/r.png)", "A rose: https://a.example/r.png"),
        ('[Shop](https://a.example "Open now")', "Shop (Open now): https://a.example"),
        ("Use `ROSE10`", "Use `ROSE10`"),
        ("```python\nx = 1\n```", "```\nx = 1\n```"),
        (
            "| Rose | Price |\n|---|---|\n| red | 45 |\n| white | |",
            "*Rose* | *Price*\nred | 45\nwhite",
        ),
        ("> said\n> he", "> said\n> he"),
        ("One\n\n---\n\nTwo", "One\n\nTwo"),
        ("One\n\n\n\n\nTwo", "One\n\nTwo"),
        ("{{contact.name}}, hello", "{ {contact.name}}, hello"),
        ("a\x00b\x07", "ab"),
        ("   \n", ""),
    ],
)
def test_markdown_becomes_marks(markdown: str, text: str) -> None:
    assert shaped(markdown) == text


@pytest.mark.parametrize(
    "text",
    [
        "Hello! How can I help?",
        "5*3*2 = 30",
        "2 * 3 * 4",
        "the file snake_case_name",
        "https://a.example/a_b_c?x=*y*&z=1",
        "Call +7 900 123-45-67",
        "Prices:\nred 45\nwhite 40\n\nBye",
        "Ціна: 45 €\n— так",
        "مرحبا بك",
        "a < b > c & d &amp; e",
        "<b>not HTML</b>",
        "*already bold* and _italic_",
        "👩‍👩‍👧 welcome",
        "2024. A good year",
        "100% {sure}",
    ],
)
def test_plain_text_passes_unchanged(text: str) -> None:
    assert shaped(text) == text


WORDS = st.text(
    st.characters(categories=["L", "N"]).filter(
        lambda one: unicodedata.normalize("NFC", one) == one
    ),
    min_size=1,
    max_size=8,
)
PLAIN = st.lists(
    st.lists(WORDS, min_size=1, max_size=6).map(lambda words: " ".join(words) + "."), max_size=5
).map("\n".join)
MARKED = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        inner.map("**{}**".format),
        inner.map("_{}_".format),
        inner.map("~~{}~~".format),
        inner.map("[{}](https://a.example/x)".format),
        inner.map("- {}\n".format),
        inner.map("\n# {}\n".format),
        inner.map("> {}\n".format),
        inner.map("| {} | b |\n|--|--|\n".format),
        inner.map("```\n{}\n```\n".format),
        st.lists(inner, min_size=1, max_size=4).map(" ".join),
    ),
    max_leaves=12,
)


@given(st.text())
def test_no_text_crashes_it_or_grows_beyond_the_limit(reply: str) -> None:
    assert utf16_units(shaped(reply)) <= MAX_UNITS


@given(MARKED)
def test_no_word_is_lost(reply: str) -> None:
    found = WORD.findall(shaped(reply))
    assert [word for word in WORD.findall(reply) if word not in found] == []


@given(PLAIN)
def test_plain_text_stays_as_it_is_however_often(reply: str) -> None:
    once = shaped(reply)

    assert shaped(once) == once
    assert WORD.findall(once) == WORD.findall(reply)


@given(st.lists(WORDS, min_size=1).map(" ".join), st.integers(20, 200))
def test_the_length_holds_and_only_whole_words_stay(reply: str, limit: int) -> None:
    made = messenger_text(reply, limit)

    assert utf16_units(made.text) <= limit
    assert made.cut == (utf16_units(reply) > limit)
    if not made.cut:
        assert made.text == reply


@pytest.mark.parametrize(
    ("reply", "limit", "text"),
    [
        ("First paragraph here.\n\nSecond paragraph.", 34, "First paragraph here. …"),
        ("One sentence is here. Another follows it.", 36, "One sentence is here. …"),
        (
            "A sentence that is long enough to stand.\n\nYes. And more.",
            48,
            "A sentence that is long enough to stand. …",
        ),
        ("one two three four five six", 20, "one two three four …"),
        ("see https://a.example/very/long/path/indeed", 30, "see https://a.example/very/l …"),
        ("x" * 50, 20, "x" * 18 + " …"),
        ("**" + "bold words " * 9 + "end**", 30, "bold words bold words bold …"),
        ("👩‍👩‍👧" * 9, 20, "👩‍👩‍👧" * 2 + " …"),
    ],
)
def test_it_is_cut_at_a_border(reply: str, limit: int, text: str) -> None:
    made = messenger_text(reply, limit)

    assert (made.text, made.cut) == (text, True)


NESTED_LISTS = "".join("  " * depth + f"- word{depth}\n" for depth in range(200))


@pytest.mark.parametrize(
    "reply",
    [
        "[" * 3000 + "x",
        "*" * 3000 + "x",
        ">" * 900 + "x",
        "`" * 2999 + "x",
        "**a " * 800,
        "![[" * 900 + "x",
        "<" * 3000 + "x",
        NESTED_LISTS,
    ],
    ids=lambda reply: reply[:6],
)
def test_what_would_choke_a_parser_keeps_its_words(reply: str) -> None:
    made = messenger_text(reply, 100_000)

    assert sorted(WORD.findall(made.text)) == sorted(WORD.findall(reply))


PARAGRAPHS = "\n\n".join(f"{number}. " + "Roses cost 45 euro today. " * 10 for number in range(20))


def test_a_long_reply_in_paragraphs_loses_no_more_than_it_must() -> None:
    uneven = "x" * 2_500 + ".\n\n" + "One sentence is here. " * 110

    for reply in (PARAGRAPHS, uneven):
        made = messenger_text(reply)

        assert made.cut
        assert 0.85 * MAX_UNITS <= utf16_units(made.text) <= MAX_UNITS


SENTENCES = st.tuples(st.integers(1, 50), st.sampled_from(["ж. ", "ж.\n", "ж.\n\n", "ж!» "]))


@given(st.lists(SENTENCES, min_size=20, max_size=80), st.integers(400, 600))
def test_a_cut_uses_most_of_the_length_where_sentences_end(
    sentences: list[tuple[int, str]], limit: int
) -> None:
    """No sentence here is longer than a seventh of the length."""
    reply = "".join("ж" * length + end for length, end in sentences).strip()
    if utf16_units(reply) > limit:
        made = messenger_text(reply, limit)

        assert utf16_units(made.text) >= 0.85 * limit
        assert made.text.removesuffix(" …")[-1] in ".»"


def test_what_stands_far_behind_the_length_is_not_even_read() -> None:
    made = messenger_text("Yes." + "\n" * 20_000 + "No.")

    assert (made.text, made.cut) == ("Yes. …", True)


MEBIBYTE = 1024 * 1024
FRAGMENTS = st.text("\n >*_`~[](){}|-#<!\\.:a1 ж\u0301😀", min_size=1, max_size=12)
POISON = [
    "\n",
    " \n",
    "a\n",
    "a\n\n",
    "**a*",
    "[a](b)",
    "- a\n",
    "~~a",
    "# a\n",
    "-\n",
    "{",
    "[",
    "![",
    "[a](",
    ">" * 30 + "a\n",
    "a" + "\n" * 13_000 + "b",
    "|a" * 900 + "\n" + "|-" * 900 + "\n" + "a\n" * 9_000,
    "|a" * 600 + "\n" + "|-" * 600 + "\n" + "a\n" * 900 + "word " * 2_000,
    "*" * 3_000 + " ",
    "." + "*" * 3_400,
    "\U0001f1e6",
    "a" + "\u0301" * 3_400,
]


def repeated(fragment: str) -> str:
    return fragment * (MEBIBYTE // len(fragment.encode()))


def cost(reply: str) -> float:
    """Processor seconds of this thread: what else runs on the machine does not count."""
    started = time.thread_time()
    messenger_text(reply)
    return time.thread_time() - started


@pytest.fixture(scope="module")
def ordinary() -> float:
    """What 14,000 characters of plain words cost here and now."""
    return max(cost("word " * 2_800) for _ in range(3))


@pytest.mark.parametrize("fragment", POISON, ids=lambda one: repr(one[:8]))
def test_no_reply_of_a_mebibyte_costs_much(fragment: str, ordinary: float) -> None:
    check_cost(repeated(fragment), ordinary)


@hypothesis_settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "0")) or 40)
@given(fragments=st.lists(st.tuples(FRAGMENTS, st.integers(1, 15_000)), min_size=1, max_size=3))
def test_no_mixture_costs_much(fragments: list[tuple[str, int]], ordinary: float) -> None:
    check_cost("".join(fragment * times for fragment, times in fragments), ordinary)


def check_cost(reply: str, ordinary: float) -> None:
    assert cost(reply) < 20 * ordinary
    tracemalloc.start()
    try:
        made = messenger_text(reply)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * MEBIBYTE
    assert utf16_units(made.text) <= MAX_UNITS

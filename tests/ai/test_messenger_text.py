"""The AI's Markdown as a messenger's text: marks, no lost words, a length."""

import unicodedata

import pytest
from hypothesis import given
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

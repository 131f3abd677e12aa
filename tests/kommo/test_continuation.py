"""The continuation: a text within Kommo's limits, never cut where it hurts."""

import json
import re
import unicodedata
from typing import get_args

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from kommo_bridge.kommo.continuation import Continuation, Status, continuation
from kommo_bridge.kommo.text import (
    MAX_HANDLERS,
    MAX_SHOW_UNITS,
    safe_text,
    split_for_show,
    utf16_units,
)

FAMILY = "👩‍👩‍👧‍👦"
URL = "https://shop.example.com/a/very/long/path?with=a&query=that-goes-on#and-on"
JOINERS = "\n\t\u200c\u200d\u200e\u200f" + "".join(map(chr, range(0xE0020, 0xE0080)))


def shown(body: dict[str, object]) -> list[str]:
    handlers = json.loads(json.dumps(body))["execute_handlers"]
    assert all(item["handler"] == "show" for item in handlers)
    assert all(set(item["params"]) == {"type", "value"} for item in handlers)
    assert all(item["params"]["type"] == "text" for item in handlers)
    return [item["params"]["value"] for item in handlers]


def test_by_default_a_reply_travels_in_data_alone() -> None:
    body = continuation("success", "Hello\nAnn", "json").body()

    assert body == {"data": {"status": "success", "reply": "Hello\nAnn", "message": "Hello\nAnn"}}


def test_a_hand_made_bot_is_given_the_same_text_as_show_handlers_too() -> None:
    body = continuation("success", "Hello Ann", "show").body()

    assert body["data"] == {"status": "success", "reply": "Hello Ann", "message": "Hello Ann"}
    assert shown(body) == ["Hello Ann"]


@pytest.mark.parametrize("delivery", ["json", "show"])
@pytest.mark.parametrize("status", get_args(Status))
@pytest.mark.parametrize("text", ["", " ", "\n", "\x00", "\u200b", "\u200d", "\u200e \u200f"])
def test_no_value_of_data_is_ever_empty(status: Status, text: str, delivery: str) -> None:
    body = continuation(status, text, delivery).body()

    assert body["data"] == {"status": status, "reply": "-", "message": "-"}
    assert "execute_handlers" not in body


def test_a_skip_never_shows_anything() -> None:
    assert "execute_handlers" not in continuation("skip", "Hello", "show").body()


def test_what_kommo_refused_can_be_sent_again_without_handlers() -> None:
    made = continuation("success", "Hello", "show")

    assert made.shows
    assert made.without_handlers() == Continuation("success", "Hello")
    assert "execute_handlers" not in made.without_handlers().body()


def test_a_text_that_cannot_fit_travels_in_data_alone_and_uncut() -> None:
    text = "word " * 400

    made = continuation("success", text, "show")

    assert made.shows == ()
    assert made.body() == {"data": {"status": "success", "reply": text[:-1], "message": text[:-1]}}


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("{{json.reply}}", "{ {json.reply}}"),
        ("{{{{a}}}}", "{ { { {a}}}}"),
        ("{\x00{lead.id}}", "{ {lead.id}}"),
        ("{\u200b{lead.id}}", "{ {lead.id}}"),
        ("{a}", "{a}"),
        ("a\x00b\x07c\x1b[31m", "abc[31m"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("a\rb", "a\nb"),
        ("  a  ", "a"),
        ("a\ud800b", "a?b"),
        ("a\u202eb\u2066c", "abc"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        (FAMILY, FAMILY),
        ("🏴\U000e0067\U000e0062\U000e007f", "🏴\U000e0067\U000e0062\U000e007f"),
    ],
)
def test_a_hostile_reply_is_made_harmless(text: str, safe: str) -> None:
    assert safe_text(text) == safe


def test_a_short_text_is_one_part() -> None:
    assert split_for_show("x" * 80) == ("x" * 80,)
    assert split_for_show("One. Two.") == ("One. Two.",)


def test_a_text_is_cut_after_a_sentence_rather_than_after_a_word() -> None:
    first = "This first sentence is more than half of one part of a text."

    assert split_for_show(f"{first} This second one follows it.") == (
        first,
        "This second one follows it.",
    )


def test_a_text_that_fits_is_not_cut_after_its_sentences() -> None:
    text = "This first sentence is more than half of a part. Here is the rest of it"

    assert split_for_show(text) == (text,)


def test_a_sentence_that_is_too_long_is_cut_between_words() -> None:
    assert split_for_show("abcd " * 20) == (("abcd " * 16).strip(), ("abcd " * 4).strip())


def test_emoji_count_as_the_two_units_they_are() -> None:
    assert utf16_units("👍") == 2
    assert split_for_show("👍" * 40) == ("👍" * 40,)
    assert split_for_show("👍" * 41) == ("👍" * 40, "👍")


def test_a_grapheme_is_never_cut() -> None:
    parts = split_for_show(FAMILY * 20)

    assert "".join(parts) == FAMILY * 20
    assert all(len(part) % len(FAMILY) == 0 for part in parts)


def test_a_grapheme_that_is_too_long_makes_the_text_travel_in_data() -> None:
    assert split_for_show("a" + "\u0301" * 100) == ()


def test_a_url_stays_whole() -> None:
    parts = split_for_show(f"Please look here: {URL} and tell me what you think of it.")

    assert [URL in part for part in parts] == [False, True, False]


@pytest.mark.parametrize(
    "url",
    [
        f"https://shop.example.com/{'a' * 80}",
        f"(https://shop.example.com/{'a' * 80})",
        f"www.shop.example.com/{'a' * 80}",
        f"wa.me/{'1' * 90}",
        f"HTTP://SHOP.EXAMPLE.COM/{'A' * 80}",
    ],
)
def test_a_url_that_is_too_long_makes_the_text_travel_in_data(url: str) -> None:
    assert split_for_show(f"Look: {url} please") == ()


def test_ten_parts_are_shown_and_eleven_are_not() -> None:
    assert len(split_for_show("x" * 800)) == MAX_HANDLERS
    assert split_for_show("x" * 801) == ()


def test_a_very_long_text_is_given_up_quickly() -> None:
    assert split_for_show("x" * 200_000) == ()
    assert split_for_show("👩‍👩‍👧‍👦" * 20_000) == ()
    assert split_for_show("word " * 200_000) == ()


PIECES = st.sampled_from(
    [
        *" \n.,!?。{}",
        "{{",
        "word",
        "A sentence ends here. ",
        "\u0301",
        "\u200d",
        "\ufe0f",
        "\x00",
        "\x1c",
        "\x85",
        "\u2028",
        "👍",
        "🇪🇸",
        FAMILY,
        "한국어",
        URL,
        "x" * 81,
    ]
)
TEXTS = st.one_of(
    st.text(max_size=300),
    st.lists(PIECES, max_size=40).map("".join),
    st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), max_size=60).map(" ".join),
)


@given(TEXTS)
@example("a\x85 \x1c\u2028b")
def test_whatever_is_split_fits_and_keeps_its_words(text: str) -> None:
    text = safe_text(text)

    parts = split_for_show(text)

    assert len(parts) <= MAX_HANDLERS
    assert all(0 < utf16_units(part) <= MAX_SHOW_UNITS for part in parts)
    if parts:
        assert "".join("".join(parts).split()) == "".join(text.split())
        for url in re.findall(re.escape(URL), text):
            assert any(url in part for part in parts)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_whatever_is_split_is_split_between_graphemes(text: str) -> None:
    text = safe_text(text)
    borders = {match.start() for match in regex.finditer(r"\X", text)}

    place = 0
    for part in split_for_show(text):
        start = text.index(part, place)
        place = start + len(part)
        assert start in borders or text[start - 1].isspace()


@given(TEXTS)
def test_whatever_is_made_safe_holds_no_placeholder_and_no_control_character(text: str) -> None:
    safe = safe_text(text)

    assert "{{" not in safe
    assert safe == safe.strip() == safe_text(safe)
    controls = {one for one in safe if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co")}
    assert controls <= set(JOINERS)


@given(st.sampled_from(get_args(Status)), TEXTS, st.sampled_from(["json", "show"]))
def test_whatever_is_continued_has_no_empty_value(status: Status, text: str, delivery: str) -> None:
    body = continuation(status, text, delivery).body()

    values = [*body["data"].values(), *(shown(body) if "execute_handlers" in body else [])]
    assert all(isinstance(value, str) and value.strip() for value in values)
    assert not any("{{" in value for value in values)
    assert body.get("execute_handlers") != []

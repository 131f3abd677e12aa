"""The right passages are found, whatever the words' form."""

import threading

import pytest

from kommo_bridge.knowledge.passages import Passage
from kommo_bridge.knowledge.search import FOUND, Index
from kommo_bridge.knowledge.words import trigrams, words


def index(*texts: str) -> Index:
    return Index(Passage("Prices", "", text) for text in texts)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Künefe İSKENDER ılık", ["kunefe", "iskender", "ilik"]),
        ("Ёлка, йод", ["елка", "иод"]),
        ("São Señor Straße", ["sao", "senor", "strasse"]),
        ("1.450 TL, 1 450, 1,450 1\u00a0450", ["1450", "tl", "1450", "1450", "1450"]),
        ("9,50 €; 12:30; 3.5", ["9", "50", "12", "30", "3", "5"]),
        ("10.000.000", ["10000000"]),
    ],
)
def test_words_are_folded(text: str, folded: list[str]) -> None:
    assert words(text) == folded


def test_short_words_have_pieces() -> None:
    assert trigrams("5") == [" 5 "]
    assert trigrams("xl") == [" xl", "xl "]
    assert trigrams("soup") == [" so", "sou", "oup", "up "]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("how much is a margarita", "Margherita 9 €"),
        ("SOUPS", "Tomato soup 5 €"),
        ("хочу тюльпанов", "Тюльпаны 1 950 ₽"),
        ("size xl?", "T-shirt XL 20 €"),
        ("what costs 1950", "Тюльпаны 1 950 ₽"),
        ("kunefe", "Künefe 180 TL"),
    ],
)
def test_a_question_finds_its_passage(query: str, found: str) -> None:
    search = index(
        "Margherita 9 €", "Tomato soup 5 €", "Тюльпаны 1 950 ₽", "T-shirt XL 20 €", "Künefe 180 TL"
    )

    assert search.search(query)[0].text == found


def test_the_heading_and_the_title_are_searched() -> None:
    search = Index(
        [Passage("Price list", "Desserts", "Tiramisu"), Passage("Menu", "Soups", "Miso")]
    )

    assert search.search("desserts") == [Passage("Price list", "Desserts", "Tiramisu")]
    assert search.search("price list")[0].text == "Tiramisu"


def test_at_most_six_are_found_the_best_first() -> None:
    search = index(*(f"rose number {number}" for number in range(20)), "rose tulip")

    found = search.search("rose tulip")

    assert len(found) == FOUND
    assert found[0].text == "rose tulip"


@pytest.mark.parametrize("query", ["", "   ", "?!", "zzz", '" OR "', "words:x NEAR(a)", "日本"])
def test_nothing_fits_or_is_no_syntax(query: str) -> None:
    assert index("Tomato soup").search(query) == []


def test_a_question_of_any_length_is_searched() -> None:
    assert index("Tomato soup").search("soup " * 100_000)


def test_an_empty_index_finds_nothing() -> None:
    assert index().search("soup") == []


def test_threads_share_an_index() -> None:
    search = index(*(f"item {number} of the list" for number in range(500)))
    wrong: list[int] = []

    def look(number: int) -> None:
        for _ in range(20):
            if search.search(f"item {number}")[0].text != f"item {number} of the list":
                wrong.append(number)

    threads = [threading.Thread(target=look, args=(number,)) for number in range(100, 104)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []

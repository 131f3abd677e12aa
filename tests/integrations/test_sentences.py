"""The bridge's own sentences: in the customer's language, never empty."""

import pytest

from kommo_bridge.integrations.sentences import TRANSLATIONS, is_sentence, language_of, sentence

LANGUAGES = ("es", "pt", "ru", "tr", "id")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello, how much is it?", "en"),
        ("Hola, ¿cuánto cuesta un ramo?", "es"),
        ("Olá, quanto custa? Obrigado", "pt"),
        ("Здравствуйте! Сколько стоит?", "ru"),
        ("Merhaba, fiyatı ne kadar?", "tr"),
        ("Halo, berapa harganya? Terima kasih", "id"),
        ("12345", ""),
        ("", ""),
        ("Grüezi mitenand", ""),
    ],
)
def test_six_languages_are_told_apart(text: str, language: str) -> None:
    assert language_of([text]) == language


def test_the_newest_text_that_shows_a_language_counts() -> None:
    assert language_of(["21", "Hola, ¿cuánto cuesta?", "Hello, how are you?"]) == "es"


@pytest.mark.parametrize("text", list(TRANSLATIONS))
def test_every_sentence_of_ours_has_all_languages(text: str) -> None:
    assert {sentence(text, language) for language in LANGUAGES}.isdisjoint({text, ""})
    assert sentence(text, "en") == sentence(text, "") == text
    assert {language_of([sentence(text, language)]) for language in LANGUAGES} <= {*LANGUAGES, ""}


def test_an_own_sentence_is_used_as_it_is() -> None:
    assert sentence("Write, please.", "es") == "Write, please."


def test_own_sentences_by_language_fall_back_to_english_then_to_the_first() -> None:
    both = '{"es": "Hola", "en": "Hello"}'

    assert [sentence(both, one) for one in ("es", "en", "tr", "")] == [
        "Hola",
        "Hello",
        "Hello",
        "Hello",
    ]
    assert sentence('{"es": "Hola"}', "tr") == "Hola"


@pytest.mark.parametrize(
    "text", ["", "  ", "{}", '{"en": ""}', '{"en": 5}', '{"xx": "a"}', '{"en": "a",}', "{not JSON"]
)
def test_what_is_empty_no_json_or_of_an_unknown_language_is_refused(text: str) -> None:
    assert not is_sentence(text)


@pytest.mark.parametrize("text", ["Hi", "Hi {name}", '{"en": "Hi"}'])
def test_text_and_texts_are_accepted(text: str) -> None:
    assert is_sentence(text)

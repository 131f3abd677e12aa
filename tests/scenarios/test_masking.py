"""Nothing that names a customer is left in a scenario made of a conversation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommo_bridge.scenarios.masking import Masks, passes_luhn

KEEP = "We are Flora, Calle del Mar 5. Call 900 000 000, write to hello@flora.example."

MASKED = {
    "write to ana.l+x@mail.example.com.": "write to [mail].",
    "+34 600 123 456": "[phone]",
    "Tel:5551234567, please": "Tel:[phone], please",
    "8 (912) 345-67-89": "[phone]",
    "4111 1111 1111 1111": "[card]",
    "4111-1111-1111-1111 exp 12/27": "[card] exp 12/27",
    "5555 5555 5555 4444": "[card]",
    "3782 822463 10005": "[card]",
    "4111 1111 1111 1112": "[number]",
    "ES91 2100 0418 4502 0005 1332": "[account]",
    "order #12345678": "order #[phone]",
    "order 123456": "order [number]",
    "passport AB123456": "passport [number]",
    "see https://shop.example/p?id=5 now": "see [link] now",
    "I am @ana_lopez there": "I am [name] there",
    "Calle Mayor 5, piso 3": "[address]",
    "at 221b Baker Street, apt 4": "at [address]",
    "ул. Ленина, д. 5, кв. 12": "[address]",
    "Rua das Flores, 12": "[address]",
    "Atatürk Caddesi No: 5": "[address]",
    "Hi, my name is ana": "Hi, my name is [name]",
    "my name is ana lopez": "my name is [name]",
    "Hello, I'm Ana Lopez.": "Hello, I'm [name].",
    "Hola, soy Ana": "Hola, soy [name]",
    "Меня зовут Анна Петрова": "Меня зовут [name]",
    "Dear Ana, it is 45 euro.": "Dear [name], it is 45 euro.",
    "Спасибо, Анна!": "Спасибо, [name]!",
}
KEPT = [
    "21 roses are 45 euro, 51 are 99.50 euro.",
    "It costs 1.000.000 or 1 000 000.",
    "On 2026-03-02 at 10:00, or 12.05.2026, from 9:00 to 20:00.",
    "Open 10.00-16.00.",
    "I am interested. Thank you.",
    "Hello there, how are you?",
    "Come to Calle del Mar 5 or call 900000000, or hello@flora.example.",
]
WORDS = st.text("abcdeñжя", min_size=1, max_size=12)
PHONES = st.builds(
    lambda plus, digits, sign: plus + sign.join(digits),
    st.sampled_from(["+", ""]),
    st.lists(st.from_regex(r"[1-9][0-9]{1,2}", fullmatch=True), min_size=4, max_size=5),
    st.sampled_from([" ", "-", ".", "", ") "]),
)
MAILS = st.from_regex(r"[a-z][a-z0-9.+_]{0,9}@[a-z0-9]{1,8}(\.[a-z]{2,5}){1,2}", fullmatch=True)
BODIES = st.text("0123456789", min_size=12, max_size=15).map(lambda one: "4" + one)


@pytest.mark.parametrize("text", MASKED)
def test_what_names_a_customer_is_masked(text: str) -> None:
    assert Masks(KEEP).mask_all([text]) == [MASKED[text]]


@pytest.mark.parametrize("text", KEPT)
def test_prices_times_and_the_businesss_own_words_stay(text: str) -> None:
    assert Masks(KEEP).mask_all([text]) == [text]


def test_a_name_is_masked_wherever_it_is_said_with_one_mark_each() -> None:
    masks = Masks(names=["Zoë"])

    masked = masks.mask_all(
        ["I am Ana Lopez", "Hello Ana, and Bob?", "Bob: 600 123 456. I'm Bob", "LOPEZ, Zoë"]
    )

    assert masked == [
        "I am [name]",
        "Hello [name], and [name 2]?",
        "[name 2]: [phone]. I'm [name 2]",
        "[name], [name 3]",
    ]


def test_one_number_written_in_two_ways_has_one_mark() -> None:
    masked = Masks().mask_all(["600 123 456", "or 600-123-456, or 600 123 457"])

    assert masked == ["[phone]", "or [phone], or [phone 2]"]


@pytest.mark.hypothesis
@given(WORDS, PHONES | MAILS, WORDS)
def test_no_phone_and_no_mail_is_left(before: str, secret: str, after: str) -> None:
    [masked] = Masks().mask_all([f"{before} {secret} {after}"])

    assert secret not in masked
    assert not any(len(part) >= 4 and part.isdigit() for part in masked.replace(" ", "").split("["))


@pytest.mark.hypothesis
@given(BODIES, st.sampled_from(["", " ", "-"]))
def test_no_card_is_left(body: str, sign: str) -> None:
    card = body + next(last for last in "0123456789" if passes_luhn(body + last))
    written = sign.join(card[place : place + 4] for place in range(0, len(card), 4))

    assert Masks().mask_all([f"my card: {written}!"]) == ["my card: [card]!"]


@pytest.mark.hypothesis
@given(st.lists(st.text(max_size=80) | st.sampled_from([*MASKED, *KEPT]), max_size=4))
def test_what_is_masked_has_nothing_left_to_mask(texts: list[str]) -> None:
    once = Masks(KEEP).mask_all(texts)

    assert Masks(KEEP).mask_all(once) == once

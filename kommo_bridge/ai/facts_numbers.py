"""Amounts in a text, in the ways in which people write them: money, percentages, plain numbers.

`1.234` is a thousand to some and a little more than one to others, so an amount has readings, and
two amounts agree when they share one. Currencies are not told apart.
"""

import re
from collections.abc import Iterator
from decimal import Decimal

# What is found: from, to, kind, readings.
Piece = tuple[int, int, str, frozenset[Decimal]]

THOUSAND = "k mil thousand тыс тысяч тысячи тысяча bin rb ribu".split()
MILLION = (
    "million millones millón milhões milhão млн миллион миллиона миллионов milyon jt juta".split()
)
# With these, Indonesian prices need no currency.
PRICE_FACTORS = frozenset("k rb ribu jt juta".split())
FACTORS = {**dict.fromkeys(THOUSAND, 1_000), **dict.fromkeys(MILLION, 1_000_000)}
SYMBOLS = r"R\$|US\$|S/\.?|Rp\.?|[$€£¥₽₺₹₴₸₱฿₫]"
CODES = (
    "USD|EUR|GBP|BRL|ARS|MXN|CLP|COP|PEN|UYU|BOB|PYG|RUB|RUR|UAH|KZT|BYN|TRY|TL|IDR|AED|CHF|CAD"
    "|AUD|JPY|CNY|INR"
)
WORDS = (
    r"dollars?|d[óo]lares?|euros?|pounds?|pesos?|reais|soles|cents?|centavos?|centimos"
    r"|рубл\w{0,4}|руб\.?|р\.?|доллар\w{0,3}|евро|тенге|тг\.?|гр(?:ивен|ивны|н)|копе\w{1,3}"
    r"|liras?|liraya?|lirası|lira\w{0,4}|kuruş|avro|dolar|rupiah|perak"
)
NUMBER = (
    r"(?:[0-9]{1,3}(?:[ '’][0-9]{3})+(?:[.,][0-9]{1,2})?"
    r"|[0-9]{1,12}(?:[.,][0-9]{3}(?![0-9]))*(?:[.,][0-9]{1,2})?)"
    r"(?![0-9]|[.,:/][0-9])"
)
BEGIN = r"(?<![0-9])(?<![0-9][.,:/])"
FACTOR = rf"(?:\s?(?P<{{}}>{'|'.join(sorted(FACTORS, key=len, reverse=True))})(?!\w)\.?)?"
PERCENT_WORDS = r"percent|per cent|por ciento|por cento|процент\w{0,3}|persen"
PERCENT = re.compile(
    rf"{BEGIN}(?P<a>{NUMBER})\s?(?:%|(?:{PERCENT_WORDS})(?!\w))"
    rf"|(?:%|(?<!\w)yüzde\s){BEGIN}(?P<b>{NUMBER})",
    re.IGNORECASE,
)
MONEY = re.compile(
    rf"(?:(?<![\w$])(?:{CODES})\s?|(?<![^\W\d_])(?:{SYMBOLS})\s?){BEGIN}(?P<a>{NUMBER})"
    rf"{FACTOR.format('f')}"
    rf"|{BEGIN}(?<![^\W\d_])(?P<b>{NUMBER}){FACTOR.format('g')}"
    rf"\s?(?:de\s)?(?:(?:{SYMBOLS})(?!\s?[0-9])|(?:{CODES}|{WORDS})(?!\w))",
    re.IGNORECASE,
)
PENCE = re.compile(rf"{BEGIN}([0-9]{{1,2}})p(?!\w)")
PLAIN = re.compile(rf"{BEGIN}(?<![^\W\d_])(?P<a>{NUMBER}){FACTOR.format('f')}", re.IGNORECASE)
# Below this a whole number is a count; above, and with cents, it may be a price.
SMALL = 100
GROUP = 3  # digits
YEARS = range(1900, 2101)
COUNT_WORDS = {
    2: "two both pair couple dos ambos par dois duas два две двое оба пара iki çift dua sepasang",
    3: "three tres três три трое üç tiga",
    4: "four cuatro quatro четыре четверо dört empat",
    5: "five cinco пять beş lima",
    6: "six seis шесть altı enam",
    7: "seven siete sete семь yedi tujuh",
    8: "eight ocho oito восемь sekiz delapan",
    9: "nine nueve nove девять dokuz sembilan",
    10: "ten diez dez десять on sepuluh",
    12: "dozen twelve docena doce dúzia doze дюжина двенадцать düzine selusin",
}
COUNTS = {word: count for count, words in COUNT_WORDS.items() for word in words.split()}
WORD = re.compile(r"[^\W\d_]{2,12}")


def readings(text: str) -> frozenset[Decimal]:
    """What a written number may mean; its thousands and decimals are told by their places."""
    joined = _joined(text)
    marks = re.findall(r"[.,]", joined)
    if not marks:
        return frozenset([Decimal(joined)])
    whole, _, tail = joined.rpartition(marks[-1])
    digits, alike = re.sub(r"[.,]", "", whole), len(set(marks)) == 1
    found = [Decimal(digits + tail)] if alike and len(tail) == GROUP else []
    if not alike or len(marks) == 1:
        found.append(Decimal(f"{digits}.{tail}"))
    return frozenset(found)


def money(text: str) -> frozenset[Decimal]:
    """The same for an amount of money, which has two decimals at most."""
    found = readings(text)
    return frozenset([max(found)]) if len(found) > 1 and not text.startswith("0") else found


def _joined(text: str) -> str:
    return re.sub(r"[ '’]", "", text)


def percentages(text: str) -> Iterator[Piece]:
    """Such as `10 %`, `%10`, `10 por ciento`."""
    for match in PERCENT.finditer(text):
        yield *match.span(), "percentage", readings(match["a"] or match["b"])


def prices(text: str) -> Iterator[Piece]:
    """Amounts with a currency, before or after them."""
    for match in MONEY.finditer(text):
        factor = _factor(match["f"] or match["g"])
        amounts = _times(money(match["a"] or match["b"]), factor)
        yield *match.span(), "price", amounts
    for match in PENCE.finditer(text):
        yield *match.span(), "price", frozenset([Decimal(match[1]) / 100])


def numbers(text: str) -> Iterator[Piece]:
    """What is left: all of them, also small ones; see `is_count`."""
    for match in PLAIN.finditer(text):
        word = (match["f"] or "").lower()
        kind = "price" if word in PRICE_FACTORS else "number"
        last = re.search(
            r"[ '’]([1-9][0-9]{2})$", match["a"]
        )  # of `5 200`, which may be two numbers
        parts = frozenset([Decimal(last[1])]) if last else frozenset()
        yield *match.span(), kind, _times(readings(match["a"]), _factor(word)) | parts


def is_count(text: str, found: frozenset[Decimal]) -> bool:
    """Whether a plain number is nothing that a customer would hold the business to."""
    with_cents = re.search(r"[.,][0-9]{2}$", text)
    if with_cents:
        return False
    return max(found) < SMALL or (text.isdecimal() and int(text) in YEARS)


def counts_in_words(text: str) -> Iterator[int]:
    """How many of something a text speaks of, up to a dozen."""
    words = (word.lower() for word in WORD.findall(text))
    yield from (COUNTS[word] for word in words if word in COUNTS)


def _factor(word: str | None) -> int:
    return FACTORS[word.lower()] if word else 1


def _times(values: frozenset[Decimal], factor: int) -> frozenset[Decimal]:
    return frozenset(value * factor for value in values)

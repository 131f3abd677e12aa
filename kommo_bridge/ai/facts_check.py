"""What a reply states that nothing known bears out: prices, dates, numbers, links. Pure.

A model that does not know a price may invent one. Every price, percentage, date, time, telephone
number, e-mail address and link of a reply must stand in what the business has said, or in the
customer's own words (those never bear out money). What can be worked out from known prices passes:
so many times one, sums, a discount. Numbers in words are not seen.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import combinations
from typing import Any

from kommo_bridge.ai.facts_read import Fact, Kind, Known, read_counts, read_facts, read_known
from kommo_bridge.ai.facts_when import dotted

AMOUNTS = ("price", "number", "percentage")
# So much is read of a reply; nobody states more.
MAX_FACTS = 200
# The last digits of a telephone number: those before them say country and area.
PHONE_TAIL, SHORTEST_PHONE = 9, 7
# Sums are looked for among so many amounts of a reply.
MAX_SUMMED = 8
MAX_SHARES = 4
# A plain number below this is no price that something may be so many times of.
MIN_PRICE = 10
WHOLE = 100
YEAR = 12  # months
BY_THE_MONTH = re.compile(
    r"(?<!\w)(?:month|mes|mês|месяц|мес\.|ay(?:da|lık)?|bulan)", re.IGNORECASE
)
# So many counts are tried.
MAX_COUNTS = 20


@dataclass(frozen=True)
class Unfounded:
    """One statement of a reply that nothing bears out."""

    kind: Kind
    text: str


def check(
    reply: str,
    known: Sequence[str],
    customer_words: Sequence[str],
    *,
    customers_links: bool = True,
) -> list[Unfounded]:
    """What a reply states without ground, in its order within each kind; each once.

    Args:
        reply: What the customer would read.
        known: Instructions, knowledge, lead facts: whatever the business has said.
        customer_words: What the customer has written.
        customers_links: Whether a link may be repeated that only the customer has named.
    """
    facts = read_facts(reply)[:MAX_FACTS]
    if not facts:
        return []
    business, customer = read_known(known), read_known(customer_words, keep=False)
    shares = (fact.readings for fact in facts if fact.kind == "percentage")
    grounds = _Grounds(
        business,
        customer,
        _counts(reply, *customer_words),
        customer["percentage"].union(*shares),
        customers_links,
    )
    doubted = [fact for fact in facts if not grounds.bear(fact)]
    sure = [fact for fact in facts if fact.kind in AMOUNTS and fact not in doubted]
    derived = _derived(sure, grounds.prices) if doubted else frozenset()
    left = [one for one in doubted if one.kind == "percentage" or not one.readings & derived]
    return list(dict.fromkeys(Unfounded(one.kind, one.text) for one in left))


@dataclass(frozen=True)
class _Grounds:
    """What bears out a statement."""

    business: Known
    customer: Known
    counts: frozenset[int]
    spoken_of: frozenset[Decimal]
    customers_links: bool

    def bear(self, fact: Fact) -> bool:
        return any(rule(fact) for rule in self._rules(fact.kind))

    def _rules(self, kind: Kind) -> Iterable[Callable[[Fact], bool]]:
        return {
            "price": (self._amount, self._multiple, self._part, self._discounted),
            "percentage": (self._percentage,),
            "number": (self._amount, self._multiple, self._customers_number, self._moment),
            "date": (self._date,),
            "time": (self._time,),
            "phone": (self._phone,),
            "email": (self._email,),
            "link": (self._link,),
        }[kind]

    @cached_property
    def _amounts(self) -> frozenset[Decimal]:
        return self.business["price"] | self.business["number"]

    @cached_property
    def prices(self) -> frozenset[Decimal]:
        """What there may be many of, or a part of."""
        numbers = (one for one in self.business["number"] if one >= MIN_PRICE)
        return self.business["price"].union(numbers)

    @cached_property
    def _discounts(self) -> frozenset[Decimal]:
        """The known prices less what the reply or the customer speaks of."""
        shares = [one for one in self.business["percentage"] if one in self.spoken_of]
        return frozenset(
            amount
            for price in self.prices
            for share in shares[:MAX_SHARES]
            for amount in _rounded(price - price * share / WHOLE)
        )

    def _amount(self, fact: Fact) -> bool:
        return bool(fact.readings & self._amounts)

    def _multiple(self, fact: Fact) -> bool:
        """So many times a known price."""
        return any(one / count in self.prices for one in fact.readings for count in self.counts)

    def _part(self, fact: Fact) -> bool:
        """One of so many equal parts of a known price, to the cent."""
        return any(
            abs(one * count - price) * 2 * WHOLE <= count
            for one in fact.readings
            for count in self.counts
            for price in self.prices
        )

    def _discounted(self, fact: Fact) -> bool:
        return bool(fact.readings & self._discounts)

    def _percentage(self, fact: Fact) -> bool:
        """`100 %` is a way of speaking."""
        return bool(fact.readings & (self.business["percentage"] | {Decimal(WHOLE)}))

    def _customers_number(self, fact: Fact) -> bool:
        return bool(fact.readings & (self.customer["number"] | self.customer["price"]))

    def _moment(self, fact: Fact) -> bool:
        """`18.30` and `25.12` may be a time and a date."""
        moments, days = dotted(fact.text)
        times, dates = self._said("time"), self._said("date")
        return bool(moments & times) or any(_is_same_day(a, b) for a in days for b in dates)

    def _date(self, fact: Fact) -> bool:
        dates = self._said("date")
        return any(_is_same_day(one, other) for one in fact.readings for other in dates)

    def _time(self, fact: Fact) -> bool:
        return bool(fact.readings & self._said("time"))

    def _phone(self, fact: Fact) -> bool:
        numbers = {str(int(one)) for one in self._said("number") if one == int(one)}
        return any(
            _is_same_phone(one, other)
            for one in fact.readings
            for other in self._said("phone") | numbers
        )

    def _email(self, fact: Fact) -> bool:
        return bool(fact.readings & self._said("email"))

    def _link(self, fact: Fact) -> bool:
        """Itself, or the host of one that is known."""
        known = self._said("link") if self.customers_links else self.business["link"]
        mails = {str(one).rpartition("@")[2] for one in self.business["email"]}
        hosts = {str(one).partition("/")[0] for one in known}
        return bool(fact.readings & (known | hosts | mails))

    def _said(self, kind: Kind) -> frozenset[Any]:
        return self.business[kind] | self.customer[kind]


def _counts(*texts: str) -> frozenset[int]:
    """What may be multiplied by."""
    months = {YEAR} if any(map(BY_THE_MONTH.search, texts)) else set()
    counts = frozenset[int]().union(*map(read_counts, texts))
    return frozenset(sorted(counts)[:MAX_COUNTS]) | months


def _derived(facts: Sequence[Fact], known: frozenset[Decimal]) -> frozenset[Decimal]:
    """Sums of amounts that stand in the reply, one more known price, a percentage of it all."""
    amounts = [max(one.readings) for one in facts if one.kind != "percentage"]
    amounts = [one for one in amounts if one][:MAX_SUMMED]
    sums = {
        sum(chosen, Decimal(0))
        for size in range(1, len(amounts) + 1)
        for chosen in combinations(amounts, size)
    }
    shares = [min(one.readings) / WHOLE for one in facts if one.kind == "percentage"]
    parts = [
        amount
        for one in sums
        for share in shares[:MAX_SHARES]
        for part in (one * share, one - one * share, one + one * share)
        for amount in _rounded(part)
    ]
    more = {one + other for one in set(amounts) for other in known}
    return frozenset({*sums, *parts, *more})


def _rounded(amount: Decimal) -> Iterator[Decimal]:
    """As it is, to the cent, and to the whole."""
    yield amount
    yield round(amount, 2)
    yield Decimal(round(amount))


def _is_same_day(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """The same day and month, and the same year if both name one."""
    return one[:2] == other[:2] and (one[2] == other[2] or not one[2] or not other[2])


def _is_same_phone(one: str, other: str) -> bool:
    """The same number, with or without country, area and the zero before them."""
    one, other = one.lstrip("0"), other.lstrip("0")
    compared = min(len(one), len(other), PHONE_TAIL)
    return compared >= SHORTEST_PHONE and one[-compared:] == other[-compared:]

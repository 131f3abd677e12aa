"""Makes a failing scenario smaller while the same rule breaks."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from .scenario import Customer, Message, Scenario

MOST_TRIES = 600
T = TypeVar("T")


def shrink(scenario: Scenario, breaks: Callable[[Scenario], bool]) -> Scenario:
    """The smallest scenario found that still breaks.

    Args:
        breaks: Runs a scenario and tells whether the same rule breaks.
    """
    tries, smaller = 0, True
    while smaller and tries < MOST_TRIES:
        smaller = False
        for candidate in _smaller(scenario):
            tries += 1
            if breaks(candidate):
                scenario, smaller = candidate, True
                break
            if tries >= MOST_TRIES:
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Scenarios with one thing less, the largest things first."""
    for place in range(len(scenario.customers)):
        if len(scenario.customers) > 1:
            yield replace(scenario, customers=_without(scenario.customers, place))
    for name in ("kills", "redis", "kommo", "ai", "deeds"):
        found = getattr(scenario, name)
        for place in range(len(found)):
            less: dict[str, Any] = {name: _without(found, place)}
            yield replace(scenario, **less)
    if scenario.workers > 1:
        yield replace(scenario, workers=scenario.workers - 1)
    for place, customer in enumerate(scenario.customers):
        for smaller in _customers(customer):
            yield replace(scenario, customers=_with(scenario.customers, place, smaller))


def _customers(customer: Customer) -> Iterator[Customer]:
    messages = customer.messages
    for place in range(len(messages)):
        if len(messages) > 1:
            yield replace(customer, messages=_without(messages, place))
    for place, message in enumerate(messages):
        for less in _messages(message):
            yield replace(customer, messages=_with(messages, place, less))


def _messages(message: Message) -> Iterator[Message]:
    if message.calls:
        yield replace(message, calls=())
        yield replace(message, calls=message.calls[:-1])
    if message.asks:
        yield replace(message, asks=())
        yield replace(message, asks=message.asks[:-1])
    if message.stops_at is not None:
        yield replace(message, stops_at=None)
    if message.always is not None:
        yield replace(message, always=None)
    if len(message.text) > 100:
        yield replace(message, text=message.text[:10])
    if message.left:
        yield replace(message, left="")


def _without(items: tuple[T, ...], place: int) -> tuple[T, ...]:
    return items[:place] + items[place + 1 :]


def _with(items: tuple[T, ...], place: int, item: T) -> tuple[T, ...]:
    return (*items[:place], item, *items[place + 1 :])

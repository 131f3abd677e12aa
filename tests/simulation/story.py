"""A failing scenario as people read it."""

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from .play import Result
from .scenario import Scenario

MOST_LINES = 120


def story(result: Result) -> str:
    """What was broken, the world in a few lines, and what happened."""
    lines = [f"{result.rule}: {result.story}", "", *_setting(result.scenario), "", *result.told]
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines = [*lines[:half], f"... {len(lines) - MOST_LINES} lines left out ...", *lines[-half:]]
    return "\n".join(lines)


def _setting(scenario: Scenario) -> list[str]:
    lines = [
        f"seed {scenario.seed}: reply deadline {scenario.reply_deadline:g} s, continue deadline "
        f"{scenario.continue_deadline:g} s, burst {scenario.burst:g} s, {scenario.workers} workers "
        f"with {scenario.slots} threads"
    ]
    for customer in scenario.customers:
        kind = "our widget" if customer.own else "a hand-made bot"
        lines.append(f"{customer.name}: lead {customer.lead} of account {customer.account}, {kind}")
        lines += [f"    {_short(message)}" for message in customer.messages]
    for name in ("kommo", "ai", "redis", "deeds", "kills"):
        if found := getattr(scenario, name):
            lines.append(f"{name}: {', '.join(_short(one) for one in found)}")
    return lines


def _short(one: Any) -> str:
    """Only what differs from the default."""
    if not hasattr(one, "__dataclass_fields__"):
        return str(one)
    parts = []
    for item in fields(one):
        value = getattr(one, item.name)
        if value not in (item.default, None, ()):
            parts.append(f"{item.name} {_value(value)}")
    return ", ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, str):
        return re.sub(r"( x)+", f" ... ({len(value)} characters)", value)
    if isinstance(value, Sequence):
        return "; ".join(_short(one) for one in value)
    return str(value)

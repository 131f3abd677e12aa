"""Words for people: a noun with its number, a list in a sentence, the name that was meant."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def counted(count: float, noun: str) -> str:
    """`1 turn`, `2 turns`, `0.5 hours`."""
    return f"{count:g} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """`acme, beta and 3 more`: at most so many by name."""
    more = f" and {len(names) - most} more" if names[most:] else ""
    return ", ".join(names[:most]) + more


def did_you_mean(typed: str, known: Iterable[str], nearly: float = 0.6) -> str:
    """`Did you mean model?`, or the empty text when nothing is near (from 0 to 1, as difflib)."""
    name = typed.replace("-", "_")
    found = get_close_matches(name, list(known), n=3, cutoff=nearly)
    found.sort(key=lambda one: sorted(one) != sorted(name))  # letters swapped come first
    return f"Did you mean {found[0]}?" if found else ""

"""Filling the store from a list of JSON objects: what each entry means, and what it changes.

Pure: entries and stored integrations in, changes out. `import` and `KOMMO_INTEGRATIONS` share it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.integration import (
    FIELDS,
    SUBDOMAIN,
    Integration,
    check_integration,
    from_mapping,
)

Key = tuple[str, str]


@dataclass(frozen=True)
class Entry:
    """One object of the list, its types checked.

    Attributes:
        place: How an error names it, such as `entry 18 (acme)`.
        given: With defaults in the fields that it does not name.
        names: The fields that it names.
    """

    place: str
    given: Integration
    names: tuple[str, ...]

    @property
    def key(self) -> Key:
        """Integration id and subdomain."""
        return key_of(self.given)


@dataclass(frozen=True)
class Change:
    """What an entry makes of one integration; `before` is None when it is new."""

    before: Integration | None
    after: Integration

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that change, none for one that stays as it is."""
        return tuple(
            name
            for name in FIELDS
            if self.before is None or getattr(self.before, name) != getattr(self.after, name)
        )


def key_of(integration: Integration) -> Key:
    """What names one row of the store."""
    return integration.integration_id, integration.subdomain


def read_entries(items: Iterable[Any]) -> list[Entry]:
    """The entries of a list.

    Raises:
        IntegrationError: Naming the entry, its subdomain and the field; or both entries of the same
            integration in one account.
    """
    entries: dict[Key, Entry] = {}
    for number, item in enumerate(items, start=1):
        entry = _read(number, item)
        if entry.key in entries:
            raise IntegrationError(
                f"{entries[entry.key].place} and {entry.place} are the same integration in the "
                "same account: leave one out."
            )
        entries[entry.key] = entry
    return list(entries.values())


def merged(entry: Entry, stored: Integration | None) -> Integration:
    """The integration after the entry: fields that it does not name keep their stored value.

    Raises:
        IntegrationError: Naming the entry, its subdomain and the field.
    """
    named = {name: getattr(entry.given, name) for name in entry.names}
    integration = replace(stored, **named) if stored else entry.given
    try:
        check_integration(integration)
    except IntegrationError as error:
        raise IntegrationError(f"{entry.place}: {error}") from None
    return integration


def _read(number: int, item: Any) -> Entry:
    place = f"entry {number}{_whose(item)}"
    try:
        given = from_mapping(item)
    except IntegrationError as error:
        raise IntegrationError(f"{place}: {error}") from None
    return Entry(place, given, tuple(item))


def _whose(item: Any) -> str:
    """The subdomain, if that can be read: anything else may be a misplaced secret."""
    named = item.get("subdomain") if isinstance(item, Mapping) else None
    if isinstance(named, str) and re.fullmatch(SUBDOMAIN, named.lower()):
        return f" ({named.lower()})"
    return ""

"""`KOMMO_INTEGRATIONS`: what a variable of the environment makes of the store at each start.

It fills the store as `import` does, with three differences: what it once named and names no more is
disabled; what was disabled by hand stays so; a changed secret key keeps the former one. The store
remembers what it named. A variable that is not set changes nothing; an empty list disables all.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kommo_bridge.errors import IntegrationError, SettingsError
from kommo_bridge.integrations.database import Row, Values
from kommo_bridge.integrations.filling import Change, Entry, Key, key_of, merged, read_entries
from kommo_bridge.integrations.integration import KEY_COLUMNS, Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.tables import VARIABLE
from kommo_bridge.telemetry.logs import log_event

# What the store remembers of an integration: the variable names it, or has disabled it.
NAMED, DISABLED = "named", "disabled"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What one start does: changes to integrations, and what is remembered from now on."""

    changes: Sequence[Change]
    states: Mapping[Key, str]


def plan_start(
    entries: Iterable[Entry], stored: Mapping[Key, Integration], states: Mapping[Key, str]
) -> Plan:
    """What the variable changes now.

    Args:
        entries: What it says.
        stored: The integrations that it names or once named.
        states: What is remembered of former starts.
    """
    changes: list[Change] = []
    after: dict[Key, str] = {}
    for entry in entries:
        before = stored.get(entry.key)
        change = Change(before, after_entry(entry, before, states.get(entry.key, "")))
        changes.append(change)
        after[entry.key] = DISABLED if _says_disabled(entry) else NAMED
    for key in states.keys() - after.keys():
        one = stored.get(key)
        if one and one.enabled and states[key] == NAMED:
            changes.append(Change(one, replace(one, enabled=False)))
            after[key] = DISABLED
        elif one and not one.enabled and states[key] == DISABLED:
            after[key] = DISABLED
    return Plan(changes, after)


def after_entry(entry: Entry, before: Integration | None, state: str) -> Integration:
    """An integration after the variable's entry for it.

    Raises:
        IntegrationError: Naming the entry, its subdomain and the field.
    """
    after = merged(entry, before)
    if before is None:
        return after
    former = before.secret_key if after.secret_key != before.secret_key else ""
    previous = after.previous_secret_key or former or before.previous_secret_key
    enabled = not _says_disabled(entry) and (before.enabled or state == DISABLED)
    return replace(after, enabled=enabled, previous_secret_key=previous)


def read_variable(text: str) -> list[Entry]:
    """The entries of the variable: a JSON list, or a single object.

    Raises:
        SettingsError: It is wrong; no value of it is told.
    """
    try:
        items = json.loads(text)
        return read_entries(items if isinstance(items, list) else [items])
    except json.JSONDecodeError as error:
        where = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise SettingsError(f"KOMMO_INTEGRATIONS is wrong: it is not JSON ({where}).") from None
    except (ValueError, RecursionError):
        raise SettingsError("KOMMO_INTEGRATIONS is wrong: it is not JSON.") from None
    except IntegrationError as error:
        raise SettingsError(f"KOMMO_INTEGRATIONS is wrong: {error}") from None


def fill_from_variable(store: IntegrationStore, text: str) -> None:
    """Bring the store to what the variable says; each change is logged.

    Raises:
        SettingsError: It is wrong; nothing is stored.
    """
    entries = read_variable(text)
    try:
        plan, states = _look(store, store.database.read, entries)
        if plan.states == states and not any(change.fields for change in plan.changes):
            return  # nothing is written, so nobody has to read anew
        with store.writing("variable") as writing:
            plan, states = _look(store, writing.writer.read, entries)
            for change in plan.changes:
                if change.fields:
                    writing.save(change.after)
            for key in states.keys() - plan.states.keys():
                writing.writer.delete(VARIABLE, key)
            for key, state in plan.states.items():
                row = {**dict(zip(KEY_COLUMNS, key, strict=True)), "state": state}
                writing.writer.upsert(VARIABLE, row)
    except IntegrationError as error:
        raise SettingsError(f"KOMMO_INTEGRATIONS is wrong: {error}") from None
    for change in plan.changes:
        _log(change)


def overwritten(text: str | None, before: Integration, after: Integration | None) -> str:
    """Why a change by hand would not outlive the next start; the empty text when it would.

    Args:
        text: `KOMMO_INTEGRATIONS`.
        after: None when the integration is removed.
    """
    for entry in read_variable(text or "[]"):
        if entry.key != key_of(before):
            continue
        if after is None or key_of(after) != entry.key:
            what = f"would add {before.host} again"
        elif undone := Change(after, after_entry(entry, after, NAMED)).fields:
            what = f"names {', '.join(undone)} and would put its own value back"
        else:
            continue
        return f"{entry.place} of KOMMO_INTEGRATIONS {what} at the next start"
    return ""


def _look(
    store: IntegrationStore, read: Callable[[str, Values], list[Row]], entries: list[Entry]
) -> tuple[Plan, dict[Key, str]]:
    """The plan for what is stored now, and what is remembered of former starts."""
    rows = read(f"select * from {VARIABLE}", ())  # noqa: S608
    states = {(row["integration_id"], row["subdomain"]): row["state"] for row in rows}
    keys = [*states, *(entry.key for entry in entries)]
    found: dict[Key, Any] = {key: store.find_stored(read, key) for key in keys}
    return plan_start(entries, {key: one for key, one in found.items() if one}, states), states


def _says_disabled(entry: Entry) -> bool:
    return "enabled" in entry.names and not entry.given.enabled


def _log(change: Change) -> None:
    """One line for each integration that changed: names of fields, never their values."""
    if not change.fields:
        return
    event = "integration added" if change.before is None else "integration changed"
    log_event(
        logger,
        f"{event} by KOMMO_INTEGRATIONS",
        subdomain=change.after.subdomain,
        fields=None if change.before is None else ",".join(change.fields),
        enabled=change.after.enabled,
    )

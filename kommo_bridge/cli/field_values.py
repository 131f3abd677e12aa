"""`KEY=VALUE` of `flask integrations set`: where a value comes from, and what is asked back."""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kommo_bridge.conversations.money import UNCOUNTED, uncounted_money
from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.integration import (
    DOMAINS,
    FIELDS,
    KINDS,
    SECRETS,
    Integration,
    from_mapping,
    unknown_field,
)
from kommo_bridge.integrations.kinds import Text
from kommo_bridge.integrations.shapes import shape_warnings

NAMES = ", ".join(FIELDS)


def changed(integration: Integration, changes: Iterable[str]) -> Integration:
    """Apply KEY=VALUE; a new secret_key keeps the former one for tokens under way."""
    values: dict[str, Any] = asdict(integration)
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals and key not in SECRETS:  # what was typed may be a secret
            raise IntegrationError(f"Say KEY=VALUE with one of {NAMES}.")
        if key not in values:
            raise IntegrationError(unknown_field(key))
        values[key] = _value(key, value) if equals else _asked(key)
        if key == "secret_key" and values[key] != integration.secret_key:
            values["previous_secret_key"] = integration.secret_key
    return from_mapping(values)


def shorter(before: Integration, after: Integration) -> Iterator[tuple[str, int, int]]:
    """The texts that get shorter: name, characters before and after."""
    for name in FIELDS:
        if isinstance(KINDS[name], Text):
            old, new = len(getattr(before, name) or ""), len(getattr(after, name) or "")
            if new < old:
                yield name, old, new


def file_name_meant(key: str, value: str) -> bool:
    """Whether a text is the name of a file that is there: its content may be meant."""
    try:
        return isinstance(KINDS.get(key), Text) and bool(value) and Path(value).is_file()
    except (OSError, ValueError):  # too long for a name
        return False


def account_of(subdomain: str) -> dict[str, str]:
    """Subdomain and domain of an account's whole address; nothing where it is none."""
    hosts = "|".join(map(re.escape, DOMAINS))
    found = re.fullmatch(rf"(?:https?://)?([^./]+)\.({hosts})(?:/.*)?", subdomain.lower().strip())
    return {"subdomain": found[1], "domain": found[2]} if found else {}


def warn_of_shapes(integration: Integration, names: Iterable[str], whose: str = "") -> None:
    """Say on standard error what does not look like Kommo's."""
    for warning in shape_warnings(integration, names):
        click.echo(f"Warning: {whose}{warning}", err=True)


def warn_of_uncounted_money(integration: Integration) -> None:
    """Say on standard error when a cap on money can never be reached."""
    if uncounted_money(integration):
        click.echo(f"Warning: {UNCOUNTED}", err=True)


def _value(key: str, value: str) -> str:
    """The value itself, a file's content for `@FILE`, what is typed or piped for `-`."""
    if value == "-":
        return _asked(key) if sys.stdin.isatty() else _trimmed(key, sys.stdin.read())
    if not value.startswith("@"):
        return value
    try:
        return _trimmed(key, Path(value[1:]).read_text(encoding="utf-8"))
    except FileNotFoundError:
        text = f"There is no file {value[1:]} (for a value with @ in front: {key}=-)."
        raise IntegrationError(text) from None
    except (OSError, UnicodeDecodeError):
        text = f"{value[1:]} cannot be read as UTF-8 text (for a value with @ in front: {key}=-)."
        raise IntegrationError(text) from None


def _asked(key: str) -> str:
    return str(click.prompt(key, hide_input=True))


def _trimmed(key: str, text: str) -> str:
    return text.strip() if key in SECRETS else text.rstrip("\n")

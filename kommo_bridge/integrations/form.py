"""An integration as a form: what each field shows, and what a sent form changes. No I/O.

Values are text, as browsers send it. A secret is never shown; left empty, it stays as it is. A
sentence with texts by language has an input a language, named `handoff_text:es`.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from kommo_bridge.integrations.integration import KINDS, SECRETS, Integration
from kommo_bridge.integrations.kinds import Flag, Sentence
from kommo_bridge.integrations.sentences import LANGUAGES, by_language_of

# A text of so many characters is not emptied or halved without being asked.
LONG_TEXT = 40


def shown(integration: Integration, name: str) -> str:
    """A field's value as its input shows it."""
    value = getattr(integration, name)
    if name in SECRETS or value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def shown_by_language(integration: Integration, name: str) -> dict[str, str]:
    """The inputs of a sentence with texts by language; empty for any other field."""
    if not isinstance(KINDS[name], Sentence):
        return {}
    found = by_language_of(getattr(integration, name)) or {}
    return {f"{name}:{one}": found.get(one, "") for one in LANGUAGES} if found else {}


def changed_by_form(
    integration: Integration, names: Iterable[str], form: Mapping[str, str]
) -> tuple[Integration, dict[str, str]]:
    """What a sent form makes of an integration.

    Args:
        names: The fields that the form may change; all others stay, whatever was sent.
        form: What was sent.

    Returns:
        The changed integration, and field -> what is wrong with it; only without any is the
        integration complete.
    """
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name in names:
        sent = _sent(name, form)
        if sent is None or (name in SECRETS and not sent):
            continue
        kind = KINDS[name]
        try:
            value = None if kind.unset and not sent else kind.read(sent)
            fits = value is None or kind.fits(value)
        except (TypeError, ValueError, OverflowError):
            fits = False
        if fits:
            values[name] = value
        else:
            wrong[name] = f"This must {_must(name)}."
    if values.get("secret_key", integration.secret_key) != integration.secret_key:
        values["previous_secret_key"] = integration.secret_key
    return replace(integration, **values), wrong


def is_loss(old: int, new: int) -> bool:
    """Whether so many characters of a text go that it may be a slip."""
    return old >= LONG_TEXT and new < old / 2


def state_of(integration: Integration, key: str) -> str:
    """A digest of all its fields: another one when anybody has changed it meanwhile."""
    whole = json.dumps(asdict(integration), sort_keys=True).encode()
    return hmac.new(key.encode(), b"form state\n" + whole, hashlib.sha256).hexdigest()


def _sent(name: str, form: Mapping[str, str]) -> str | None:
    """A field's text, with the line ends of our files; None when the form does not have it."""
    by_language = {
        language: text
        for language in LANGUAGES
        if (text := form.get(f"{name}:{language}", "").replace("\r\n", "\n").strip())
    }
    if by_language:
        return json.dumps(by_language, ensure_ascii=False)
    sent = form.get(name)
    if sent is None:
        return "" if any(f"{name}:{one}" in form for one in LANGUAGES) else None
    text = sent.replace("\r\n", "\n")
    return text if isinstance(KINDS[name], Flag) else text.strip()


def _must(name: str) -> str:
    """Completes "This must ..." for people who see a form, not a file."""
    return "not be empty" if isinstance(KINDS[name], Sentence) else KINDS[name].must

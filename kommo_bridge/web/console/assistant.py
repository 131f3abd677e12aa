"""The assistant's page: every field with its help, saved with a clear result."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flask import request
from werkzeug.wrappers import Response

from kommo_bridge.errors import IntegrationError
from kommo_bridge.integrations.form import (
    changed_by_form,
    is_loss,
    shown,
    shown_by_language,
    state_of,
)
from kommo_bridge.integrations.integration import HELP, KINDS, SECRETS, Integration
from kommo_bridge.integrations.kinds import Choice, Flag, Number, Sentence, WholeNumber
from kommo_bridge.integrations.open_store import refuse_if_overwritten
from kommo_bridge.web.console.pages import Console, go_to, page, session, who
from kommo_bridge.web.console.sections import Section, label, sections

LONG_FIELDS = {"instructions": 18, "handoff_phrases": 4, "lead_fields": 4, "closed_days": 2}
SENTENCE_ROWS = 2
CHANGED_MEANWHILE = (
    "Somebody else has saved this page meanwhile. Your text is still below, but not saved: copy "
    "what you need, load the page again, and put it in there."
)


@dataclass(frozen=True)
class Input:
    """One input of the form.

    Attributes:
        kind: `text`, `long`, `yes`, `choice`, `number` or `secret`.
        value: As the browser sends it.
    """

    name: str
    label: str
    kind: str
    value: str
    help: str = ""
    error: str = ""
    rows: int = 1
    choices: tuple[str, ...] = ()
    empty: str = ""


def show(console: Console, integration: Integration) -> Response | tuple[str, int]:
    """The page, and saving it."""
    found = session()
    by_operator = found is not None and found.is_operator
    seen = tuple(one for one in sections() if by_operator or not one.hidden)
    if request.method == "GET":
        return _page(console, integration, seen, by_operator=by_operator)
    names = [name for one in seen if by_operator or one.by_owner for name in one.names]
    # A switch sends "no" from a hidden input, and "yes" behind it when it is on.
    sent = {name: values[-1] for name, values in request.form.lists()}
    after, wrong = changed_by_form(integration, names, sent)
    error = _refusal(console, integration, after, wrong)
    if not error and after == integration:
        return go_to("assistant", integration, done="same")
    if not error:
        try:
            console.integrations.rename(integration, after, by=who())
            return go_to("assistant", after, done="saved")
        except IntegrationError as refused:
            error = str(refused)
    return _page(
        console, integration, seen, by_operator=by_operator, error=error, wrong=wrong, status=400
    )


def _refusal(
    console: Console, before: Integration, after: Integration, wrong: Mapping[str, str]
) -> str:
    """Why it is not saved; empty when it is."""
    if request.form.get("state") != state_of(before, console.settings.secret_key):
        return CHANGED_MEANWHILE
    if wrong:
        return "Not saved. What is wrong stands beside the field."
    lost = is_loss(len(before.instructions), len(after.instructions))
    if lost and request.form.get("loss") != "yes":
        return (
            f"The instructions would shrink from {len(before.instructions)} to "
            f"{len(after.instructions)} characters. Tick the box below them if that is meant."
        )
    try:
        refuse_if_overwritten(console.settings, before, after)
    except IntegrationError as refused:
        return str(refused)
    return ""


def _page(
    console: Console,
    integration: Integration,
    seen: tuple[Section, ...],
    *,
    by_operator: bool,
    error: str = "",
    wrong: Mapping[str, str] | None = None,
    status: int = 200,
) -> tuple[str, int]:
    groups = [
        (
            one.title,
            one.by_owner or by_operator,
            [each for name in one.names for each in _inputs(integration, name, wrong or {})],
        )
        for one in seen
    ]
    return page(
        "assistant",
        status,
        integration=integration,
        groups=groups,
        error=error,
        ask_about_loss=error.startswith("The instructions would shrink"),
        state=request.form.get("state") or state_of(integration, console.settings.secret_key),
    )


def _inputs(integration: Integration, name: str, wrong: Mapping[str, str]) -> Iterator[Input]:
    """A field's inputs: one, or one a language. What was sent and not saved is shown again."""
    help_text, error = HELP[name].replace("`", ""), wrong.get(name, "")
    by_language = shown_by_language(integration, name)
    for each, value in (by_language or {name: shown(integration, name)}).items():
        language = each.partition(":")[2]
        title = f"{label(name)} ({language})" if language else label(name)
        yield Input(
            name=each,
            label=title,
            kind=_kind(name),
            value="" if name in SECRETS else _sent(each, value),
            help=help_text,
            error=error,
            rows=LONG_FIELDS.get(name, SENTENCE_ROWS),
            choices=getattr(KINDS[name], "choices", ()),
            empty=_empty(integration, name),
        )
        help_text = error = ""


def _sent(name: str, value: str) -> str:
    sent = request.form.getlist(name)
    return sent[-1] if sent else value


def _kind(name: str) -> str:
    kind = KINDS[name]
    if name in SECRETS:
        return "secret"
    if name in LONG_FIELDS or isinstance(kind, Sentence):
        return "long"
    if isinstance(kind, Flag):
        return "yes"
    if isinstance(kind, Choice):
        return "choice"
    return "number" if isinstance(kind, WholeNumber | Number) else "text"


def _empty(integration: Integration, name: str) -> str:
    """What an empty input says."""
    if name in SECRETS:
        return "stored; leave empty to keep it" if getattr(integration, name) else "none stored"
    unset = KINDS[name].unset.replace("`", "")
    return f"Empty: {unset}" if unset else ""

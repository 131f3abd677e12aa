"""What Kommo finds wrong with the body of a continue call; the rules only, no HTTP.

Kommo's own rules are those of
https://developers.kommo.com/reference/salesbot-widget-block-execution-confirmation
and https://www.amocrm.ru/developers/content/crm_platform/widgets-api .
`data` is checked more strictly than by Kommo, which would accept it and then print a literal
`{{json.reply}}` to the customer.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

HANDLERS_MAX = 10
SHOW_VALUE_UNITS_MAX = 80
BUTTONS_MAX = 25
STATUSES = frozenset({"success", "handoff", "fail", "skip"})

_SHOW_TYPES = frozenset({"text", "buttons", "buttons_url"})
_GOTO_TYPES = frozenset({"question", "answer", "finish"})


@dataclass(frozen=True)
class BodyFault:
    """One entry of Kommo's `validation-errors`. It names places and sizes, never contents."""

    code: str
    path: str
    detail: str


def utf16_units(text: str) -> int:
    """Count UTF-16 code units: an emoji beyond U+FFFF counts as two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def body_faults(body: bytes) -> list[BodyFault]:
    """Return all that is wrong with the body of a continue call; an empty list accepts it."""
    try:
        payload = json.loads(body)
    except ValueError:
        return [BodyFault("InvalidType", "", "The body is not JSON.")]
    if not isinstance(payload, dict):
        return [BodyFault("InvalidType", "", "The body should be an object.")]
    return list(_payload_faults(payload))


def _payload_faults(payload: dict[str, Any]) -> Iterator[BodyFault]:
    for key in payload.keys() - {"data", "execute_handlers"}:
        yield BodyFault("NotExpected", key, "This field was not expected.")
    if "execute_handlers" in payload:
        yield from _handlers_faults(payload["execute_handlers"])
    if "data" in payload:
        yield from _data_faults(payload["data"])
    else:
        yield _missing("data")


def _data_faults(data: Any) -> Iterator[BodyFault]:
    if not isinstance(data, dict):
        yield _wrong_type("data", "an object")
        return
    for key, value in data.items():
        yield from _value_faults(f"data.{key}", value)
    if data.get("status") not in STATUSES:
        yield BodyFault("NotSupportedChoice", "data.status", f"One of {sorted(STATUSES)}.")
    if data.get("status") == "skip":
        return
    yield from (_missing(f"data.{key}") for key in ("reply", "message") if key not in data)
    if "message" in data and data["message"] != data.get("reply"):
        yield BodyFault("NotEqual", "data.message", "It should be the text of data.reply.")


def _value_faults(path: str, value: Any) -> Iterator[BodyFault]:
    """Find what would reach the customer as a literal placeholder."""
    if not isinstance(value, str):
        yield _wrong_type(path, "a string")
    elif not value.strip():
        yield BodyFault("TooShort", path, "An empty value is printed as a literal placeholder.")
    elif "{{" in value:
        yield BodyFault("Placeholder", path, "Kommo may fill the placeholder in once more.")


def _handlers_faults(handlers: Any) -> Iterator[BodyFault]:
    path = "execute_handlers"
    if not isinstance(handlers, list):
        yield _wrong_type(path, "a list")
        return
    if not handlers:
        yield BodyFault("TooFew", path, "This collection should contain 1 element or more.")
    if len(handlers) > HANDLERS_MAX:
        yield BodyFault("TooMany", path, f"It should contain {HANDLERS_MAX} elements or less.")
    for index, handler in enumerate(handlers):
        yield from _handler_faults(f"{path}.{index}", handler)


def _handler_faults(path: str, handler: Any) -> Iterator[BodyFault]:
    if not isinstance(handler, dict):
        yield _wrong_type(path, "an object")
        return
    checks = {"show": _show_faults, "goto": _goto_faults}
    code = handler.get("handler")
    if not (isinstance(code, str) and code in checks):
        yield BodyFault("NotSupportedChoice", f"{path}.handler", "Unsupported handler code")
    elif not isinstance(handler.get("params"), dict):
        yield _wrong_type(f"{path}.params", "an object")
    else:
        yield from checks[code](f"{path}.params", handler["params"])


def _show_faults(path: str, params: dict[str, Any]) -> Iterator[BodyFault]:
    yield from _choice_faults(f"{path}.type", params.get("type"), _SHOW_TYPES)
    yield from _show_value_faults(f"{path}.value", params.get("value"))
    if params.get("type") in ("buttons", "buttons_url"):
        yield from _buttons_faults(f"{path}.buttons", params.get("buttons"))


def _show_value_faults(path: str, value: Any) -> Iterator[BodyFault]:
    """Kommo refuses over 80 characters; UTF-16 units are the strictest way to count them."""
    if value is None:
        yield _missing(path)
    elif not isinstance(value, str):
        yield _wrong_type(path, "a string")
    elif not value.strip():
        yield BodyFault("TooShort", path, "This value should have 1 character or more.")
    elif utf16_units(value) > SHOW_VALUE_UNITS_MAX:
        limit = f"{SHOW_VALUE_UNITS_MAX} characters or less"
        yield BodyFault("TooLong", path, f"This value is too long. It should have {limit}.")


def _buttons_faults(path: str, buttons: Any) -> Iterator[BodyFault]:
    if not isinstance(buttons, list):
        yield _missing(path) if buttons is None else _wrong_type(path, "a list")
        return
    if not buttons:
        yield BodyFault("TooFew", path, "This collection should contain 1 element or more.")
    if len(buttons) > BUTTONS_MAX:
        yield BodyFault("TooMany", path, f"It should contain {BUTTONS_MAX} elements or less.")
    for index, button in enumerate(buttons):
        if not (isinstance(button, str) and button.strip()):
            yield _wrong_type(f"{path}.{index}", "a non-empty string")


def _goto_faults(path: str, params: dict[str, Any]) -> Iterator[BodyFault]:
    yield from _choice_faults(f"{path}.type", params.get("type"), _GOTO_TYPES)
    step = params.get("step")
    if step is None:
        yield _missing(f"{path}.step")
    elif isinstance(step, bool) or not isinstance(step, int) or step < 0:
        yield _wrong_type(f"{path}.step", "a number of 0 or more")


def _choice_faults(path: str, value: Any, choices: frozenset[str]) -> Iterator[BodyFault]:
    if value is None:
        yield _missing(path)
    elif not isinstance(value, str):
        yield _wrong_type(path, "a string")
    elif value not in choices:
        yield BodyFault("NotSupportedChoice", path, f"One of {sorted(choices)}.")


def _missing(path: str) -> BodyFault:
    return BodyFault("FieldMissing", path, "This field is missing.")


def _wrong_type(path: str, expected: str) -> BodyFault:
    return BodyFault("InvalidType", path, f"This value should be {expected}.")

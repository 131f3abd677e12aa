"""What Kommo finds wrong with a write to its CRM; the rules only, no HTTP."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from local.partners.kommo.account import Account
from local.partners.kommo.continue_body import BodyFault

_ENTITY_TYPES = frozenset({"leads", "contacts", "companies", "customers"})
_NOTE_TYPES = frozenset({"common", "service_message", "extended_service_message"})
_TASK_TYPES = frozenset({1, 2})
_TASK_KEYS = frozenset(
    "text complete_till task_type_id entity_id entity_type responsible_user_id duration "
    "request_id".split()
)
_CHANGE_KEYS = frozenset(
    "name price status_id pipeline_id responsible_user_id custom_fields_values tags_to_add "
    "tags_to_delete _embedded updated_by".split()
)
PIPELINE, STAGES = 10, {100: "New", 142: "Won", 143: "Lost"}


def change_faults(body: Any, account: Account, tags: int) -> Iterator[BodyFault]:
    """What is wrong with a change of an entity that has so many tags."""
    if not isinstance(body, dict):
        yield BodyFault("InvalidType", "", "The body should be an object.")
        return
    yield from _unexpected(body, _CHANGE_KEYS, "")
    yield from _user_faults(body, account, "")
    if body.get("status_id", 100) not in STAGES:
        yield _no_choice("status_id")
    for number, tag in enumerate(body.get("tags_to_add", ())):
        if not isinstance(tag, dict) or not (isinstance(tag.get("name"), str) and tag["name"]):
            yield BodyFault("NotBlank", f"tags_to_add.{number}.name", "It should not be blank.")
    for number, tag in enumerate(body.get("tags_to_delete", ())):
        if not 0 < tag.get("id", 0) <= tags:
            yield _no_choice(f"tags_to_delete.{number}.id")


def task_faults(
    one: Mapping[str, Any], path: str, *, account: Account, exists: Callable[[str, int], bool]
) -> Iterator[BodyFault]:
    """What is wrong with a task; `exists` knows kinds and numbers of entities."""
    yield from _unexpected(one, _TASK_KEYS, path)
    if not (isinstance(one.get("text"), str) and one["text"].strip()):
        yield BodyFault("NotBlank", f"{path}.text", "This value should not be blank.")
    due = one.get("complete_till")
    if not isinstance(due, int) or isinstance(due, bool):
        yield BodyFault("InvalidType", f"{path}.complete_till", "This value should be int.")
    kind, entity_id = str(one.get("entity_type")), one.get("entity_id")
    known = kind in _ENTITY_TYPES and isinstance(entity_id, int)
    if not known or not exists(kind, int(entity_id or 0)):
        yield _no_choice(f"{path}.entity_id")
    if one.get("task_type_id", 1) not in _TASK_TYPES:
        yield _no_choice(f"{path}.task_type_id")
    yield from _user_faults(one, account, path)


def note_faults(one: Mapping[str, Any], path: str) -> Iterator[BodyFault]:
    """What is wrong with a note."""
    yield from _unexpected(one, frozenset({"note_type", "params", "request_id"}), path)
    if one.get("note_type") not in _NOTE_TYPES:
        yield _no_choice(f"{path}.note_type")
    params = one.get("params")
    text = params.get("text") if isinstance(params, dict) else None
    if not (isinstance(text, str) and text.strip()):
        yield BodyFault("NotBlank", f"{path}.params.text", "This value should not be blank.")


def each(body: Any, faults_of: Any) -> Iterator[BodyFault]:
    """The faults of a list of objects: Kommo takes no single object here."""
    if not isinstance(body, list) or not body:
        yield BodyFault("InvalidType", "", "The body should be a list that is not empty.")
        return
    for number, one in enumerate(body):
        if isinstance(one, dict):
            yield from faults_of(one, str(number))
        else:
            yield BodyFault("InvalidType", str(number), "This value should be an object.")


def _user_faults(one: Mapping[str, Any], account: Account, path: str) -> Iterator[BodyFault]:
    if one.get("responsible_user_id", account.account_id + 1) != account.account_id + 1:
        yield _no_choice(f"{path}.responsible_user_id".strip("."))


def _unexpected(one: Mapping[str, Any], known: frozenset[str], path: str) -> Iterator[BodyFault]:
    for key in one.keys() - known:
        yield BodyFault("FieldNotExpected", f"{path}.{key}".strip("."), "It was not expected.")


def _no_choice(path: str) -> BodyFault:
    return BodyFault("NotSupportedChoice", path, "The value you selected is not a valid choice.")

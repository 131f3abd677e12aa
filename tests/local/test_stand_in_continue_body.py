"""The rules for the body of a continue call, one by one."""

import json
from typing import Any

import pytest

from local.partners.kommo.continue_body import body_faults

DATA = {"status": "success", "reply": "Hello!", "message": "Hello!"}


def show(value: Any, **params: Any) -> dict[str, Any]:
    return {"handler": "show", "params": {"type": "text", "value": value, **params}}


def goto(**params: Any) -> dict[str, Any]:
    return {"handler": "goto", "params": params}


def found(payload: Any) -> list[tuple[str, str]]:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return [(fault.code, fault.path) for fault in body_faults(body)]


@pytest.mark.parametrize(
    "payload",
    [
        {"data": DATA},
        {"data": {"status": "skip"}},
        {"data": {**DATA, "status": "handoff"}},
        {"data": {**DATA, "status": "fail", "more": "text"}},
        {"data": DATA, "execute_handlers": [show("a" * 80)] * 10},
        {"data": DATA, "execute_handlers": [show("😀" * 40)]},
        {"data": DATA, "execute_handlers": [show("?", type="buttons", buttons=["A"] * 25)]},
        {"data": DATA, "execute_handlers": [show("?", type="buttons_url", buttons=["https://a"])]},
        {"data": DATA, "execute_handlers": [goto(type="finish", step=0)]},
    ],
)
def test_a_right_body_is_accepted(payload: dict[str, Any]) -> None:
    assert found(payload) == []


@pytest.mark.parametrize("body", [b"", b"data=1", b"[]", b"null", b'"text"', b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    assert found(body) == [("InvalidType", "")]


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ({}, ("FieldMissing", "data")),
        ({"data": DATA, "token": "x"}, ("NotExpected", "token")),
        ({"data": "text"}, ("InvalidType", "data")),
    ],
)
def test_the_top_level_holds_data_and_handlers_only(
    payload: dict[str, Any], fault: tuple[str, str]
) -> None:
    assert found(payload) == [fault]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"more": ""}, ("TooShort", "data.more")),
        ({"more": " \n"}, ("TooShort", "data.more")),
        ({"more": None}, ("InvalidType", "data.more")),
        ({"more": 5}, ("InvalidType", "data.more")),
        ({"more": True}, ("InvalidType", "data.more")),
        ({"more": {"a": "b"}}, ("InvalidType", "data.more")),
        ({"more": "Hello {{contact.name}}"}, ("Placeholder", "data.more")),
        ({"status": "ok"}, ("NotSupportedChoice", "data.status")),
        ({"message": "another text"}, ("NotEqual", "data.message")),
    ],
)
def test_a_value_that_would_reach_the_customer_as_rubbish_is_refused(
    change: dict[str, Any], fault: tuple[str, str]
) -> None:
    """Kommo would accept these and print a literal placeholder, or take the wrong exit."""
    assert found({"data": {**DATA, **change}}) == [fault]


def test_an_empty_value_is_refused_on_skip_too() -> None:
    assert found({"data": {"status": "skip", "reply": ""}}) == [("TooShort", "data.reply")]


@pytest.mark.parametrize("status", ["success", "handoff", "fail"])
@pytest.mark.parametrize("key", ["reply", "message"])
def test_reply_and_message_are_needed_whatever_the_exit(status: str, key: str) -> None:
    data = {name: value for name, value in DATA.items() if name != key} | {"status": status}

    assert ("FieldMissing", f"data.{key}") in found({"data": data})


def test_a_missing_status_is_refused() -> None:
    data = {"reply": "Hello!", "message": "Hello!"}

    assert found({"data": data}) == [("NotSupportedChoice", "data.status")]


@pytest.mark.parametrize(
    ("handlers", "fault"),
    [
        ([], ("TooFew", "")),
        ({}, ("InvalidType", "")),
        (None, ("InvalidType", "")),
        ([show("a")] * 11, ("TooMany", "")),
        (["show"], ("InvalidType", ".0")),
        (
            [{"handler": "send_external_message", "params": {}}],
            ("NotSupportedChoice", ".0.handler"),
        ),
        ([{"handler": ["show"], "params": {}}], ("NotSupportedChoice", ".0.handler")),
        ([{"params": {}}], ("NotSupportedChoice", ".0.handler")),
        ([{"handler": "show"}], ("InvalidType", ".0.params")),
        ([show("a"), show("a" * 81)], ("TooLong", ".1.params.value")),
        ([show("😀" * 41)], ("TooLong", ".0.params.value")),
        ([show("")], ("TooShort", ".0.params.value")),
        ([show(5)], ("InvalidType", ".0.params.value")),
        ([show(None)], ("FieldMissing", ".0.params.value")),
        ([show("a", type="image")], ("NotSupportedChoice", ".0.params.type")),
        ([show("a", type=None)], ("FieldMissing", ".0.params.type")),
        ([show("a", type=1)], ("InvalidType", ".0.params.type")),
        ([show("a", type="buttons")], ("FieldMissing", ".0.params.buttons")),
        ([show("a", type="buttons", buttons="A")], ("InvalidType", ".0.params.buttons")),
        ([show("a", type="buttons", buttons=[])], ("TooFew", ".0.params.buttons")),
        ([show("a", type="buttons", buttons=["A"] * 26)], ("TooMany", ".0.params.buttons")),
        ([show("a", type="buttons", buttons=[""])], ("InvalidType", ".0.params.buttons.0")),
        (
            [show("a", type="buttons_url", buttons=[{"url": "https://a"}])],
            ("InvalidType", ".0.params.buttons.0"),
        ),
        ([goto(type="finish")], ("FieldMissing", ".0.params.step")),
        ([goto(step=1)], ("FieldMissing", ".0.params.type")),
        ([goto(type="start", step=1)], ("NotSupportedChoice", ".0.params.type")),
        ([goto(type="finish", step="1")], ("InvalidType", ".0.params.step")),
        ([goto(type="finish", step=True)], ("InvalidType", ".0.params.step")),
        ([goto(type="finish", step=-1)], ("InvalidType", ".0.params.step")),
    ],
)
def test_a_handler_that_kommo_refuses_is_refused(handlers: Any, fault: tuple[str, str]) -> None:
    code, path = fault

    assert found({"data": DATA, "execute_handlers": handlers}) == [
        (code, f"execute_handlers{path}")
    ]


def test_a_fault_never_tells_contents() -> None:
    """Refusals reach logs, and the texts are a customer's."""
    payload = {"data": {"status": "private", "reply": "private {{x}}"}, "execute_handlers": []}

    assert "private" not in repr(body_faults(json.dumps(payload).encode()))

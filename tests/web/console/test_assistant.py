"""The assistant's page: every field, who may change it, and what happens to what was typed."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask

from console.conftest import Visitor, page_of, seen
from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import FIELDS, HELP, SECRETS, Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.integrations.versions import versions_of
from kommo_bridge.settings import Settings
from kommo_bridge.web.console.sections import TITLES, label, sections

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
ARABIC = "مرحبا بكم 🌹"


def test_every_field_stands_on_the_operators_page_once_with_its_help(
    operator: Visitor, acme: Integration
) -> None:
    page = operator.get(page_of(acme))

    for name in FIELDS:
        inputs = re.findall(rf'<(?:input|textarea|select) id="[^"]*" name="{name}"', page.text)
        inputs += re.findall(rf'role="switch" id="[^"]*" name="{name}"', page.text)
        assert len(inputs) == 1, name
        assert " ".join(HELP[name].replace("`", "").split()) in seen(page), name
    assert sorted(n for one in sections() for n in one.names) == sorted(FIELDS)


def test_no_secret_is_ever_on_a_page(
    operator: Visitor, owner: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    planted: dict[str, Any] = {name: f"https://x.example/planted-secret-{name}" for name in SECRETS}
    store.save(replace(acme, **planted))

    for visitor in (operator, owner):
        page = visitor.get(page_of(acme)).text
        assert "planted-secret" not in page
    assert "stored; leave empty to keep it" in operator.get(page_of(acme)).text


def test_the_owner_changes_what_the_assistant_knows(
    owner: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    answer = owner.save(page_of(acme), instructions="We sell roses.\r\n\r\n21 cost 45 euro.  ")

    assert answer.headers["Location"] == f"/console{page_of(acme)}?done=saved"
    assert (
        "Saved. The next answer already uses it." in owner.get(f"{page_of(acme)}?done=saved").text
    )
    assert store.get("acme") == replace(acme, instructions="We sell roses.\n\n21 cost 45 euro.")
    assert [one.who for one in versions_of(store.database, acme)] == ["console, owner"]


class Form(HTMLParser):
    """What a browser sends when nothing was typed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self._select: str | None = None
        self._name: str | None = None
        self.feed(page.partition("<main")[2])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        name = known.get("name") or ""
        is_off = known.get("type") == "checkbox" and "checked" not in known
        if tag == "input" and name and not is_off:
            self.sent.append((name, known.get("value") or ""))
        if tag == "select":
            self._select = name
        if tag == "textarea" or (tag == "option" and "selected" in known):
            self._name = name or self._select
            self.sent.append((self._name or "", ""))

    def handle_data(self, data: str) -> None:
        if self._name:
            self.sent[-1] = (self._name, self.sent[-1][1] + data.removeprefix("\n"))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("textarea", "option", "select"):
            self._name = None


@pytest.mark.parametrize("who", ["owner", "operator"])
def test_a_page_that_is_sent_as_it_was_shown_changes_nothing(
    request: pytest.FixtureRequest, store: IntegrationStore, acme: Integration, who: str
) -> None:
    full = replace(
        acme,
        name="Acme",
        instructions="One\n\n  two <b>&amp;</b>",
        money_per_day=1234567.5,
        price_input=0.000015,
        handoff_tool=False,
        mode="hint",
        fallback_text='{"en": "Later."}',
        open_hours="mo-fr 9-18",
    )
    store.save(full)
    visitor: Visitor = request.getfixturevalue(who)
    sent = Form(visitor.get(page_of(acme)).text).sent
    form = {name: [value for key, value in sent if key == name] for name, _ in sent}

    answer = visitor.post(page_of(acme), form)

    assert len(form) > 20
    assert answer.headers["Location"].endswith("?done=same")
    assert store.get("acme") == full


def test_nothing_changed_is_told(
    owner: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    assert owner.save(page_of(acme)).headers["Location"].endswith("?done=same")
    assert store.get("acme") == acme


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("replies_per_day", "0"),
        ("model", "the-dearest"),
        ("ai_base_url", "http://169.254.169.254/latest"),
        ("access_token", "stolen"),
        ("secret_key", "s" * 64),
        ("subdomain", "other"),
        ("enabled", "no"),
        ("tokens_per_day", "0"),
        ("fallback_ai_base_url", "http://10.0.0.1/v1"),
    ],
)
def test_an_owner_changes_nothing_that_costs_or_leads_elsewhere(
    owner: Visitor, store: IntegrationStore, acme: Integration, name: str, value: str
) -> None:
    owner.save(page_of(acme), **{name: value})

    assert store.get("acme") == acme


def test_an_owner_reads_the_limits_and_not_the_account(owner: Visitor, acme: Integration) -> None:
    page = owner.get(page_of(acme))

    assert "Replies per hour 30" in seen(page)
    assert "Set by the person who runs the bridge." in page.text
    assert acme.integration_id not in seen(page)
    for word in ("Redis", "RQ", "job", "JSON", "queue"):
        assert not re.search(rf"\b{word}\b", seen(page), re.IGNORECASE), word


def test_the_operator_changes_numbers_flags_choices_and_secrets(
    operator: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    changes = {"burst_seconds": "1.5", "handoff_tool": "no", "mode": "hint", "model": "m-1"}
    operator.save(page_of(acme), replies_per_day="", secret_key="n" * 64, **changes)

    assert store.get("acme") == replace(
        acme,
        burst_seconds=1.5,
        handoff_tool=False,
        mode="hint",
        model="m-1",
        secret_key="n" * 64,
        previous_secret_key=acme.secret_key,
    )


def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(
    owner: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    answer = owner.save(
        page_of(acme), handoff_hours="-1", fallback_text=" ", instructions="New text " * 5
    )

    assert answer.status_code == 400
    assert "This must be a number above 0, at most 720." in answer.text
    assert "This must not be empty." in answer.text
    assert answer.text.count('aria-invalid="true"') == 2
    assert 'value="-1"' in answer.text
    assert "New text New text" in answer.text
    assert store.get("acme") == acme


def test_a_text_that_shrinks_is_asked_about_first(
    owner: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    long = replace(acme, instructions="We sell roses. " * 20)
    store.save(long)

    asked = owner.save(page_of(acme), instructions="Roses.")
    kept = store.get("acme")
    meant = owner.save(page_of(acme), instructions="Roses.", loss="yes")

    assert "would shrink from 300 to 6 characters" in asked.text
    assert kept == long
    assert meant.status_code == 303
    assert store.get("acme").instructions == "Roses."


def test_two_who_save_the_same_page_do_not_undo_each_other(
    owner: Visitor, operator: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    page = owner.get(page_of(acme)).text
    operator.save(page_of(acme), handoff_tag="vip")

    state = page.split('name="state" value="')[1].split('"')[0]
    answer = owner.post(page_of(acme), {"state": state, "instructions": "Mine"})

    assert answer.status_code == 400
    assert "Somebody else has saved this page meanwhile" in answer.text
    assert "Mine" in answer.text
    assert store.get("acme") == replace(acme, handoff_tag="vip")


def test_a_sentence_by_language_has_an_input_a_language(
    owner: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    store.save(replace(acme, fallback_text=json.dumps({"en": "Later.", "es": "Luego."})))

    page = owner.get(page_of(acme))
    owner.save(page_of(acme), fallback_text__en="Later.", fallback_text__pt="Depois.")

    assert "When there is no reply (es)" in seen(page)
    assert "{" not in seen(page)
    assert json.loads(store.get("acme").fallback_text) == {"en": "Later.", "pt": "Depois."}


@pytest.mark.parametrize("text", [HOSTILE, ARABIC, "x" * 65536, "</textarea>" + HOSTILE, "{{7*7}}"])
def test_any_text_is_shown_as_text(
    owner: Visitor, operator: Visitor, store: IntegrationStore, acme: Integration, text: str
) -> None:
    operator.save(page_of(acme), name=text, handoff_tag=text, instructions=text)

    assert store.get("acme").instructions == text
    for answer in (
        owner.get(page_of(acme)),
        operator.get("/accounts"),
        operator.get(page_of(acme, "owner")),
        owner.save(page_of(acme), handoff_hours=text),
    ):
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert answer.text.count("</textarea>") == answer.text.count("<textarea")


def test_a_field_that_the_environment_names_is_refused_with_the_reason(
    guarded: Settings, acme: Integration, app: Flask
) -> None:
    entry = {"subdomain": "acme", "integration_id": acme.integration_id, "history": 3}
    named = replace(guarded, kommo_integrations=json.dumps([entry]))
    operator = Visitor(create_app(named).test_client())
    operator.sign_in()

    answer = operator.save(page_of(acme), history="7")

    assert "KOMMO_INTEGRATIONS names history" in answer.text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ai_base_url", "AI base address"),
        ("instructions", "Instructions"),
        ("account_id", "Account ID"),
    ],
)
def test_titles_are_words(name: str, shown: str) -> None:
    assert label(name) == shown


def test_every_title_is_a_fields() -> None:
    assert set(TITLES) <= set(FIELDS)

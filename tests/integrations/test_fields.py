"""Each field of an integration is declared once; all who speak of fields read that."""

from dataclasses import asdict, fields

import pytest

from kommo_bridge.integrations.fields_page import fields_page
from kommo_bridge.integrations.integration import (
    CAPS,
    FIELDS,
    HELP,
    KINDS,
    SECRETS,
    SHARED_KEY_REPLIES_PER_DAY,
    Integration,
    check_integration,
    from_mapping,
)
from local.processes import ROOT

ACME = Integration("0b01", "acme", secret_key="s" * 64)


def test_the_page_of_the_docs_is_what_the_declarations_say() -> None:
    page = (ROOT / "docs" / "fields.md").read_text(encoding="utf-8")

    assert page == fields_page(), "make fields writes it anew"


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_says_what_it_means_and_what_it_must_be(name: str) -> None:
    assert HELP[name].endswith(".")
    assert KINDS[name].must.startswith(("be ", "not be "))


def test_the_defaults_are_valid() -> None:
    check_integration(ACME)


def test_no_secret_is_part_of_the_text_of_an_integration() -> None:
    shown = {item.name for item in fields(Integration) if item.repr}

    assert set(SECRETS) == {
        *("secret_key", "previous_secret_key", "access_token"),
        *("ai_api_key", "fallback_ai_api_key", "owner_webhook_url"),
    }
    assert shown == set(FIELDS) - set(SECRETS)


def test_the_caps_of_the_whole_integration_are_known() -> None:
    assert (
        *("replies_per_day", "tokens_per_day", "tokens_per_month"),
        *("money_per_day", "money_per_month"),
    ) == CAPS


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, SHARED_KEY_REPLIES_PER_DAY),
        ({"ai_api_key": "sk-own"}, 0),
        ({"replies_per_day": "0"}, 0),
        ({"replies_per_day": "50"}, 50),
        ({"replies_per_day": "50", "ai_api_key": "sk-own"}, 50),
        ({"replies_per_day": ""}, SHARED_KEY_REPLIES_PER_DAY),
    ],
    ids=str,
)
def test_who_answers_with_the_shared_ai_key_has_a_cap_unless_the_operator_says_otherwise(
    changes: dict[str, str], holds: int
) -> None:
    changed = from_mapping({**asdict(ACME), **changes})

    check_integration(changed)
    assert changed.cap("replies_per_day") == holds
    assert changed.cap("tokens_per_day") == 0


def test_what_an_integration_holds_is_read_back_from_its_texts() -> None:
    """As `set` does: a field that is not named is read anew from its present value."""
    assert from_mapping(asdict(ACME)) == ACME
    texts = {name: "" if value is None else str(value) for name, value in asdict(ACME).items()}
    assert from_mapping(texts) == ACME

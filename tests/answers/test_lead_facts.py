"""What the model is told of the lead: what the integration names, and nothing else."""

from dataclasses import replace
from typing import Any

import pytest
from helpers import Ask

from kommo_bridge.ai.prompt import LEAD_FACTS
from kommo_bridge.answers.lead_facts import StageNames, wanted
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.kommo.crm import read_lead
from local.partners.ai import StandInAI
from local.partners.http.faults import Status
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo


def prompt(ai: StandInAI) -> str:
    """The system message of the last question."""
    return str(ai.requests[-1]["messages"][0]["content"])


@pytest.fixture
def lead(kommo: StandInKommo, account: Account, parts: Parts, acme: Integration) -> None:
    """A lead with fields, some of which the model may know."""
    one = kommo.crm.entity(account, 7)
    one.values |= {"name": "Ana's lamps", "price": 250, "status_id": 142}
    one.custom |= {"City": "Valencia", "Passport": "X1234567"}
    parts.integrations.save(replace(acme, lead_fields="price\n CITY \nstage\nname\nShoe size"))


@pytest.mark.usefixtures("lead")
def test_the_named_fields_are_told_and_no_other(
    parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, account: Account
) -> None:
    answer(ask(), parts)
    answer(ask(), parts)

    facts = prompt(ai).partition(LEAD_FACTS)[2].splitlines()[1:5]
    assert facts == [
        "'price': '250'",
        "'CITY': 'Valencia'",
        "'stage': 'Won'",
        "'name': \"Ana's lamps\"",
    ]
    assert "Passport" not in str(ai.requests)
    assert "X1234567" not in str(ai.requests)
    # The lead and the continue call twice, the name of the stage once.
    assert len(kommo.calls(account)) == 5


@pytest.mark.usefixtures("lead")
def test_one_look_at_the_lead_serves_its_tags_and_its_facts(
    parts: Parts, ask: Ask, kommo: StandInKommo, account: Account, acme: Integration
) -> None:
    parts.integrations.save(replace(acme, lead_fields="price", pause_tag="human"))

    answer(ask(), parts)

    assert len(kommo.calls(account)) == 2


def test_nothing_is_told_where_nothing_is_named(
    parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, account: Account
) -> None:
    kommo.crm.entity(account, 7).custom["City"] = "Valencia"

    answer(ask(), parts)

    assert LEAD_FACTS not in prompt(ai)
    assert len(kommo.calls(account)) == 1


@pytest.mark.usefixtures("lead")
@pytest.mark.parametrize("fault", [Status(500), Status(403), Status(204)])
def test_the_customer_is_answered_when_kommo_cannot_say(
    parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, fault: Any
) -> None:
    kommo.faults.order(fault, times=1)

    answer(ask(), parts)

    assert LEAD_FACTS not in prompt(ai)
    assert kommo.continuations[0].body["data"]["status"] == "success"


@pytest.mark.usefixtures("lead")
def test_a_stage_without_a_name_is_left_out(
    parts: Parts, ask: Ask, ai: StandInAI, kommo: StandInKommo, account: Account
) -> None:
    kommo.crm.entity(account, 7).values["status_id"] = 5

    answer(ask(), parts)

    assert "'price': '250'" in prompt(ai)
    assert "'stage'" not in prompt(ai)


@pytest.mark.usefixtures("lead")
def test_a_contact_has_no_such_fields(parts: Parts, ask: Ask, ai: StandInAI) -> None:
    answer(ask(entity_type="1"), parts)

    assert LEAD_FACTS not in prompt(ai)


def test_names_are_read_one_a_line_and_once() -> None:
    assert wanted(" City \n\nCity\nDate  of birth\n") == ("City", "Date of birth")
    assert len(wanted("\n".join(map(str, range(99))))) == 20


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"_embedded": None, "custom_fields_values": None, "price": None},
        {"_embedded": {"tags": [None, {"name": 5}]}, "custom_fields_values": [{}, 1]},
        {"custom_fields_values": [{"field_name": None, "values": [{"value": {}}]}], "name": []},
    ],
)
def test_a_lead_may_lack_any_part(body: dict[str, Any]) -> None:
    lead = read_lead(body)

    assert (lead.tags, lead.fields, lead.stage) == ((), {}, None)


def test_a_field_is_found_by_its_code_and_all_its_values_are_told() -> None:
    field = {
        "field_name": "Colour",
        "field_code": "COL",
        "values": [{"value": "red"}, {"value": True}],
    }

    lead = read_lead({"custom_fields_values": [field, {**field, "values": [{"value": "blue"}]}]})

    assert lead.fields == {"col": "red, yes", "colour": "red, yes"}


def test_the_name_of_a_stage_is_asked_for_once_an_hour() -> None:
    now, asked = [0.0], []

    def ask() -> str:
        asked.append(now[0])
        return "New"

    names = StageNames(lambda: now[0])
    for at in (0.0, 3599.0, 3601.0):
        now[0] = at
        assert names.get("acme.kommo.com", (1, 2), ask) == "New"

    assert asked == [0.0, 3601.0]

"""`flask bot build`, run as an operator runs it against a strict Kommo."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from flask.testing import FlaskCliRunner
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.widgets import widget_numbers
from kommo_bridge.settings import Settings
from local.partners.http.exchange import Answer
from local.partners.http.faults import Garbage, Reset, Status
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.partners.kommo.widgets import list_widgets
from local.partners.salesbot.bot_import import import_bot

NUMBER = 1282319
EXITS = ("success", "handoff", "fail", "skip")
FILE = Path("dist/acme-bot.json")


@pytest.fixture
def runner(
    settings: Settings, acme: Integration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FlaskCliRunner:
    monkeypatch.chdir(tmp_path)
    app = create_app(replace(settings, public_url="https://bridge.example.com"))
    return app.test_cli_runner()


def build(runner: FlaskCliRunner, *options: str) -> Result:
    return runner.invoke(args=["bot", "build", "acme", *options])


def refusal(runner: FlaskCliRunner, *options: str) -> str:
    """The one line that a refused command prints; no file is written."""
    result = build(runner, *options)
    assert result.exit_code == 1
    assert not FILE.exists()
    assert result.output.startswith("Error: "), result.output
    return result.output


def test_the_number_of_the_integrations_widget_is_asked_of_kommo(
    runner: FlaskCliRunner, kommo: StandInKommo, account: Account
) -> None:
    kommo.install_widget(account, 5, integration_id="another-integration")
    kommo.install_widget(account, NUMBER, integration_id=account.integration_id.upper())

    result = build(runner)

    assert result.exit_code == 0, result.output
    assert f"Widget number {NUMBER}: acme.kommo.com lists it for this integration" in result.output
    assert "No live account has proven" in result.output
    assert account.access_token not in result.output
    imported = import_bot(FILE.read_bytes(), {NUMBER: EXITS})
    assert imported.name == "Reply with AI (acme)"
    assert imported.widget_params == {
        "url": "https://bridge.example.com/api/kommo/kommo/widget-request"
    }


def test_a_number_by_hand_asks_nobody(
    runner: FlaskCliRunner, kommo: StandInKommo, account: Account
) -> None:
    result = build(runner, "--widget-id", "7", "--variant", "b", "--output", "deep/bot.json")

    assert result.exit_code == 0, result.output
    assert "Widget number 7: given by --widget-id, not compared with Kommo's list" in result.output
    assert "variant b" in result.output
    assert import_bot(Path("deep/bot.json").read_bytes(), {7: EXITS})
    assert kommo.calls(account) == ()


def test_without_a_token_it_says_how_to_go_on(
    runner: FlaskCliRunner, store: IntegrationStore, acme: Integration
) -> None:
    store.save(replace(acme, access_token=""))

    said = refusal(runner)

    assert "flask integrations set acme access_token=..." in said
    assert "--widget-id N" in said


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Status(401), "make a new long-lived token"),
        (Status(402), "renew its plan"),
        (Status(403), "let an administrator make the token"),
        (Status(429), "cannot be tried: Kommo answered 429"),
        (Status(500), "cannot be tried: Kommo answered 500"),
        (Reset(), "no response from Kommo"),
        (Garbage(), "cannot be tried"),
    ],
)
def test_a_refusal_of_kommo_is_told_with_what_to_do(
    runner: FlaskCliRunner, kommo: StandInKommo, fault: Status, said: str
) -> None:
    kommo.faults.order(fault)

    assert said in refusal(runner)


def test_a_widget_that_is_not_installed_is_told(runner: FlaskCliRunner) -> None:
    said = refusal(runner)

    assert "lists no widget of this integration: upload and install it" in said


def test_several_widgets_are_left_to_the_operator(
    runner: FlaskCliRunner, kommo: StandInKommo, account: Account
) -> None:
    for number in (8, 5):
        kommo.install_widget(account, number)

    assert "lists several widgets of this integration (5, 8)" in refusal(runner)


def test_without_an_address_it_says_what_to_give(settings: Settings, acme: Integration) -> None:
    runner = create_app(settings).test_cli_runner()

    assert "set PUBLIC_URL" in refusal(runner, "--widget-id", "7")
    assert "must be https" in refusal(runner, "--widget-id", "7", "--url", "http://10.0.0.1")


def test_a_file_that_cannot_be_written_is_told(runner: FlaskCliRunner) -> None:
    Path("taken").write_text("a file where a folder is needed")

    said = refusal(runner, "--widget-id", "7", "--output", "taken/bot.json")

    assert "taken/bot.json: cannot be written" in said


def test_redis_away_is_told_in_one_line(settings: Settings, acme: Integration) -> None:
    away = replace(
        settings, redis_url="redis://127.0.0.1:1/0", public_url="https://bridge.example.com"
    )

    assert "Redis cannot be reached" in refusal(create_app(away).test_cli_runner())


def test_every_page_of_the_list_is_read_at_kommos_pace(
    redis: Redis, kommo: StandInKommo, account: Account
) -> None:
    """233 entries of the catalogue come first, so a second page has the last numbers."""
    for number in range(1, 41):
        kommo.install_widget(account, number)
    client = KommoClient(Pacer(redis), frozenset({kommo.host}))

    found = widget_numbers(
        client,
        "acme.kommo.com",
        account.access_token,
        account.integration_id,
        base_url=f"http://{kommo.host}",
    )
    client.close()

    assert found == list(range(1, 41))
    assert len(kommo.calls(account)) == 2


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limit": "251"}, 400),
        ({"limit": "0"}, 400),
        ({"page": "0"}, 400),
        ({"page": "99"}, 204),
        ({}, 200),
    ],
)
def test_the_stand_in_serves_pages_as_kommo_does(query: dict[str, str], status: int) -> None:
    answer: Answer = list_widgets({7: "ours"}, query)

    assert answer.status == status

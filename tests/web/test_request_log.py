"""The access log: one line per request, an id that goes with it, nothing that a caller hides."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from helpers import Bridge, Salesbot, wait_for

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.logs import TextFormatter
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH


@pytest.fixture
def client(settings: Settings, acme: Integration, caplog: pytest.LogCaptureFixture) -> FlaskClient:
    caplog.set_level(logging.DEBUG, "kommo_bridge")
    return create_app(settings).test_client()


def request_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [
        {"event": record.getMessage(), "level": record.levelname, **vars(record)["fields"]}
        for record in caplog.records
        if record.name == "kommo_bridge.web.request_log"
    ]


def test_one_line_per_request(
    client: FlaskClient, salesbot: Salesbot, caplog: pytest.LogCaptureFixture
) -> None:
    content_type, body = salesbot.write()
    headers = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}

    client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type, headers=headers)

    (line,) = request_lines(caplog)
    assert line.pop("milliseconds") >= 0
    assert line.pop("job").startswith("wr-")
    assert line == {
        "event": "widget request queued",
        "level": "INFO",
        "subdomain": "acme",
        "entity": "2:67890",
        "method": "POST",
        "route": WIDGET_REQUEST_PATH,
        "status": 200,
        "client": "203.0.113.9",
    }


def test_a_refusal_names_whom_the_token_claims_to_be_unverified_and_bounded(
    client: FlaskClient, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(account, subdomain="a" * 200, secret_key="x" * 64)
    content_type, body = Salesbot(other).write()

    client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type)

    (line,) = request_lines(caplog)
    assert line["unverified_subdomain"] == "a" * 64
    assert line["unverified_integration"] == account.integration_id
    assert "subdomain" not in line
    assert "x" * 64 not in str(line)


def test_a_refusal_after_the_token_was_verified_names_the_integration(
    client: FlaskClient, salesbot: Salesbot, caplog: pytest.LogCaptureFixture
) -> None:
    content_type, body = salesbot.write(return_url="https://evil.example/")

    client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type)

    (line,) = request_lines(caplog)
    assert (line["subdomain"], line["integration"]) == ("acme", salesbot.account.integration_id)
    assert (line["code"], line["level"]) == ("invalid_return_url", "WARNING")


def test_a_refusal_has_its_line_too(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    client.post(WIDGET_REQUEST_PATH, data=b"token=forged", content_type="text/plain")

    (line,) = request_lines(caplog)
    assert (line["status"], line["code"], line["reason"]) == (401, "invalid_token", "not a JWT")


def test_what_machines_ask_is_told_at_debug_only(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/healthz")

    assert [line["level"] for line in request_lines(caplog)] == ["DEBUG"]


def test_queries_and_unknown_paths_are_not_logged(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.get("/secret-in-the-path?token=secret-in-the-query")

    assert [line["route"] for line in request_lines(caplog)] == ["unknown"]
    assert "secret" not in str([vars(record) for record in caplog.records])


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("9d1e6a4c-3b52-4a43-8f3e-0a3f6c7b5f11", True),
        ("short", False),
        ("x" * 65, False),
        ("id with spaces", False),
        ("", False),
    ],
)
def test_the_id_of_a_proxy_is_taken_when_it_is_one(
    client: FlaskClient, given: str, *, taken: bool
) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})

    assert (answer.headers["X-Request-ID"] == given) == taken
    assert len(answer.headers["X-Request-ID"]) >= 16


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", WIDGET_REQUEST_PATH, 405),
        ("POST", WIDGET_REQUEST_PATH, 401),
    ],
)
def test_a_refusal_carries_its_id_too(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method, headers={"X-Request-ID": "id-of-the-proxy"})

    assert answer.status_code == status
    assert answer.headers["X-Request-ID"] == "id-of-the-proxy"
    assert [line["status"] for line in request_lines(caplog)] == [status]


def test_an_error_nobody_foresaw_has_its_line_and_the_next_request_its_own_id(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kommo_bridge")
    app = create_app(settings)

    @app.get("/falls")
    def falls() -> str:
        raise RuntimeError

    client = app.test_client()
    first = client.get("/falls")
    second = client.get("/nowhere")

    assert (first.status_code, second.status_code) == (500, 404)
    assert [(line["route"], line["status"]) for line in request_lines(caplog)] == [
        ("/falls", 500),
        ("unknown", 404),
    ]
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert TextFormatter().format(caplog.records[-1]).count("request=") == 0, "it is over"


def test_one_id_leads_from_the_request_to_the_continue_call(
    bridge: Bridge, kommo: StandInKommo, account: Account
) -> None:
    sent = kommo.send_widget_request(bridge.url, account, "Hello?", entity_id=7)
    kommo.wait_for_continuation(sent, 20)
    wait_for(lambda: "salesbot continued" in bridge.log_path.read_text())

    lines = bridge.log_path.read_text().splitlines()
    queued = next(line for line in lines if "widget request queued" in line)
    request_id = queued.rpartition("request=")[2]
    events = [line for line in lines if f"request={request_id}" in line]

    told = " ".join(events)
    assert len(request_id) == 16
    for event in ("widget request queued", "reply received", "salesbot continued"):
        assert event in told

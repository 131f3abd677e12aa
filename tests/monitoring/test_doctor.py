"""The doctor: one line for each thing that can be wrong, and what to do about it."""

import logging
import time
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import jwt
import pytest
from helpers import Bridge, Web, wait_for
from redis import Redis
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.monitoring import check_bridge
from kommo_bridge.monitoring.check import Context, Finding
from kommo_bridge.monitoring.check_bridge import check_secret
from kommo_bridge.monitoring.check_kommo import SKEW_WARNING_SECONDS
from kommo_bridge.monitoring.check_redis import redis_role
from kommo_bridge.monitoring.doctor import examine
from kommo_bridge.monitoring.probe_token import mint_token
from kommo_bridge.queue.state import QUEUE_NAME, WIDGET_VERSIONS_KEY
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.metrics import KEY as METRICS_KEY
from kommo_bridge.widget.build import source_version
from local.partners.ai import StandInAI, openai_error
from local.partners.http.faults import Drip, Reset, Slow, Status
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.processes import ROOT

DAY = 86400


def findings(settings: Settings, integration: Integration, **changes: Any) -> dict[str, Finding]:
    """By subject; a subject that is told twice keeps its worst line."""
    changed = replace(settings, **changes)
    token = mint_token(integration, 1, 300)
    rank = {"ok": 0, "warning": 1, "fault": 2}
    found = sorted(examine(integration, changed, token), key=lambda one: rank[one.state])
    return {one.subject: one for one in found}


def test_a_healthy_integration_has_no_fault(
    bridge: Bridge, kommo: StandInKommo, account: Account, acme: Integration, redis: Redis
) -> None:
    version = source_version(ROOT / "widgets" / "shared")
    sent = kommo.send_widget_request(
        bridge.url, account, "Hello", entity_id=7, data={"widget_version": version}
    )
    kommo.wait_for(sent, 60)

    printed = bridge.flask("integrations", "check", "acme")

    states = {line.split("  ")[0].strip() for line in printed.splitlines()}
    assert states == {"ok", "warning"}
    assert f"version {version}, the one built here" in printed
    for secret in (acme.secret_key, acme.access_token, "sk-stand-in"):
        assert secret not in printed


def test_a_fault_ends_the_command_with_status_1(
    settings: Settings, web: Web, ai: StandInAI, redis: Redis
) -> None:
    redis.sadd(WORKERS_BY_QUEUE_KEY % QUEUE_NAME, "rq:worker:a")
    redis.hset("rq:worker:a", "state", "idle")
    ai.faults.order(openai_error(401, "invalid_api_key"), times=None)
    app = create_app(replace(settings, port=web.port))

    done = app.test_cli_runner().invoke(args=["integrations", "check", "acme"])

    assert done.exit_code == 1
    faults = [line for line in done.output.splitlines() if line.startswith("fault")]
    assert [line.split()[1] for line in faults] == ["AI"]


def test_the_secret_of_a_running_bridge_is_tried_without_queueing_anything(
    web: Web, settings: Settings, acme: Integration, redis: Redis
) -> None:
    good = findings(settings, acme, port=web.port)["secret"]
    bad = findings(settings, replace(acme, secret_key="x" * 64), port=web.port)["secret"]

    assert good.state == "ok"
    assert bad.state == "fault"
    assert "SECRET_KEY" in bad.text
    assert not redis.keys("rq:job:*")


def test_the_tests_ask_no_bridge_that_runs_beside_them(
    settings: Settings, acme: Integration
) -> None:
    assert settings.port != Settings.port
    assert "start it" in findings(settings, acme)["secret"].text


def test_without_a_bridge_redis_and_ai_each_line_says_what_to_do(
    settings: Settings, acme: Integration
) -> None:
    found = findings(
        settings,
        acme,
        port=9,
        public_url="https://127.0.0.1:9",
        redis_url="redis://127.0.0.1:9/0",
        openai_base_url="http://127.0.0.1:9/v1",
    )

    assert {found[name].state for name in ("public URL", "secret", "Redis", "AI")} == {"fault"}
    assert "start it" in found["secret"].text
    assert "REDIS_URL" in found["Redis"].text
    assert "base URL" in found["AI"].text


def test_a_server_that_drips_its_answer_does_not_hold_the_doctor(
    settings: Settings, acme: Integration, kommo: StandInKommo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout of requests is per read; each drop would renew it."""
    monkeypatch.setattr(check_bridge, "OWN_TIMEOUT_SECONDS", 0.5)
    kommo.faults.order(Drip(60))

    found = findings(settings, acme, public_url=kommo.url)["public URL"]

    assert found.state == "fault"
    assert "cannot be reached" in found.text


def test_no_live_worker_is_a_fault(settings: Settings, acme: Integration, redis: Redis) -> None:
    assert findings(settings, acme)["workers"].state == "fault"


def test_a_disabled_integration_is_told(settings: Settings, acme: Integration) -> None:
    found = findings(settings, replace(acme, enabled=False))["integration"]

    assert (found.state, "enable acme" in found.text) == ("fault", True)


@pytest.mark.parametrize(
    ("days", "state"), [(400, "ok"), (13, "warning"), (-2, "fault"), (None, "warning")]
)
def test_the_token_tells_when_it_ends(
    settings: Settings, acme: Integration, days: float | None, state: str
) -> None:
    claims = {} if days is None else {"exp": time.time() + days * DAY}
    token = jwt.encode(claims, "k" * 64, algorithm="HS512")

    found = findings(settings, replace(acme, access_token=token))

    assert found["token expiry"].state == state


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        (["crm", "files", "notifications"], "ok", "crm, files, notifications: notes"),
        (["files", {"crm": 1}], "fault", "Kommo will refuse notes, tasks and tags"),
        (None, "warning", "does not say"),
        ("crm", "warning", "does not say"),
    ],
)
def test_the_token_tells_what_it_may_be_used_for(
    settings: Settings, acme: Integration, said: object, state: str, words: str
) -> None:
    token = jwt.encode({"scopes": said} if said else {}, "k" * 64, algorithm="HS512")

    found = findings(settings, replace(acme, access_token=token))["scopes"]

    assert (found.state, words in found.text) == (state, True)


def test_a_refused_access_token_is_a_fault(settings: Settings, acme: Integration) -> None:
    found = findings(settings, replace(acme, access_token="revoked"))["access token"]

    assert found.state == "fault"
    assert "set acme access_token=" in found.text


@pytest.mark.parametrize(
    ("status", "advice"),
    [(402, "plan"), (403, "administrator"), (404, "check subdomain"), (503, "answered 503")],
)
def test_each_refusal_of_kommo_has_its_advice(
    settings: Settings, acme: Integration, kommo: StandInKommo, status: int, advice: str
) -> None:
    kommo.faults.order(Status(status))

    found = findings(settings, acme)["access token"]

    assert (found.state, advice in found.text) == ("fault", True)


def test_a_token_that_is_not_stored_is_a_fault_and_kommo_is_not_asked(
    settings: Settings, acme: Integration, kommo: StandInKommo
) -> None:
    found = findings(settings, replace(acme, access_token=""))

    assert "none is stored" in found["access token"].text
    assert "Kommo" not in found
    assert kommo.refusals == []


def test_rights_that_kommo_does_not_tell_leave_the_rest_as_it_is(
    settings: Settings, acme: Integration, kommo: StandInKommo
) -> None:
    kommo.faults.order(Reset(), when=lambda request: "/users/" in request.path)

    found = findings(settings, acme)

    assert (found["rights"].state, found["access token"].state) == ("warning", "ok")


def test_the_clock_is_read_when_the_answer_came(
    settings: Settings, acme: Integration, kommo: StandInKommo
) -> None:
    """A slow second answer is no skew."""
    date = formatdate(time.time() - SKEW_WARNING_SECONDS + 2.5, usegmt=True)
    body = {"id": acme.account_id, "subdomain": "acme", "current_user_id": 1}
    kommo.faults.order(Status(200, body, {"Date": date}))
    kommo.faults.order(Slow(3), when=lambda request: "/users/" in request.path)

    assert findings(settings, acme)["clock"].state == "ok"


def test_the_access_token_never_goes_to_another_machine_in_plain_http(
    settings: Settings, acme: Integration, kommo: StandInKommo
) -> None:
    """Only a loopback address may be asked without TLS, as in the continue call."""
    port = kommo.host.partition(":")[2]

    plain = findings(settings, acme)["Kommo"]
    named = findings(settings, acme, kommo_extra_hosts=frozenset({f"kommo.invalid:{port}"}))

    assert f"asked http://{kommo.host}" in plain.text
    assert f"asked https://kommo.invalid:{port}" in named["Kommo"].text
    assert named["access token"].state == "fault"


def test_a_disabled_integration_is_not_blamed_on_the_secret(
    web: Web, settings: Settings, acme: Integration, store: IntegrationStore
) -> None:
    store.save(replace(acme, enabled=False))

    found = findings(settings, store.get("acme"), port=web.port)["secret"]

    assert "disabled" in found.text


def test_a_proxy_of_the_environment_is_not_asked(
    web: Web, settings: Settings, acme: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    found = findings(settings, acme, port=web.port)

    assert found["secret"].state == "ok"


def test_another_server_at_our_address_is_told(
    settings: Settings, acme: Integration, ai: StandInAI
) -> None:
    port = int(ai.url.rpartition(":")[2])

    found = findings(settings, acme, port=port)["secret"]

    assert (found.state, "not how the bridge answers" in found.text) == ("fault", True)


def test_a_token_that_is_not_an_administrators_is_a_fault(
    settings: Settings, acme: Integration, kommo: StandInKommo, account: Account
) -> None:
    assert findings(settings, acme)["rights"].state == "ok"

    kommo.no_admins.add(account.account_id)

    assert findings(settings, acme)["rights"].state == "fault"


def test_a_token_of_another_account_and_another_number_are_faults(
    settings: Settings, acme: Integration, store: IntegrationStore
) -> None:
    assert findings(settings, acme)["account"].state == "ok"
    assert findings(settings, replace(acme, account_id=5))["account"].state == "fault"
    assert findings(settings, replace(acme, subdomain="other"))["account"].state == "fault"
    assert findings(settings, replace(acme, account_id=None))["account"].state == "ok"


@pytest.mark.parametrize(
    ("date", "state"),
    [("Mon, 01 Jan 2024 00:00:00 GMT", "fault"), ("soon", "warning"), ("", "warning")],
)
def test_a_clock_that_is_wrong_or_not_told_is_seen(
    settings: Settings, acme: Integration, kommo: StandInKommo, date: str, state: str
) -> None:
    body = {"id": acme.account_id, "subdomain": "acme"}
    kommo.faults.order(Status(200, body, {"Date": date}), times=1)

    assert findings(settings, acme)["clock"].state == state


def test_another_version_of_the_widget_is_told(
    settings: Settings, acme: Integration, redis: Redis
) -> None:
    assert "no request" in findings(settings, acme)["widget"].text

    redis.hset(WIDGET_VERSIONS_KEY, f"{acme.integration_id}:{acme.subdomain}", "0.0.1")

    assert "remove and add the block" in findings(settings, acme)["widget"].text


def test_a_public_url_must_be_https_and_answer(
    web: Web, settings: Settings, acme: Integration
) -> None:
    assert findings(settings, acme)["public URL"].state == "warning"
    assert findings(settings, acme, public_url=web.url)["public URL"].state == "warning"
    ai_url = settings.openai_base_url
    assert findings(settings, acme, public_url=ai_url)["public URL"].state == "fault"


class TestRedis:
    def test_what_keeps_the_promise_is_ok(self, settings: Settings, acme: Integration) -> None:
        found = findings(settings, acme)

        assert {found[f"Redis {one}"].state for one in ("role", "memory", "persistence")} == {"ok"}

    @pytest.mark.parametrize(
        ("setting", "value", "subject"),
        [
            ("maxmemory-policy", "allkeys-lru", "Redis memory"),
            ("maxmemory", "1", "Redis memory"),
            ("appendonly", "no", "Redis persistence"),
        ],
    )
    def test_one_that_may_lose_jobs_is_a_warning(
        self,
        settings: Settings,
        acme: Integration,
        redis: Redis,
        setting: str,
        value: str,
        subject: str,
    ) -> None:
        before = str(redis.config_get(setting)[setting])
        redis.config_set(setting, value)
        try:
            found = findings(settings, acme)[subject]
        finally:
            redis.config_set(setting, before)

        assert found.state == "warning"

    def test_a_replica_is_a_fault(
        self, settings: Settings, acme: Integration, redis: Redis
    ) -> None:
        redis.replicaof("127.0.0.1", "1")
        try:
            found = findings(settings, acme)["Redis role"]
        finally:
            redis.replicaof("no", "one")

        assert (found.state, "primary" in found.text) == ("fault", True)

    @pytest.mark.parametrize("mode", ["cluster", "sentinel"])
    def test_a_cluster_and_a_sentinel_are_not_supported(self, mode: str) -> None:
        found = redis_role({"redis_mode": mode})

        assert (found.state, "not supported" in found.text) == ("fault", True)


def test_the_probe_is_neither_warned_of_nor_counted(
    settings: Settings,
    acme: Integration,
    web: Web,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "kommo_bridge"):
        for changed in (acme, replace(acme, secret_key="x" * 64)):
            for _ in range(6):
                next(check_secret(context(settings, changed, web.port)))
        wait_for(lambda: caplog.text.count("test request refused as expected") == 12)

    web.app.metrics.flush()
    of_requests = [one for one in caplog.records if one.name == "kommo_bridge.web.request_log"]
    assert len(of_requests) >= 12
    assert [one for one in of_requests if one.levelno >= logging.WARNING] == []
    assert not redis.keys("kommo_bridge:refused:*")
    assert not [field for field in redis.hkeys(METRICS_KEY) if b"invalid" in field]


def context(settings: Settings, integration: Integration, port: int) -> Context:
    token = mint_token(integration, 1, 300)
    return Context(integration, settings, token, f"http://127.0.0.1:{port}")

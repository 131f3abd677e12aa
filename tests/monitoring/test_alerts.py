"""Alerts: each seen against its failure, one of a kind in an hour, and one when it is well."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from helpers import Ask, Salesbot, let_pass, wait_for
from redis import Redis

from kommo_bridge.answers.record import OPEN_KEY
from kommo_bridge.app import create_app
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.errors import AlertError, ContinuedWithFailure, KommoError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.jobs import Parts, answer
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.monitoring.alert_state import HOUR, AlertState, due
from kommo_bridge.monitoring.alert_state import KEY as ALERTS_KEY
from kommo_bridge.monitoring.alerts import Alerts
from kommo_bridge.monitoring.kinds import KINDS, Kind
from kommo_bridge.monitoring.watch import LOOK_KEY, TOKENS_KEY, Watch
from kommo_bridge.monitoring.webhook import Webhook
from kommo_bridge.settings import RateLimit, Settings
from kommo_bridge.telemetry.incidents import Incidents
from kommo_bridge.telemetry.outage import Outage
from kommo_bridge.telemetry.refusals import ENOUGH
from local.partners.ai import StandInAI, openai_error
from local.partners.http.exchange import Answer, Request, read_json
from local.partners.http.faults import (
    Drip,
    Fault,
    Hang,
    Huge,
    Redirect,
    Reset,
    ResetAfter,
    Status,
)
from local.partners.http.local_server import LocalServer
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH
from local.processes import process_environ, run_bridge

DAY = 24 * HOUR
SECRET_PATH = "/services/T0/secret-of-the-webhook"
NOW = 1_800_000_000.0


class ChatService(LocalServer):
    """Takes JSON messages, as a chat's incoming webhook does."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, object]] = []

    def answer(self, request: Request) -> Answer:
        """Keep the message."""
        assert request.path == SECRET_PATH
        self.messages.append(read_json(request.body))
        return Answer(200, b"ok")

    @property
    def seen(self) -> list[str]:
        """Kind and state of each message."""
        return [f"{one['kind']} {one['state']}" for one in self.messages]


@pytest.fixture
def webhook() -> Iterator[ChatService]:
    with ChatService() as server:
        yield server


@pytest.fixture
def alerts(redis: Redis, webhook: ChatService) -> Alerts:
    return Alerts(redis, Webhook(webhook.url + SECRET_PATH))


@pytest.fixture
def watch(redis: Redis, store: IntegrationStore, alerts: Alerts) -> Watch:
    return build(redis, store, alerts)


def build(redis: Redis, store: IntegrationStore, alerts: Alerts) -> Watch:
    return Watch(redis, store, alerts, Outage(logging.getLogger(), "redis"))


def look(watch: Watch, redis: Redis, now: float | None = None, *, tokens: bool = True) -> list[str]:
    """A look, as if ten seconds (and for the tokens, ten minutes) had passed."""
    redis.delete(LOOK_KEY, *([TOKENS_KEY] if tokens else []))
    return watch.look(time.time() if now is None else now)


def fail(parts: Parts, ask: Ask, number: int) -> None:
    with pytest.raises((ContinuedWithFailure, KommoError)):
        answer(ask(entity_id=number), parts)


class TestFailures:
    def test_an_ai_that_refuses_is_told_and_told_again_when_it_is_well(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        watch: Watch,
        redis: Redis,
        webhook: ChatService,
        acme: Integration,
    ) -> None:
        ai.faults.order(openai_error(401), times=1)
        fail(parts, ask, 1)

        assert look(watch, redis) == ["refused_by_ai alert"]
        answer(ask(entity_id=2), parts)
        assert look(watch, redis) == ["refused_by_ai resolved"]
        assert look(watch, redis) == []
        assert webhook.messages[0]["concerns"] == [f"acme/{acme.integration_id}"]
        assert "flask integrations check" in str(webhook.messages[0]["text"])

    def test_answers_that_fail_in_a_row(
        self, parts: Parts, ask: Ask, ai: StandInAI, watch: Watch, redis: Redis
    ) -> None:
        ai.faults.order(openai_error(400), times=None)
        for number in (1, 2):
            fail(parts, ask, number)
        assert "answers_fail alert" not in look(watch, redis)

        fail(parts, ask, 3)

        assert look(watch, redis) == ["answers_fail alert"]
        ai.faults.clear()
        answer(ask(entity_id=4), parts)
        assert "answers_fail resolved" in look(watch, redis)

    def test_a_refused_access_token(
        self,
        parts: Parts,
        ask: Ask,
        acme: Integration,
        store: IntegrationStore,
        watch: Watch,
        redis: Redis,
    ) -> None:
        store.save(replace(acme, access_token="revoked"))
        fail(parts, ask, 1)
        assert look(watch, redis) == ["token_refused alert"]

        store.save(acme)
        answer(ask(entity_id=2), parts)

        assert look(watch, redis) == ["token_refused resolved"]

    def test_a_block_by_kommo(
        self,
        parts: Parts,
        ask: Ask,
        kommo: StandInKommo,
        acme: Integration,
        watch: Watch,
        redis: Redis,
    ) -> None:
        kommo.faults.order(Status(429, headers={"Retry-After": "1"}))
        kommo.faults.order(Status(403))
        request = ask()
        wait = answer(request, parts)
        assert wait
        assert look(watch, redis) == []
        let_pass(redis, wait)
        wait_for(lambda: not Pacer(redis).paused_seconds(acme.host))

        assert answer(request, parts)

        assert look(watch, redis) == ["blocked_by_kommo alert"]

    @pytest.mark.usefixtures("acme")
    def test_a_queue_that_nobody_works_on(
        self, settings: Settings, salesbot: Salesbot, watch: Watch, redis: Redis
    ) -> None:
        content_type, body = salesbot.write()
        create_app(settings).test_client().post(
            WIDGET_REQUEST_PATH, data=body, content_type=content_type
        )
        assert look(watch, redis) == []
        (job_key,) = redis.keys("rq:job:*")
        redis.hset(job_key, "enqueued_at", "2026-01-31T12:00:00.000000Z")

        assert look(watch, redis) == ["queue_is_old alert"]
        redis.lpush("rq:queue:kommo", "a-job-that-has-expired")
        assert look(watch, redis) == []
        redis.delete("rq:queue:kommo")
        assert look(watch, redis) == ["queue_is_old resolved"]

    def test_an_access_token_is_told_at_fourteen_and_three_days_and_when_it_is_over(
        self, acme: Integration, store: IntegrationStore, watch: Watch, redis: Redis
    ) -> None:
        token = jwt.encode({"exp": NOW + 20 * DAY}, "k" * 64, algorithm="HS512")
        store.save(replace(acme, access_token=token))
        told = []
        for day in range(22):
            for hour in (0, 2, 9):
                sent = look(watch, redis, NOW + day * DAY + hour * HOUR)
                told += [f"{one} on day {day}" for one in sent]
        assert told == [
            "token_expires alert on day 6",
            "token_expires alert on day 17",
            "token_expires alert on day 20",
        ]

        store.save(acme)

        assert look(watch, redis, NOW + 22 * DAY) == ["token_expires resolved"]

    def test_an_integration_that_is_gone_concerns_nobody(
        self,
        parts: Parts,
        ask: Ask,
        ai: StandInAI,
        acme: Integration,
        store: IntegrationStore,
        watch: Watch,
        redis: Redis,
    ) -> None:
        ai.faults.order(openai_error(401))
        fail(parts, ask, 1)
        store.remove(acme)

        assert look(watch, redis) == []
        assert watch.wrong(NOW) == {"token_expires": {}}

    def test_a_store_that_cannot_be_decrypted_stops_no_other_alert(
        self,
        acme: Integration,
        store: IntegrationStore,
        settings: Settings,
        alerts: Alerts,
        redis: Redis,
    ) -> None:
        assert store.all() == [acme]
        name = integration_name(acme)
        Incidents(redis).note(integration_name(acme), bad=("refused_by_ai",))
        other = IntegrationStore(settings.database_path, "another key altogether")

        wrong = build(redis, other, alerts).wrong(NOW)

        assert wrong == {"refused_by_ai": {name: name}, "token_expires": None}


class TestWhenItIsTold:
    MINUTE = 60.0

    @pytest.mark.parametrize(
        ("state", "subjects", "now", "expected"),
        [
            (AlertState(), [], NOW, None),
            (AlertState(), ["acme"], NOW, "alert"),
            (AlertState(True, NOW, ("acme",)), ["acme"], NOW + 2 * HOUR, None),
            (AlertState(True, NOW, ("acme",)), ["acme"], NOW + 24 * HOUR, "alert"),
            (AlertState(True, NOW, ("acme",)), ["acme", "bistro"], NOW + 59 * MINUTE, None),
            (AlertState(True, NOW, ("acme",)), ["acme", "bistro"], NOW + 61 * MINUTE, "alert"),
            (AlertState(True, NOW, ("acme",)), [], NOW + 1, "resolved"),
            (AlertState(False, NOW, ()), [], NOW + 2, None),
            (AlertState(False, NOW, ()), ["acme"], NOW + 30 * MINUTE, None),
            (AlertState(False, NOW, ()), ["acme"], NOW + 61 * MINUTE, "alert"),
            (AlertState(retry_at=NOW + 60), ["acme"], NOW + 59, None),
            (AlertState(retry_at=NOW + 60), ["acme"], NOW + 60, "alert"),
        ],
    )
    def test_at_most_one_of_a_kind_in_an_hour_and_one_when_it_is_well(
        self, state: AlertState, subjects: list[str], now: float, expected: str | None
    ) -> None:
        kind = Kind("title", "advice")

        assert due(kind, state, dict.fromkeys(subjects, ""), now) == expected

    def test_who_is_mended_and_fails_again_is_told_again_though_another_goes_on(
        self, alerts: Alerts
    ) -> None:
        both = {"token_expires": {"acme 14": "acme", "bistro 0": "bistro"}}
        one = {"token_expires": {"bistro 0": "bistro"}}

        told = [alerts.notify(wrong, NOW + hour * HOUR) for hour, wrong in ((0, both), (2, one))]
        told += [alerts.notify(both, NOW + 400 * DAY)]

        assert told == [["token_expires alert"], [], ["token_expires alert"]]

    def test_a_clock_that_was_wrong_silences_nobody(self) -> None:
        state = AlertState(False, NOW + 30 * DAY, ())

        assert due(Kind("title", "advice"), state, {"acme": ""}, NOW) == "alert"

    def test_what_a_newer_version_keeps_is_no_trouble(self, redis: Redis, alerts: Alerts) -> None:
        kept = {"is_open": True, "at": NOW, "subjects": [""], "of_a_newer_version": 1}
        redis.hset(ALERTS_KEY, "queue_is_old", json.dumps(kept))

        assert alerts.notify({}, NOW + 10) == ["queue_is_old resolved"]

    @pytest.mark.parametrize("kept", ["{", "[]", "null", '{"at": "soon"}', '{"subjects": 7}'])
    def test_a_note_that_cannot_be_read_stops_no_alert(
        self, redis: Redis, alerts: Alerts, kept: str
    ) -> None:
        redis.hset(ALERTS_KEY, "answers_fail", kept)
        wrong = {"answers_fail": {"acme": "acme"}, "queue_is_old": {"": "it waits"}}

        assert alerts.notify(wrong, NOW) == ["answers_fail alert", "queue_is_old alert"]

    def test_of_what_nobody_knows_nothing_is_told(self, alerts: Alerts) -> None:
        expiring = {"token_expires": {"acme 14": "acme"}}
        assert alerts.notify(expiring, NOW) == ["token_expires alert"]

        assert alerts.notify({"token_expires": None}, NOW + 10) == []
        assert alerts.notify({}, NOW + 20) == ["token_expires resolved"]

    def test_a_kind_without_reminders_is_told_once(self) -> None:
        state = AlertState(True, NOW, ("acme 14",))

        assert due(KINDS["token_expires"], state, {"acme 14": ""}, NOW + 5 * DAY) is None

    def test_one_process_of_many_looks(
        self, redis: Redis, store: IntegrationStore, alerts: Alerts, webhook: ChatService
    ) -> None:
        wrong = {"queue_is_old": {"": "it waits"}}
        redis.set(LOOK_KEY, "another process")

        assert build(redis, store, alerts).look(NOW) == []
        assert alerts.notify(wrong, NOW) == ["queue_is_old alert"]
        assert Alerts(redis, Webhook(webhook.url + SECRET_PATH)).notify(wrong, NOW + 10) == []
        assert webhook.seen == ["queue_is_old alert"]

    def test_many_integrations_are_one_message(self, alerts: Alerts, webhook: ChatService) -> None:
        names = {f"account{number}": f"account{number}" for number in range(30)}

        alerts.notify({"refused_by_ai": names}, NOW)

        (message,) = webhook.messages
        assert "account4 and 25 more" in str(message["text"])
        assert len(message["concerns"]) == 30  # type: ignore[arg-type]


class TestTheWebhook:
    @pytest.mark.parametrize(
        "fault", [Status(500), Status(404), Reset(), Redirect("http://127.0.0.1:9/"), Hang()]
    )
    def test_a_message_that_cannot_be_delivered_is_tried_again_after_a_minute(
        self,
        fault: Fault,
        alerts: Alerts,
        webhook: ChatService,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("kommo_bridge.monitoring.webhook.SEND_SECONDS", 0.5)
        webhook.faults.order(fault)
        wrong = {"queue_is_old": {"": "it waits"}}

        assert alerts.notify(wrong, NOW) == []
        assert alerts.notify(wrong, NOW + 59) == []
        assert alerts.notify(wrong, NOW + 61) == ["queue_is_old alert"]
        assert webhook.seen == ["queue_is_old alert"]
        assert "alert not delivered" in caplog.text
        assert "secret-of-the-webhook" not in caplog.text

    def test_a_service_that_takes_it_with_a_huge_answer_has_taken_it(
        self, alerts: Alerts, webhook: ChatService
    ) -> None:
        webhook.faults.order(Huge())

        assert alerts.notify({"queue_is_old": {"": "it waits"}}, NOW) == ["queue_is_old alert"]

    def test_a_service_that_takes_messages_and_loses_its_answers_is_not_flooded(
        self, alerts: Alerts, webhook: ChatService
    ) -> None:
        webhook.faults.order(ResetAfter(), times=None)

        for look in range(6 * 60):  # an hour
            alerts.notify({"queue_is_old": {"": "it waits"}}, NOW + look * 10)

        assert len(webhook.messages) == 6

    def test_a_process_that_dies_while_it_tells_leaves_it_to_another_one(
        self, redis: Redis, webhook: ChatService, alerts: Alerts
    ) -> None:
        class Dying(Webhook):
            def post(self, _message: Mapping[str, object]) -> None:
                raise SystemExit

        wrong = {"queue_is_old": {"": "it waits"}}
        with pytest.raises(SystemExit):
            Alerts(redis, Dying(webhook.url + SECRET_PATH)).notify(wrong, NOW)

        assert alerts.notify(wrong, NOW + 61) == ["queue_is_old alert"]

    def test_a_well_again_that_cannot_be_delivered_is_tried_again_too(
        self, alerts: Alerts, webhook: ChatService
    ) -> None:
        alerts.notify({"queue_is_old": {"": "it waits"}}, NOW)
        webhook.faults.order(Status(503))

        assert alerts.notify({}, NOW + 10) == []
        assert alerts.notify({}, NOW + 71) == ["queue_is_old resolved"]

    def test_a_service_that_takes_the_text_alone_gets_it(self, webhook: ChatService) -> None:
        webhook.faults.order(Status(400))

        Webhook(webhook.url + SECRET_PATH).post(
            {"text": "hello", "kind": "test", "state": "test", "concerns": []}
        )

        assert webhook.messages == [{"text": "hello"}]

    def test_a_service_that_drips_its_answer_ends_and_the_error_does_not_hold_the_url(
        self, webhook: ChatService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kommo_bridge.monitoring.webhook.SEND_SECONDS", 0.3)
        webhook.faults.order(Drip(0.2))

        with pytest.raises(AlertError) as caught:
            Webhook(webhook.url + SECRET_PATH).post({"text": "hello"})

        assert "secret-of-the-webhook" not in str(caught.value)
        assert caught.value.__suppress_context__


class TestAnswersAndRequests:
    def test_answers_that_are_overdue_whatever_the_cause(self, watch: Watch, redis: Redis) -> None:
        redis.zadd(OPEN_KEY, {"wr-1": NOW - 59, "wr-2": NOW + 100})
        assert look(watch, redis, NOW) == []

        assert look(watch, redis, NOW + 10) == ["answers_overdue alert"]
        redis.zrem(OPEN_KEY, "wr-1")
        assert look(watch, redis, NOW + 20) == ["answers_overdue resolved"]

    @pytest.mark.parametrize(
        ("change", "return_url", "code"),
        [
            pytest.param({"secret_key": "x" * 64}, None, "invalid_token", id="a renewed secret"),
            pytest.param({"subdomain": "renamed"}, None, "invalid_token", id="a renamed account"),
            pytest.param(
                {"integration_id": "0b01c2d3-0000-4000-8000-00000000ffff"},
                None,
                "invalid_token",
                id="an integration made anew",
            ),
            pytest.param({}, "https://evil.example/", "invalid_return_url", id="400"),
        ],
    )
    def test_a_known_account_whose_requests_are_refused_again_and_again(
        self,
        settings: Settings,
        acme: Integration,
        account: Account,
        watch: Watch,
        redis: Redis,
        webhook: ChatService,
        change: dict[str, Any],
        return_url: str | None,
        code: str,
    ) -> None:
        speaker = replace(account, **change)
        written = Salesbot(speaker).write(return_url=return_url)

        for _ in range(4):
            refused(settings, written)
        assert look(watch, redis) == []
        refused(settings, written)

        assert look(watch, redis) == ["requests_refused alert"]
        assert webhook.messages[0]["concerns"] == [f"acme/{acme.integration_id} ({code})"]
        assert look(watch, redis, time.time() + 900) == ["requests_refused resolved"]
        assert webhook.messages[1]["concerns"] == [f"acme/{acme.integration_id}"]

    @pytest.mark.usefixtures("acme")
    def test_requests_over_the_rate_limit(
        self, settings: Settings, salesbot: Salesbot, watch: Watch, redis: Redis
    ) -> None:
        tight = replace(settings, rate_limit=RateLimit(1, 60))
        client = create_app(tight).test_client()
        for number in range(6):
            content_type, body = salesbot.write(number + 1)
            client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type)

        assert look(watch, redis) == ["requests_refused alert"]

    @pytest.mark.usefixtures("acme")
    def test_requests_of_strangers_concern_nobody(
        self, settings: Settings, account: Account, watch: Watch, redis: Redis
    ) -> None:
        stranger = replace(account, subdomain="stranger", integration_id="f" * 32)
        for _ in range(10):
            refused(settings, Salesbot(stranger).write())
            refused(settings, ("text/plain", b"token=forged"))

        assert look(watch, redis) == []
        assert not redis.keys("kommo_bridge:refused:*")

    @pytest.mark.usefixtures("acme")
    def test_a_flood_of_refused_requests_costs_redis_a_few_calls(
        self, settings: Settings, account: Account, redis: Redis
    ) -> None:
        client = create_app(settings).test_client()
        content_type, body = Salesbot(replace(account, secret_key="x" * 64)).write()
        redis.config_resetstat()

        for _ in range(50):
            client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type)

        # Per window: a test that runs over its end sees two.
        assert redis.info("commandstats")["cmdstat_hincrby"]["calls"] in range(
            ENOUGH, 2 * ENOUGH + 1
        )


def refused(settings: Settings, written: tuple[str, bytes]) -> None:
    content_type, body = written
    client = create_app(settings).test_client()
    answer = client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type)
    assert answer.status_code in (400, 401)


class TestARedisThatRefusesWrites:
    @pytest.fixture
    def full(self, redis: Redis) -> Iterator[None]:
        redis.config_set("maxmemory", 1)
        yield
        redis.config_set("maxmemory", 0)

    @pytest.mark.usefixtures("full")
    def test_the_watch_alerts_without_its_lock_once_an_hour(
        self, watch: Watch, redis: Redis, webhook: ChatService
    ) -> None:
        assert watch.look(NOW) == ["redis_refuses alert"]
        assert [watch.look(NOW + second) for second in (10, 20, 3000)] == [[], [], []]
        redis.config_set("maxmemory", 0)

        assert look(watch, redis, NOW + 3100) == ["redis_refuses resolved"]
        assert webhook.seen == ["redis_refuses alert", "redis_refuses resolved"]
        assert look(watch, redis, NOW + 3110) == []

    def test_a_read_only_one_too(self, watch: Watch, redis: Redis) -> None:
        Incidents(redis).note("gone/0", bad=("refused_by_ai",))
        redis.replicaof("127.0.0.1", "1")
        try:
            assert watch.look(NOW) == ["redis_refuses alert"]
        finally:
            redis.replicaof("no", "one")


class TestWithoutAWebhook:
    def test_each_alert_is_logged_as_an_error(
        self, redis: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        alerts = Alerts(redis, None)

        assert alerts.notify({"queue_is_old": {"": "it waits"}}, NOW) == ["queue_is_old alert"]
        assert alerts.notify({}, NOW + 10) == ["queue_is_old resolved"]

        assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
            ("ERROR", "alert"),
            ("WARNING", "alert resolved"),
        ]
        assert vars(caplog.records[0])["fields"]["kind"] == "queue_is_old"

    @pytest.mark.usefixtures("acme")
    def test_the_processes_watch_all_the_same(
        self, settings: Settings, redis: Redis, tmp_path: Path
    ) -> None:
        redis.zadd(OPEN_KEY, {"wr-1": time.time() - 100})

        with run_bridge(process_environ(settings), tmp_path / "bridge.log"):
            wait_for(lambda: "alert kind=answers_overdue" in (tmp_path / "bridge.log").read_text())


class TestProcesses:
    @pytest.mark.usefixtures("acme")
    def test_a_worker_tells_of_its_failure_and_the_web_when_there_is_no_worker(
        self,
        settings: Settings,
        salesbot: Salesbot,
        kommo: StandInKommo,
        ai: StandInAI,
        redis: Redis,
        webhook: ChatService,
        tmp_path: Path,
    ) -> None:
        environ = process_environ(settings) | {"ALERT_WEBHOOK_URL": webhook.url + SECRET_PATH}
        url = f"http://127.0.0.1:{environ['PORT']}"
        ai.faults.order(openai_error(401, code="invalid_api_key"), times=None)

        with run_bridge(environ, tmp_path / "bridge.log") as processes:
            sent = kommo.send_widget_request(url, salesbot.account, "Hello?", entity_id=7)
            assert kommo.wait_for_continuation(sent, 20)
            wait_for(lambda: "refused_by_ai alert" in webhook.seen)
            processes["worker"].terminate()
            processes["worker"].wait(60)
            kommo.send_widget_request(url, salesbot.account, "Anybody?", entity_id=8)
            for job_key in redis.keys("rq:job:*"):
                redis.hset(job_key, "enqueued_at", "2026-01-31T12:00:00.000000Z")
            wait_for(lambda: "queue_is_old alert" in webhook.seen)

        assert webhook.seen == ["refused_by_ai alert", "queue_is_old alert"]
        log = (tmp_path / "bridge.log").read_text()
        assert "ERROR kommo_bridge.monitoring.alerts alert kind=queue_is_old" in log
        assert "secret-of-the-webhook" not in log


class TestCommands:
    def test_the_test_message(self, settings: Settings, webhook: ChatService) -> None:
        app = create_app(replace(settings, alert_webhook_url=webhook.url + SECRET_PATH))
        run = app.test_cli_runner().invoke

        done = run(args=["alerts", "test"])
        webhook.faults.order(Status(403))
        refused = run(args=["alerts", "test"])

        assert (done.exit_code, webhook.seen) == (0, ["test test"])
        assert (refused.exit_code, "answered 403" in refused.output) == (1, True)

    def test_without_a_webhook_it_says_which_setting(self, settings: Settings) -> None:
        done = create_app(settings).test_cli_runner().invoke(args=["alerts", "test"])

        assert (done.exit_code, "ALERT_WEBHOOK_URL is not set" in done.output) == (1, True)

    def test_what_is_open_is_listed(self, settings: Settings, alerts: Alerts) -> None:
        run = create_app(settings).test_cli_runner().invoke

        before = run(args=["alerts", "list"]).stdout
        alerts.notify({"queue_is_old": {"": "it waits"}}, time.time())
        after = run(args=["alerts", "list"]).stdout

        assert before == "No open alerts.\n"
        assert "queue_is_old" in after

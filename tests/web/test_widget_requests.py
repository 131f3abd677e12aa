"""The widget request's route: what is queued, what is refused, and what nobody gets to see."""

import json
import logging
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from helpers import Salesbot, both_stores, store_in_trouble
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer
from werkzeug.test import TestResponse

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import QUICK_SECONDS, IntegrationStore
from kommo_bridge.queue.enqueue import FUNCTION
from kommo_bridge.queue.state import work_queue
from kommo_bridge.redis_client import PREFIX
from kommo_bridge.settings import RateLimit, Settings
from kommo_bridge.telemetry.metrics import KEY as METRICS_KEY
from local.partners.kommo.widget_requests import WIDGET_REQUEST_PATH, Encoding

LIMIT = 64 * 1024
WORDS = "my card is 4111 and my cat is Minka"


@pytest.fixture
def client(settings: Settings, acme: Integration) -> FlaskClient:
    return create_app(settings).test_client()


def post(client: FlaskClient, written: tuple[str, bytes]) -> TestResponse:
    content_type, body = written
    return client.post(WIDGET_REQUEST_PATH, data=body, content_type=content_type)


def error_of(answer: TestResponse) -> tuple[int, str]:
    """Status and code of a refusal, whose shape is checked."""
    body = answer.get_json()
    assert set(body) == {"status", "error", "message"}
    assert body["status"] == "error"
    assert body["message"].endswith(".")
    return answer.status_code, body["error"]


def jobs(redis: Redis) -> list[Job]:
    return work_queue(redis).get_jobs()


def nothing_queued(redis: Redis) -> bool:
    """Whether Redis holds nothing of a job; counters, metrics and notes do not matter."""
    others = (*(f"{PREFIX}{name}:".encode() for name in ("rate", "refused", "health")),)
    others = (*others, METRICS_KEY.encode())
    return all(bytes(key).startswith(others) for key in redis.scan_iter())


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
def test_only_post_is_answered(client: FlaskClient, method: str) -> None:
    answer = client.open(WIDGET_REQUEST_PATH, method=method)

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("encoding", ["form", "json", "form_json"])
def test_each_body_shape_is_accepted_and_queued(
    client: FlaskClient, salesbot: Salesbot, redis: Redis, encoding: Encoding
) -> None:
    answer = post(client, salesbot.write(message="¿Abierto mañana? 🙂", encoding=encoding))

    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})
    assert [job.args[0]["message"] for job in jobs(redis)] == ["¿Abierto mañana? 🙂"]


class TestRefusals:
    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"{", id="broken JSON"),
            pytest.param(b"[]", id="a list"),
            pytest.param(b"null", id="null"),
            pytest.param(b'{"a":' * 30_000, id="deep JSON"),
            pytest.param(b"\xff\xfe\x00", id="no UTF-8"),
        ],
    )
    def test_a_body_that_cannot_be_read_is_an_invalid_request(
        self, client: FlaskClient, redis: Redis, body: bytes
    ) -> None:
        answer = post(client, ("application/json", body[:LIMIT]))

        assert error_of(answer) == (400, "invalid_request")
        assert nothing_queued(redis)

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"data": None}, id="no data"),
            pytest.param({"data": []}, id="data a list"),
            pytest.param({"data": {}}, id="no message"),
            pytest.param({"data": {"message": 5}}, id="message a number"),
            pytest.param({"data": {"message": "x" * 32_001}}, id="message too long"),
            pytest.param({"data": {"message": "x", "origin": {}}}, id="origin an object"),
            pytest.param({"return_url": None}, id="no return URL"),
            pytest.param({"return_url": 7}, id="return URL a number"),
            pytest.param({"return_url": "https://acme.kommo.com/" + "x" * 2048}, id="URL too long"),
        ],
    )
    def test_a_missing_or_wrong_field_is_an_invalid_request(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis, change: dict[str, object]
    ) -> None:
        whole = json.loads(salesbot.write(encoding="json")[1])

        answer = post(client, ("application/json", json.dumps(whole | change).encode()))

        assert error_of(answer) == (400, "invalid_request")
        assert nothing_queued(redis)

    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example/api/v4/salesbot/1/continue/1",
            "https://other.kommo.com/api/v4/salesbot/1/continue/1",
            "http://acme.kommo.com/api/v4/salesbot/1/continue/1",
            "https://acme.kommo.com:443/api/v4/salesbot/1/continue/1",
            "https://acme.kommo.com@evil.example/api/v4/salesbot/1/continue/1",
            "https://acme.kommo.com/api/v4/leads/1",
            "https://acme.kommo.com/api/v4/salesbot/../continue/1",
        ],
    )
    def test_another_return_url_than_the_accounts_own_is_refused(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis, url: str
    ) -> None:
        answer = post(client, salesbot.write(return_url=url))

        assert error_of(answer) == (400, "invalid_return_url")
        assert nothing_queued(redis)

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({"secret_key": "f" * 64}, id="forged"),
            pytest.param({"algorithm": "none"}, id="unsigned"),
            pytest.param({"algorithm": "HS384"}, id="other algorithm"),
            pytest.param({"lifetime_seconds": -120.0}, id="expired"),
            pytest.param({"account_id": 999}, id="other account"),
            pytest.param({"subdomain": "other"}, id="other subdomain"),
            pytest.param({"client_uuid": "nobody"}, id="unknown integration"),
        ],
    )
    def test_a_token_that_proves_nothing_is_refused_without_a_reason(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis, options: dict[str, object]
    ) -> None:
        answer = post(client, salesbot.write(token=salesbot.token(**options)))

        assert error_of(answer) == (401, "invalid_token")
        assert answer.get_json()["message"] == "The token is missing or not valid."
        assert nothing_queued(redis)

    def test_a_disabled_integration_is_refused_like_an_unknown_one(
        self, client: FlaskClient, salesbot: Salesbot, store: IntegrationStore, acme: Integration
    ) -> None:
        store.save(replace(acme, enabled=False))

        assert error_of(post(client, salesbot.write())) == (401, "invalid_token")

    def test_64_kib_are_read_and_one_byte_more_is_refused(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis
    ) -> None:
        content_type, body = salesbot.write(encoding="json")

        over = post(client, (content_type, body.ljust(LIMIT + 1)))
        queued_by_then = len(jobs(redis))
        just_below = post(client, (content_type, body.ljust(LIMIT)))

        assert error_of(over) == (413, "body_too_large")
        assert queued_by_then == 0
        assert just_below.status_code == 200

    @pytest.mark.usefixtures("acme")
    def test_more_requests_than_the_rate_limit_are_told_to_wait(
        self, settings: Settings, salesbot: Salesbot, redis: Redis
    ) -> None:
        client = create_app(replace(settings, rate_limit=RateLimit(2, 60))).test_client()
        allowed = [post(client, salesbot.write(number)).status_code for number in (1, 2)]

        answer = post(client, salesbot.write(3))

        assert allowed == [200, 200]
        assert error_of(answer) == (429, "rate_limited")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert len(jobs(redis)) == 2

    @pytest.mark.usefixtures("acme")
    def test_a_redis_that_is_away_means_try_again_soon(
        self, settings: Settings, salesbot: Salesbot
    ) -> None:
        client = create_app(replace(settings, redis_url="redis://127.0.0.1:1/0")).test_client()

        answer = post(client, salesbot.write())

        assert error_of(answer) == (503, "queue_unavailable")
        assert int(answer.headers["Retry-After"]) > 0

    def test_other_methods_and_paths_are_refused_as_json_too(self, client: FlaskClient) -> None:
        wrong_method = client.get(WIDGET_REQUEST_PATH)

        assert error_of(wrong_method) == (405, "method_not_allowed")
        assert "POST" in wrong_method.headers["Allow"]
        assert error_of(client.get("/nowhere")) == (404, "not_found")


class TestSecrets:
    @pytest.fixture
    def secret_words(self, acme: Integration, settings: Settings) -> list[str]:
        return [acme.secret_key, acme.access_token, settings.secret_key, WORDS]

    @pytest.fixture(params=["good", "forged", "other URL", "no URL"])
    def hostile(
        self, salesbot: Salesbot, request: pytest.FixtureRequest
    ) -> tuple[str, tuple[str, bytes]]:
        """A token, and a widget request with it: an accepted one and three refused ones."""
        urls = {"other URL": "https://evil.example/api/v4/salesbot/1/continue/1", "no URL": "x"}
        token = salesbot.token(secret_key="f" * 64 if request.param == "forged" else None)
        return token, salesbot.write(
            message=WORDS, contact_name=WORDS, token=token, return_url=urls.get(request.param)
        )

    def test_no_token_secret_or_word_of_the_customer_is_logged_or_echoed(
        self,
        client: FlaskClient,
        hostile: tuple[str, tuple[str, bytes]],
        secret_words: list[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        token, written = hostile

        with caplog.at_level(logging.DEBUG):
            answer = post(client, written)

        told = caplog.text + answer.text + "".join(str(vars(one)) for one in caplog.records)
        assert "widget request" in caplog.text
        for secret in [*secret_words, token, token.rsplit(".", 1)[1]]:
            assert secret not in told

    def test_the_job_holds_no_token_and_no_secret(
        self, client: FlaskClient, salesbot: Salesbot, secret_words: list[str], redis: Redis
    ) -> None:
        token = salesbot.token()
        post(client, salesbot.write(token=token))

        held = repr([redis.hgetall(job.key) for job in jobs(redis)]) + repr(jobs(redis)[0].args)
        for secret in [*secret_words, token]:
            assert secret not in held


class TestRepeats:
    def test_a_repeat_is_acknowledged_and_not_queued_again(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis
    ) -> None:
        answers = [post(client, salesbot.write()).status_code for _ in range(3)]

        assert answers == [200, 200, 200]
        assert len(jobs(redis)) == 1

    def test_another_query_does_not_make_it_another_request(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis
    ) -> None:
        post(client, salesbot.write())

        answer = post(client, salesbot.write(return_url=salesbot.return_url(1) + "?again=1"))

        assert answer.status_code == 200
        assert len(jobs(redis)) == 1

    def test_a_repeat_is_known_after_its_job_is_gone(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis
    ) -> None:
        post(client, salesbot.write())
        jobs(redis)[0].delete()

        answer = post(client, salesbot.write())

        assert answer.status_code == 200
        assert jobs(redis) == []

    @pytest.mark.usefixtures("acme")
    def test_a_repeat_does_not_count_towards_the_rate_limit(
        self, settings: Settings, salesbot: Salesbot
    ) -> None:
        client = create_app(replace(settings, rate_limit=RateLimit(1, 60))).test_client()

        assert [post(client, salesbot.write()).status_code for _ in range(3)] == [200, 200, 200]


class TestAccountBinding:
    @pytest.fixture(autouse=True)
    def unbound(self, acme: Integration, store: IntegrationStore) -> None:
        store.save(replace(acme, account_id=None))

    @both_stores
    def test_the_first_verified_request_binds_the_account(
        self, client: FlaskClient, salesbot: Salesbot, store: IntegrationStore
    ) -> None:
        first = post(client, salesbot.write(1))
        other = post(client, salesbot.write(2, token=salesbot.token(account_id=999)))

        assert first.status_code == 200
        assert error_of(other) == (401, "invalid_token")
        assert store.get("acme").account_id == salesbot.account.account_id

    @pytest.mark.parametrize("trouble", ["read-only", "locked"])
    def test_a_store_that_cannot_be_written_costs_no_acknowledgement(
        self,
        client: FlaskClient,
        salesbot: Salesbot,
        settings: Settings,
        store: IntegrationStore,
        redis: Redis,
        trouble: str,
    ) -> None:
        with store_in_trouble(settings.database_path, trouble):
            answer = post(client, salesbot.write())

        assert answer.status_code == 200
        assert len(jobs(redis)) == 1
        assert store.get("acme").account_id is None

    def test_no_acknowledgement_waits_long_for_another_writer(self) -> None:
        assert QUICK_SECONDS < 1

    @pytest.mark.usefixtures("acme")
    def test_a_request_that_is_not_queued_binds_nothing(
        self, settings: Settings, salesbot: Salesbot, store: IntegrationStore
    ) -> None:
        client = create_app(replace(settings, redis_url="redis://127.0.0.1:1/0")).test_client()

        assert error_of(post(client, salesbot.write())) == (503, "queue_unavailable")
        assert store.get("acme").account_id is None

    @pytest.mark.parametrize(
        "change", [{"token": "forged"}, {"return_url": "https://evil.example"}]
    )
    def test_a_refused_request_binds_nothing(
        self,
        client: FlaskClient,
        salesbot: Salesbot,
        store: IntegrationStore,
        change: dict[str, str],
    ) -> None:
        body = salesbot.write(token=change.get("token"), return_url=change.get("return_url"))

        assert post(client, body).status_code in (400, 401)
        assert store.get("acme").account_id is None


class TestJob:
    @pytest.fixture
    def job(self, client: FlaskClient, salesbot: Salesbot, redis: Redis) -> Job:
        """The queued job as any RQ worker would fetch it."""
        post(client, salesbot.write())
        job_id = work_queue(redis).get_job_ids()[0]
        return Job.fetch(job_id, connection=redis, serializer=JSONSerializer)

    def test_it_calls_our_function_with_the_request_alone(
        self, job: Job, salesbot: Salesbot
    ) -> None:
        (payload,) = job.args

        assert job.func_name == FUNCTION
        assert job.kwargs == {}
        assert payload["return_url"] == salesbot.return_url(1)
        assert payload["message"] == "Hello, can you help me?"
        assert payload["entity_id"] == 67890

    def test_its_description_names_the_lead_and_no_words(self, job: Job) -> None:
        assert job.description == "acme 2:67890"

    def test_it_does_not_live_for_ever(self, job: Job, redis: Redis) -> None:
        assert 0 < redis.ttl(job.key) <= 24 * 3600
        assert job.ttl == 24 * 3600
        assert job.result_ttl == 3600
        assert job.failure_ttl == 7 * 24 * 3600
        assert job.timeout == 180

    def test_it_survives_the_death_of_its_worker(self, job: Job) -> None:
        assert job.retries_left == 8
        assert job.get_status() == "queued"

    def test_its_id_comes_from_host_and_path(
        self, client: FlaskClient, salesbot: Salesbot, redis: Redis, job: Job
    ) -> None:
        post(client, salesbot.write(2))

        first, second = jobs(redis)
        assert first.id == job.id != second.id
        assert job.id.startswith("wr-")


def test_a_form_with_the_same_key_twice_follows_the_last_one(
    client: FlaskClient, salesbot: Salesbot, redis: Redis
) -> None:
    content_type, body = salesbot.write()

    post(client, (content_type, body + b"&" + urlencode({"data[message]": "the last"}).encode()))

    assert jobs(redis)[0].args[0]["message"] == "the last"

"""rq-dashboard at /rq/: its door, what it shows, and what it does to a job of ours."""

import secrets
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from helpers import Ask
from redis import Redis
from rq import SimpleWorker
from rq.job import Job
from rq.results import Result
from rq.serializers import JSONSerializer

from kommo_bridge import jobs
from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.queue.state import work_queue
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI, openai_error
from local.partners.http.faults import Status
from local.partners.kommo.server import StandInKommo

PASSWORD = "pässword-" + secrets.token_hex(8)
CHANGES = [
    ("POST", "/rq/job/{job}/delete"),
    ("POST", "/rq/job/{job}/requeue"),
    ("GET", "/rq/requeue/kommo"),
    ("POST", "/rq/requeue/kommo"),
    ("POST", "/rq/queue/kommo/failed/empty"),
    ("POST", "/rq/queue/kommo/compact"),
]
PAGES = [
    "/rq/",
    "/rq/0/view/workers",
    "/rq/0/view/jobs",
    "/rq/0/view/jobs/kommo/failed/8/asc/1",
    "/rq/0/view/job/{job}",
    "/rq/0/data/queues.json",
    "/rq/0/data/workers.json",
    "/rq/0/data/jobs/kommo/failed/8/asc/1.json",
    "/rq/0/data/job/{job}.json",
]


def basic(name: str = "admin", password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def guarded(settings: Settings) -> Settings:
    return replace(settings, dashboard_password=PASSWORD)


@pytest.fixture
def client(guarded: Settings, acme: Integration) -> FlaskClient:
    return create_app(guarded).test_client()


@pytest.fixture
def work(parts: jobs.Parts) -> Iterator[None]:
    """What the jobs of `work_off` work with."""
    jobs.use_parts(parts)
    yield
    jobs.use_parts(None)


def work_off(redis: Redis) -> None:
    SimpleWorker([work_queue(redis)], connection=redis, serializer=JSONSerializer).work(burst=True)


@pytest.fixture
def failed(
    ask: Ask, ai: StandInAI, redis: Redis, settings: Settings, acme: Integration, work: None
) -> WidgetRequest:
    """A request whose AI refused the key: the fallback was sent, the job stays as failed."""
    assert acme
    assert work is None
    ai.faults.order(openai_error(401), times=1)
    request = ask("Do you deliver to the lighthouse?")
    JobQueue(redis, settings).enqueue(request)
    work_off(redis)
    return request


def test_without_a_password_there_is_no_dashboard(settings: Settings) -> None:
    assert create_app(settings).test_client().get("/rq/").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic(password="wrong"),
        basic(name="root"),
        basic(name="", password=""),
        {"Authorization": "Bearer " + PASSWORD},
        {"Authorization": "Basic !!!"},
    ],
    ids=["none", "password", "name", "empty", "bearer", "garbage"],
)
def test_nobody_comes_in_without_name_and_password(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    for path in ("/rq/", "/rq/0/data/queues.json", "/rq/static/css/main.css"):
        response = client.get(path, headers=headers)

        assert response.status_code == 401, path
        assert response.headers["WWW-Authenticate"].startswith("Basic "), path
        assert response.get_json()["error"] == "unauthorized", path


def test_the_pages_show_a_failed_job_and_no_secret(
    client: FlaskClient, guarded: Settings, acme: Integration, failed: WidgetRequest
) -> None:
    planted = (acme.access_token, acme.secret_key, guarded.secret_key, PASSWORD, guarded.redis_url)

    for page in PAGES:
        response = client.get(page.format(job=failed.job_id), headers=basic())

        assert response.status_code == 200, (page, response.text)
        assert response.headers["X-Frame-Options"] == "DENY", page
        assert response.headers["Cache-Control"] == "no-store", page
        assert [one for one in planted if one in response.text] == [], page


def test_a_failed_job_shows_why(client: FlaskClient, failed: WidgetRequest) -> None:
    answer = client.get(f"/rq/0/data/job/{failed.job_id}.json", headers=basic())

    assert "continued with fail: the AI answered 401" in answer.get_json()["exc_info"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Origin": "https://evil.example"},
        {"Referer": "https://evil.example/rq/"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_another_site_changes_nothing(
    client: FlaskClient, redis: Redis, failed: WidgetRequest, headers: dict[str, str]
) -> None:
    for method, path in CHANGES:
        url = path.format(job=failed.job_id)

        response = client.open(url, method=method, headers={**basic(), **headers})

        assert (response.status_code, response.get_json()["error"]) == (403, "other_site"), path
        assert work_queue(redis).failed_job_registry.get_job_ids() == [failed.job_id], path


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}, {}],
    ids=str,
)
def test_a_job_requeued_after_its_fallback_continues_nobody_twice(
    client: FlaskClient,
    redis: Redis,
    kommo: StandInKommo,
    ai: StandInAI,
    failed: WidgetRequest,
    headers: dict[str, str],
) -> None:
    url = f"/rq/job/{failed.job_id}/requeue"

    answer = client.post(url, headers={**basic(), **headers})
    work_off(redis)

    assert answer.get_json() == {"status": "OK"}
    assert not work_queue(redis).failed_job_registry.get_job_ids()
    assert len(kommo.continuations) == 1
    assert ai.answered == 0


def test_a_job_requeued_twice_is_told(client: FlaskClient, failed: WidgetRequest) -> None:
    url = f"/rq/job/{failed.job_id}/requeue"

    first, second = (client.post(url, headers=basic()) for _ in range(2))

    assert first.get_json() == {"status": "OK"}
    assert (second.status_code, second.get_json()["error"]) == (409, "not_failed")


@pytest.mark.usefixtures("work")
def test_a_job_requeued_after_kommo_refused_sends_the_kept_reply(
    client: FlaskClient,
    redis: Redis,
    kommo: StandInKommo,
    ai: StandInAI,
    ask: Ask,
    settings: Settings,
) -> None:
    kommo.faults.order(Status(401), times=1)
    request = ask()
    JobQueue(redis, settings).enqueue(request)
    work_off(redis)
    assert not kommo.continuations

    client.post(f"/rq/job/{request.job_id}/requeue", headers=basic())
    work_off(redis)

    assert [one.body["data"]["status"] for one in kommo.continuations] == ["success"]
    assert ai.answered == 1


def test_without_its_slash_it_asks_for_the_password_where_it_is(client: FlaskClient) -> None:
    """A redirect would lead to http: the proxy alone knows of https."""
    assert client.get("/rq").status_code == 401
    assert client.get("/rq", headers=basic()).status_code == 200


def test_an_unknown_job_is_told(client: FlaskClient) -> None:
    answer = client.get("/rq/0/view/job/nothing", headers=basic())

    assert answer.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/rq/0/view/jobs/x');document.title='owned';('/failed/8/asc/1",
        "/rq/0/view/jobs/kommo/<img>/8/asc/1",
        '/rq/0/view/job/"><img>',
        "/rq/0/view/jobs/x%5C/failed/8/asc/1",
    ],
)
def test_a_link_with_a_script_as_a_name_leads_nowhere(client: FlaskClient, path: str) -> None:
    assert client.get(path, headers=basic()).status_code == 404


def test_names_within_a_result_are_escaped_too(
    client: FlaskClient, failed: WidgetRequest, redis: Redis
) -> None:
    job = Job.fetch(failed.job_id, connection=redis, serializer=JSONSerializer)
    Result.create(job, Result.Type.SUCCESSFUL, ttl=60, return_value={"<img src=x>": "<b>"})

    answer = client.get(f"/rq/0/data/job/{failed.job_id}.json", headers=basic())

    assert "&lt;img src=x&gt;" in answer.text
    assert "<" not in answer.text


def test_a_redis_that_is_away_is_told(guarded: Settings) -> None:
    away = replace(guarded, redis_url="redis://:secret-word@127.0.0.1:1/0")

    answer = create_app(away).test_client().get("/rq/", headers=basic())

    assert answer.status_code == 503
    assert answer.get_json()["error"] == "queue_unavailable"

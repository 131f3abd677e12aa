"""Connect in the console: the files for Kommo, and the doctor's lines, which a worker brings."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace

import pytest
from helpers import Bridge, wait_for
from redis import Redis
from rq import SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from console.conftest import Visitor, page_of, seen
from kommo_bridge import jobs
from kommo_bridge.app import create_app
from kommo_bridge.conversations.keys import integration_key
from kommo_bridge.errors import ErrandRefused
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.queue.errands import EXAMINE, FUNCTIONS, MAKE_BOT, MOST_A_MINUTE, Errands
from kommo_bridge.queue.own_job import whose
from kommo_bridge.queue.state import WIDGET_VERSIONS_KEY, work_queue
from kommo_bridge.settings import Settings
from kommo_bridge.web.console.owner_lines import owner_lines
from kommo_bridge.web.console.pages import TABS
from local.partners.ai import StandInAI, openai_error
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.partners.salesbot.bot_import import import_bot

NUMBER = 1282319
EXITS = ("success", "handoff", "fail", "skip")
MACHINE = ("Redis", "RQ", "job", "JSON", "queue")
FORBIDDEN = ("Redis", "RQ", "job", "JSON", "queue", "flask", "worker")


@pytest.fixture
def worker(settings: Settings, acme: Integration) -> Iterator[None]:
    """The parts of a worker whose own web process is not asked over the internet."""
    parts = jobs.build_parts(settings)
    jobs.use_parts(parts)
    yield
    jobs.use_parts(None)
    parts.close()


@pytest.fixture
def public_worker(guarded: Settings, acme: Integration) -> Iterator[None]:
    """The parts of a worker that knows the public address."""
    parts = jobs.build_parts(guarded)
    jobs.use_parts(parts)
    yield
    jobs.use_parts(None)
    parts.close()


def work_off(redis: Redis) -> None:
    SimpleWorker([work_queue(redis)], connection=redis, serializer=JSONSerializer).work(burst=True)


def asked(visitor: Visitor, acme: Integration, path: str = "connect/check") -> str:
    """Ask for an errand; the address of the page that follows it."""
    visitor.get(page_of(acme, "connect"))
    answer = visitor.post(page_of(acme, path))
    assert answer.status_code == 303
    return answer.headers["Location"].removeprefix("/console")


@pytest.mark.usefixtures("worker")
def test_the_operator_reads_the_doctors_lines(
    operator: Visitor, redis: Redis, acme: Integration
) -> None:
    page = asked(operator, acme)
    before = operator.get(page)
    work_off(redis)
    after = operator.get(page)

    assert "Looking at everything." in before.text
    assert 'http-equiv="refresh"' in before.text
    assert "access token ok Kommo accepts it" in seen(after)
    assert "http-equiv" not in after.text
    assert "hx-get" not in after.text
    assert acme.access_token not in after.text


@pytest.mark.usefixtures("worker")
def test_an_owner_reads_what_they_can_do_about_it(
    owner: Visitor, redis: Redis, kommo: StandInKommo, acme: Integration, account: Account
) -> None:
    kommo.no_admins.add(account.account_id)

    page = asked(owner, acme)
    work_off(redis)
    text = seen(owner.get(page))

    assert "It has the rights of an administrator no Let an administrator of your" in text
    assert "The AI replies yes" in text
    for word in FORBIDDEN:
        assert not re.search(rf"\b{word}s?\b", text, re.IGNORECASE), word


@pytest.mark.usefixtures("worker")
def test_the_followed_part_is_a_piece_of_the_page_and_stops_asking(
    owner: Visitor, redis: Redis, acme: Integration
) -> None:
    number = asked(owner, acme).partition("check=")[2]
    piece = page_of(acme, f"connect/progress?check={number}")

    waiting = owner.get(piece, headers={"HX-Request": "true"}).text
    work_off(redis)
    done = owner.get(piece, headers={"HX-Request": "true"}).text

    assert waiting.lstrip().startswith('<div id="progress"')
    assert "hx-get" in waiting
    assert "hx-get" not in done
    assert "<html" not in done


def test_without_a_worker_it_says_so_in_the_end(
    owner: Visitor, redis: Redis, acme: Integration
) -> None:
    page = asked(owner, acme)
    redis.delete(Job.key_for(page.partition("check=")[2]))  # what Redis does after a minute

    assert "Nobody has looked within a minute." in owner.get(page).text


@pytest.mark.usefixtures("worker")
def test_an_ai_that_refuses_is_told(
    owner: Visitor, redis: Redis, ai: StandInAI, acme: Integration
) -> None:
    ai.faults.order(openai_error(401), times=None)

    page = asked(owner, acme)
    work_off(redis)

    assert "The AI replies no Tell the person who runs the bridge." in seen(owner.get(page))


@pytest.mark.usefixtures("worker")
def test_an_errand_of_another_account_tells_nothing(
    operator: Visitor, redis: Redis, acme: Integration, other: Integration
) -> None:
    number = asked(operator, acme).partition("check=")[2]
    work_off(redis)

    text = seen(operator.get(page_of(other, f"connect?check={number}")))

    assert "Kommo accepts it" not in text
    assert "Nobody has looked" in text


def test_the_widget_is_downloaded(owner: Visitor, acme: Integration) -> None:
    answer = owner.get(page_of(acme, "connect/widget.zip"))

    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert "kommo-bridge-widget.zip" in answer.headers["Content-Disposition"]
    assert "https://bridge.example.com/api/kommo" in archive.read("script.js").decode()


@pytest.mark.usefixtures("public_worker")
def test_the_bot_file_is_made_with_the_number_that_kommo_tells(
    owner: Visitor, redis: Redis, kommo: StandInKommo, account: Account, acme: Integration
) -> None:
    kommo.install_widget(account, NUMBER)

    page = asked(owner, acme, "connect/bot")
    early = owner.get(page.replace("connect?", "connect/bot.json?"))
    work_off(redis)
    shown = owner.get(page)
    answer = owner.get(page.replace("connect?", "connect/bot.json?"))

    assert early.status_code == 404
    assert "The bot file is ready." in seen(shown)
    assert "acme-bot.json" in answer.headers["Content-Disposition"]
    assert import_bot(answer.data, {NUMBER: EXITS}).looping_exits == {"success", "skip"}


@pytest.mark.usefixtures("public_worker")
def test_a_widget_that_kommo_does_not_list_is_told_to_each_in_their_words(
    owner: Visitor, operator: Visitor, redis: Redis, acme: Integration
) -> None:
    for visitor, said in (
        (owner, "Is the widget installed, and were its settings saved once?"),
        (operator, "lists no widget of this integration"),
    ):
        page = asked(visitor, acme, "connect/bot")
        work_off(redis)
        assert said in seen(visitor.get(page))


def test_a_number_by_hand_makes_the_file_at_once(
    owner: Visitor, kommo: StandInKommo, account: Account, acme: Integration
) -> None:
    owner.get(page_of(acme, "connect"))

    made = owner.post(page_of(acme, "connect/bot"), {"number": "77"})
    wrong = owner.post(page_of(acme, "connect/bot"), {"number": "<b>7"})

    assert import_bot(made.data, {77: EXITS})
    assert wrong.status_code == 400
    assert "digits only" in wrong.text
    assert kommo.calls(account) == ()


def test_without_an_address_no_file_is_offered(
    guarded: Settings, acme: Integration, other: Integration
) -> None:
    operator = Visitor(create_app(replace(guarded, public_url=None)).test_client())
    operator.sign_in()

    page = operator.get(page_of(acme, "connect"))

    assert "sets PUBLIC_URL" in page.text
    assert "widget.zip" not in page.text
    assert operator.get(page_of(acme, "connect/widget.zip")).status_code == 400


def test_the_first_message_turns_the_page_green(
    owner: Visitor, redis: Redis, acme: Integration
) -> None:
    before = owner.get(page_of(acme, "connect")).text
    redis.hset(WIDGET_VERSIONS_KEY, integration_key(acme), "1.1.0")

    assert "No message has come from your bot yet." in before
    assert "Your bot has spoken to the assistant." in owner.get(page_of(acme, "connect")).text


# The errands themselves


def test_an_account_asks_for_no_more_than_some_a_minute(
    owner: Visitor, redis: Redis, acme: Integration, other: Integration
) -> None:
    errands = Errands(redis)
    for _ in range(MOST_A_MINUTE):
        errands.ask(EXAMINE, acme)

    with pytest.raises(ErrandRefused):
        errands.ask(EXAMINE, acme)
    errands.ask(EXAMINE, other)
    owner.get(page_of(acme, "connect"))
    assert "Please wait a little." in owner.post(page_of(acme, "connect/check")).text


def test_an_errand_is_soon_gone_and_holds_no_secret(redis: Redis, acme: Integration) -> None:
    number = Errands(redis).ask(MAKE_BOT, acme)

    job = Job.fetch(number, connection=redis, serializer=JSONSerializer)
    stored = json.dumps([job.args, job.description])
    assert acme.secret_key not in stored
    assert acme.access_token not in stored
    assert whose(job)[1] == "acme"
    assert (job.ttl, job.result_ttl, job.failure_ttl) == (60, 900, 900)
    assert 0 < redis.ttl(Job.key_for(number)) <= 60


@pytest.mark.usefixtures("worker")
def test_an_account_that_is_gone_meanwhile_is_no_riddle(
    operator: Visitor, redis: Redis, store: IntegrationStore, acme: Integration
) -> None:
    number = Errands(redis).ask(EXAMINE, acme)
    store.remove(acme)

    work_off(redis)

    assert Errands(redis).look(number, acme).state == "failed"
    assert Errands(redis).look("errand-unknown", acme).state == "failed"


def test_every_function_is_one_that_a_worker_finds() -> None:
    for name in FUNCTIONS:
        module, _, function = name.rpartition(".")
        assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_findings_that_an_owner_cannot_mend_are_one_line_of_the_worst_state() -> None:
    lines = owner_lines([("Redis", "ok"), ("AI", "ok"), ("workers", "fault"), ("clock", "warning")])

    assert [(one.title, one.state) for one in lines] == [
        ("The bridge itself works", "fault"),
        ("The AI replies", "ok"),
    ]


def test_a_real_worker_takes_errands(bridge: Bridge, redis: Redis, acme: Integration) -> None:
    errands = Errands(redis)
    number = errands.ask(EXAMINE, acme)

    wait_for(lambda: errands.look(number, acme).state != "waiting")

    errand = errands.look(number, acme)
    assert errand.state == "done"
    assert "access token" in [one["subject"] for one in errand.result]


def test_no_page_of_an_owner_has_a_word_of_the_machine(owner: Visitor, acme: Integration) -> None:
    for tab in TABS:
        text = seen(owner.get(page_of(acme, tab.endpoint)))
        found = [word for word in MACHINE if re.search(rf"\b{word}s?\b", text, re.IGNORECASE)]
        assert found == [], tab.endpoint

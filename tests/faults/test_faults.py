"""Real worker processes, real signals, a real Redis that dies: every answer still arrives, once."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from helpers import at_most, wait_for
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import CRASH_RETRIES, JobQueue
from kommo_bridge.queue.state import work_queue
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI, handoff_call, openai_error
from local.partners.http.faults import Hang, Status
from local.partners.kommo.account import Account
from local.partners.kommo.records import Continuation
from local.partners.kommo.server import StandInKommo
from local.partners.kommo.widget_requests import WaitingBlock
from local.processes import process_environ, run_bridge
from local.redis_server import RedisServer

Process = subprocess.Popen[bytes]


@dataclass
class Night:
    """What a test of faults plays with: a Redis of its own, partners, and workers to start."""

    redis_server: RedisServer
    settings: Settings
    kommo: StandInKommo
    ai: StandInAI
    store: IntegrationStore
    start_worker: Callable[..., Process]
    worker_log: Path

    @property
    def redis(self) -> Redis:
        return Redis.from_url(self.redis_server.url)

    def queue_request(
        self, account: Account, message: str = "Hello", entity_id: int | None = None
    ) -> WaitingBlock:
        """Queue what the web edge would queue; without an entity, of a customer of its own."""
        block = self.kommo.open_block(account, delivery="json")
        request = WidgetRequest(
            integration_id=account.integration_id,
            account_id=account.account_id,
            subdomain=account.subdomain,
            entity_type="2",
            entity_id=entity_id or block.continue_id,
            return_url=self.kommo.url + block.path,
            message=message,
            delivery="json",
            expires_at=time.time() + 600,
            accepted_at=time.time(),
        )
        with Redis.from_url(self.redis_server.url) as redis:
            assert JobQueue(redis, self.settings).enqueue(request)
        return block

    def wait(self, block: WaitingBlock, seconds: float = 90) -> Continuation:
        return self.kommo.wait_for_continuation(block, seconds)


@pytest.fixture
def night(
    tmp_path: Path, settings: Settings, kommo: StandInKommo, ai: StandInAI
) -> Iterator[Night]:
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer(tmp_path / "own-redis"))
        own = replace(
            settings, redis_url=server.url, worker_concurrency=4, reply_deadline_seconds=60
        )
        store = IntegrationStore(own.database_path, own.secret_key)
        store.migrate()

        def start_worker(**changes: Any) -> Process:
            environ = process_environ(replace(own, **changes))
            log = tmp_path / "worker.log"
            run = run_bridge(environ, log, names=("worker",))
            return stack.enter_context(run)["worker"]

        yield Night(server, own, kommo, ai, store, start_worker, tmp_path / "worker.log")


@pytest.fixture
def flora(night: Night, account: Account) -> Account:
    """An account whose AI is the common one."""
    return _known(night, account)


def _known(night: Night, account: Account, **settings: Any) -> Account:
    night.store.add(
        Integration(
            integration_id=account.integration_id,
            subdomain=account.subdomain,
            account_id=account.account_id,
            secret_key=account.secret_key,
            access_token=account.access_token,
            **{"burst_seconds": 0, "disclosure": "", **settings},
        )
    )
    return account


def _kill(process: Process) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_worker_killed_in_mid_job_is_followed_by_its_restarted_self(
    night: Night, flora: Account
) -> None:
    night.ai.delay_seconds = 5
    worker = night.start_worker()
    block = night.queue_request(flora)
    wait_for(lambda: night.ai.count == 1)

    _kill(worker)
    night.ai.delay_seconds = 0
    night.start_worker()

    assert night.wait(block).body["data"]["status"] == "success"
    assert len(night.kommo.continuations) == 1


def test_a_worker_killed_in_mid_job_is_followed_by_another_worker(
    night: Night, flora: Account
) -> None:
    """All its jobs, and none of them twice."""
    night.ai.delay_seconds = 5
    worker = night.start_worker()
    blocks = [night.queue_request(flora, f"Hello {number}") for number in range(3)]
    wait_for(lambda: night.ai.count == 3)
    night.start_worker()

    _kill(worker)
    night.ai.delay_seconds = 0

    for number, block in enumerate(blocks):
        assert f"Hello {number}" in night.wait(block).body["data"]["reply"]
    assert len(night.kommo.continuations) == 3


def test_a_worker_killed_while_sending_does_not_ask_the_ai_again(
    night: Night, flora: Account
) -> None:
    night.kommo.faults.order(Hang(), times=1)
    worker = night.start_worker()
    block = night.queue_request(flora)
    wait_for(lambda: night.kommo.calls(flora))

    _kill(worker)
    night.start_worker()

    assert night.wait(block).body["data"]["status"] == "success"
    assert night.ai.count == 1


def test_a_job_taken_but_never_started_is_handed_back(night: Night, flora: Account) -> None:
    """The worker died between taking it off the queue and starting it."""
    block = night.queue_request(flora)
    queue = work_queue(night.redis)
    night.redis.lmove(queue.key, queue.intermediate_queue.key)

    night.start_worker()

    assert night.wait(block).body["data"]["status"] == "success"


def test_sigterm_lets_a_job_finish_within_the_grace(night: Night, flora: Account) -> None:
    night.ai.delay_seconds = 1.5
    worker = night.start_worker()
    block = night.queue_request(flora)
    wait_for(lambda: night.ai.count == 1)

    worker.terminate()

    assert worker.wait(20) == 0
    assert night.wait(block, 1).body["data"]["status"] == "success"
    assert night.ai.count == 1


def test_sigterm_hands_back_what_does_not_finish_without_spending_a_retry(
    night: Night, flora: Account
) -> None:
    night.ai.delay_seconds = 20
    worker = night.start_worker(worker_grace_seconds=1)
    block = night.queue_request(flora)
    wait_for(lambda: night.ai.count == 1)

    worker.terminate()
    assert worker.wait(15) == 0

    [job] = work_queue(night.redis).jobs
    assert job.retries_left == CRASH_RETRIES.max
    night.ai.delay_seconds = 0
    night.start_worker()
    assert night.wait(block).body["data"]["status"] == "success"


def test_an_idle_worker_stops_at_once(night: Night) -> None:
    worker = night.start_worker()
    wait_for(lambda: work_queue(night.redis) and night.redis.smembers("rq:workers"))

    worker.terminate()

    assert worker.wait(15) == 0
    assert not night.redis.smembers("rq:workers")


def test_redis_restarted_in_mid_job_and_with_jobs_queued_loses_none(
    night: Night, flora: Account
) -> None:
    night.ai.delay_seconds = 2
    worker = night.start_worker()
    blocks = [night.queue_request(flora, f"Hello {number}") for number in range(8)]
    wait_for(lambda: night.ai.count >= 4)

    night.redis_server.kill()
    time.sleep(1)
    night.redis_server.start()
    night.ai.delay_seconds = 0

    for number, block in enumerate(blocks):
        assert f"Hello {number}" in night.wait(block).body["data"]["reply"]
    assert len(night.kommo.continuations) == 8
    assert worker.poll() is None, "the worker lives on"


def test_a_worker_started_while_redis_is_away_works_when_it_comes(
    night: Night, flora: Account
) -> None:
    """And stops without a traceback when Redis goes first."""
    block = night.queue_request(flora)
    night.redis_server.stop()
    worker = night.start_worker()
    time.sleep(2)
    assert worker.poll() is None

    night.redis_server.start()

    assert night.wait(block).body["data"]["status"] == "success"
    night.redis_server.stop()
    worker.terminate()
    assert worker.wait(20) == 0
    assert "Traceback" not in night.worker_log.read_text()


def test_a_redis_that_hangs_for_a_while_loses_no_answer(night: Night, flora: Account) -> None:
    night.ai.delay_seconds = 1
    worker = night.start_worker()
    block = night.queue_request(flora)
    wait_for(lambda: night.ai.count == 1)

    night.redis_server.pause()
    time.sleep(4)
    night.redis_server.resume()

    assert night.wait(block).body["data"]["status"] == "success"
    assert worker.poll() is None


def test_the_fallback_arrives_at_the_deadline_wherever_the_job_is(
    night: Night, flora: Account
) -> None:
    """The AI hangs, and there are more jobs than threads: most of them wait in the queue."""
    night.ai.faults.order(Hang(), times=None)
    night.settings = replace(night.settings, reply_deadline_seconds=4)
    night.start_worker(reply_deadline_seconds=4, worker_concurrency=2)
    blocks = [night.queue_request(flora) for _ in range(10)]

    statuses = [night.wait(block).body["data"]["status"] for block in blocks]

    assert statuses == ["fail"] * 10
    assert len(night.kommo.continuations) == 10


def test_the_hanging_ai_of_one_business_does_not_delay_the_answers_of_another(
    night: Night, flora: Account
) -> None:
    with StandInAI() as hanging:
        hanging.faults.order(Hang(), times=None)
        keys = ("0b01c2d3-0000-4000-8000-00000000beef", "b" * 64, "beta-token")
        beta = _known(
            night,
            night.kommo.add_account("beta", 2, *keys),
            ai_api_key="sk-beta",
            ai_base_url=hanging.base_url,
        )
        night.start_worker()
        for _ in range(30):
            night.queue_request(beta)
        wait_for(lambda: hanging.count >= night.settings.worker_concurrency)

        with at_most(5):
            block = night.queue_request(flora)
            night.wait(block)


def test_redis_restarted_while_an_answer_waits_for_its_next_try_loses_it_not(
    night: Night, flora: Account
) -> None:
    """And the reply that is kept is not paid for again."""
    night.kommo.faults.order(Status(503), times=1)
    night.start_worker()
    block = night.queue_request(flora)
    scheduled = work_queue(night.redis).scheduled_job_registry
    wait_for(lambda: scheduled.get_job_count(cleanup=False) == 1)

    night.redis_server.kill()
    time.sleep(1)
    night.redis_server.start()

    assert night.wait(block).body["data"]["status"] == "success"
    assert night.ai.count == 1


def test_a_job_that_failed_for_good_is_among_the_failed_ones_at_once(
    night: Night, flora: Account
) -> None:
    night.ai.faults.order(openai_error(401, "invalid_api_key"), times=None)
    night.start_worker()
    block = night.queue_request(flora, "my secret wish")

    assert night.wait(block).body["data"]["status"] == "fail"

    failed = work_queue(night.redis).failed_job_registry
    with at_most(2):
        wait_for(lambda: failed.get_job_count(cleanup=False) == 1)
    [job] = [Job.fetch(one, night.redis, JSONSerializer) for one in failed.get_job_ids()]
    assert job.retries_left == 0
    result = job.latest_result()
    assert result
    assert "invalid_api_key" in str(result.exc_string)
    assert "my secret wish" not in str(result.exc_string)
    assert "my secret wish" not in night.worker_log.read_text()


class TestConversationsOverTwoWorkers:
    def test_three_messages_in_a_second_get_one_reply(
        self, night: Night, account: Account, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        chatty = _known(night, account, burst_seconds=2)
        for _ in range(2):
            night.start_worker()

        blocks = [night.queue_request(chatty, text, entity_id=7) for text in ("a", "b", "c")]

        statuses = [night.wait(block).body["data"]["status"] for block in blocks]
        assert statuses == ["skip", "skip", "success"]
        assert ai.count == 1
        assert ai.requests[0]["messages"][-1]["content"] == "a\nb\nc"
        assert len(kommo.continuations) == len(blocks)

    def test_messages_that_come_while_the_ai_thinks_never_run_side_by_side(
        self, night: Night, account: Account, ai: StandInAI, kommo: StandInKommo
    ) -> None:
        flora = _known(night, account)
        running, most = Counter[str](), Counter[str]()

        def reply(messages: list[dict[str, Any]]) -> str:
            running["now"] += 1
            most["ever"] = max(most["ever"], running["now"])
            time.sleep(0.5)
            running["now"] -= 1
            return f"to {messages[-1]['content']}"

        ai.reply = reply
        for _ in range(2):
            night.start_worker()

        blocks = [night.queue_request(flora, f"{n}", entity_id=7) for n in range(4)]

        replies = [night.wait(block).body["data"]["reply"] for block in blocks]
        assert replies == ["to 0", "to 1", "to 2", "to 3"]
        assert most["ever"] == 1
        order = [one.block for one in kommo.continuations]
        assert order == blocks

    def test_a_hand_over_in_the_middle_of_a_burst_silences_the_rest(
        self, night: Night, account: Account, ai: StandInAI
    ) -> None:
        flora = _known(night, account)
        ai.delay_seconds = 0.5
        ai.reply = lambda _: handoff_call("A colleague will answer you.")
        for _ in range(2):
            night.start_worker()

        blocks = [night.queue_request(flora, text, entity_id=7) for text in ("a", "b", "c")]

        statuses = [night.wait(block).body["data"]["status"] for block in blocks]
        assert statuses == ["handoff", "skip", "skip"]
        assert ai.count == 1

    def test_a_worker_killed_while_it_has_the_turn_holds_nobody_up(
        self, night: Night, account: Account, ai: StandInAI
    ) -> None:
        chatty = _known(night, account, burst_seconds=1)
        ai.delay_seconds = 3
        doomed = night.start_worker()
        first = night.queue_request(chatty, "first", entity_id=7)
        wait_for(lambda: ai.count)
        doomed.kill()
        ai.delay_seconds = 0
        second = night.queue_request(chatty, "second", entity_id=7)
        night.start_worker()

        statuses = [night.wait(one).body["data"]["status"] for one in (first, second)]

        assert statuses == ["skip", "success"]
        assert ai.requests[-1]["messages"][-1]["content"] == "first\nsecond"

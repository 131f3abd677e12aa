"""The queue: one job per request, and no integration in another's way."""

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import let_pass
from redis import Redis
from rq.job import Job
from rq.rate_limit import RateLimitRegistry
from rq.registry import ScheduledJobRegistry
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from kommo_bridge.answers.record import OPEN_KEY, record_key
from kommo_bridge.conversations.keys import integration_key
from kommo_bridge.errors import QueueUnavailable, RateLimited
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import SCRIPT, JobQueue, entity_count, max_bytes
from kommo_bridge.queue.state import QUEUE_NAME, work_queue
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import RateLimit, Settings
from kommo_bridge.telemetry.metrics import KEY as METRICS_KEY
from local.partners.ai import StandInAI, openai_error
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
MANY = 30


def request(number: int, subdomain: str = "acme", **changes: str) -> WidgetRequest:
    """One checked widget request."""
    made = WidgetRequest(
        integration_id="0b01c2d3-0000-4000-8000-00000000456c",
        account_id=12345678,
        subdomain=subdomain,
        entity_type="2",
        entity_id=number,
        return_url=f"https://{subdomain}.kommo.com/api/v4/salesbot/321/continue/{number}",
        message="Hello",
        delivery="json",
        expires_at=time.time() + 300,
        accepted_at=time.time(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Two jobs of one integration at a time."""
    return replace(settings, worker_concurrency=2)


def queued(redis: Redis) -> list[str]:
    return work_queue(redis).get_job_ids()


def limit(redis: Redis, subdomain: str = "acme") -> RateLimitRegistry:
    return RateLimitRegistry(integration_key(request(0, subdomain)), redis)


def fetch(redis: Redis, number: int) -> Job:
    return Job.fetch(request(number).job_id, connection=redis, serializer=JSONSerializer)


def enqueue_all(settings: Settings) -> int:
    """Enqueue the same many requests as everybody else; return how many were ours."""
    with connect(settings.redis_url) as redis:
        queue = JobQueue(redis, settings)
        return sum(queue.enqueue(request(number)) for number in range(MANY))


def test_the_script_is_one_that_redis_can_read(redis: Redis) -> None:
    assert redis.script_load(SCRIPT.read_text(encoding="utf-8"))


class TestOnce:
    def test_the_same_requests_from_several_processes_become_one_job_each(
        self, settings: Settings, redis: Redis
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=spawn) as pool:
            won = list(pool.map(enqueue_all, [settings, settings]))

        assert sum(won) == MANY
        assert len(redis.keys("rq:job:*")) == MANY

    def test_the_same_requests_from_several_threads_become_one_job_each(
        self, settings: Settings, redis: Redis
    ) -> None:
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(enqueue_all, [settings] * 8))

        assert sum(won) == MANY
        assert len(set(queued(redis))) == len(queued(redis)) == 2

    def test_a_repeat_is_known_when_the_job_has_expired(
        self, queue: JobQueue, redis: Redis
    ) -> None:
        queue.enqueue(request(1))
        redis.delete(Job.key_for(request(1).job_id))

        assert queue.enqueue(request(1)) is False

    def test_job_and_record_come_together(self, queue: JobQueue, redis: Redis) -> None:
        before = int(time.time())  # Redis' clock, in whole seconds
        queue.enqueue(request(1))

        job_id = request(1).job_id
        assert "Hello" not in repr(redis.hgetall(record_key(job_id)))
        assert redis.ttl(record_key(job_id)) >= 24 * 3600 - 1
        due = redis.zscore(OPEN_KEY, job_id) or 0
        assert before + 120 <= due <= time.time() + 120

    def test_a_full_redis_takes_nothing_at_all(self, queue: JobQueue, redis: Redis) -> None:
        def kept() -> set[bytes]:  # former tests bring their figures a second later
            return {key for key in redis.scan_iter() if METRICS_KEY.encode() not in key}

        queue.enqueue(request(1))
        before = kept()
        redis.config_set("maxmemory", 1)
        try:
            with pytest.raises(QueueUnavailable) as caught:
                queue.enqueue(request(2))
        finally:
            redis.config_set("maxmemory", 0)

        assert caught.value.retry_after_seconds
        assert kept() == before
        assert queue.enqueue(request(2))


def accepted(queue: JobQueue, one: WidgetRequest) -> bool:
    try:
        return queue.enqueue(one)
    except RateLimited:
        return False


class TestRateLimit:
    def test_one_integration_over_its_limit_does_not_touch_another(
        self, redis: Redis, settings: Settings
    ) -> None:
        queue = JobQueue(redis, replace(settings, rate_limit=RateLimit(1, 60)))
        queue.enqueue(request(1))

        with pytest.raises(RateLimited) as caught:
            queue.enqueue(request(2))

        assert 0 < (caught.value.retry_after_seconds or 0) <= 60
        assert queue.enqueue(request(2, "other"))

    def test_the_limit_ends_with_its_window(self, redis: Redis, settings: Settings) -> None:
        queue = JobQueue(redis, replace(settings, rate_limit=RateLimit(1, 1)))
        queue.enqueue(request(1))

        with pytest.raises(RateLimited):
            queue.enqueue(request(2))
        time.sleep(1.1)

        assert queue.enqueue(request(2))

    def test_one_customers_flood_leaves_the_integrations_limit_to_the_others(
        self, redis: Redis, settings: Settings
    ) -> None:
        queue = JobQueue(redis, replace(settings, rate_limit=RateLimit(100, 60)))
        flood = [replace(request(number), entity_id=7) for number in range(200)]
        taken = sum(accepted(queue, one) for one in flood)

        others = [accepted(queue, request(number)) for number in range(1000, 1100)]

        assert taken == entity_count(RateLimit(100, 60)) == 20
        assert sum(others) == 100 - taken

    @pytest.mark.parametrize(("count", "expected"), [(1, 1), (20, 20), (50, 20), (600, 120)])
    def test_any_customer_may_send_a_few(self, count: int, expected: int) -> None:
        assert entity_count(RateLimit(count, 60)) == expected

    def test_bytes_are_bounded_beside_the_count(self, redis: Redis, settings: Settings) -> None:
        queue = JobQueue(redis, replace(settings, rate_limit=RateLimit(100, 60)))
        before = redis.info("memory")["used_memory"]
        large = [request(number, message="\N{GRINNING FACE}" * 15_000) for number in range(100)]

        taken = sum(accepted(queue, one) for one in large)

        assert 0 < taken < 20
        assert redis.info("memory")["used_memory"] - before < 4 * max_bytes(RateLimit(100, 60))
        assert accepted(queue, request(1000, "other"))

    def test_a_text_is_written_as_it_is(self, redis: Redis, queue: JobQueue) -> None:
        """Escaped, each letter that is not English would take two or three times as much."""
        queue.enqueue(request(1, message="\N{GRINNING FACE}" * 1000))

        assert redis.hstrlen(Job.key_for(request(1).job_id), "data") < 6000
        assert fetch(redis, 1).args[0]["message"] == "\N{GRINNING FACE}" * 1000

    def test_a_refused_request_leaves_nothing_and_may_come_again(
        self, redis: Redis, settings: Settings
    ) -> None:
        JobQueue(redis, settings).enqueue(request(1))
        refusing = JobQueue(redis, replace(settings, rate_limit=RateLimit(1, 60)))

        with pytest.raises(RateLimited):
            refusing.enqueue(request(2))

        assert not redis.exists(record_key(request(2).job_id))
        assert JobQueue(redis, settings).enqueue(request(2))


class TestFairness:
    def test_more_jobs_than_the_workers_run_are_held_back(
        self, queue: JobQueue, redis: Redis
    ) -> None:
        for number in range(5):
            queue.enqueue(request(number))

        assert queued(redis) == [request(0).job_id, request(1).job_id]
        assert fetch(redis, 1).get_status() == "queued"
        assert fetch(redis, 2).get_status() == "rate_limited"
        assert limit(redis).get_rate_limited_job_count() == 3

    def test_every_worker_makes_room(self, queue: JobQueue, redis: Redis) -> None:
        workers = ["rq:worker:a", "rq:worker:b"]
        redis.sadd(WORKERS_BY_QUEUE_KEY % QUEUE_NAME, *workers)
        for worker in workers:
            redis.hset(worker, "state", "busy")

        for number in range(6):
            queue.enqueue(request(number))

        assert len(queued(redis)) == 4

    def test_a_worker_that_died_makes_no_room(self, queue: JobQueue, redis: Redis) -> None:
        """Else one integration could fill the spare threads of those that live."""
        redis.sadd(WORKERS_BY_QUEUE_KEY % QUEUE_NAME, "rq:worker:died", "rq:worker:died-too")

        for number in range(6):
            queue.enqueue(request(number))

        assert len(queued(redis)) == 2

    def test_another_integration_overtakes_what_is_held_back(
        self, queue: JobQueue, redis: Redis
    ) -> None:
        for number in range(20):
            queue.enqueue(request(number))

        queue.enqueue(request(1, "other"))

        assert queued(redis).index(request(1, "other").job_id) == 2

    def test_a_new_request_does_not_overtake_the_held_back_ones_of_its_integration(
        self, queue: JobQueue, redis: Redis
    ) -> None:
        """A job has ended, or the share has grown, and RQ has not let the next one in yet."""
        for number in range(4):
            queue.enqueue(request(number))
        redis.zrem(limit(redis).allowed_key, request(0).job_id)

        queue.enqueue(request(4))

        held_back = [request(number).job_id for number in (2, 3, 4)]
        assert limit(redis).get_rate_limited_job_ids() == held_back
        assert queued(redis) == [request(0).job_id, request(1).job_id]
        assert fetch(redis, 4).get_status() == "rate_limited"

    def test_a_deleted_job_lets_the_oldest_held_back_one_in(
        self, queue: JobQueue, redis: Redis
    ) -> None:
        for number in range(4):
            queue.enqueue(request(number))

        fetch(redis, 0).delete()

        assert queued(redis) == [request(1).job_id, request(2).job_id]

    def test_a_deleted_held_back_job_is_gone(self, queue: JobQueue, redis: Redis) -> None:
        for number in range(4):
            queue.enqueue(request(number))

        fetch(redis, 3).delete()

        assert limit(redis).get_rate_limited_job_ids() == [request(2).job_id]

    def test_an_emptied_queue_gives_its_room_back_at_the_next_cleaning(
        self, queue: JobQueue, redis: Redis
    ) -> None:
        for number in range(4):
            queue.enqueue(request(number))

        work_queue(redis).empty()  # type: ignore[no-untyped-call]
        limit(redis).cleanup()

        assert queued(redis) == [request(2).job_id, request(3).job_id]


def run_plain_worker(settings: Settings) -> None:
    """Run RQ's own worker until the queue is empty."""
    values = {
        "SECRET_KEY": settings.secret_key,
        "REDIS_URL": settings.redis_url,
        "DATABASE_PATH": str(settings.database_path),
        "OPENAI_API_KEY": settings.openai_api_key or "",
        "OPENAI_BASE_URL": settings.openai_base_url or "",
        "OPENAI_MODEL": settings.openai_model,
        "KOMMO_EXTRA_HOSTS": ",".join(settings.kommo_extra_hosts),
    }
    command = ["rq", "worker", "kommo", "-S", "json", "--burst", "-u", settings.redis_url]
    subprocess.run(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **values},
        check=True,
        capture_output=True,
        timeout=90,
    )


@pytest.mark.usefixtures("acme")
class TestPlainWorker:
    def test_it_continues_every_salesbot_also_the_held_back_ones(
        self, queue: JobQueue, settings: Settings, kommo: StandInKommo, account: Account
    ) -> None:
        blocks = [kommo.open_block(account) for _ in range(4)]
        for block in blocks:
            queue.enqueue(request(1, return_url=block.return_url))

        run_plain_worker(settings)

        assert {one.block for one in kommo.continuations} == set(blocks)
        assert {one.body["data"]["status"] for one in kommo.continuations} == {"success"}

    def test_a_job_that_waits_gives_its_room_up_and_gets_it_again(
        self,
        queue: JobQueue,
        settings: Settings,
        redis: Redis,
        kommo: StandInKommo,
        account: Account,
        ai: StandInAI,
    ) -> None:
        ai.faults.order(openai_error(503, headers={"Retry-After": "30"}), times=None)
        waiting = request(1, return_url=kommo.open_block(account).return_url)
        queue.enqueue(waiting)

        run_plain_worker(settings)

        scheduled = ScheduledJobRegistry(queue=work_queue(redis))  # type: ignore[no-untyped-call]
        assert scheduled.get_job_ids() == [waiting.job_id]
        assert limit(redis).get_allowed_job_ids() == []

        ai.faults.clear()
        let_pass(redis, 30)
        redis.zadd(scheduled.key, {waiting.job_id: time.time() - 1})
        scheduler = RQScheduler([work_queue(redis)], connection=redis, serializer=JSONSerializer)
        scheduler.acquire_locks()  # type: ignore[no-untyped-call]
        scheduler.enqueue_scheduled_jobs()  # type: ignore[no-untyped-call]
        assert limit(redis).get_allowed_job_ids() == queued(redis) == [waiting.job_id]

        run_plain_worker(settings)
        assert [one.body["data"]["status"] for one in kommo.continuations] == ["success"]
        assert limit(redis).get_allowed_job_ids() == []


def test_a_restarted_redis_is_used_again_at_once(tmp_path: Path, settings: Settings) -> None:
    with RedisServer(tmp_path / "redis") as server, connect(server.url) as redis:
        queue = JobQueue(redis, settings)
        assert queue.enqueue(request(1))

        server.restart()

        assert queue.enqueue(request(1)) is False
        assert queue.enqueue(request(2))

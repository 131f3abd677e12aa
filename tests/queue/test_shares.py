"""The share of each integration: the rule, and that it is kept while neighbours come and go."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from rq.job import Job
from rq.rate_limit import RateLimitRegistry
from rq.serializers import JSONSerializer
from rq.worker_registration import WORKERS_BY_QUEUE_KEY
from test_enqueue import limit, request

from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.queue.shares import (
    LEAST_SHARE,
    LOOK_KEY,
    SHARE_KEY,
    Shares,
    fair_share,
    kept_share,
    most_threads,
)
from kommo_bridge.queue.state import QUEUE_NAME, work_queue
from kommo_bridge.settings import Settings


@pytest.mark.parametrize(
    ("wanted", "share"),
    [
        ([], 16),
        ([1], 16),
        ([100], 16),
        ([100, 1], 15),
        ([100, 1, 1, 1], 13),
        ([100, 100], 8),
        ([100, 100, 4], 6),
        ([3, 5], 13),
        ([100] * 40, LEAST_SHARE),
    ],
)
def test_who_wants_much_may_have_what_the_others_leave(wanted: list[int], share: int) -> None:
    assert fair_share(wanted, 16) == share


@pytest.mark.parametrize(("concurrency", "threads"), [(1, 256), (128, 256), (200, 400)])
def test_a_worker_may_start_extra_threads(concurrency: int, threads: int) -> None:
    assert most_threads(concurrency) == threads


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 64))
def test_all_is_used_where_it_is_wanted_and_nothing_is_given_twice(
    wanted: list[int], at_once: int
) -> None:
    share = fair_share(wanted, at_once)

    given_out = sum(min(want, share) for want in wanted)
    if share > LEAST_SHARE:
        assert given_out <= at_once
        assert given_out == sum(wanted) or given_out > at_once - len(wanted)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, worker_concurrency=8)


@pytest.fixture
def queue(redis: Redis, settings: Settings) -> JobQueue:
    return JobQueue(redis, settings)


@pytest.fixture
def shares(redis: Redis) -> Shares:
    return Shares(work_queue(redis), 8)


def allowed(redis: Redis, subdomain: str) -> int:
    return limit(redis, subdomain).get_allowed_job_count()


def test_a_neighbour_takes_from_the_share_and_gives_it_back(
    queue: JobQueue, shares: Shares, redis: Redis
) -> None:
    for number in range(20):
        queue.enqueue(request(number))
        queue.enqueue(request(number, "beta"))
    shares.look()
    assert kept_share(redis) == 4

    for number in range(6):
        fetch(redis, number, "beta").delete()
    assert allowed(redis, "beta") == 4, "no more than its share is let in again"

    for number in range(6, 20):
        fetch(redis, number, "beta").delete()
    shares.look()
    shares.look()

    assert kept_share(redis) == 8
    assert allowed(redis, "acme") == 8


def test_one_who_comes_new_begins_at_once_with_the_share_of_all(
    queue: JobQueue, shares: Shares, redis: Redis
) -> None:
    for number in range(20):
        queue.enqueue(request(number))
        queue.enqueue(request(number, "beta"))
    shares.look()

    for number in range(20):
        queue.enqueue(request(number, "gamma"))

    assert allowed(redis, "gamma") == 4
    assert limit(redis, "gamma").get_rate_limited_job_count() == 16


def test_what_is_held_back_comes_in_when_a_share_grows_though_nothing_of_its_own_ends(
    queue: JobQueue, shares: Shares, redis: Redis
) -> None:
    redis.set("kommo_bridge:queue:share", 2)
    for number in range(10):
        queue.enqueue(request(number))
    assert allowed(redis, "acme") == 2

    shares.look()

    assert allowed(redis, "acme") == 8


def test_all_workers_together_look_once_a_second(shares: Shares, redis: Redis) -> None:
    redis.set(LOOK_KEY, "another worker has just looked")
    shares.run()
    assert kept_share(redis) is None

    redis.delete(LOOK_KEY)  # as after a second
    shares.run()

    assert kept_share(redis) == 8
    assert redis.pttl(LOOK_KEY) != -1, "it ends by itself"


def test_each_worker_that_lives_adds_to_what_is_shared(
    queue: JobQueue, shares: Shares, redis: Redis
) -> None:
    workers = ["rq:worker:a", "rq:worker:b"]
    redis.sadd(WORKERS_BY_QUEUE_KEY % QUEUE_NAME, *workers, "rq:worker:died")
    for worker in workers:
        redis.hset(worker, "state", "busy")
    redis.set(SHARE_KEY, 2)
    for number in range(20):
        queue.enqueue(request(number))
        queue.enqueue(request(number, "beta"))

    shares.look()

    assert kept_share(redis) == allowed(redis, "acme") == allowed(redis, "beta") == 8


def test_what_waits_counts_like_what_runs(queue: JobQueue, shares: Shares, redis: Redis) -> None:
    """Of beta nothing runs yet: its share is kept free all the same."""
    redis.set(SHARE_KEY, 0)
    for number in range(3):
        queue.enqueue(request(number, "beta"))
    redis.delete(SHARE_KEY)
    for number in range(20):
        queue.enqueue(request(number))
    assert (allowed(redis, "beta"), allowed(redis, "acme")) == (0, 8)

    shares.look()

    assert kept_share(redis) == 5
    assert allowed(redis, "beta") == 3
    assert allowed(redis, "acme") == 8, "what runs cannot be taken back"


def test_rq_itself_lets_in_no_more_than_the_share(
    queue: JobQueue, shares: Shares, redis: Redis
) -> None:
    """RQ reads the limit of an integration; it also counts for one of which nothing waits."""
    queue.enqueue(request(1, "beta"))
    for number in range(20):
        queue.enqueue(request(number))

    shares.look()

    for one in ("acme", "beta"):
        assert redis.hget(limit(redis, one).config_key, "concurrency") == b"7"


def test_a_share_that_nobody_keeps_any_more_is_forgotten(
    queue: JobQueue, shares: Shares, redis: Redis
) -> None:
    shares.look()

    assert 0 < redis.ttl("kommo_bridge:queue:share") <= 10


def test_an_integration_without_work_leaves_nothing(shares: Shares, redis: Redis) -> None:
    redis.sadd(RateLimitRegistry.rl_keys_key, "gone")

    shares.look()

    assert not redis.keys("rq:rl:gone*")


def fetch(redis: Redis, number: int, subdomain: str) -> Job:
    job_id = request(number, subdomain).job_id
    return Job.fetch(job_id, connection=redis, serializer=JSONSerializer)

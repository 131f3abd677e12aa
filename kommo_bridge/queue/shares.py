"""How many answers of one integration may run at once, so that none waits for a neighbour.

Jobs cannot be taken back once they run, and a hanging AI or Kommo holds them for minutes. So the
share only says how many more an integration may begin, and a thread is never what is missing: the
answers at once that `WORKER_CONCURRENCY` allows are shared, and whoever has fewer than its share
begins at once, on a thread beyond them if others hold those. A waiting thread costs little.

`fair_share` is the rule. It is kept in Redis as RQ's own concurrency limit of each integration,
by whichever worker looks first, once a second; `enqueue.lua` reads it for those who come new.
"""

from collections.abc import Iterable

from redis import Redis
from rq import Queue
from rq.rate_limit import RateLimitRegistry

from kommo_bridge.queue.state import live_workers
from kommo_bridge.redis_client import PREFIX

SHARE_KEY = f"{PREFIX}queue:share"
LOOK_KEY = f"{PREFIX}queue:share:look"
LOOK_SECONDS = 1.0
# Without a worker that looks, `enqueue.lua` counts the workers instead.
SHARE_KEPT_SECONDS = 10
# However many integrations are busy: one customer must not wait for another's answer.
LEAST_SHARE = 2
MOST_THREADS = 256


def fair_share(wanted: Iterable[int], at_once: int) -> int:
    """The most that any one integration may have at once.

    All have what they want where that is possible; else those that want much divide equally what
    those that want little leave.

    Args:
        wanted: For each busy integration, how many of its jobs are queued, running or held back.
        at_once: How many jobs all workers together should run.
    """
    left, many = at_once, sorted(wanted)
    for place, want in enumerate(many):
        equal = left // (len(many) - place)
        if want > equal:
            return max(LEAST_SHARE, equal)
        left -= want
    return max(LEAST_SHARE, left + max(many, default=0))


def most_threads(concurrency: int) -> int:
    """How many threads a worker may begin: its answers at once, and room for neighbours."""
    return max(MOST_THREADS, 2 * concurrency)


def kept_share(redis: Redis) -> int | None:
    """The share as a worker has last kept it."""
    kept = redis.get(SHARE_KEY)
    return int(kept) if isinstance(kept, bytes) else None


class Shares:
    """Keeps the share of the integrations, and lets held back jobs in when it has grown.

    Args:
        queue: The one queue.
        concurrency: `WORKER_CONCURRENCY`.
    """

    def __init__(self, queue: Queue, concurrency: int) -> None:
        self._queue = queue
        self._concurrency = concurrency

    def run(self) -> None:
        """Look, unless another worker has just looked."""
        redis = self._queue.connection
        if redis.set(LOOK_KEY, "1", nx=True, px=int(LOOK_SECONDS * 1000) - 100):
            self.look()

    def look(self) -> None:
        """Find out who wants how many, and keep everybody's share."""
        redis = self._queue.connection
        limits = RateLimitRegistry.all(redis)
        with redis.pipeline(transaction=False) as pipeline:
            for limit in limits:
                pipeline.zcard(limit.allowed_key)
                pipeline.zcard(limit.rate_limited_key)
            counts = pipeline.execute()
        allowed, held_back = counts[::2], counts[1::2]
        wanted = [sum(two) for two in zip(allowed, held_back, strict=True) if sum(two)]
        share = fair_share(wanted, self._concurrency * max(1, live_workers(self._queue)))
        with redis.pipeline(transaction=False) as pipeline:
            pipeline.set(SHARE_KEY, share, ex=SHARE_KEPT_SECONDS)
            for limit, running, waiting in zip(limits, allowed, held_back, strict=True):
                if running or waiting:
                    pipeline.hset(limit.config_key, "concurrency", share)
            pipeline.execute()
        for limit, running, waiting in zip(limits, allowed, held_back, strict=True):
            if waiting and running < share:
                limit.acquire_and_enqueue(share)

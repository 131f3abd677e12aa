"""How many jobs of one integration may run at once, so that no integration waits for another.

A running job cannot be taken back, and a hanging AI or Kommo holds it for minutes. So the share
only limits how many more jobs an integration may start. The number that `WORKER_CONCURRENCY` allows
is shared out, and an integration below its share may always start one: on an extra thread if the
others are taken, since a waiting thread costs little.

`fair_share` is the rule. Once a second, whichever worker looks first stores it in Redis as RQ's own
concurrency limit of each integration; `enqueue.lua` reads it for newly arriving integrations.
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
# When no worker renews the share, `enqueue.lua` counts the workers instead.
SHARE_KEPT_SECONDS = 10
# However many integrations are busy, one customer must not wait for another one's reply.
LEAST_SHARE = 2
MOST_THREADS = 256


def fair_share(wanted: Iterable[int], at_once: int) -> int:
    """The most jobs that any one integration may run at once.

    If possible, all get what they want; otherwise those that want much divide equally what those
    that want little leave.

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
    """How many threads a worker may start: `WORKER_CONCURRENCY` and some extra ones."""
    return max(MOST_THREADS, 2 * concurrency)


def kept_share(redis: Redis) -> int | None:
    """The share that a worker stored last."""
    kept = redis.get(SHARE_KEY)
    return int(kept) if isinstance(kept, bytes) else None


class Shares:
    """Renews the integrations' share, and starts held back jobs when it has grown.

    Args:
        queue: The one queue.
        concurrency: `WORKER_CONCURRENCY`.
    """

    def __init__(self, queue: Queue, concurrency: int) -> None:
        self._queue = queue
        self._concurrency = concurrency

    def run(self) -> None:
        """Renew the share, unless another worker has just done so."""
        redis = self._queue.connection
        if redis.set(LOOK_KEY, "1", nx=True, px=int(LOOK_SECONDS * 1000) - 100):
            self.look()

    def look(self) -> None:
        """Find out how many jobs each integration wants, and store the share."""
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

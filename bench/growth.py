"""Whether a request costs the same when there is more of everything.

    python bench/growth.py

The acknowledgement (one connection, one after another) and an answer's own share, with more and
more integrations in the store, conversations in Redis, and jobs in the queue; each beside the
smallest of the same run. And what one conversation takes in Redis.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from answers import made_request
from redis import Redis
from report import Figure, table
from stage import NO_BURSTS, Stage, stage, wait_for_web

from kommo_bridge.conversations.keys import conversation_name, turns_key
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.redis_client import connect

PART = "growth"
ACKNOWLEDGED = 60
ANSWERED = 30
INTEGRATIONS = (1, 100, 10_000)
CONVERSATIONS = (0, 10_000, 100_000)
QUEUED = (0, 10_000)
TURNS = 5
GOAL = 1.5

# KEYS: a conversation. ARGV: name before and behind the entity's number, first, last.
MULTIPLY = """
local turns = redis.call('LRANGE', KEYS[1], 0, -1)
for number = ARGV[3], ARGV[4] do
  local key = ARGV[1] .. string.format('%.0f', number) .. ARGV[2]
  redis.call('RPUSH', key, unpack(turns))
  redis.call('EXPIRE', key, 2592000)
end
"""


def measure(
    integrations: Sequence[int] = INTEGRATIONS,
    conversations: Sequence[int] = CONVERSATIONS,
    queued: Sequence[int] = QUEUED,
) -> list[Figure]:
    """All figures of this part."""
    return [*_by_integrations(integrations), *_by_conversations(conversations), *_by_queue(queued)]


def _by_integrations(steps: Sequence[int]) -> list[Figure]:
    with stage(accounts=1) as it:
        store = IntegrationStore(it.settings.database_path, it.settings.secret_key)
        first = store.all()[0]
        costs, made = [], 1
        _start(it)
        for wanted in steps:
            more = range(made + 1, wanted + 1)
            # In one transaction: a commit for each would take minutes.
            store.fill(
                {
                    **{name: getattr(first, name) for name in ("secret_key", "access_token")},
                    **NO_BURSTS,
                    "integration_id": f"1b01c2d3-0000-4000-8000-{number:012d}",
                    "subdomain": f"other{number}",
                }
                for number in more
            )
            made = max(made, wanted)
            costs.append(_costs(it, wanted))
    return _figures("integrations", steps, costs)


def _by_conversations(steps: Sequence[int]) -> list[Figure]:
    with stage(accounts=1) as it, Redis.from_url(it.settings.redis_url) as redis:
        _start(it)
        empty = _used_bytes(redis)
        costs, made, memory = [], 0, []
        for wanted in steps:
            _multiply(it, redis, made, wanted)
            made = wanted
            if made:
                each = (_used_bytes(redis) - empty) / made
                memory.append(Figure(PART, f"memory of one of {made:,} conversations", each, "B"))
            costs.append(_costs(it, wanted))
    return [*_figures("conversations", steps, costs), *memory]


def _by_queue(steps: Sequence[int]) -> list[Figure]:
    """Without a worker: the acknowledgement alone, in front of a queue that only grows."""
    with stage(accounts=1) as it:
        it.start("web", "web")
        wait_for_web(it.url)
        queue = JobQueue(connect(it.settings.redis_url), it.settings)
        costs, made = [], 0
        for wanted in steps:
            for number in range(made, wanted):
                queue.enqueue(made_request(it, number))
            made = wanted
            costs.append((_acknowledgement(it, wanted), None))
    return _figures("queued jobs", steps, costs)


def _figures(
    what: str, steps: Sequence[int], costs: Sequence[tuple[float, float | None]]
) -> list[Figure]:
    found = []
    for place, name in enumerate(("acknowledgement", "own share of an answer")):
        smallest = costs[0][place]
        for step, cost in zip(steps, costs, strict=True):
            value = cost[place]
            if value is None or smallest is None:
                continue
            ratio = value / smallest
            beside = "" if step == steps[0] else f"{smallest:.1f} ms with {steps[0]:,}"
            goal = ("", None) if step == steps[0] else (f"<= {GOAL}", ratio <= GOAL)
            label = f"{name} p50, {step:,} {what}"
            found.append(Figure(PART, label, value, "ms", beside, ratio, *goal))
    return found


def _costs(it: Stage, seed: int) -> tuple[float, float]:
    return _acknowledgement(it, seed), _share(it, seed)


def _acknowledgement(it: Stage, seed: int) -> float:
    it.ai.delay_seconds = 0.0
    with Redis.from_url(it.settings.redis_url) as redis:
        while redis.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.1)
    return median(_ask(it, seed * 1000 + number) for number in range(ACKNOWLEDGED))


def _ask(it: Stage, entity_id: int) -> float:
    account = it.accounts[0]
    return it.kommo.send_widget_request(
        it.url, account, "Hello?", entity_id=1 + entity_id
    ).milliseconds


def _share(it: Stage, seed: int) -> float:
    """Kommo takes six calls a second of an account: what was asked before must be over."""
    while it.processes["worker"].poll() is None and _open(it):
        time.sleep(0.2)
    shares = []
    for number in range(ANSWERED):
        started = time.monotonic()
        sent = it.kommo.send_widget_request(
            it.url, it.accounts[0], "Do you deliver?", entity_id=10**9 + seed * 1000 + number
        )
        shares.append((it.kommo.wait_for_continuation(sent, 30).at - started) * 1000)
        time.sleep(0.2)
    return median(shares)


def _open(it: Stage) -> bool:
    with Redis.from_url(it.settings.redis_url) as redis:
        return bool(redis.zcard("kommo_bridge:answers:open"))


def _start(it: Stage) -> None:
    it.start("web", "web")
    it.start("worker", "worker")
    wait_for_web(it.url, workers=1)


def _multiply(it: Stage, redis: Redis, made: int, wanted: int) -> None:
    """One real conversation, and copies of it under the names of other leads."""
    store = IntegrationStore(it.settings.database_path, it.settings.secret_key)
    one = replace(made_request(it, 0), entity_id=10**8)
    memory = Conversations(redis)
    for turn in range(TURNS):
        memory.remember(
            replace(one, return_url=f"{one.return_url}{turn}"),
            store.all()[0],
            "Do you deliver on Sundays, and what does it cost?",
            "Yes, every day from 9 to 20 h. It is free from 30 euro on.",
        )
    before, number, behind = turns_key(conversation_name(one)).rpartition(str(one.entity_id))
    script = redis.register_script(MULTIPLY)
    for start in range(made, wanted, 10_000):
        end = min(start + 10_000, wanted)
        script(
            keys=[before + number + behind],
            args=[before, behind, 10**8 + 1 + start, 10**8 + end],
        )


def _used_bytes(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])


def main() -> None:
    """Run and print."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(table(measure()))


if __name__ == "__main__":
    main()

"""What an answer costs the bridge, and how many may wait for the AI at once.

    python bench/answers.py [--at-once 1,16,64,128,256]

First the bridge's own share: from the widget request to the continue call, without the AI's time,
one answer after another; then how much later a reply comes that is held until it is quiet. Then N
answers at once in one worker process: a new one is queued when one is continued, the AI takes three
seconds; beside the ideal of N/3 a second, and beside RQ's own worker pool. Memory is PSS: what is
shared is counted by its share.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from load import percentile
from report import Figure, table
from stage import Stage, stage, wait_for_web

from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.redis_client import connect
from local.processes import ROOT

PART = "answers"
SHARE_ANSWERS = 100
SHARE_AI_SECONDS = 0.2
AI_SECONDS = 3.0
BURST_SECONDS = 2.0
SLOW_AI_SECONDS = 2.5
QUICK_AI_SECONDS = 0.5
ROUNDS = 4
AT_ONCE = (1, 16, 64, 128, 256)
POOL = 8
# Kommo takes six calls a second of an account: enough accounts for the fastest.
ACCOUNTS = 24
MIB = 2**20


def measure(
    at_once: Sequence[int] = AT_ONCE, *, answers: int = SHARE_ANSWERS, pool: int = POOL
) -> list[Figure]:
    """All figures of this part; `pool` is the size of RQ's worker pool, 0 leaves it out."""
    figures = own_share(answers) + held_replies(max(3, answers // 10))
    for number in at_once:
        figures += _concurrency(number)
    return figures + (_worker_pool(pool) if pool else [])


def own_share(answers: int) -> list[Figure]:
    """Milliseconds of an answer that are not the AI's."""
    with stage(accounts=ACCOUNTS) as it:
        it.start("web", "web")
        it.start("worker", "worker")
        wait_for_web(it.url, workers=1)
        it.ai.delay_seconds = SHARE_AI_SECONDS
        shares = [_one(it, number) for number in range(answers + 5)][5:]
    p50, p99 = percentile(shares, 0.5), percentile(shares, 0.99)
    return [
        Figure(PART, "own share of an answer, p50", p50, "ms", "", None, "< 40 ms", p50 < 40),
        Figure(PART, "own share of an answer, p99", p99, "ms", "", None, "< 150 ms", p99 < 150),
    ]


def held_replies(answers: int) -> list[Figure]:
    """How much later than the AI, or than the quiet time, a single message's reply comes."""
    with stage(ACCOUNTS, {"burst_seconds": BURST_SECONDS, "replies_per_hour": 0}) as it:
        it.start("web", "web")
        it.start("worker", "worker")
        wait_for_web(it.url, workers=1)
        return [
            _held(it, answers, SLOW_AI_SECONDS, "the AI"),
            _held(it, answers, QUICK_AI_SECONDS, "the quiet time"),
        ]


def _held(it: Stage, answers: int, ai_seconds: float, than: str) -> Figure:
    it.ai.delay_seconds = ai_seconds
    longest = max(ai_seconds, BURST_SECONDS)
    first = len(it.kommo.continuations)
    more = [
        _one(it, first + number) - (longest - ai_seconds) * 1000 for number in range(answers + 2)
    ]
    p50 = percentile(more[2:], 0.5)
    what = f"a held reply is later than {than}, p50"
    beside = f"AI of {ai_seconds:g} s, {BURST_SECONDS:g} s quiet"
    return Figure(PART, what, p50, "ms", beside, None, "< 60 ms", p50 < 60)


def _one(it: Stage, number: int) -> float:
    account = it.accounts[number % len(it.accounts)]
    started = time.monotonic()
    sent = it.kommo.send_widget_request(it.url, account, "Do you deliver?", entity_id=1 + number)
    continued = it.kommo.wait_for_continuation(sent, 30)
    return (continued.at - started - it.ai.delay_seconds) * 1000


def _concurrency(number: int) -> list[Figure]:
    with stage(accounts=ACCOUNTS, worker_concurrency=number) as it:
        it.start("worker", "worker")
        process = psutil.Process(it.processes["worker"].pid)
        _drive(it, 1, seconds=0)  # it has imported all it needs
        idle = _pss([process])
        rate, busy = _drive(it, number, processes=[process])
    ideal = number / AI_SECONDS
    at = f"{number} at once"
    beside = f"{ideal:.2f}/s ideal"
    goal = number == 64
    return [
        Figure(
            PART, f"answers/s, {at}", rate, "/s", beside, rate / ideal,
            ">= 0.9" if goal else "", rate / ideal >= 0.9 if goal else None,
        ),
        Figure(
            PART, f"PSS of the worker, {at}", busy, "MiB", f"{idle:.0f} MiB idle", None,
            "<= 120 MiB" if goal else "", busy <= 120 if goal else None,
        ),
        Figure(PART, f"PSS per waiting answer, {at}", busy / number, "MiB"),
    ]  # fmt: skip


def _worker_pool(number: int) -> list[Figure]:
    """RQ's own way to answer so many at once: a process for each."""
    with stage(accounts=ACCOUNTS, worker_concurrency=number) as it:
        rq = str(Path(sys.executable).with_name("rq"))
        command = [rq, "worker-pool", "-n", str(number), "-S", "json", "-q"]
        command += ["-u", it.settings.redis_url, "kommo"]
        with (it.folder / "pool.log").open("ab") as log:
            it.processes["pool"] = subprocess.Popen(
                command, env=it.environ, cwd=ROOT, stdout=log, stderr=log
            )
        pool = psutil.Process(it.processes["pool"].pid)
        _drive(it, number, seconds=0)
        rate, busy = _drive(it, number, processes=[pool])
    ideal = number / AI_SECONDS
    at = f"rq worker-pool -n {number}"
    return [
        Figure(PART, f"answers/s, {at}", rate, "/s", f"{ideal:.2f}/s ideal", rate / ideal),
        Figure(PART, f"PSS in all, {at}", busy, "MiB"),
        Figure(PART, f"PSS per waiting answer, {at}", busy / number, "MiB"),
    ]


def _drive(
    it: Stage, number: int, *, seconds: float = AI_SECONDS, processes: Sequence[psutil.Process] = ()
) -> tuple[float, float]:
    """Keep `number` answers under way; returns answers per second, and the most PSS in MiB.

    Counted from the first continued one of the second round on, when all are under way.
    """
    it.ai.delay_seconds = seconds
    queue = JobQueue(connect(it.settings.redis_url), it.settings)
    before, sent, most = len(it.kommo.continuations), 0, 0.0
    wanted = number * (ROUNDS if seconds else 1)
    while (done := len(it.kommo.continuations) - before) < wanted:
        while sent < min(done + number, wanted):
            queue.enqueue(made_request(it, sent))
            sent += 1
        if number <= done < 2 * number and processes:
            most = max(most, _pss(processes))
        time.sleep(0.02)
    if not seconds:
        return 0.0, 0.0
    times = sorted(one.at for one in it.kommo.continuations[before:])
    rounds = times[number - 1 :]  # the first round waits for the worker to wake up
    return (len(rounds) - 1) / (rounds[-1] - rounds[0]), most


def made_request(it: Stage, number: int) -> WidgetRequest:
    """Queued straight away, so that the load costs little beside what is measured."""
    account = it.accounts[number % len(it.accounts)]
    now = time.time()
    return WidgetRequest(
        integration_id=account.integration_id,
        account_id=account.account_id,
        subdomain=account.subdomain,
        entity_type="2",
        entity_id=int(now * 1_000_000) % 10**12,
        return_url=it.kommo.open_block(account).return_url,
        message="Do you deliver on Sundays?",
        delivery="json",
        expires_at=now + 3600,
        accepted_at=now,
    )


def _pss(processes: Sequence[psutil.Process]) -> float:
    """MiB of the processes and their children."""
    every = [one for parent in processes for one in (parent, *parent.children(recursive=True))]
    total = 0
    for process in every:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / MIB


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", default=",".join(map(str, AT_ONCE)))
    chosen = [int(text) for text in parser.parse_args().at_once.split(",")]
    print(table(measure(chosen)))


if __name__ == "__main__":
    main()

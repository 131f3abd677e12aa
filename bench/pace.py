"""How many calls of one account arrive at Kommo within a second, when many are due at once.

    python bench/pace.py [--runs 10]

Sixty answers at once in one account, while sixty of other accounts run and all cores are loaded:
on a worker that has just started, and again when its connections are warm. Counted is what the
stand-in receives, when it receives it; each call takes it 100 ms. What the stand-in itself is
late by is measured beside it, with calls that are sent at known times.
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests
from answers import made_request
from report import Figure, table
from stage import Stage, stage, wait_for_web

from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.redis_client import connect
from local.partners.http.faults import Slow
from local.partners.kommo.account import Account

PART = "pace"
RUNS = 10
ANSWERS = 60
OTHERS = 10
CALL_SECONDS = 0.1
MOST_IN_A_SECOND = 7
PROBE_SECONDS = 0.1
AT_ONCE = 64


@dataclass(frozen=True)
class Batch:
    """What arrived of sixty answers at once: the most in any second, refused, calls a second."""

    most: int
    refused: int
    rate: float


def measure(
    runs: int = RUNS, *, answers: int = ANSWERS, busy: int = os.cpu_count() or 1
) -> list[Figure]:
    """All figures of this part; `busy` processes load the cores."""
    batches: dict[str, list[Batch]] = {"cold": [], "warm": []}
    lates: list[float] = []
    with stage(accounts=1 + OTHERS, worker_concurrency=AT_ONCE) as it, _loaded_cores(busy):
        it.start("web", "web")
        wait_for_web(it.url)
        it.kommo.faults.order(
            Slow(CALL_SECONDS), times=None, when=lambda request: request.method == "POST"
        )
        with _probing(it, lates):
            for _ in range(runs):
                batches["cold"].append(_batch(it, answers, start_worker=True))
                batches["warm"].append(_batch(it, answers, start_worker=False))
                it.kill("worker")
    figures = [figure for name, found in batches.items() for figure in _figures(name, found)]
    late = (max(lates) - min(lates)) * 1000 if lates else 0.0
    return [*figures, Figure(PART, "the receiver's own jitter, at most", late, "ms")]


def _figures(name: str, found: list[Batch]) -> list[Figure]:
    most, refused = max(one.most for one in found), sum(one.refused for one in found)
    rate = statistics.median(one.rate for one in found)
    kept = most <= MOST_IN_A_SECOND
    at_most = f"<= {MOST_IN_A_SECOND}"
    return [
        Figure(PART, f"most in any second, {name}", most, "calls", "", None, at_most, kept),
        Figure(PART, f"refused, {name}", refused, "calls", "", None, "0", not refused),
        Figure(PART, f"calls a second, {name}, p50", rate, "/s", "", None, ">= 5", rate >= 5),
    ]


def _batch(it: Stage, answers: int, *, start_worker: bool) -> Batch:
    """Queue all at once, wait for all."""
    account = it.accounts[0]
    calls, done = len(it.kommo.calls(account)), len(it.kommo.continuations)
    refused = _refused(it)
    queue = JobQueue(connect(it.settings.redis_url), it.settings)
    for number in range(answers):
        queue.enqueue(made_request(it, 0))
        queue.enqueue(made_request(it, 1 + number % OTHERS))
    if start_worker:
        it.start("worker", "worker")
    while len(it.kommo.continuations) < done + 2 * answers:
        time.sleep(0.05)
    times = it.kommo.calls(account)[calls:]
    rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
    return Batch(it.kommo.busiest_second(account), _refused(it) - refused, rate)


def _refused(it: Stage) -> int:
    """Calls that came too fast; not the 404 to what a killed worker had sent before it died."""
    return sum(one.status in (429, 403) for one in it.kommo.refusals)


@contextmanager
def _loaded_cores(busy: int) -> Iterator[None]:
    """So many processes that do nothing but keep busy."""
    burn = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(burn) for _ in range(busy)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def _probing(it: Stage, lates: list[float]) -> Iterator[None]:
    """Call at known times from here, and note how much later each call was received."""
    probe = it.kommo.add_account("probe", 999_999, "probe", "secret", "probe-token")
    over = threading.Event()
    thread = threading.Thread(target=_probe, args=(it, probe, over, lates))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _probe(it: Stage, probe: Account, over: threading.Event, lates: list[float]) -> None:
    headers = {"Authorization": f"Bearer {probe.access_token}"}
    with requests.Session() as session:
        while not over.wait(PROBE_SECONDS * 2):
            sent = time.monotonic()
            session.get(f"{it.kommo.url}/api/v4/account", headers=headers, timeout=10)
            lates.append(it.kommo.calls(probe)[-1] - sent)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    print(table(measure(parser.parse_args().runs)))


if __name__ == "__main__":
    main()

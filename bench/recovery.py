"""How long a customer waits for an answer whose worker is killed in mid-job.

    python bench/recovery.py [--runs 10]

Two workers; the one that has the job is killed (SIGKILL) while the AI is thinking, and started
anew. Measured: seconds from the kill until the Salesbot is continued.
"""

import argparse
import time
from statistics import median

from report import Figure, table
from stage import Stage, stage, wait_for_web

PART = "recovery"


def main() -> None:
    """Run and print median and maximum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    print(table(measure(parser.parse_args().runs)))


def measure(runs: int = 3) -> list[Figure]:
    """All figures of this part."""
    with stage(accounts=1) as it:
        it.start("web", "web")
        seconds = []
        for number in range(1, runs + 1):
            seconds.append(_one(it, number))
            print(f"run {number:2}: continued {seconds[-1]:5.1f} s after the kill", flush=True)
    longest = max(seconds)
    return [
        Figure(PART, f"kill -9 to answer, median of {runs}", median(seconds), "s"),
        Figure(PART, f"kill -9 to answer, longest of {runs}", longest, "s", "", None, "<= 30 s",
               longest <= 30),
    ]  # fmt: skip


def _one(it: Stage, number: int) -> float:
    it.start("worker", "worker")
    it.ai.delay_seconds = 60
    asked = it.ai.count
    wait_for_web(it.url)
    sent = it.kommo.send_widget_request(it.url, it.accounts[0], f"run {number}", entity_id=number)
    while it.ai.count == asked:
        time.sleep(0.01)
    it.start("other", "worker")
    time.sleep(2)
    killed_at = time.monotonic()
    it.kill("worker")
    it.ai.delay_seconds = 0
    it.start("worker", "worker")
    continued = it.kommo.wait_for_continuation(sent, 120)
    for name in ("worker", "other"):
        it.processes[name].terminate()
        it.processes[name].wait(40)
    return continued.at - killed_at


if __name__ == "__main__":
    main()

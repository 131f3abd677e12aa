"""Random faults under load; at the end every accepted request has exactly one right answer.

    python bench/soak.py [--minutes 10] [--seed 1]

Real gunicorn, two real workers, a real Redis with persistence. Faults: the AI fails or is slow;
Kommo answers 429 and 500, is slow, breaks the connection before or after it took the call; workers
are killed (SIGKILL); Redis is killed and restarted; Kommo repeats requests. Customers write several
times, also in bursts; the AI repeats every word that it was told, now and before, so that a word
of another conversation, or a text that nobody answered, is found.
Exit status 1 when anything was lost, doubled or mixed up.
"""

import argparse
import random
import re
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from stage import Stage, stage, wait_for_web

from local.partners.ai import openai_error
from local.partners.http.faults import Drip, Fault, Reset, ResetAfter, Slow, Status
from local.partners.kommo.widget_requests import WidgetRequestSent

SECONDS_BETWEEN_REQUESTS = 0.15
LEADS = 60
BURST_SHARE = 0.25
SETTLE_SECONDS = 240.0
WORD = re.compile(r"word-\d+-word")


@dataclass
class Tally:
    """What was sent, and what was done to the bridge."""

    accepted: dict[str, WidgetRequestSent] = field(default_factory=dict)
    refused: int = 0
    unknown: int = 0
    repeats: int = 0
    leads: dict[str, int] = field(default_factory=dict)
    worker_kills: int = 0
    redis_kills: int = 0
    faults: int = 0


def main() -> int:
    """Run the soak and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tally = Tally()
    fields = {"burst_seconds": 1, "replies_per_hour": 0}
    with stage(4, fields, reply_deadline_seconds=90, worker_concurrency=8) as it:
        it.ai.reply = _echo
        for name, role in (("web", "web"), ("worker-1", "worker"), ("worker-2", "worker")):
            it.start(name, role)
        wait_for_web(it.url, workers=2)
        _run(it, tally, random.Random(options.seed), options.minutes * 60)
        return _verdict(it, tally)


def _echo(messages: list[dict[str, object]]) -> str:
    said = " ".join(WORD.findall(str(messages[-1]["content"])))
    before = " ".join(WORD.findall(str(messages[1:-1])))
    return f"You said {said}. Before: {before}"


def _run(it: Stage, tally: Tally, dice: random.Random, seconds: float) -> None:
    ends_at = time.monotonic() + seconds
    over = threading.Event()
    chaos = threading.Thread(target=_chaos, args=(it, tally, random.Random(dice.random()), over))
    chaos.start()
    number = lead = 0
    next_report = time.monotonic() + 30
    while time.monotonic() < ends_at:
        number += 1
        if dice.random() > BURST_SHARE:
            lead = dice.randrange(LEADS)
        _send(it, tally, dice, number, lead)
        time.sleep(SECONDS_BETWEEN_REQUESTS * dice.uniform(0.2, 1.8))
        if time.monotonic() > next_report:
            next_report += 30
            print(
                f"  {len(tally.accepted)} accepted, {len(it.kommo.continuations)} continued, "
                f"{tally.worker_kills} workers and {tally.redis_kills} Redis killed",
                flush=True,
            )
    over.set()
    chaos.join()
    it.kommo.faults.clear()
    it.ai.faults.clear()


def _send(it: Stage, tally: Tally, dice: random.Random, number: int, lead: int) -> None:
    account = it.accounts[lead % len(it.accounts)]
    message = f"Hello, this is word-{number}-word"
    sent = it.kommo.send_widget_request(it.url, account, message, entity_id=1 + lead)
    tally.leads[f"word-{number}-word"] = lead
    if sent.status == 200:
        tally.accepted[f"word-{number}-word"] = sent
        if dice.random() < 0.1:
            tally.repeats += 1
            it.kommo.repeat(sent)
    elif sent.status is None:
        tally.unknown += 1
    else:
        tally.refused += 1


def _chaos(it: Stage, tally: Tally, dice: random.Random, over: threading.Event) -> None:
    """One fault every second or so; a killed process now and then."""
    kommo_faults: tuple[Fault, ...] = (
        Status(500), Status(503), Status(429, headers={"Retry-After": "2"}), Slow(1.5),
        Drip(0.05), Reset(), ResetAfter(), ResetAfter(),
    )  # fmt: skip
    ai_faults: tuple[Fault, ...] = (
        Status(500), openai_error(429), Slow(3), Reset(), openai_error(401, "invalid_api_key"),
    )  # fmt: skip
    started = last_worker = last_redis = time.monotonic()
    while not over.wait(dice.uniform(0.5, 1.5)):
        tally.faults += 2
        it.kommo.faults.order(dice.choice(kommo_faults), times=dice.randint(1, 3))
        it.ai.faults.order(dice.choice(ai_faults), times=dice.randint(1, 2))
        it.ai.delay_seconds = dice.uniform(0, 0.8)
        now = time.monotonic()
        if now - last_worker > 20:
            last_worker = now
            tally.worker_kills += 1
            name = dice.choice(("worker-1", "worker-2"))
            it.kill(name)
            it.start(name, "worker")
        if now - last_redis > 45 and now - started > 10:
            last_redis = now
            tally.redis_kills += 1
            it.redis_server.kill()
            time.sleep(dice.uniform(0.2, 2))
            it.redis_server.start()


def _verdict(it: Stage, tally: Tally) -> int:
    print("  faults over; waiting for the last answers", flush=True)
    ends_at = time.monotonic() + SETTLE_SECONDS
    paths = {sent.block.path: word for word, sent in tally.accepted.items()}
    while time.monotonic() < ends_at:
        done = {one.block.path for one in it.kommo.continuations}
        if paths.keys() <= done:
            break
        time.sleep(0.5)
    continuations = [one for one in it.kommo.continuations if one.block.path in paths]
    times = Counter(one.block.path for one in continuations)
    replies = [(paths[one.block.path], one.body["data"]) for one in continuations]
    told = sum(data["status"] == "fail" for _, data in replies)
    let_go = [word for word, data in replies if data["status"] == "skip"]
    mixed = sum(
        word not in data["reply"] or not _of_one_lead(tally, word, data["reply"])
        for word, data in replies
        if data["status"] == "success"
    )
    unanswered = _unanswered(tally, let_go, replies)
    lost = len(paths) - len(times)
    doubled = sum(count - 1 for count in times.values())
    rows = (
        ("requests accepted", len(paths)), ("refused while Redis was away", tally.refused),
        ("no acknowledgement within 2 s", tally.unknown), ("repeats sent", tally.repeats),
        ("faults ordered", tally.faults), ("workers killed", tally.worker_kills),
        ("Redis killed", tally.redis_kills), ("answers", len(times) - told),
        ("failures told", told), ("let go, answered with a newer one", len(let_go)),
        ("texts let go and never answered", unanswered),
        ("tokens sent astray", len(it.kommo.violations)),
        ("mixed up", mixed), ("doubled", doubled), ("lost", lost),
    )  # fmt: skip
    for name, value in rows:
        print(f"{name:32} {value:7}")
    return 1 if lost or doubled or mixed or unanswered or it.kommo.violations else 0


def _of_one_lead(tally: Tally, word: str, reply: str) -> bool:
    """Whether every word of a reply was said by the lead it went to; a lost one is unknown."""
    lead = tally.leads[word]
    return all(tally.leads[found] == lead for found in WORD.findall(reply))


def _unanswered(tally: Tally, let_go: list[str], replies: list[tuple[str, dict[str, str]]]) -> int:
    """Texts let go that no reply of their lead holds, and after which no failure was told."""
    heard = {found for _, data in replies for found in WORD.findall(data["reply"])}
    failed = {
        (tally.leads[word], _number(word)) for word, data in replies if data["status"] == "fail"
    }
    return sum(
        word not in heard
        and not any(lead == tally.leads[word] and at > _number(word) for lead, at in failed)
        for word in let_go
    )


def _number(word: str) -> int:
    return int(word.split("-")[1])


if __name__ == "__main__":
    sys.exit(main())

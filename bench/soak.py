"""Random faults under load; at the end every promise of a conversation was kept.

    python bench/soak.py [--minutes 10] [--seed 1]

Real gunicorn, two real workers, a real Redis with persistence. Faults: the AI fails or is slow;
Kommo answers 429, 403, 409 and 500, is slow, hangs, breaks the connection before or after it took
the call; Salesbots wait no longer; web and workers are killed (SIGKILL); Redis is killed and
restarted; Kommo repeats requests; one tenant's AI never answers. Customers write several times,
in bursts, without words, two of them in one lead, through hand-made bots; humans take over and
leave. The AI repeats every word that it was told, now and before, so that a word of another
conversation, or a text that nobody answered, is found. To one account nothing is done: its
customers must not feel the others.
Exit status 1 when a promise was broken (`local/promises.py`, `soak_checks.py`).
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus

from redis import Redis
from redis.exceptions import RedisError
from soak_chaos import Chaos
from soak_checks import BURST_SECONDS, Tally, verdict
from stage import Stage, stage, wait_for_web

from kommo_bridge.answers.record import OPEN_KEY
from kommo_bridge.integrations.store import IntegrationStore
from local.echo import Echo
from local.lateness import Lateness
from local.partners.ai import StandInAI
from local.partners.http.faults import Hang
from local.partners.kommo.account import Account
from local.promises import Text

SECONDS_BETWEEN_REQUESTS = 0.15
LEADS = 15
BURST_SHARE = 0.25
SETTLE_SECONDS = 420.0
# Accounts in order: nothing is done to the first; its AI is its own. How often each one is written
# to, beside the others: those who hang have few customers, for theirs wait long.
CALM, TROUBLED, HANGING_AI, HANGING_KOMMO, FORBIDDEN = 0, slice(1, 4), 4, 5, 6
SHARES = (20, 20, 20, 20, 6, 3, 3)
PEOPLE = ("", "", "", "ana", "bea")


def main() -> int:
    """Run the soak and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fields = {"burst_seconds": BURST_SECONDS, "replies_per_hour": 0}
    concurrency = {"reply_deadline_seconds": 90, "worker_concurrency": 8}
    with Lateness() as late, stage(len(SHARES), fields, **concurrency) as it:
        tally = Tally(Echo(), late)
        it.ai.reply = tally.echo
        with _own_ai(it, CALM, tally), _own_ai(it, HANGING_AI, tally) as stuck:
            stuck.faults.order(Hang(), None)
            for name, role in (("web", "web"), ("worker-1", "worker"), ("worker-2", "worker")):
                it.start(name, role)
            wait_for_web(it.url, workers=2)
            _run(it, tally, random.Random(options.seed), options.minutes * 60)
            for partner in (it.kommo, it.ai, stuck):
                partner.faults.clear()
            left = _settle(it)
        return verdict(it, tally, it.accounts[CALM].subdomain, left)


@contextmanager
def _own_ai(it: Stage, place: int, tally: Tally) -> Iterator[StandInAI]:
    """One account asks an AI of its own."""
    account = it.accounts[place]
    store = IntegrationStore(it.settings.database_path, it.settings.secret_key)
    found = store.find(account.integration_id, account.account_id, account.subdomain)
    assert found
    with StandInAI(tally.echo) as ai:
        store.save(replace(found, ai_base_url=ai.base_url, ai_api_key="sk-own"))
        yield ai


def _run(it: Stage, tally: Tally, dice: random.Random, seconds: float) -> None:
    over, accounts = threading.Event(), it.accounts
    chaos = Chaos(
        it,
        tally,
        random.Random(dice.random()),
        accounts[TROUBLED],
        accounts[HANGING_KOMMO],
        accounts[FORBIDDEN],
        LEADS,
        over,
    )
    thread = threading.Thread(target=chaos.run)
    thread.start()
    ends_at, next_report = time.monotonic() + seconds, time.monotonic() + 30
    customer = Customer(accounts[0], 1, "")
    while time.monotonic() < ends_at:
        if dice.random() > BURST_SHARE:
            [account] = dice.choices(accounts, SHARES)
            customer = Customer(account, dice.randint(1, LEADS), dice.choice(PEOPLE))
        _send(it, tally, dice, customer)
        time.sleep(SECONDS_BETWEEN_REQUESTS * dice.uniform(0.2, 1.8))
        if time.monotonic() > next_report:
            next_report += 30
            print(
                f"  {len(tally.texts)} accepted, {len(it.kommo.continuations)} continued, "
                f"{tally.killed('worker')} workers and {tally.killed('redis')} Redis killed",
                flush=True,
            )
    over.set()
    thread.join()


@dataclass(frozen=True)
class Customer:
    """A person of a lead of an account."""

    account: Account
    lead: int
    person: str


def _send(it: Stage, tally: Tally, dice: random.Random, customer: Customer) -> None:
    """One message: mostly words through our widget."""
    account, lead, person = customer.account, customer.lead, customer.person
    number = len(tally.texts) + tally.refused + tally.unknown
    kind, word = dice.random(), f"word-{number}-word"
    calm = account is it.accounts[CALM]
    voice, by_hand, human = kind < 0.05, 0.05 < kind < 0.15, 0.15 < kind < 0.17
    message = "" if voice else f"Hello, this is {word}" + " for a human" * (human and not calm)
    at = time.monotonic()
    sent = it.kommo.send_widget_request(
        it.url,
        account,
        message,
        entity_id=lead,
        data={"chat_id": person} if person else None,
        delivery=None if by_hand else "json",
    )
    if sent.status == HTTPStatus.OK:
        tally.sent[sent.block.path] = sent
        entity = account.subdomain, lead
        tally.texts.append(Text(word, entity, person, at, sent.block.path, voice=voice))
        if dice.random() < 0.1:
            tally.repeats += 1
            it.kommo.repeat(sent)
    elif sent.status is None:
        tally.unknown += 1
    else:
        tally.refused += 1


def _settle(it: Stage) -> int:
    """Wait for the last answers; returns how many Salesbots are open after all."""
    print("  faults over; waiting for the last answers", flush=True)
    ends_at, left = time.monotonic() + SETTLE_SECONDS, -1
    with Redis.from_url(it.settings.redis_url) as redis:
        while time.monotonic() < ends_at and left:
            time.sleep(0.5)
            try:
                left = redis.zcard(OPEN_KEY)
            except RedisError:
                left = -1
    return left


if __name__ == "__main__":
    sys.exit(main())

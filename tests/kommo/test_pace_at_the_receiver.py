"""The pace where it counts: when calls arrive at Kommo, not when they leave."""

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.continuation import continuation
from kommo_bridge.kommo.pacing import SLOTS, Pacer
from kommo_bridge.kommo.slot import Slot
from local.partners.http.exchange import Request
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.redis_server import RedisServer

HOST = "acme.kommo.com"
REPLY = continuation("success", "Yes, we do.", "json")
FAR_SECONDS = 0.9
# One process of a worker: threads that call until their URLs are used up.
CALLER = """
import sys, threading, time
from redis import Redis
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.continuation import continuation
from kommo_bridge.kommo.pacing import Pacer
from kommo_bridge.kommo.slot import NotNow

redis_url, stand_in, token, *urls = sys.argv[1:]
client = KommoClient(Pacer(Redis.from_url(redis_url)), frozenset({stand_in}))

def call(url):
    while isinstance(slot := client.book("acme.kommo.com", url), NotNow):
        time.sleep(slot.seconds)
    with slot:
        client.continue_salesbot(slot, url, continuation("success", "Yes.", "json"), token)

threads = [threading.Thread(target=call, args=(url,)) for url in urls]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


class FarKommo(StandInKommo):
    """The first calls take long to arrive, as over new connections; the next ones do not."""

    def __init__(self) -> None:
        super().__init__()
        self._ways = itertools.chain([FAR_SECONDS] * SLOTS, itertools.repeat(0.0))

    def received(self, request: Request) -> None:
        """Arrive late."""
        self.pause(next(self._ways))
        super().received(request)


@pytest.fixture
def kommo() -> Iterator[StandInKommo]:
    with FarKommo() as server:
        yield server


def test_calls_that_leave_apart_and_arrive_together_are_never_too_many(
    redis: Redis, kommo: StandInKommo, account: Account
) -> None:
    client = KommoClient(Pacer(redis), frozenset({kommo.host}))

    def call() -> None:
        slot = client.book(HOST)
        while not isinstance(slot, Slot):
            threading.Event().wait(slot.seconds)
            slot = client.book(HOST)
        with slot:
            url = kommo.open_block(account).return_url
            client.continue_salesbot(slot, url, REPLY, account.access_token)

    threads = [threading.Thread(target=call) for _ in range(2 * SLOTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()

    assert len(kommo.continuations) == 2 * SLOTS
    assert kommo.busiest_second(account) <= SLOTS
    assert not kommo.refusals


def test_so_it_is_for_many_processes_on_loaded_cores(
    redis_server: RedisServer, redis: Redis, kommo: StandInKommo, account: Account
) -> None:
    urls = [kommo.open_block(account).return_url for _ in range(42)]
    root = Path(__file__).parents[2]
    burn = [sys.executable, "-c", "while True: pass"]
    loads = [subprocess.Popen(burn) for _ in range(os.cpu_count() or 1)]
    try:
        arguments = [sys.executable, "-c", CALLER]
        arguments += [redis_server.url, kommo.host, account.access_token]
        callers = [
            subprocess.Popen([*arguments, *urls[start::3]], cwd=root, env=os.environ)
            for start in range(3)
        ]
        assert [caller.wait(90) for caller in callers] == [0, 0, 0]
    finally:
        for load in loads:
            load.kill()
            load.wait()

    assert len(kommo.continuations) == len(urls)
    assert kommo.busiest_second(account) <= SLOTS
    assert not kommo.refusals

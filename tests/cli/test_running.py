"""The commands speak to the Redis of `make run` beside them, and say so when nobody uses it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import SECRET_KEY
from redis import Redis

from kommo_bridge import __version__
from kommo_bridge.app import create_app
from kommo_bridge.cli.running import RUNNING_FILE, command_environ
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.metrics import KEY as METRICS_KEY
from local.processes import ROOT

URL = "redis://127.0.0.1:48141/0"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    RUNNING_FILE.parent.mkdir()
    return tmp_path


def left(pid: object, url: object = URL) -> None:
    RUNNING_FILE.write_text(json.dumps({"pid": pid, "redis_url": url}))


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.usefixtures("folder")
def test_the_redis_of_a_live_make_run_is_taken() -> None:
    left(os.getpid())

    assert command_environ({"REDIS_URL": ""})["REDIS_URL"] == URL


@pytest.mark.usefixtures("folder")
def test_a_configured_redis_comes_first() -> None:
    left(os.getpid())

    assert command_environ({"REDIS_URL": "redis://own/0"})["REDIS_URL"] == "redis://own/0"


@pytest.mark.usefixtures("folder")
def test_what_an_ended_make_run_left_is_ignored() -> None:
    left(ended_process())

    assert command_environ({}) == {}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("text", ["", "{}", "[]", "no", '{"pid": "x", "redis_url": "y"}', "[" * 9])
def test_a_file_that_cannot_be_read_is_ignored(text: str) -> None:
    RUNNING_FILE.write_text(text)

    assert command_environ({}) == {}


def test_flask_speaks_to_it_and_says_so_when_asked(folder: Path) -> None:
    left(os.getpid())
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SECRET_KEY": SECRET_KEY}

    done = subprocess.run(
        [str(Path(sys.executable).parent / "flask"), "--app", str(ROOT / "wsgi.py"), "about"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )

    assert dict(line.split() for line in done.stdout.splitlines()) == {
        "version": __version__,
        "Redis": "127.0.0.1:48141/0",
        "store": str(folder / "instance" / "kommo_bridge.db"),
    }


COMMANDS = [
    ["conversations", "show", "acme", "--entity-id", "7"],
    ["conversations", "forget", "acme", "--entity-id", "7"],
    ["conversations", "pause", "acme", "--entity-id", "7"],
    ["conversations", "resume", "acme", "--entity-id", "7"],
    ["usage"],
    ["alerts", "list"],
]


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_redis_that_no_bridge_has_used_is_told(
    settings: Settings, redis: Redis, command: list[str]
) -> None:
    runner = create_app(replace(settings)).test_cli_runner()

    before = runner.invoke(args=command)
    redis.hset(METRICS_KEY, "x", 1)
    after = runner.invoke(args=command)

    place = settings.redis_url.removeprefix("redis://")
    assert f"no bridge has used this Redis yet: {place}" in before.stderr
    assert before.exit_code == 0
    assert after.stderr == ""


def test_the_doctor_begins_with_version_redis_and_store(
    settings: Settings, acme: Integration
) -> None:
    runner = create_app(settings).test_cli_runner()

    first = runner.invoke(args=["integrations", "check", acme.subdomain]).output.splitlines()[0]

    assert f"version {__version__}, Redis 127.0.0.1:" in first
    assert str(settings.database_path) in first

"""`make run`: web and worker for real use on one machine, which end together."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from helpers import wait_for

from local.processes import ROOT
from local.redis_server import RedisServer, free_port

COMMAND = [sys.executable, "-m", "local.run"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clean clone, as far as the command looks at it."""
    for name in (".env.example", "Procfile", "wsgi.py", "worker.py", "gunicorn.conf.py"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def environ(redis_server: RedisServer) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": redis_server.url,
        "PORT": str(free_port()),
    }


def first_run(folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_first_run_makes_an_env_file_and_asks_for_the_key(
    folder: Path, environ: dict[str, str]
) -> None:
    done = first_run(folder, environ)

    (line,) = [
        one for one in (folder / ".env").read_text().splitlines() if one.startswith("SECRET_KEY=")
    ]
    assert len(line.removeprefix("SECRET_KEY=")) == 64
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    assert done.returncode == 1
    assert "OPENAI_API_KEY is not set" in done.stdout


def test_an_env_file_is_never_made_anew(folder: Path, environ: dict[str, str]) -> None:
    (folder / ".env").write_text("SECRET_KEY=kept-and-of-thirty-two-characters\n")

    first_run(folder, environ)

    assert (folder / ".env").read_text() == "SECRET_KEY=kept-and-of-thirty-two-characters\n"


def test_a_wrong_setting_starts_nothing(folder: Path, environ: dict[str, str]) -> None:
    done = first_run(folder, environ | {"OPENAI_API_KEY": "sk-x", "RATE_LIMIT": "many"})

    assert done.returncode == 1
    assert "RATE_LIMIT" in done.stdout


@pytest.fixture
def running(folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            COMMAND,
            cwd=folder,
            env=environ | {"OPENAI_API_KEY": "sk-x"},
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(lambda: ready(environ) == 1)
            yield process
        finally:
            process.terminate()
            process.wait(60)


def ready(environ: dict[str, str]) -> int:
    """How many workers the web process knows of; -1 when there is none that answers."""
    try:
        answer = requests.get(f"http://127.0.0.1:{environ['PORT']}/readyz", timeout=20)
    except requests.RequestException:
        return -1
    return int(answer.json()["workers"])


@pytest.mark.parametrize("ended", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_web_and_worker_end_with_it(
    folder: Path,
    environ: dict[str, str],
    running: subprocess.Popen[bytes],
    ended: signal.Signals,
) -> None:
    running.send_signal(ended)
    running.wait(60)

    log = (folder / "log").read_text()
    assert "web.1" in log
    assert ready(environ) == -1
    assert processes_in(folder) == []


@pytest.mark.usefixtures("running")
def test_the_worker_knows_the_port_of_the_web_process(
    folder: Path, environ: dict[str, str]
) -> None:
    """Its doctor calls the web process there."""
    (worker,) = [one for one in processes_in(folder) if "worker.py" in arguments_of(one)]

    told = Path(f"/proc/{worker}/environ").read_text().split("\0")
    assert f"PORT={environ['PORT']}" in told


def arguments_of(process: int) -> list[str]:
    return Path(f"/proc/{process}/cmdline").read_text().split("\0")


def processes_in(folder: Path) -> list[int]:
    """Who works in this folder still."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.resolve() == folder.resolve():
                found.append(int(link.parent.name))
        except OSError:  # it has just ended
            continue
    return found


def test_its_own_redis_is_left_for_the_commands_until_it_ends(
    folder: Path, environ: dict[str, str]
) -> None:
    left = folder / "instance" / "running.json"
    own = {key: value for key, value in environ.items() if key != "REDIS_URL"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            COMMAND,
            cwd=folder,
            env=own | {"OPENAI_API_KEY": "sk-x"},
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(lambda: left.exists() or process.poll() is not None)
            told = json.loads(left.read_text())
            mode = left.stat().st_mode
        finally:
            process.terminate()
            process.wait(60)

    assert told["pid"] == process.pid
    assert f"Redis on {told['redis_url']}" in (folder / "log").read_text()
    assert mode & 0o077 == 0
    assert not left.exists()

"""What docs/deploy.md says, tried as far as one machine can."""

import configparser
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from helpers import at_most, wait_for
from redis import Redis

from kommo_bridge.app import create_app
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.processes import ROOT, process_environ, procfile_command
from local.redis_server import find_redis_server, free_port

UNITS = sorted((ROOT / "deploy").glob("*.service"))
INSTALLED = "/opt/kommo_bridge/"
CODE = ("kommo_bridge", "wsgi.py", "worker.py", "gunicorn.conf.py", "Procfile", "widgets")


@pytest.fixture
def exported(acme: Integration) -> str:
    """What `KOMMO_INTEGRATIONS` holds."""
    return (
        f'[{{"subdomain": "acme", "integration_id": "{acme.integration_id}", '
        f'"account_id": {acme.account_id}, "secret_key": "{acme.secret_key}", '
        f'"access_token": "{acme.access_token}", "burst_seconds": 0}}]'
    )


def test_the_procfiles_processes_need_no_file_in_common(
    settings: Settings, exported: str, account: Account, kommo: StandInKommo, tmp_path: Path
) -> None:
    """As on a host like Heroku: each process has its own copy of the code and its own disk."""
    processes = []
    environ = process_environ(settings) | {
        "KOMMO_INTEGRATIONS": exported,
        "DATABASE_PATH": "instance/kommo_bridge.db",
    }
    url = f"http://127.0.0.1:{environ['PORT']}"
    for name in ("release", "web", "worker"):
        home = tmp_path / name
        home.mkdir()
        for part in CODE:
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, home / part)
        command = procfile_command(name) if name != "release" else _release_command()
        with (tmp_path / f"{name}.log").open("wb") as log:
            own = environ | {"HOME": str(home)}
            one = subprocess.Popen(command, cwd=home, env=own, stdout=log, stderr=log)
        if name == "release":
            assert one.wait(120) == 0, (tmp_path / "release.log").read_text()
        else:
            processes.append(one)
    try:
        wait_for(lambda: _workers(url) == 1)
        sent = kommo.send_widget_request(url, account, "Do you deliver?", entity_id=7)
        assert sent.status == 200
        assert kommo.wait_for(sent, 60)["data"]["status"] == "success"
    finally:
        for one in processes:
            one.terminate()
        with at_most(30):
            assert [one.wait(120) for one in processes] == [0, 0]
    stores = [path.parent.parent.name for path in tmp_path.glob("*/instance/kommo_bridge.db")]
    assert sorted(stores) == ["release", "web", "worker"]


def _release_command() -> list[str]:
    line = re.search(r'^release: python -c "(.+)"$', (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert line
    return [sys.executable, "-c", line[1]]


def _workers(url: str) -> int:
    try:
        return int(requests.get(f"{url}/readyz", timeout=2).json()["workers"])
    except (requests.RequestException, ValueError):
        return 0


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_what_there_is(path: Path) -> None:
    unit = _unit(path)
    program, *arguments = unit["Service"]["ExecStart"].split()

    assert unit["Service"]["WorkingDirectory"] == INSTALLED.rstrip("/")
    installed = program.removeprefix(f"{INSTALLED}.venv/bin/")
    assert Path(sys.executable).with_name(installed).exists()
    assert [installed, *arguments] in [_short("web"), _short("worker")]
    assert unit["Service"]["Restart"] == "always"


def _short(name: str) -> list[str]:
    program, *arguments = procfile_command(name)
    return [Path(program).name, *arguments]


def _unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


def test_a_worker_may_take_its_grace_before_systemd_kills_it() -> None:
    unit = _unit(ROOT / "deploy/kommo-bridge-worker@.service")

    stop_seconds = float(unit["Service"]["TimeoutStopSec"])

    assert stop_seconds > Settings(secret_key="x" * 64).worker_grace_seconds


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    """With the paths of this machine; where there is no systemd, their shape is all we can see."""
    analyze = shutil.which("systemd-analyze")
    for source in (ROOT / "deploy").glob("kommo-bridge-*"):
        text = source.read_text().replace(f"{INSTALLED}.venv/bin", str(Path(sys.executable).parent))
        text = text.replace("/opt/kommo_bridge", str(ROOT)).replace("User=kommo\n", "")
        (tmp_path / source.name).write_text(text)
        assert text.count("[Unit]") == text.count("[Install]") == 1
    if analyze:
        units = [str(path).replace("@.", "@1.") for path in sorted(tmp_path.iterdir())]
        done = subprocess.run(
            [analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False
        )
        ours = [line for line in done.stderr.splitlines() if "kommo-bridge" in line]
        assert ours == []


@pytest.mark.parametrize("name", ["Caddyfile", "nginx.conf"])
def test_the_proxies_lead_to_the_socket_and_name_each_request(name: str) -> None:
    text = (ROOT / "deploy" / name).read_text()
    socket = _unit(ROOT / "deploy/kommo-bridge-web.socket")["Socket"]["ListenStream"]

    assert socket in text
    assert "X-Request-ID" in text


def test_redis_starts_with_our_lines_and_keeps_what_it_took(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "redis.conf").write_text((ROOT / "deploy/redis.conf").read_text())
    command = [str(find_redis_server()), str(tmp_path / "redis.conf"), "--port", str(port)]
    password = "change-me-and-put-it-into-REDIS_URL"
    with Redis(port=port, password=password) as redis:
        for _ in range(2):
            server = subprocess.Popen([*command, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL)
            try:
                wait_for(lambda: _answers(redis))
                redis.set("kept", redis.get("kept") or b"yes")
                kept = {**redis.config_get("maxmemory-policy"), **redis.config_get("save")}
            finally:
                server.terminate()
                server.wait(20)

    assert kept == {"maxmemory-policy": "noeviction", "save": ""}
    assert b"kept" in b"".join(path.read_bytes() for path in tmp_path.rglob("*.aof"))


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except Exception:
        return False


def test_a_backup_is_whole_while_others_write(
    settings: Settings, store: IntegrationStore, acme: Integration, tmp_path: Path
) -> None:
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.wait(0.002):  # SQLite's lock is not fair: without it nobody else may come
            number += 1
            store.save(replace(acme, name=f"name {number}"))

    writer = threading.Thread(target=write)
    writer.start()
    runner = create_app(settings).test_cli_runner()
    try:
        done = [
            runner.invoke(args=["integrations", "backup", str(tmp_path / f"copy{number}.db")])
            for number in range(5)
        ]
    finally:
        over.set()
        writer.join()

    assert [one.exit_code for one in done] == [0] * 5, done[0].output
    restored = IntegrationStore(tmp_path / "copy4.db", settings.secret_key)
    restored.migrate()
    assert restored.all()[0].access_token == acme.access_token
    assert (tmp_path / "copy4.db").stat().st_mode & 0o077 == 0
    with sqlite3.connect(tmp_path / "copy0.db") as copy:
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_backup_overwrites_nothing(
    settings: Settings, store: IntegrationStore, tmp_path: Path
) -> None:
    assert not store.all()
    (tmp_path / "copy.db").write_text("precious")
    runner = create_app(settings).test_cli_runner()

    done = runner.invoke(args=["integrations", "backup", str(tmp_path / "copy.db")])
    nowhere = runner.invoke(args=["integrations", "backup", str(tmp_path / "no/folder.db")])

    assert (done.exit_code, nowhere.exit_code) == (1, 1)
    assert "exists already" in done.output
    assert (tmp_path / "copy.db").read_text() == "precious"

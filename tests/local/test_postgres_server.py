"""A real PostgreSQL server of our own: found, started, and never left behind."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from helpers import wait_for

from local.postgres_server import find_postgres
from local.processes import ROOT

SCRIPT = """
import sys, time
from local.postgres_server import PostgresServer
server = PostgresServer().start()
print(server.process_id, server.data_directory.parent, flush=True)
time.sleep(600)
"""


def test_a_server_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "postgres").write_text("#!/bin/sh\n")
    (tmp_path / "postgres").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_postgres() == tmp_path.resolve()


def test_nothing_is_left_behind_when_its_owner_is_killed() -> None:
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        process_id, folder = owner.stdout.readline().split()
        assert lives(int(process_id))
        owner.send_signal(signal.SIGKILL)

    wait_for(lambda: not lives(int(process_id)) and not Path(folder).exists())


def lives(process_id: int) -> bool:
    """Not so once it has ended, even if nobody has asked how."""
    try:
        return bool(psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False

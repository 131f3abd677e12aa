"""`make demo`: what a newcomer sees first, in an empty environment."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from helpers import wait_for

from local.processes import ROOT

COMMAND = [sys.executable, "-m", "local.demo"]
ENVIRON = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}


def test_it_shows_what_is_promised_and_ends_by_itself() -> None:
    done = subprocess.run(
        COMMAND, cwd=ROOT, env=ENVIRON, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    exits = re.findall(r"exit (\w+); acknowledged (\d+)", done.stdout)
    assert {name for name, _ in exits} == {"success", "skip", "handoff", "fail"}
    assert {status for _, status in exits} == {"200"}
    assert "Bouquet of 21 roses | 45 euro" in done.stdout
    assert "lead      The assistant has handed over: it does not know the answer." in done.stdout
    assert "The business is closed now: a colleague can answer only when" in done.stdout
    assert "gap       Do you repair bicycles? (flask gaps flora)" in done.stdout
    second = done.stdout.partition("whose second one steps in:")[2].partition("Another")[0]
    assert "exit success" in second
    assert done.stdout.endswith("All went well.\n")
    assert done.stderr == ""


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("wb") as stream:
        process = subprocess.Popen(COMMAND, cwd=ROOT, env=ENVIRON, stdout=stream, stderr=stream)
    wait_for(lambda: "The bridge:" in out.read_text() or process.poll() is not None)
    (url,) = re.findall(r"The bridge: .*(http://\S+)", out.read_text())
    assert requests.get(f"{url}/healthz", timeout=30).status_code == 200

    process.send_signal(signal.SIGTERM)

    assert process.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/healthz", timeout=30)

"""The Procfile's processes, started on this machine for the demo, the tests and the benchmarks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

from kommo_bridge.settings import Settings
from local.redis_server import free_port

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 90.0
STOP_SECONDS = 40.0


def end_tidily() -> None:
    """Let SIGTERM and a closed terminal end this process as Ctrl-C does: with all it started.

    What is ignored, as `nohup` has it, stays ignored.
    """
    for ended in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ended) is not signal.SIG_IGN:
            signal.signal(ended, lambda number, _frame: sys.exit(128 + number))


def process_environ(settings: Settings) -> dict[str, str]:
    """The environment that leads processes to the same settings, on a port of their own."""
    return {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": settings.secret_key,
        "REDIS_URL": settings.redis_url,
        "DATABASE_PATH": str(settings.database_path),
        "DATABASE_URL": settings.database_url or "",
        "OPENAI_API_KEY": settings.openai_api_key or "",
        "OPENAI_BASE_URL": settings.openai_base_url or "",
        "KOMMO_EXTRA_HOSTS": ",".join(settings.kommo_extra_hosts),
        "REPLY_DEADLINE_SECONDS": str(settings.reply_deadline_seconds),
        "CONTINUE_DEADLINE_SECONDS": str(settings.continue_deadline_seconds),
        "WORKER_CONCURRENCY": str(settings.worker_concurrency),
        "WORKER_GRACE_SECONDS": str(settings.worker_grace_seconds),
        "PORT": str(free_port()),
    }


@contextmanager
def run_bridge(
    environ: Mapping[str, str], log_path: Path, names: Sequence[str] = ("web", "worker")
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run processes of the Procfile until the block ends; what they print goes to `log_path`.

    Yields:
        The processes by name, once `/readyz` knows of a worker.

    Raises:
        RuntimeError: They did not start; the message holds their log.
    """
    with log_path.open("ab") as log:
        processes = {
            name: subprocess.Popen(
                procfile_command(name), env=dict(environ), cwd=ROOT, stdout=log, stderr=log
            )
            for name in names
        }
        try:
            if set(names) == {"web", "worker"}:
                _wait_until_ready(f"http://127.0.0.1:{environ['PORT']}", processes, log_path)
            yield processes
        finally:
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                process.wait(STOP_SECONDS)


def procfile_command(name: str) -> list[str]:
    """The command of one line of the Procfile, with the programs of this Python."""
    for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}: "):
            program, *arguments = line.partition(": ")[2].split()
            return [str(Path(sys.executable).parent / program), *arguments]
    raise ValueError(f"the Procfile has no process {name!r}")


def _wait_until_ready(
    url: str, processes: Mapping[str, subprocess.Popen[bytes]], log_path: Path
) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at and all(one.poll() is None for one in processes.values()):
        try:
            if requests.get(f"{url}/readyz", timeout=2).json().get("workers"):
                return
        except (requests.RequestException, ValueError):
            pass
        time.sleep(0.1)
    raise RuntimeError(f"The bridge did not start:\n{log_path.read_text(errors='replace')}")

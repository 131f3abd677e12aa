"""An upgrade under load: nothing accepted is lost, and no connection refused.

    python bench/upgrade.py [--seconds 60]

As `docs/deploy.md` does it: two web processes on one inherited socket (systemd's part is played
here), two workers, steady requests. Each process gets SIGTERM and is started anew, one after the
other; then one gunicorn gets HUP. Exit status 1 when anything was lost, doubled or refused.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

from report import Figure, table
from stage import Stage, stage, wait_for_web

from local.partners.kommo.widget_requests import WidgetRequestSent
from local.processes import ROOT, procfile_command

PART = "upgrade"
RATE = 20
PATIENCE_SECONDS = 60
WEBS = ("web-1", "web-2")
WORKERS = ("worker-1", "worker-2")
# systemd hands a socket on as file 3, and says to which process.
LISTEN = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[1], sys.argv[1:])
"""


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    figures = measure(parser.parse_args().seconds)
    print(table(figures))
    return 1 if any(one.met is False for one in figures) else 0


def measure(seconds: float = 60, *, reload: bool = True) -> list[Figure]:
    """All figures of this part; the reload of one gunicorn may be left out."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, stage(8) as it:
        it.ai.delay_seconds = 1.0
        it.environ["PORT"] = str(listener.getsockname()[1])
        for name in WEBS:
            _start_web(it, name, listener)
        for name in WORKERS:
            it.start(name, "worker")
        wait_for_web(it.url, workers=2)
        sent: list[WidgetRequestSent] = []
        over = threading.Event()
        load = threading.Thread(target=_load, args=(it, sent, over))
        load.start()
        _upgrade(it, listener, seconds / 6, reload=reload)
        over.set()
        load.join()
        return _figures(it, sent)


def _start_web(it: Stage, name: str, listener: socket.socket) -> None:
    os.set_inheritable(listener.fileno(), True)
    environ = it.environ | {"LISTEN_FDS": "1", "WEB_CONCURRENCY": "1"}
    del environ["PORT"]
    with (it.folder / f"{name}.log").open("ab") as log:
        it.processes[name] = subprocess.Popen(
            [sys.executable, "-c", LISTEN, *procfile_command("web")],
            env=environ,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.dup2(listener.fileno(), 3),  # noqa: PLW1509  as systemd does
            close_fds=False,
        )


def _upgrade(it: Stage, listener: socket.socket, pause: float, *, reload: bool) -> None:
    for name in (*WORKERS, *WEBS):
        time.sleep(pause)
        stopped = time.monotonic()
        it.processes[name].send_signal(signal.SIGTERM)
        it.processes[name].wait(40)
        print(f"  {name} stopped within {time.monotonic() - stopped:.1f} s", flush=True)
        if name in WEBS:
            _start_web(it, name, listener)
        else:
            it.start(name, "worker")
    time.sleep(pause)
    if reload:
        it.processes[WEBS[0]].send_signal(signal.SIGHUP)
        print("  web-1 reloads", flush=True)
        time.sleep(pause)


def _load(it: Stage, sent: list[WidgetRequestSent], over: threading.Event) -> None:
    with ThreadPoolExecutor(32) as pool:
        number = 0
        while not over.wait(1 / RATE):
            number += 1
            pool.submit(_send, it, sent, number)


def _send(it: Stage, sent: list[WidgetRequestSent], number: int) -> None:
    account = it.accounts[number % len(it.accounts)]
    sent.append(it.kommo.send_widget_request(it.url, account, f"word {number}", entity_id=number))


def _figures(it: Stage, sent: list[WidgetRequestSent]) -> list[Figure]:
    accepted = [one for one in sent if one.status == HTTPStatus.OK]
    paths = {one.block.path for one in accepted}
    times = _continued(it, paths)
    failed = sum(one.body["data"]["status"] != "success" for one in it.kommo.continuations)
    longest = max(one.milliseconds for one in accepted)
    faults = {
        "not accepted within 2 s": len(sent) - len(accepted),
        "lost": len(paths - times.keys()),
        "doubled": sum(count - 1 for count in times.values()),
        "answered with a failure": failed,
    }
    return [
        Figure(PART, "requests sent", len(sent), ""),
        *(Figure(PART, name, count, "", goal="0", met=not count) for name, count in faults.items()),
        Figure(PART, "longest acknowledgement", longest, "ms"),
    ]


def _continued(it: Stage, paths: set[str]) -> Counter[str]:
    """How often each Salesbot was continued, once all were or patience has ended."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        times = Counter(one.block.path for one in it.kommo.continuations)
        if paths <= times.keys() or time.monotonic() > ends_at:
            return times
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())

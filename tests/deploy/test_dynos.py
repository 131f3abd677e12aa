"""A host like Heroku: processes without a disk in common, and one PostgreSQL."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from helpers import wait_for

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings
from local.partners.kommo.account import Account, sign_bot_token
from local.partners.kommo.server import StandInKommo
from local.postgres_server import QUOTED, PostgresServer, find_postgres
from local.processes import ROOT, process_environ, procfile_command

CODE = ("kommo_bridge", "wsgi.py", "worker.py", "gunicorn.conf.py", "Procfile", "widgets")
SENTENCE = "Please write your question down."


class Dynos:
    """Each process has its own copy of the code and its own disk, which goes with it."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self._made = 0
        self.url = f"http://127.0.0.1:{environ['PORT']}"

    def run(self, *command: str) -> str:
        """A one-off dyno; returns what it prints."""
        home = self._home()
        program = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
        done = subprocess.run(
            program, cwd=home, env=self._env(home), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self) -> Iterator[None]:
        """Web and worker."""
        processes = []
        for name in ("web", "worker"):
            home = self._home()
            with (self._folder / "log").open("ab") as log:
                processes.append(
                    subprocess.Popen(
                        procfile_command(name),
                        cwd=home,
                        env=self._env(home),
                        stdout=log,
                        stderr=log,
                    )
                )
        try:
            wait_for(lambda: self._workers() == 1)
            yield
        finally:
            for one in processes:
                one.terminate()
            assert [one.wait(30) for one in processes] == [0, 0]

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def _home(self) -> Path:
        self._made += 1
        home = self._folder / f"dyno{self._made}"
        home.mkdir()
        for part in CODE:
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, home / part)
        return home

    def _env(self, home: Path) -> dict[str, str]:
        return {**self._environ, "HOME": str(home)}

    def _workers(self) -> int:
        try:
            return int(requests.get(f"{self.url}/readyz", timeout=2).json()["workers"])
        except (requests.RequestException, ValueError):
            return 0


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> str:
    return postgres_server.new_schema()


@pytest.fixture
def dynos(settings: Settings, acme: Integration, tmp_path: Path) -> Dynos:
    (tmp_path / "dynos").mkdir()
    return Dynos(tmp_path / "dynos", process_environ(settings) | {"DATABASE_PATH": ""})


def test_a_change_by_a_one_off_command_reaches_all_and_a_restart_loses_nothing(
    dynos: Dynos, account: Account, kommo: StandInKommo, tmp_path: Path
) -> None:
    renewed = replace(account, secret_key="n" * 64)
    leads = iter(range(100, 10_000))

    def told_without_text() -> object:
        """What the worker says when the web accepts the new secret key; else the web's status."""
        entity_id = next(leads)
        token = sign_bot_token(renewed, entity_id=entity_id)
        sent = kommo.send_widget_request(
            dynos.url, account, "{{message_text}}", entity_id=entity_id, token=token
        )
        return sent.status if sent.status != 200 else kommo.wait_for(sent, 20)["data"]["reply"]

    with dynos.running():
        sent = kommo.send_widget_request(dynos.url, account, "Do you deliver?", entity_id=7)
        assert kommo.wait_for(sent, 20)["data"]["status"] == "success"
        assert told_without_text() == 401

        change = (f"secret_key={renewed.secret_key}", f"no_text_text={SENTENCE}")
        dynos.run("flask", "integrations", "set", "acme", *change)
        wait_for(lambda: told_without_text() == SENTENCE)

    with dynos.running():
        assert told_without_text() == SENTENCE

    assert list((tmp_path / "dynos").rglob("*.db")) == []
    assert QUOTED not in dynos.log()


def test_a_dump_is_restored_under_a_running_store(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """With PostgreSQL's own tools, as docs/deploy.md prints them."""
    url, programs = postgres_server.new_database(), find_postgres()
    store = IntegrationStore(url, "k" * 64)
    store.migrate()
    acme = Integration("0b01", "acme", secret_key="s" * 64, access_token="t" * 64)
    store.add(acme)
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    dump, restore = (
        shlex.split(line.replace("$DATABASE_URL", url).replace("bridge.dump", str(tmp_path / "d")))
        for line in page.splitlines()
        if line.startswith(("pg_dump ", "pg_restore "))
    )

    subprocess.run([programs / dump[0], *dump[1:]], check=True)
    store.save(replace(acme, access_token="lost"))
    store.add(replace(acme, subdomain="after-the-backup"))
    assert store.find("0b01", 1, "after-the-backup")
    subprocess.run([programs / restore[0], *restore[1:]], check=True)

    wait_for(lambda: store.find("0b01", 1, "after-the-backup") is None)
    assert store.all() == [acme]
    store.close()

"""The stage of the benchmarks: a Redis of its own, partners, accounts, the Procfile's processes."""

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import RateLimit, Settings
from local.partners.ai import StandInAI
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.processes import ROOT, process_environ, procfile_command
from local.redis_server import RedisServer

# What is measured is the bridge, not its listening for more of a customer's messages.
MOST = 100_000_000
NO_BURSTS = {"burst_seconds": 0, "replies_per_hour": 0}


@dataclass
class Stage:
    """Everything around the bridge, and its processes by name."""

    folder: Path
    redis_server: RedisServer
    kommo: StandInKommo
    ai: StandInAI
    settings: Settings
    accounts: list[Account]
    environ: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the web process listens."""
        return f"http://127.0.0.1:{self.environ['PORT']}"

    def start(self, name: str, role: str) -> None:
        """Start (again) one process of the Procfile's role."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                procfile_command(role), env=self.environ, cwd=ROOT, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self) -> None:
        """SIGTERM to all."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(40)


@contextmanager
def stage(
    accounts: int, integration: Mapping[str, Any] = NO_BURSTS, **changes: object
) -> Iterator[Stage]:
    """Set the stage; nothing of the bridge runs yet.

    Args:
        accounts: How many.
        integration: Fields of all their integrations.
        changes: Settings.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="kommo_bridge-bench-")))
        server = stack.enter_context(RedisServer(folder / "redis"))
        kommo = stack.enter_context(StandInKommo())
        ai = stack.enter_context(StandInAI())
        values: dict[str, object] = {
            "secret_key": secrets.token_hex(32),
            "redis_url": server.url,
            "database_path": folder / "bridge.db",
            "openai_api_key": "sk-stand-in",
            "openai_base_url": ai.base_url,
            "kommo_extra_hosts": frozenset({kommo.host}),
            "rate_limit": RateLimit(MOST, 60),
        }
        settings = Settings(**{**values, **changes})  # type: ignore[arg-type]
        known = _accounts(settings, kommo, accounts, integration)
        environ = process_environ(settings) | {"RATE_LIMIT": f"{MOST}/minute"}
        one = Stage(folder, server, kommo, ai, settings, known, environ)
        stack.callback(one.stop)
        yield one


def wait_for_web(url: str, workers: int = 0) -> None:
    """Until somebody answers there, and so many workers are alive."""
    for _ in range(600):
        try:
            answer = requests.get(f"{url}/readyz" if workers else url, timeout=2)
            if not workers or answer.json().get("workers", 0) >= workers:
                return
        except (requests.RequestException, ValueError):
            pass
        time.sleep(0.05)
    raise SystemExit(f"nobody answers at {url}")


def _accounts(
    settings: Settings, kommo: StandInKommo, count: int, fields: Mapping[str, Any]
) -> list[Account]:
    store = IntegrationStore(settings.database_path, settings.secret_key)
    store.migrate()
    accounts = []
    for number in range(1, count + 1):
        integration_id = f"0b01c2d3-0000-4000-8000-{number:012d}"
        keys = secrets.token_hex(32), secrets.token_hex(32)
        account = kommo.add_account(f"account{number}", number, integration_id, *keys)
        store.add(
            Integration(
                integration_id=account.integration_id,
                subdomain=account.subdomain,
                account_id=account.account_id,
                secret_key=account.secret_key,
                access_token=account.access_token,
                replies_per_day=0,  # a run asks more than a day's customers
                **fields,
            )
        )
        accounts.append(account)
    return accounts

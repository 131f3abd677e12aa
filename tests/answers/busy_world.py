"""Businesses on the real Redis whose customers, partners and operators do what a seed says."""

import random
import secrets
import time
from collections.abc import Callable
from typing import Any

from mortal_workers import MortalWorkers
from redis import Redis

from kommo_bridge.answers.record import OPEN_KEY
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.errors import QueueUnavailable
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.enqueue import JobQueue
from kommo_bridge.settings import Settings
from local.echo import Echo
from local.lateness import Lateness
from local.partners.ai import StandInAI
from local.partners.http.exchange import Request
from local.partners.http.faults import Status
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.partners.kommo.widget_requests import WaitingBlock
from local.promises import Pause, Text
from local.redis_server import RedisServer

BURST_SECONDS = 0.2
LEADS = 6

# Accounts: nothing happens to Kommo in the first ones, anything in the troubled ones.
TROUBLED = ("dune", "elm")
REFUSED = "fig"
RENEWED = "gale"
NAMES = ("acme", "bloom", "cedar", *TROUBLED, REFUSED, RENEWED)


class BusyWorld:
    """Everything that happens in one run.

    Args:
        seed: Decides what happens, though not when threads run.
        settings: Lead to the partners below and to `redis_server`.
    """

    def __init__(
        self,
        seed: int,
        settings: Settings,
        redis_server: RedisServer,
        kommo: StandInKommo,
        ai: StandInAI,
        late: Lateness,
    ) -> None:
        self.seed, self.dice = seed, random.Random(seed)
        self.settings, self.redis_server, self.kommo, self.ai = settings, redis_server, kommo, ai
        self.late, self.echo = late, Echo()
        ai.reply = self.echo
        self.store = IntegrationStore(settings.database_path, settings.secret_key)
        self.store.migrate()
        self.redis = Redis.from_url(settings.redis_url)
        self.queue = JobQueue(self.redis, settings)
        self.memory = Conversations(self.redis)
        self.workers = MortalWorkers(settings, 12)
        self.accounts = [self._account(name, number) for number, name in enumerate(NAMES, 1)]
        self.by_path: dict[str, str] = {}
        self.requests: dict[str, WidgetRequest] = {}
        self.texts: list[Text] = []
        self.blocks: dict[str, WaitingBlock] = {}
        self.pauses: list[Pause] = []
        self.resumes: list[tuple[tuple[str, int], float]] = []
        self.limited: list[tuple[str, str, float, float]] = []
        self.refused: set[str] = set()
        self.expired: set[str] = set()
        self.died: set[str] = set()
        self.redis_away_at: list[float] = []
        self.story: list[str] = []

    def settle(self, seconds: float) -> list[str]:
        """All partners are well again; returns the Salesbots that are open after all."""
        self.ai.faults.clear()
        self.kommo.faults.clear()
        if self.refused:
            self.refuse_for_ever()
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            if not self.redis.zcard(OPEN_KEY) and self.workers.idle:
                break
            time.sleep(0.05)
        found: list[Any] = self.redis.zrange(OPEN_KEY, 0, -1)
        return [one.decode() for one in found]

    # Help

    def send(
        self,
        account: Account,
        lead: int,
        person: str = "",
        *,
        own: bool = True,
        voice: bool = False,
        more: str = "",
    ) -> None:
        """What the web edge would queue."""
        name = f"word-{len(self.requests)}-word"
        block = self.kommo.open_block(account, delivery="json" if own else None)
        request = WidgetRequest(
            integration_id=account.integration_id,
            account_id=account.account_id,
            subdomain=account.subdomain,
            entity_type="2",
            entity_id=lead,
            return_url=block.return_url,
            message="" if voice else f"I say {name}{more}",
            delivery="json" if own else None,
            chat_id=person,
            expires_at=time.time() + 600,
            accepted_at=time.time(),
        )
        self.by_path[block.path], self.requests[block.path] = account.subdomain, request
        at = time.monotonic()
        try:
            assert self.queue.enqueue(request)
        except QueueUnavailable:
            return
        text = Text(name, (account.subdomain, lead), person, at, block.path, voice=voice)
        self.tell(f"{text.entity} {person} writes {name} at {block.path}")
        self.texts.append(text)
        self.blocks[block.path] = block
        self.workers.put(request)

    def _account(self, name: str, number: int) -> Account:
        integration_id = f"0b01c2d3-0000-4000-8000-{number:012d}"
        secret, token = secrets.token_hex(32), secrets.token_hex(32)
        account = self.kommo.add_account(name, number, integration_id, secret, token)
        self.store.add(
            Integration(
                integration_id=integration_id,
                subdomain=name,
                account_id=number,
                secret_key=secret,
                access_token=token,
                burst_seconds=BURST_SECONDS,
                replies_per_hour=0,
            )
        )
        return account

    def refuse_for_ever(self) -> None:
        """One account answers 403 from now on."""
        self.refused.add(REFUSED)
        self.kommo.faults.order(Status(403), None, lambda one: self.is_of(one, REFUSED))

    def is_of(self, request: Request, name: str) -> bool:
        return self.by_path.get(request.path) == name

    def name_of(self, account: Account, lead: int) -> str:
        return f"{account.integration_id}:{account.subdomain}:2:{lead}"

    def tell(self, what: str) -> None:
        self.story.append(f"{time.monotonic():.3f} {what}")


Happening = Callable[[BusyWorld], None]

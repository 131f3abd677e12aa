"""What happens to the bridge of a soak: partners fail, processes are killed, humans take over."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from redis import Redis
from redis.exceptions import RedisError
from soak_checks import Tally
from stage import Stage

from kommo_bridge.conversations.keys import ENTITY_TYPES
from kommo_bridge.conversations.memory import Conversations
from local.partners.ai import openai_error
from local.partners.http.exchange import Request
from local.partners.http.faults import Drip, Fault, Hang, Reset, ResetAfter, Slow, Status
from local.partners.kommo.account import Account
from local.promises import Pause

LIMITED_SECONDS = 2
HANG_SECONDS = 12.0
# In each minute: kills in its first part, so that in the rest all is well.
KILLS = (("worker", 2, 8), ("worker", 9, 15), ("redis", 16, 19), ("web", 20, 22))

KOMMO_FAULTS: tuple[Fault, ...] = (
    Status(500), Status(503), Status(409), Slow(1.5), Drip(0.05), Reset(), ResetAfter(),
    ResetAfter(),
)  # fmt: skip
AI_FAULTS: tuple[Fault, ...] = (
    Status(500), openai_error(429), Slow(3), Reset(), openai_error(401, "invalid_api_key"),
)  # fmt: skip


@dataclass
class Chaos:
    """One fault every second or so, until `over`.

    Attributes:
        troubled: Accounts whose Kommo fails in many ways.
        hanging: One whose Kommo never answers, now and then.
        forbidden: One whose token has too few rights, now and then.
        leads: How many leads each account has.
    """

    it: Stage
    tally: Tally
    dice: random.Random
    troubled: list[Account]
    hanging: Account
    forbidden: Account
    leads: int
    over: threading.Event

    def run(self) -> None:
        """Until it is over."""
        self.redis = Redis.from_url(self.it.settings.redis_url)
        self.memory = Conversations(self.redis)
        kills = self._kills(time.monotonic())
        kill_at, what = next(kills)
        while not self.over.wait(self.dice.uniform(0.3, 1.0)):
            self._trouble_partners()
            self._somebody_goes()
            for _ in range(2):
                self._human_comes_or_leaves()
            if time.monotonic() > kill_at:
                self._kill(what)
                kill_at, what = next(kills)

    def _trouble_partners(self) -> None:
        kommo, dice = self.it.kommo.faults, self.dice
        self.tally.faults += 3
        account = dice.choice(self.troubled)
        kommo.order(dice.choice(KOMMO_FAULTS), dice.randint(1, 3), _of(account))
        self.it.ai.faults.order(dice.choice(AI_FAULTS), dice.randint(1, 2))
        self.it.ai.delay_seconds = dice.uniform(0, 0.8)
        rare = dice.random()
        if rare < 0.2:
            headers = {"Retry-After": str(LIMITED_SECONDS)}
            kommo.order(Status(429, headers=headers), when=self._limits(dice.choice(self.troubled)))
        elif rare < 0.35:
            kommo.order(Hang(HANG_SECONDS), dice.randint(1, 4), _of(self.hanging))
        elif rare < 0.45:
            kommo.order(Status(403), 1, _of(self.forbidden))

    def _limits(self, account: Account) -> Callable[[Request], bool]:
        def met(request: Request) -> bool:
            if request.bearer != account.access_token:
                return False
            now = time.monotonic()  # the answer has to arrive first
            self.tally.limited.append((account.subdomain, now + 0.5, now + LIMITED_SECONDS))
            return True

        return met

    def _somebody_goes(self) -> None:
        """A Salesbot of a troubled account waits no longer."""
        names = {one.subdomain for one in self.troubled}
        texts = [one for one in self.tally.texts[-20:] if one.entity[0] in names]
        if texts and self.dice.random() < 0.5:
            path = self.dice.choice(texts).path
            self.tally.expired.add(path)
            self.it.kommo.expire(self.tally.sent[path])

    def _human_comes_or_leaves(self) -> None:
        account, lead = self.dice.choice(self.troubled), self.dice.randint(1, self.leads)
        entity, tally = (account.subdomain, lead), self.tally
        name = f"{account.integration_id}:{account.subdomain}:{ENTITY_TYPES['lead']}:{lead}"
        paused = any(one.entity == entity and one.end > time.monotonic() for one in tally.pauses)
        with suppress(RedisError):
            if not paused and self.dice.random() < 0.5:
                self.memory.pause(name, 1, "paused by an operator")
                tally.pauses.append(Pause(entity, time.monotonic()))
                return
            now = time.monotonic()
            self.memory.resume(name)
            tally.resumes.append((entity, now))
            tally.pauses = [
                replace(one, end=min(one.end, now)) if one.entity == entity else one
                for one in tally.pauses
            ]

    def _kills(self, start: float) -> Iterator[tuple[float, str]]:
        while True:
            for what, earliest, latest in KILLS:
                yield start + self.dice.uniform(earliest, latest), what
            start += 60

    def _kill(self, what: str) -> None:
        """SIGKILL, and there again at once, or Redis a little later."""
        self.tally.kills.setdefault(what, []).append(time.monotonic())
        if what == "redis":
            self.it.redis_server.kill()
            time.sleep(self.dice.uniform(0.2, 2))
            self.it.redis_server.start()
            return
        name = self.dice.choice(("worker-1", "worker-2")) if what == "worker" else "web"
        self.it.kill(name)
        self.it.start(name, what)


def _of(account: Account) -> Callable[[Request], bool]:
    return lambda request: request.bearer == account.access_token

"""One world put together: the real steps between customers, partners and workers."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from kommo_bridge.conversations.keys import conversation_name
from kommo_bridge.errors import IntegrationError

from .ai import AI, Gaps
from .heart import Heart
from .invariants import Invariants
from .kommo import Bot, Kommo
from .pace import Client
from .parts import Memory, Request, Silent, Usage, integration
from .scenario import Customer, Deed, Message, Scenario
from .state import Store
from .workers import Job, Office
from .world import START, World

AFTER_THE_LAST = 300.0


class Bridge:
    """Everything of one world."""

    def __init__(self, scenario: Scenario, heart: Heart, *, telling: bool = False) -> None:
        self.scenario = scenario
        self.heart = heart
        self.world = world = World(scenario.seed, scenario.kills, telling=telling)
        world.clock = heart.clock
        heart.clock.now = world.now
        self.store = Store(heart, world)
        self.kommo = Kommo(world, scenario.kommo, scenario.end_of_trouble)
        self.client = Client(world, self.kommo)
        deadline, two = scenario.reply_deadline, scenario.two_ais
        self.ai = AI(world, scenario.ai, timeout=30.0, deadline=deadline, two=two)
        self.integrations = {n: integration(n, scenario) for n in range(scenario.accounts)}
        self.removed: set[int] = set()
        self.names: dict[str, str] = {}
        self.bots: dict[str, Bot] = {}
        self.expected = sum(len(one.messages) for one in scenario.customers)
        self.arrived = 0
        self.office = Office(world, self.store, self.answer, scenario.workers, scenario.slots)
        self.invariants = Invariants(self)
        self.steps = self._steps()
        self.kommo.on_arrival = self.invariants.arrived
        self.ai.on_paid = self.invariants.paid
        self.store.on_pause = self._paused
        self.store.on_notice = self.invariants.noticed

    def _steps(self) -> Any:
        silent, heart, memory = Silent(), self.heart, Memory(self.world)
        usage = Usage(self.world, self.store)
        integrations = SimpleNamespace(find=self._find)
        return heart.steps.Steps(
            states=self.store,
            asker=heart.asker.Asker(self.ai, memory, usage, *[silent] * 3),
            sender=heart.sender.Sender(
                self.client, integrations, silent, silent, silent, Gaps(self.invariants.gap)
            ),
            memory=memory,
            metrics=silent,
            sleep=self.world.sleep,
        )

    def run(self) -> None:
        """Let everything happen, then judge.

        Raises:
            Broken: A rule does not hold.
        """
        world, last = self.world, 0.0
        for customer in self.scenario.customers:
            for message in customer.messages:
                last = max(last, message.at)
                world.at(START + message.at, partial(self._write, customer, message))
        for window in self.scenario.redis:
            world.at(START + window.start, partial(self._redis_goes, window.seconds))
        for deed in self.scenario.deeds:
            world.at(START + deed.at, partial(self._do, deed))
        end = START + last + self.scenario.continue_deadline + AFTER_THE_LAST
        try:
            world.run(end, self._is_done)
            self.invariants.check()
        finally:
            world.end()

    def _is_done(self) -> bool:
        return self.arrived == self.expected and not self.store.due

    # what is asked by the invariants

    @property
    def all_paused(self) -> bool:
        """All accounts were paused at some time."""
        return self.client.all_paused_until > 0

    def pace(self, account: int) -> Any:
        return self.client.pace(self.integrations[account].host)

    def entity(self, request: Any) -> str:
        return conversation_name(request)

    def rules(self, account: int) -> Any:
        integration = self.integrations[account]
        phrases = integration.handoff_phrases.splitlines()
        return self.heart.conversation.Rules(
            reply_deadline=self.scenario.reply_deadline,
            continue_deadline=self.scenario.continue_deadline,
            burst=integration.burst_seconds,
            enabled=integration.enabled,
            handoff_phrases=tuple(phrases),
            looks_up_tag=integration.mode == "test",
            mode=integration.mode,
        )

    # what a job does

    def answer(self, request: Any, *, by_sweep: bool = False) -> float | None:
        """As `jobs.answer`."""
        account = self.bots[request.job_id].account
        if account in self.removed:
            self.world.redis(lambda: self._close(request.job_id))
            raise IntegrationError("the integration was removed")
        integration = self.integrations[account]
        rules = self.rules(account)
        found: float | None = self.steps.run(request, integration, rules, by_sweep=by_sweep)
        return found

    def _close(self, job_id: str) -> None:
        """As `close_record`: what has ended stays so."""
        record = self.store.records[job_id]
        if not record.ended:
            record.ended, record.error = "given_up", "removed"
            record.message = replace(record.message, state="given_up")
        self.store.due.pop(job_id, None)

    def _find(self, *_args: Any) -> Any:
        account = int(_args[1]) - 1
        return None if account in self.removed else self.integrations[account]

    # what happens

    def _write(self, customer: Customer, message: Message) -> None:
        """A customer's message reaches the web."""
        self.arrived += 1
        world = self.world
        what = message.text[:20] or "a voice note"
        world.tell("{} writes {!r} (lead {}, account {})",
                   customer.name, what, customer.lead, customer.account)  # fmt: skip
        if world.redis_is_away:
            world.tell("  503: Redis is away")
            return
        request = self._request(customer, message)
        bot = Bot(message, request.job_id, request, customer.account)
        self.kommo.bots[request.return_url] = self.bots[request.job_id] = bot
        self.names[request.job_id] = message.name
        self.ai.messages[message.name] = message
        self.ai.accounts[message.name] = customer.account
        self.store.accept(request, self.scenario.reply_deadline)
        if message.left:
            self._leave(request, message)
        self.office.put(Job(request))

    def _request(self, customer: Customer, message: Message) -> Any:
        integration = self.integrations[customer.account]
        return Request(
            integration_id=integration.integration_id,
            account_id=customer.account + 1,
            subdomain=integration.subdomain,
            entity_type="2",
            entity_id=customer.lead,
            return_url=f"https://{integration.host}/api/v4/salesbot/1/continue/{message.name}",
            message=message.text,
            delivery="json" if customer.own else None,
            chat_id=customer.name,
            accepted_at=self.world.now,
        )

    def _leave(self, request: Any, message: Message) -> None:
        """The former version had begun to send a reply."""
        heart, record = self.heart, self.store.records[request.job_id]
        asked = self.ai.asked_before(message.name)
        outcome = heart.conversation.Outcome("success", f"{asked.reply} well")
        unknown = 1.0 if message.left == "unknown" else None
        record.message = replace(record.message, outcome=outcome, unknown_since=unknown)

    def _redis_goes(self, seconds: float) -> None:
        self.world.tell("Redis is away for {:.1f} s", seconds)
        self.world.redis_back_at = self.world.now + seconds

    def _paused(self, name: str, until: float) -> None:
        self.world.tell("a human has {} from now on", name)
        self.invariants.paused(name, until)

    def _do(self, deed: Deed) -> None:
        if self.world.redis_is_away and deed.what in ("pause", "resume"):
            return
        self.world.tell("an operator: {} (account {}, lead {})", deed.what, deed.account, deed.lead)
        integration = self.integrations[deed.account]
        name = f"{integration.integration_id}:{integration.subdomain}:2:{deed.lead}"
        match deed.what:
            case "pause":
                self.store.pause(name, self.world.now + 12 * 3600)
            case "resume":
                self.store.entity(name).paused_until = 0.0
                self.invariants.resumed(name)
            case "disable":
                self.integrations[deed.account] = replace(integration, enabled=False)
            case "remove":
                self.removed.add(deed.account)
            case "revoke":
                self.kommo.tokens[deed.account] = "new"
            case "token":
                self.integrations[deed.account] = replace(integration, access_token="new")

"""What may happen in the busy world: customers, partners, operators and machines."""

import secrets
import time
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from busy_world import LEADS, NAMES, RENEWED, TROUBLED, BusyWorld, Happening

from local.partners.ai import openai_error
from local.partners.http.exchange import Request
from local.partners.http.faults import (
    Exchange,
    Fault,
    Redirect,
    Reset,
    ResetAfter,
    Slow,
    Status,
)
from local.promises import Pause

LIMITED_SECONDS = 3
# A redis-server that is killed is there again after this.
REDIS_AWAY_SECONDS = 0.4


@dataclass(frozen=True)
class Taken(Fault):
    """The work is done, and its answer is another one."""

    status: int

    def play(self, exchange: Exchange) -> None:
        exchange.send(exchange.encode(replace(exchange.work(), status=self.status)))


KOMMO_FAULTS: tuple[Fault, ...] = (
    *(Status(500), Status(503), Status(409), Status(400), Taken(500), Taken(502)),
    *(Reset(), ResetAfter(), ResetAfter(), Slow(0.8), Redirect("https://example.com/")),
)
AI_FAULTS: tuple[Fault, ...] = (
    *(Status(500), openai_error(429), Reset(), Slow(0.5), Slow(1.5)),
    *(openai_error(401, "invalid_api_key"), Status(200, {"choices": []})),
)


def write(world: BusyWorld) -> None:
    """One message, or a few."""
    account, lead = world.dice.choice(world.accounts), world.dice.randint(1, LEADS)
    person = world.dice.choice(("", "", "ana", "bea"))
    for _ in range(world.dice.choice((1, 1, 2, 3))):
        voice = world.dice.random() < 0.1
        world.send(account, lead, person, voice=voice)


def write_by_hand(world: BusyWorld) -> None:
    """Through a hand-made bot."""
    world.send(world.dice.choice(world.accounts), world.dice.randint(1, LEADS), own=False)


def ask_for_a_human(world: BusyWorld) -> None:
    """The AI hands over."""
    account = world.dice.choice(world.accounts)
    world.send(account, world.dice.randint(1, LEADS), more=" a human please")


def limit(world: BusyWorld) -> None:
    """Kommo has had enough of one account, at its next call, while more is to be said there."""
    name = world.dice.choice(TROUBLED)

    def met(request: Request) -> bool:
        if not world.is_of(request, name):
            return False
        now = time.monotonic()
        # The answer has to arrive first, and other calls may be on their way.
        world.limited.append((request.path, name, now + 0.5, now + LIMITED_SECONDS))
        return True

    headers = {"Retry-After": str(LIMITED_SECONDS)}
    world.kommo.faults.order(Status(429, headers=headers), when=met)
    for lead in range(1, LEADS + 1):
        world.send(world.accounts[NAMES.index(name)], lead)


def kommo_fails(world: BusyWorld) -> None:
    """One account's next calls."""
    name = world.dice.choice(TROUBLED)
    fault, times = world.dice.choice(KOMMO_FAULTS), world.dice.randint(1, 3)
    world.tell(f"{name}: {fault}, {times} times")
    world.kommo.faults.order(fault, times, lambda request: world.is_of(request, name))


def response_is_lost(world: BusyWorld) -> None:
    """Kommo takes a call, and nobody hears of it; the next one is told that the bot is gone."""
    name = world.dice.choice(TROUBLED)
    fault = world.dice.choice((ResetAfter(), Taken(502)))
    world.tell(f"{name}: a response is lost")
    world.kommo.faults.order(fault, 1, lambda request: world.is_of(request, name))
    world.send(world.accounts[NAMES.index(name)], world.dice.randint(1, LEADS))


def ai_fails(world: BusyWorld) -> None:
    """For whoever asks next."""
    world.ai.faults.order(world.dice.choice(AI_FAULTS), world.dice.randint(1, 2))
    world.ai.delay_seconds = world.dice.choice((0.0, 0.05, 0.3))


def bot_goes(world: BusyWorld) -> None:
    """A Salesbot that waits is ended by a timer."""
    texts = [one for one in world.texts[-8:] if one.path not in world.expired]
    if texts:
        path = world.dice.choice(texts).path
        world.tell(f"{path} waits no longer")
        world.expired.add(path)
        world.kommo.expire(world.blocks[path])


def change_token(world: BusyWorld) -> None:
    """The operator has it within milliseconds."""
    place = NAMES.index(RENEWED)
    token = secrets.token_hex(32)
    account = world.accounts[place]
    stored = world.store.find(account.integration_id, account.account_id, account.subdomain)
    assert stored
    world.tell(f"{RENEWED}: another token")
    world.accounts[place] = world.kommo.change_access_token(account, token)
    world.store.save(replace(stored, access_token=token))


def pause(world: BusyWorld) -> None:
    """A human takes over."""
    account, lead = world.dice.choice(world.accounts), world.dice.randint(1, LEADS)
    entity = account.subdomain, lead
    if any(one.entity == entity and one.end > time.monotonic() for one in world.pauses):
        return
    world.memory.pause(world.name_of(account, lead), 1, "paused by an operator")
    world.tell(f"{entity} is paused")
    world.pauses.append(Pause(entity, time.monotonic()))


def resume(world: BusyWorld) -> None:
    """The human has left."""
    account, lead = world.dice.choice(world.accounts), world.dice.randint(1, LEADS)
    entity, now = (account.subdomain, lead), time.monotonic()
    world.memory.resume(world.name_of(account, lead))
    world.tell(f"{entity} is resumed")
    world.resumes.append((entity, now))
    world.pauses = [
        replace(one, end=min(one.end, now)) if one.entity == entity else one for one in world.pauses
    ]


def kill(world: BusyWorld) -> None:
    """A worker dies."""
    if request := world.workers.kill(world.dice):
        world.tell(f"the worker dies that works on {request.return_url}")
        world.died.add(urlsplit(request.return_url).path)


def run_twice(world: BusyWorld) -> None:
    """A lease ran out though its worker lives: another one runs the same job."""
    if world.texts:
        path = world.dice.choice(world.texts[-5:]).path
        world.died.add(path)
        world.workers.put(world.requests[path])


def restart_redis(world: BusyWorld) -> None:
    """Killed, and there again with its data."""
    world.tell("redis is killed")
    world.redis_away_at.append(time.monotonic())
    world.redis_server.kill()
    time.sleep(REDIS_AWAY_SECONDS)
    world.redis_server.start()


# What may happen, and how often beside the others.
HAPPENINGS: dict[Happening, int] = {
    limit: 3,
    write: 40,
    write_by_hand: 8,
    ask_for_a_human: 3,
    kommo_fails: 8,
    response_is_lost: 4,
    ai_fails: 6,
    bot_goes: 4,
    change_token: 1,
    pause: 5,
    resume: 5,
    kill: 5,
    run_twice: 2,
}


def let_happen(world: BusyWorld, seconds: float) -> None:
    """As the seed says; Redis is killed once, in the midst."""
    ends_at, redis_at = time.monotonic() + seconds, time.monotonic() + seconds / 2
    weights = dict(HAPPENINGS)
    if not world.seed % 2:  # not both: after any 429 a 403 may be a block of our address
        world.refuse_for_ever()
        del weights[limit]
    while time.monotonic() < ends_at:
        [happens] = world.dice.choices(list(weights), list(weights.values()))
        happens(world)
        time.sleep(world.dice.uniform(0, 0.06))
        if time.monotonic() > redis_at and not world.redis_away_at:
            restart_redis(world)

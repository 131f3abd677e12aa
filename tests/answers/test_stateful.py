"""What must hold of every conversation, on the real Redis with workers that die: T1 to T7.

Seeds decide what customers, partners and operators do; the threads run as they like. More of it:
`make fuzz`, or FUZZ_EXAMPLES=5000 for 20 seeds.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from busy_world import REFUSED, RENEWED, TROUBLED, BusyWorld
from happenings import let_happen

from kommo_bridge.answers.record import record_key
from kommo_bridge.settings import Settings
from local.echo import WORD
from local.lateness import Lateness
from local.partners.ai import StandInAI
from local.partners.kommo.server import StandInKommo
from local.promises import Seen, Text
from local.redis_server import RedisServer

SEEDS = int(os.environ.get("STATEFUL_SEED", "0")) or 1
COUNT = max(1, int(os.environ.get("FUZZ_EXAMPLES", "0")) // 250)
ACT_SECONDS = 5.0
SETTLE_SECONDS = 120.0
UNAUTHORIZED = 401


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that may be killed."""
    with RedisServer(tmp_path / "own-redis") as server:
        yield server


@pytest.fixture
def settings(settings: Settings, own_redis: RedisServer) -> Settings:
    return replace(
        settings,
        redis_url=own_redis.url,
        reply_deadline_seconds=3,
        continue_deadline_seconds=30,  # longer than a call that nobody ended holds its slot
    )


# A worker that dies in a callback or on its way out leaves a warning, as it should.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.hypothesis
@pytest.mark.parametrize("seed", range(SEEDS, SEEDS + COUNT))
def test_what_must_hold_of_every_conversation(
    seed: int, settings: Settings, own_redis: RedisServer, kommo: StandInKommo, ai: StandInAI
) -> None:
    with Lateness() as late:
        world = BusyWorld(seed, settings, own_redis, kommo, ai, late)
        world.workers.start()
        try:
            let_happen(world, ACT_SECONDS)
            still_open = world.settle(SETTLE_SECONDS)
        finally:
            world.workers.stop()
        saw = seen(world)
        breaks = {**saw.breaks(), "T1 known": given_up_though_continued(world)}
        broken = {name: found for name, found in breaks.items() if found}

    assert not world.workers.errors
    assert not kommo.violations
    assert not still_open
    assert not broken, story_of(broken, world, saw)


def given_up_though_continued(world: BusyWorld) -> list[str]:
    """What Kommo took counts as continued: a 404 after an unknown outcome says so.

    Not where its account refuses us, or did so for a moment: that is final whatever was before.
    """
    taken = {one.block.path for one in world.kommo.continuations}
    found = []
    for text in world.texts:
        state = world.redis.hget(record_key(world.requests[text.path].job_id), "state")
        if (
            text.path in taken
            and text.entity[0] not in (REFUSED, RENEWED)
            and state != b"continued"
        ):
            found.append(f"{text.name} was continued, and counts as {state!r}")
    return found


def story_of(broken: dict[str, list[str]], world: BusyWorld, saw: Seen) -> str:
    """What happened in the accounts of the broken promises, and what is kept of their requests."""
    names = WORD.findall(str(broken))
    names += [word for one in saw.questions if one.reply in str(broken) for word in one.asked]
    texts = [one for one in world.texts if one.name in names]
    accounts = {one.entity[0] for one in texts}
    paths = {one.path for one in world.texts if one.entity[0] in accounts}
    about = (*accounts, *paths, "redis") if accounts else ("",)
    lines = sorted(world.story + told(saw))
    found = [one for one in lines if any(word in one for word in about)]
    records = [
        f"{one.name}: {world.redis.hgetall(record_key(world.requests[one.path].job_id))}"
        for one in texts
    ]
    late = [f"the machine was late by {world.late.between(0.0, time.monotonic()):.2f} s"]
    return "\n".join([f"seed {world.seed}: {broken}", *found, *records, *late])


def told(saw: Seen) -> list[str]:
    """What came to Kommo, for the story of a failure."""
    taken = {one.at for one in saw.continuations}
    return [
        f"{one.at:.3f} {one.path} {'takes' if one.at in taken else 'gets'} {one.body.get('data')}"
        for one in saw.arrivals
    ]


def noted(world: BusyWorld) -> list[tuple[str, float, float]]:
    """The pauses that Kommo asked for: not those that nobody could note, dead or without Redis."""
    return [
        (name, start, end)
        for path, name, start, end in world.limited
        if path not in world.died and not any(abs(start - at) < 2 for at in world.redis_away_at)
    ]


def seen(world: BusyWorld) -> Seen:
    """What the partners recorded, and what was done to them."""
    kommo, redis_away_at = world.kommo, world.redis_away_at
    continued = {one.block.path for one in kommo.continuations}
    unauthorized = {one.path for one in kommo.refusals if one.status == UNAUTHORIZED}
    refused = {one.path for one in world.texts if one.entity[0] in world.refused}
    gone = (world.expired | unauthorized | refused) - continued
    calls = [one.path for one in kommo.arrivals]
    lost = {path for path in gone if path in world.died or calls.count(path) > 1}

    killed = {one.conversation for one in world.texts if one.path in world.died}

    def calm(text: Text) -> bool:
        until = text.at + world.settings.reply_deadline_seconds + 5
        disturbed = any(text.at - 5 < at < until for at in redis_away_at)
        disturbed = disturbed or text.conversation in killed
        return not disturbed and text.entity[0] not in (*TROUBLED, REFUSED, RENEWED)

    texts = [replace(one, gone=one.path in gone, calm=calm(one)) for one in world.texts]
    return Seen(
        texts=texts,
        questions=world.echo.questions,
        continuations=kommo.continuations,
        arrivals=kommo.arrivals,
        pauses=world.pauses,
        resumes=world.resumes,
        paces={one.subdomain: kommo.calls(one) for one in world.accounts},
        limited=noted(world),
        unsure={one.conversation for one in texts if one.path in lost},
        late=world.late.between,
        reply_deadline=world.settings.reply_deadline_seconds,
        continue_deadline=world.settings.continue_deadline_seconds,
    )

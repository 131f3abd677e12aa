"""The second AI: when it steps in, for how long it is preferred, and what it is never sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kommo_bridge.ai.dialogue import Reply
from kommo_bridge.ai.prompt import Question
from kommo_bridge.ai.second import TwoAIs, ask_either, first_seconds
from kommo_bridge.conversations.preferred import PREFERRED_SECONDS, Preferred
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.ai_server import SecondAI, second_ai
from kommo_bridge.integrations.integration import Integration
from local.partners.ai import StandInAI, openai_error
from local.partners.http.exchange import Request
from local.partners.http.faults import Hang, Status

ACME = Integration("id", "acme", secret_key="s")
SHARED = SecondAI("sk-second", None, "spare")
QUESTION = Question("Do you deliver?")
DOWN = AssistantError("down", permanent=False)
WRONG_KEY = AssistantError("401", permanent=True)


def quota() -> AssistantError:
    error = AssistantError("429 insufficient_quota", permanent=True)
    error.status = 429
    return error


@dataclass
class World:
    """Two AIs and a clock: what each does, and who was asked for how long."""

    first: AssistantError | None = None
    second: AssistantError | None = None
    takes: float = 1.0
    now: float = 0.0
    asked: list[tuple[bool, float]] = field(default_factory=list)

    def ask(self, second: bool, seconds: float) -> Reply:
        self.asked.append((second, seconds))
        self.now += min(self.takes, seconds)
        if error := self.second if second else self.first:
            raise error
        return Reply("well")

    def run(self, preferred: Preferred, seconds: float = 110) -> Reply:
        return ask_either(
            self.ask, ACME, preferred, seconds=seconds, reply_deadline=120, clock=lambda: self.now
        )


@pytest.mark.parametrize("failure", [DOWN, quota()], ids=["transient", "quota"])
def test_the_second_answers_when_the_first_fails_and_is_asked_first_then(
    redis: Redis, failure: AssistantError
) -> None:
    world, preferred = World(first=failure), Preferred(redis)

    assert world.run(preferred).second
    assert world.run(preferred).second

    assert [second for second, _ in world.asked] == [False, True, True]
    [key] = redis.keys("*second_ai*")
    assert PREFERRED_SECONDS - 5 < redis.ttl(key) <= PREFERRED_SECONDS


def test_a_first_that_is_slow_leaves_the_rest_of_the_time_to_the_second(redis: Redis) -> None:
    world = World(first=DOWN, takes=1000)

    world.run(Preferred(redis), seconds=110)

    [(_, to_first), (second, to_second)] = world.asked
    assert second
    assert to_first == pytest.approx(110 / 3)
    assert to_second == pytest.approx(110 - 110 / 3)


def test_the_first_is_asked_again_when_the_preferred_second_fails(redis: Redis) -> None:
    world, preferred = World(second=DOWN), Preferred(redis)
    preferred.prefer(ACME, second=True)

    reply = world.run(preferred)

    assert not reply.second
    assert [second for second, _ in world.asked] == [True, False]
    assert not preferred.is_second(ACME)


def test_a_wrong_key_is_for_the_operator_and_not_for_the_second(redis: Redis) -> None:
    world = World(first=WRONG_KEY)

    with pytest.raises(AssistantError, match="401"):
        world.run(Preferred(redis))
    assert [second for second, _ in world.asked] == [False]


@pytest.mark.parametrize(
    ("first", "second", "permanent"),
    [
        (DOWN, DOWN, False),
        (DOWN, WRONG_KEY, False),
        (quota(), DOWN, False),
        (quota(), quota(), True),
    ],
    ids=str,
)
def test_when_both_fail_asking_again_may_help_as_long_as_it_may_for_one(
    redis: Redis, first: AssistantError, second: AssistantError, permanent: bool
) -> None:
    world = World(first, second)

    with pytest.raises(AssistantError) as raised:
        world.run(Preferred(redis))

    assert raised.value.permanent == permanent
    assert len(world.asked) == 2
    assert not redis.keys("*second_ai*")


@given(st.floats(0.01, 3600), st.floats(1, 3600))
def test_the_first_never_has_more_time_than_there_is(seconds: float, deadline: float) -> None:
    assert 0 < first_seconds(min(seconds, deadline), deadline) <= min(seconds, deadline)
    assert first_seconds(deadline, deadline) == pytest.approx(deadline / 3)


def test_without_redis_the_first_is_asked_first_and_the_reply_is_not_lost() -> None:
    nowhere = Redis(port=1, retry=Retry(NoBackoff(), 0))
    world, gone = World(first=DOWN), Preferred(nowhere)

    assert world.run(gone).second
    assert world.run(Preferred(None)).second
    assert [second for second, _ in world.asked] == [False, True] * 2


OWN_FIRST: dict[str, Any] = {"ai_api_key": "sk-own"}
OWN_SECOND: dict[str, Any] = {"fallback_ai_base_url": "http://spare:1/v1"}


@pytest.mark.parametrize(
    ("own", "shared", "asked"),
    [
        ({}, None, None),
        ({}, SecondAI(None, None, "spare"), None),
        ({}, SHARED, ("sk-second", None, "spare")),
        ({"fallback_model": "mine"}, SHARED, ("sk-second", None, "mine")),
        ({"model": "m"}, SecondAI("k", None, None), ("k", None, "m")),
        (OWN_FIRST, SHARED, None),
        (OWN_FIRST | OWN_SECOND, SHARED, ("", "http://spare:1/v1", None)),
        (OWN_SECOND | {"fallback_model": "b"}, SHARED, ("", "http://spare:1/v1", "b")),
        ({"fallback_ai_api_key": "sk-b"}, SHARED, ("sk-b", None, None)),
    ],
)
def test_key_and_server_of_the_second_are_a_pair(
    own: dict[str, Any],
    shared: SecondAI | None,
    asked: tuple[str, str | None, str | None] | None,
) -> None:
    second = second_ai(replace(ACME, **own), shared)

    found = second and (second.ai_api_key, second.ai_base_url, second.model)
    assert found == asked


class Listening(StandInAI):
    """Notes the keys that it was sent."""

    keys: set[str | None]

    def received(self, request: Request) -> None:
        super().received(request)
        self.keys = getattr(self, "keys", set()) | {request.bearer}


@pytest.fixture
def ai() -> Iterator[Listening]:
    with Listening(api_key="sk-stand-in") as server:
        yield server


@pytest.fixture
def spare() -> Iterator[Listening]:
    with Listening(api_key="sk-second") as server:
        yield server


@pytest.fixture
def both(ai: StandInAI, spare: StandInAI, redis: Redis) -> Iterator[TwoAIs]:
    one = TwoAIs(
        api_key="sk-stand-in",
        base_url=ai.base_url,
        model="stand-in",
        timeout_seconds=5,
        second=SecondAI("sk-second", spare.base_url, "spare-model"),
        preferred=Preferred(redis),
        reply_deadline=6,
    )
    yield one
    one.close()


def test_each_server_is_sent_its_own_key_and_model(
    both: TwoAIs, ai: Listening, spare: Listening
) -> None:
    ai.faults.order(Status(503), times=2)

    reply = both.reply(ACME, QUESTION, seconds=6)

    assert reply.second
    assert [one["model"] for one in spare.requests] == ["spare-model"]
    assert (ai.keys, spare.keys) == ({"sk-stand-in"}, {"sk-second"})


def test_a_server_that_hangs_is_left_after_its_share(both: TwoAIs, ai: StandInAI) -> None:
    ai.faults.order(Hang(), times=None)

    assert both.reply(ACME, QUESTION, seconds=6).second


def test_an_empty_account_at_the_first_is_a_matter_for_the_second(
    both: TwoAIs, ai: StandInAI
) -> None:
    ai.faults.order(openai_error(429, code="insufficient_quota"), times=None)

    assert both.reply(ACME, QUESTION, seconds=6).second


def test_without_a_second_all_is_as_before(both: TwoAIs, ai: StandInAI, spare: StandInAI) -> None:
    ai.faults.order(Status(503), times=2)

    with pytest.raises(AssistantError):
        both.reply(replace(ACME, ai_api_key="sk-stand-in", ai_base_url=ai.base_url), QUESTION,
                   seconds=6)  # fmt: skip

    assert spare.requests == []

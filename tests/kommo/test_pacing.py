"""Never faster than Kommo allows, however many call and however late they leave."""

import threading
import time
from collections.abc import Callable

import pytest
from redis import Redis
from redis.exceptions import RedisError

from kommo_bridge.kommo.pacing import (
    COME_BACK_SECONDS,
    LATENESS_SECONDS,
    MAX_BOOKED_WAIT_SECONDS,
    SLOTS,
    Pacer,
)
from kommo_bridge.kommo.slot import IN_DOUBT_SECONDS, WINDOW_SECONDS, NotNow, Slot
from kommo_bridge.redis_client import connect

HOST = "acme.kommo.com"
OTHER = "beta.kommo.com"
CALL_SECONDS = 10.0


@pytest.fixture
def pacer(redis: Redis) -> Pacer:
    return Pacer(redis)


def book(pacer: Pacer, host: str = HOST, **options: str) -> Slot:
    """A slot that must be there."""
    booked = pacer.book(host, CALL_SECONDS, **options)  # type: ignore[arg-type]
    assert isinstance(booked, Slot)
    return booked


def refused(pacer: Pacer, host: str = HOST, **options: str) -> float:
    """The seconds to wait of a booking that must not be there."""
    booked = pacer.book(host, CALL_SECONDS, **options)  # type: ignore[arg-type]
    assert isinstance(booked, NotNow)
    return booked.seconds


def call(slot: Slot) -> None:
    """A call that takes no time."""
    with slot:
        slot.use()
        slot.ended()


def test_as_many_calls_as_there_are_slots_leave_at_once_and_no_more(pacer: Pacer) -> None:
    assert [book(pacer).waited for _ in range(SLOTS)] == [0.0] * SLOTS

    assert refused(pacer)


def test_a_slot_is_free_again_a_second_after_its_call_has_ended_not_begun(pacer: Pacer) -> None:
    """However long a call takes to arrive: the next one leaves a second after its end."""
    slots = [book(pacer) for _ in range(SLOTS)]
    with slots[0] as slow:
        slow.use()
        time.sleep(WINDOW_SECONDS)
        assert refused(pacer), "a second has passed since it left, but it is still under way"
        slow.ended()

    assert WINDOW_SECONDS - 0.5 < book(pacer).waited <= WINDOW_SECONDS


def test_a_slot_without_a_call_is_free_at_once(pacer: Pacer) -> None:
    slots = [book(pacer) for _ in range(SLOTS)]
    with slots[0]:
        pass
    slots[1].give_back()

    assert [book(pacer).waited for _ in range(2)] == [0.0, 0.0]
    assert refused(pacer)


def test_a_slot_that_was_waited_for_and_not_used_is_as_free_as_it_was(pacer: Pacer) -> None:
    slots = [book(pacer) for _ in range(SLOTS)]
    call(slots[0])
    waited = book(pacer)
    waited.give_back()

    assert abs(book(pacer).waited - waited.waited) < 0.5


def test_the_slot_of_a_call_that_was_broken_off_rests_longer(pacer: Pacer) -> None:
    slots = [book(pacer) for _ in range(SLOTS)]
    with slots[0] as slot:
        slot.use()

    assert refused(pacer)
    assert IN_DOUBT_SECONDS + WINDOW_SECONDS > MAX_BOOKED_WAIT_SECONDS


def test_the_slots_of_a_caller_that_died_come_free_when_its_calls_cannot_be_under_way(
    redis: Redis,
) -> None:
    pacer = Pacer(redis)
    slots = [pacer.book(HOST, 0.2) for _ in range(SLOTS)]
    assert all(isinstance(slot, Slot) for slot in slots)
    bound = 0.2 + LATENESS_SECONDS + WINDOW_SECONDS

    assert refused(pacer)
    until(lambda: isinstance(pacer.book(HOST, 0.2), Slot), bound + 5)


def test_a_slot_that_is_over_allows_no_call_any_more(redis: Redis) -> None:
    """Its holder was stopped for long: somebody else may hold it now."""
    slot = Pacer(redis).book(HOST, 0.0)
    assert isinstance(slot, Slot)
    with slot:
        ends_at = slot.use()

    assert ends_at <= time.monotonic() + LATENESS_SECONDS


def test_a_slot_serves_one_call_and_only_within_with(pacer: Pacer) -> None:
    slot = book(pacer)
    with pytest.raises(RuntimeError):
        slot.use()
    with slot:
        slot.use()
        with pytest.raises(RuntimeError):
            slot.use()


def test_one_account_does_not_wait_for_another(pacer: Pacer) -> None:
    for _ in range(SLOTS):
        book(pacer)

    assert book(pacer, OTHER).waited == 0.0


def test_who_is_told_to_come_back_gets_a_time_of_their_own(pacer: Pacer) -> None:
    for _ in range(SLOTS):
        book(pacer)

    told = [refused(pacer, waiter=f"job-{number}") for number in range(10)]

    assert told == sorted(told)
    assert len(set(told)) == 10


def test_who_comes_back_goes_before_who_comes_anew(pacer: Pacer) -> None:
    slots = [book(pacer) for _ in range(SLOTS)]
    first = refused(pacer, waiter="first")
    time.sleep(first)
    slots[0].give_back()

    assert refused(pacer, waiter="new"), "the free slot is the first one's"
    assert book(pacer, waiter="first").waited == 0.0


def test_who_does_not_come_back_is_not_waited_for_for_ever(pacer: Pacer) -> None:
    slots = [book(pacer) for _ in range(SLOTS)]
    refused(pacer, waiter="gone")
    slots[0].give_back()

    until(lambda: isinstance(pacer.book(HOST, CALL_SECONDS), Slot), COME_BACK_SECONDS + 5)


def test_a_pause_holds_the_calls_of_its_account_back(pacer: Pacer) -> None:
    pacer.pause(HOST, 30)

    assert 29 < refused(pacer) <= 31
    assert 29 < pacer.paused_seconds(HOST) <= 30
    assert pacer.paused_seconds(OTHER) == 0
    assert book(pacer, OTHER).waited == 0.0


def test_a_longer_pause_is_not_cut_short_by_the_answer_to_another_call(pacer: Pacer) -> None:
    pacer.pause(HOST, 30)
    pacer.limited(HOST, 1)

    assert pacer.paused_seconds(HOST) > 29


def test_a_redis_that_is_away_does_not_hide_what_became_of_a_call(pacer: Pacer) -> None:
    away = Pacer(connect("redis://127.0.0.1:1"))
    slot = Slot(HOST, CALL_SECONDS, away.release)

    call(slot)
    away.limited(HOST, 1)

    assert away.forbidden(slot).may_be_block
    with pytest.raises(RedisError):
        away.book(HOST, CALL_SECONDS)


# A block of our address


def block(pacer: Pacer) -> None:
    """Two accounts are refused soon after a 429 of a third."""
    pacer.limited("gamma.kommo.com", 0.001)
    for host in (HOST, OTHER):
        with book(pacer, host) as slot:
            slot.use()
            pacer.forbidden(slot)


def end_pauses(redis: Redis, *hosts: str) -> None:
    """As if their time were over."""
    redis.delete(*(f"kommo_bridge:pacing:{host}:pause" for host in hosts))


def test_a_403_of_one_account_leaves_the_others_alone(pacer: Pacer) -> None:
    pacer.limited(HOST, 0.001)
    for _ in range(3):
        slot = Slot(HOST, CALL_SECONDS, pacer.release)
        assert pacer.forbidden(slot).may_be_block

    assert refused(pacer) > 60
    assert book(pacer, OTHER).waited == 0.0


def test_a_403_without_a_429_of_anybody_is_final(pacer: Pacer) -> None:
    for host in (HOST, OTHER):
        assert not pacer.forbidden(book(pacer, host)).may_be_block

    assert book(pacer, "gamma.kommo.com").waited == 0.0


def test_a_second_account_that_is_refused_stops_everybody(pacer: Pacer) -> None:
    block(pacer)

    assert refused(pacer, "gamma.kommo.com") > 30


def test_then_one_call_at_a_time_tries_if_the_block_has_ended(pacer: Pacer, redis: Redis) -> None:
    block(pacer)
    end_pauses(redis, "*")

    probe = book(pacer, "gamma.kommo.com")

    assert probe.probe
    assert refused(pacer, "delta.kommo.com")
    probe.give_back()
    assert book(pacer, "delta.kommo.com").probe


def test_a_probe_that_is_refused_stops_everybody_again(pacer: Pacer, redis: Redis) -> None:
    block(pacer)
    end_pauses(redis, "*")
    with book(pacer, "gamma.kommo.com") as probe:
        probe.use()
        assert pacer.forbidden(probe).may_be_block

    assert refused(pacer, "delta.kommo.com") > 30


def test_a_probe_that_is_answered_ends_the_block(pacer: Pacer, redis: Redis) -> None:
    block(pacer)
    end_pauses(redis, "*")
    with book(pacer, "gamma.kommo.com") as probe:
        probe.use()
        pacer.answered(probe)

    slots = [book(pacer, "delta.kommo.com") for _ in range(2)]

    assert not any(slot.probe for slot in slots)


def test_a_lookup_is_no_probe(pacer: Pacer, redis: Redis) -> None:
    block(pacer)
    end_pauses(redis, "*")

    assert isinstance(pacer.book("gamma.kommo.com", CALL_SECONDS, may_probe=False), NotNow)


# Everybody at once


def until(condition: Callable[[], bool], seconds: float) -> None:
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


def test_nobody_starves_when_more_wait_than_there_are_slots(redis: Redis) -> None:
    served: list[int] = []

    def caller(number: int) -> None:
        pacer = Pacer(redis)
        booked = pacer.book(HOST, CALL_SECONDS, waiter=str(number))
        while isinstance(booked, NotNow):
            time.sleep(booked.seconds)
            booked = pacer.book(HOST, CALL_SECONDS, waiter=str(number))
        with booked as slot:
            slot.use()
            slot.ended()
            served.append(number)

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(served) == list(range(30))

"""Never faster than Kommo allows, however many call."""

import threading
import time

import pytest
from redis import Redis

from kommo_bridge.kommo.pacing import MAX_BOOKED_WAIT_SECONDS, Pacer

HOST = "acme.kommo.com"


def busiest_second(moments: list[float]) -> int:
    return max(sum(start <= one < start + 1 for one in moments) for start in moments)


def test_no_second_holds_more_than_six_calls_of_all_workers_together(redis: Redis) -> None:
    moments: list[float] = []

    def worker() -> None:
        pacer = Pacer(redis)
        for _ in range(3):
            wait, booked = pacer.reserve(HOST)
            while not booked:
                time.sleep(wait)
                wait, booked = pacer.reserve(HOST)
            moments.append(time.monotonic() + wait)

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(moments) == 24
    assert busiest_second(moments) <= 6


def test_the_first_calls_after_a_pause_do_not_wait(redis: Redis) -> None:
    pacer = Pacer(redis)

    assert [pacer.reserve(HOST)[0] for _ in range(6)] == [0.0] * 6
    assert 0.5 < pacer.reserve(HOST)[0] <= 1.05


def test_one_account_does_not_wait_for_another(redis: Redis) -> None:
    pacer = Pacer(redis)
    for _ in range(12):
        pacer.reserve(HOST)

    assert pacer.reserve("beta.kommo.com") == (0.0, True)


def test_a_wait_too_long_to_sleep_is_told_and_not_booked(redis: Redis) -> None:
    pacer = Pacer(redis)
    waits = [pacer.reserve(HOST) for _ in range(40)]

    not_booked = [wait for wait, booked in waits if not booked]

    assert not_booked
    assert len({round(wait, 1) for wait in not_booked}) == 1, "asking again does not add to it"
    assert all(wait <= MAX_BOOKED_WAIT_SECONDS for wait, booked in waits if booked)


@pytest.mark.parametrize("everybody", [False, True])
def test_a_pause_holds_calls_back(redis: Redis, everybody: bool) -> None:
    pacer = Pacer(redis)
    if everybody:
        pacer.pause_all(30)
    else:
        pacer.pause(HOST, 30)

    wait, booked = pacer.reserve(HOST)

    assert 29 < wait <= 30
    assert not booked
    assert (pacer.reserve("beta.kommo.com")[0] > 29) is everybody
    assert pacer.was_limited(HOST) is not everybody


def test_a_longer_pause_is_not_cut_short_by_the_answer_to_another_call(redis: Redis) -> None:
    pacer = Pacer(redis)

    pacer.pause(HOST, 30)
    pacer.pause(HOST, 1)

    assert pacer.reserve(HOST)[0] > 29

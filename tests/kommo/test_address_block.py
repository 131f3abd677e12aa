"""What a 403 means, as a table."""

import pytest

from kommo_bridge.kommo.address_block import (
    BLOCK_PAUSE_SECONDS,
    MEMORY_SECONDS,
    REFUSED_PAUSE_SECONDS,
    SUSPECT_PAUSE_SECONDS,
    Forbidden,
    judge,
)

NOW = 1_000_000.0
LATELY = NOW - 60
LONG_AGO = NOW - MEMORY_SECONDS - 1
ONLY_US = {"acme": NOW}


@pytest.mark.parametrize(
    ("limited_at", "forbidden_at", "blocked", "probe", "expected"),
    [
        # Nobody was told 429 lately: a right is missing, however many accounts say so.
        (None, ONLY_US, False, False, "final"),
        (LONG_AGO, ONLY_US, False, False, "final"),
        (None, {**ONLY_US, "beta": LATELY}, False, False, "final"),
        # One account alone, however often, pauses itself.
        (LATELY, ONLY_US, False, False, "own"),
        (LATELY, {**ONLY_US, "beta": LONG_AGO}, False, False, "own"),
        # A second account is refused too.
        (LATELY, {**ONLY_US, "beta": LATELY}, False, False, "all"),
        # Blocked: what was under way changes nothing, a refused probe begins anew.
        (LATELY, ONLY_US, True, False, "own"),
        (None, ONLY_US, True, False, "own"),
        (None, ONLY_US, True, True, "all"),
    ],
)
def test_a_403(
    limited_at: float | None,
    forbidden_at: dict[str, float],
    blocked: bool,
    probe: bool,
    expected: str,
) -> None:
    verdict = judge(Forbidden("acme", limited_at, forbidden_at, blocked, probe), NOW)

    assert verdict.may_be_block is (expected != "final")
    own = REFUSED_PAUSE_SECONDS if expected == "final" else SUSPECT_PAUSE_SECONDS
    assert verdict.pause_seconds == own
    assert verdict.pause_all_seconds == (BLOCK_PAUSE_SECONDS if expected == "all" else 0)


def test_the_next_probe_is_another_accounts() -> None:
    """One whose right is missing for good must not keep the block alive for everybody."""
    assert SUSPECT_PAUSE_SECONDS > BLOCK_PAUSE_SECONDS

"""What a 403 means: a right that is missing, or Kommo's block of our address. Rules only.

https://developers.kommo.com/docs/limitations: an address that goes on calling after 429 is
answered 403 on everything. A token of somebody who is no administrator is answered 403 too. One
account cannot tell the two apart; two accounts, soon after any 429, can.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# How long after a 429 of anybody a 403 may be a block.
MEMORY_SECONDS = 600.0
# The account's own pauses: after a refusal of this account alone, and after one that may be a
# block. The second outlasts the pause of all, so that the next probe uses another account.
REFUSED_PAUSE_SECONDS = 10.0
SUSPECT_PAUSE_SECONDS = 180.0
# How long nobody calls before the next probe.
BLOCK_PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class Forbidden:
    """One account's 403 and what else is known; times in seconds since the epoch.

    Attributes:
        host: The account that was refused.
        limited_at: When any account last answered 429; None if not lately.
        forbidden_at: When each account last answered 403.
        blocked: Whether our address is taken to be blocked already.
        probe: Whether the refused call was the one that tried if the block has ended.
    """

    host: str
    limited_at: float | None
    forbidden_at: Mapping[str, float]
    blocked: bool
    probe: bool


@dataclass(frozen=True)
class Verdict:
    """What follows from a 403.

    Attributes:
        may_be_block: The refusal is not final.
        pause_seconds: How long this account is not called.
        pause_all_seconds: How long nobody is called; 0 when the others go on.
    """

    may_be_block: bool
    pause_seconds: float
    pause_all_seconds: float = 0.0


def judge(forbidden: Forbidden, now: float) -> Verdict:
    """Decide what a 403 means."""
    if forbidden.blocked:
        pause_all = BLOCK_PAUSE_SECONDS if forbidden.probe else 0.0
        return Verdict(True, SUSPECT_PAUSE_SECONDS, pause_all)
    if forbidden.limited_at is None or not _lately(forbidden.limited_at, now):
        return Verdict(False, REFUSED_PAUSE_SECONDS)
    others = {host for host, at in forbidden.forbidden_at.items() if _lately(at, now)}
    if others - {forbidden.host}:
        return Verdict(True, SUSPECT_PAUSE_SECONDS, BLOCK_PAUSE_SECONDS)
    return Verdict(True, SUSPECT_PAUSE_SECONDS)


def _lately(at: float, now: float) -> bool:
    return now - at <= MEMORY_SECONDS

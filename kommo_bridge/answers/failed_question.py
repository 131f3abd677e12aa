"""A turn after a question that brought no reply. Pure but for the clock of `since`."""

import time
from dataclasses import replace

from kommo_bridge.answers.conversation import Turn
from kommo_bridge.answers.retries import wait_after
from kommo_bridge.errors import AssistantError


def failed(turn: Turn, error: AssistantError, now: float) -> Turn:
    """The turn after a failed question; a reply from an earlier question is sent as it is."""
    wait = max(error.retry_after_seconds or 0.0, wait_after(turn.failures))
    return replace(
        turn,
        failures=turn.failures + 1,
        retry_at=now + wait,
        error=str(error),
        final=error.permanent or turn.outcome is not None,
    )


def since(started: float) -> float:
    """Seconds since a reading of the monotonic clock."""
    return time.monotonic() - started

"""Why a conversation is handed over to a human."""

from typing import Literal, get_args

HandoffReason = Literal["customer_request", "unknown", "complaint", "order", "policy", "other"]

REASONS: tuple[HandoffReason, ...] = get_args(HandoffReason)


def read_reason(value: object) -> HandoffReason:
    """One of the reasons; `other` for everything else."""
    return next((one for one in REASONS if one == value), "other")

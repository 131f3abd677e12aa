"""What Redis keeps of each widget request: its record and its text.

The record is created in the same step that queues the job, and outlives it: a repeated request is
recognised, a reply is never paid for twice, no Salesbot is continued twice, and a Salesbot whose
job vanished is still found. The record holds nothing that a customer wrote; that is kept among the
conversation's texts until it is answered.
"""

import json
import time
from dataclasses import asdict
from typing import Any

from redis import Redis

from kommo_bridge.answers.conversation import GIVEN_UP, OPEN, Message, Outcome, State
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.redis_client import PREFIX

# When the sweep is to look at each open request: job id -> seconds since the epoch.
OPEN_KEY = f"{PREFIX}answers:open"
RECORD_PREFIX = f"{PREFIX}answer:"
# Texts outlive the last call about them.
TEXTS_KEPT_SECONDS = 3600
MIN_KEPT_SECONDS = 24 * 3600
MAX_KEPT_SECONDS = 7 * 24 * 3600
RECORD_FIELDS = (
    "request",
    "state",
    "outcome",
    "uncertain",
    "failures",
    "next_at",
    "called_at",
    "plain",
    "settled",
)


def record_key(job_id: str) -> str:
    """The Redis key of a record."""
    return f"{RECORD_PREFIX}{job_id}"


def request_text(request: WidgetRequest) -> str:
    """The request as the record keeps it: without the customer's words and name."""
    return json.dumps(request.to_job() | {"message": "", "contact_name": ""}, ensure_ascii=False)


def kept_seconds(request: WidgetRequest) -> int:
    """As long as the token could be replayed: at least a day, at most a week."""
    left = int(request.expires_at - time.time()) + 120
    return min(max(left, MIN_KEPT_SECONDS), MAX_KEPT_SECONDS)


def texts_kept_seconds(continue_deadline: float) -> int:
    """How long the texts of a conversation live after the newest one."""
    return TEXTS_KEPT_SECONDS + int(continue_deadline)


def text_value(request: WidgetRequest) -> str:
    """A request's entry among the conversation's texts; Redis puts a number in front of it."""
    return json.dumps(
        {
            "text": request.message if request.has_text else "",
            "chat_id": request.person,  # version 1.0 named this field
            "own": is_own_widget(request),
            "at": request.accepted_at,
        },
        ensure_ascii=False,
    )


def number_of(request: WidgetRequest) -> str:
    """That number for a request without an entry so far; otherwise Redis assigns it."""
    return f"{request.accepted_at * 1_000_000:.0f}"


def is_own_widget(request: WidgetRequest) -> bool:
    """Our widget says how it wants the reply delivered; hand-made bots do not."""
    return request.delivery == "json"


def message_of(job_id: str, value: bytes, record: list[bytes | None]) -> tuple[Message, str]:
    """One message and the person who wrote it, from a text and a record's `RECORD_FIELDS`."""
    number, _, kept = value.decode().partition("|")
    text = json.loads(kept)
    _, state, outcome, unknown, failures, next_at, called_at, plain, settled = record
    message = Message(
        job_id=job_id,
        at=int(number) / 1_000_000,
        text=text.get("text", ""),
        own=text.get("own", True),
        state=_state(state),
        outcome=_outcome(outcome, unknown or settled),
        unknown_since=float(unknown) if unknown else None,
        failures=int(failures or 0),
        next_at=float(next_at or 0),
        called_at=float(called_at or 0),
        plain=plain is not None,
    )
    return message, text.get("chat_id", "")


def close_record(redis: Redis, job_id: str, error: str) -> None:
    """Give up a request whose conversation cannot be read; an ended one does not change."""
    with redis.pipeline() as pipeline:
        pipeline.hsetnx(record_key(job_id), "state", GIVEN_UP)
        pipeline.hsetnx(record_key(job_id), "error", error)
        pipeline.zrem(OPEN_KEY, job_id)
        pipeline.execute()


def record_fields(message: Message) -> dict[str, Any]:
    """The fields of a message's record; None for those that must not be there."""
    done = message.state == "continued"
    return {
        "state": None if message.state == OPEN else message.state,
        "outcome": _json(message.outcome) if message.outcome and not done else None,
        "uncertain": None if message.unknown_since is None else f"{message.unknown_since:.3f}",
        "failures": message.failures or None,
        "next_at": f"{message.next_at:.3f}" if message.next_at else None,
        "called_at": f"{message.called_at:.3f}" if message.called_at else None,
        "plain": "1" if message.plain else None,
    }


def _json(outcome: Outcome) -> str:
    return json.dumps(asdict(outcome), ensure_ascii=False)


def _outcome(kept: bytes | None, decided: bytes | None) -> Outcome | None:
    """Version 1.0 wrote `skip` before the customer had the reply: as long as the text is not
    answered, that `skip` is ignored."""
    if not kept:
        return None
    values = json.loads(kept)
    too_early = values["status"] == "skip" and "source" not in values and not decided
    return None if too_early else Outcome.of(values)


def _state(kept: bytes | None) -> State:
    return kept.decode() if kept else OPEN  # type: ignore[return-value]

"""How far each answer has come: the record that keeps the promise.

One record per widget request, in Redis, made in the same step that queues the job. It outlives
the job, so that a repeat is known as one, a reply is never paid for twice, no Salesbot is
continued twice, and a Salesbot whose job vanished is still found and continued (`due`). It holds
no customer's words; the reply is kept only until Kommo has accepted it.
"""

import json
import time
from dataclasses import asdict, dataclass, fields
from typing import Any
from uuid import uuid4

from redis import Redis

from kommo_bridge.kommo.continuation import Status
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.redis_client import PREFIX

OPEN_KEY = f"{PREFIX}answers:open"
MIN_KEPT_SECONDS = 24 * 3600
MAX_KEPT_SECONDS = 7 * 24 * 3600
# Longer than the wait for Kommo's pace and one continue call together.
CLAIM_SECONDS = 15

OPEN, CONTINUED, GIVEN_UP = "open", "continued", "given_up"

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


@dataclass(frozen=True)
class Outcome:
    """What the Salesbot is to be continued with.

    Attributes:
        status, reply: The exit, and the text for the customer.
        error: Tells the operator why it is `fail`.
        silent: Nothing is to be shown: another answer carries the reply, or a human does.
        reason: Of a hand-over, for the pause that begins when Kommo has taken it.
    """

    status: Status
    reply: str
    error: str = ""
    silent: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """One record.

    Attributes:
        request: The widget request without the customer's message.
        state: `open`, `continued` or `given_up`.
        outcome: None until there is a reply or a reason to fail.
        uncertain: A continue call was sent whose outcome is not known.
        attempts: How often it was worked on before, without waits for its turn.
        first: It was never looked at before.
    """

    request: WidgetRequest
    state: str = OPEN
    outcome: Outcome | None = None
    uncertain: bool = False
    attempts: int = 0
    first: bool = True


class Answers:
    """The records of all answers."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._release = redis.register_script(RELEASE)
        self._renew = redis.register_script(RENEW)

    def begin(self, request: WidgetRequest) -> Answer:
        """Load the record and count this attempt; a missing one is made anew."""
        key = record_key(request.job_id)
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hsetnx(key, "request", request_text(request))
            pipeline.hgetall(key)
            pipeline.hincrby(key, "attempts", 1)
            pipeline.expire(key, kept_seconds(request))
            _, kept, _, _ = pipeline.execute()
        return _answer(kept)

    def find(self, job_id: str) -> Answer | None:
        """The record of a job, or None when it has expired."""
        kept: dict[Any, Any] = self._redis.hgetall(record_key(job_id))
        return _answer(kept) if kept.get(b"request") else None

    def keep_outcome(self, job_id: str, outcome: Outcome) -> Outcome:
        """Keep the outcome; when another worker was first, its outcome counts."""
        key = record_key(job_id)
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hsetnx(key, "outcome", json.dumps(asdict(outcome)))
            pipeline.hget(key, "outcome")
            _, kept = pipeline.execute()
        return _outcome(kept) or outcome

    def replace_outcome(self, job_id: str, outcome: Outcome) -> Outcome:
        """Change one's mind before anything was sent; only who holds the claim may."""
        self._redis.hset(record_key(job_id), "outcome", json.dumps(asdict(outcome)))
        return outcome

    def not_an_attempt(self, job_id: str) -> None:
        """It only had to wait for its turn: the waits after failures do not grow by that."""
        self._redis.hincrby(record_key(job_id), "waits", 1)

    def claim(self, job_id: str) -> str | None:
        """Take the right to send for `CLAIM_SECONDS`; None while another worker has it."""
        token = uuid4().hex
        taken = self._redis.set(claim_key(job_id), token, nx=True, px=CLAIM_SECONDS * 1000)
        return token if taken else None

    def renew(self, job_id: str, token: str) -> bool:
        """Keep the right to send for another `CLAIM_SECONDS`; False when it is lost."""
        return bool(self._renew(keys=[claim_key(job_id)], args=[token, CLAIM_SECONDS * 1000]))

    def release(self, job_id: str, token: str) -> None:
        """Give the right to send back, if it is still ours."""
        self._release(keys=[claim_key(job_id)], args=[token])

    def sending(self, request: WidgetRequest) -> Answer:
        """Note, before the call leaves, that its outcome is not known; tell what was known."""
        key = record_key(request.job_id)
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hsetnx(key, "request", request_text(request))
            pipeline.hgetall(key)
            pipeline.hset(key, "uncertain", "1")
            pipeline.expire(key, kept_seconds(request))
            _, kept, _, _ = pipeline.execute()
        return _answer(kept)

    def not_sent(self, job_id: str) -> None:
        """The call surely did not arrive, and none before it: a 404 would mean what it says."""
        self._redis.hdel(record_key(job_id), "uncertain")

    def close(self, job_id: str, state: str) -> None:
        """Continued, or given up. The reply stays only where somebody may try again."""
        with self._redis.pipeline() as pipeline:
            pipeline.hset(record_key(job_id), "state", state)
            if state == CONTINUED:
                pipeline.hdel(record_key(job_id), "outcome")
            pipeline.zrem(OPEN_KEY, job_id)
            pipeline.execute()

    def postpone(self, job_id: str, until: float) -> None:
        """Nobody has to look after this answer before `until` (seconds since the epoch)."""
        self._redis.zadd(OPEN_KEY, {job_id: until}, xx=True)

    def due(self, now: float, count: int = 100) -> list[str]:
        """Job ids of open answers that nobody brought to an end in time, the oldest first."""
        found: list[Any] = self._redis.zrange(
            OPEN_KEY, "-inf", str(now), byscore=True, offset=0, num=count
        )
        return [job_id.decode() for job_id in found]

    def forget(self, job_id: str) -> None:
        """Take an answer off the open ones whose record is gone."""
        self._redis.zrem(OPEN_KEY, job_id)


def record_key(job_id: str) -> str:
    """The Redis key of a record."""
    return f"{PREFIX}answer:{job_id}"


def claim_key(job_id: str) -> str:
    """The Redis key of the right to send."""
    return f"{PREFIX}answer:{job_id}:claim"


def request_text(request: WidgetRequest) -> str:
    """The request as the record keeps it: without the customer's words and name."""
    return json.dumps(request.to_job() | {"message": "", "contact_name": ""})


def kept_seconds(request: WidgetRequest) -> int:
    """As long as the token could be replayed, within a day and a week."""
    left = int(request.expires_at - time.time()) + 120
    return min(max(left, MIN_KEPT_SECONDS), MAX_KEPT_SECONDS)


def _answer(kept: dict[Any, Any]) -> Answer:
    request: dict[str, Any] = json.loads(kept[b"request"])
    return Answer(
        request=WidgetRequest.from_job(request),
        state=kept.get(b"state", OPEN.encode()).decode(),
        outcome=_outcome(kept.get(b"outcome")),
        uncertain=b"uncertain" in kept,
        attempts=int(kept.get(b"attempts", 0)) - int(kept.get(b"waits", 0)),
        first=b"attempts" not in kept,
    )


def _outcome(text: bytes | None) -> Outcome | None:
    """Keys of a newer version are left out."""
    if not text:
        return None
    known = {item.name for item in fields(Outcome)}
    return Outcome(**{key: value for key, value in json.loads(text).items() if key in known})

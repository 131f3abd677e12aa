"""Whose turn it is in a conversation: one at a time, in order, a burst answered once.

Every request leaves its text here in the step that queues it. Requests of our own widget that
arrive close together are answered together: the newest carries the texts of the others, which are
continued with `skip`. Who carries whom is settled in the records of `answers`, where only the
first outcome of a request counts, so that no two workers can decide differently.
"""

import json
import time
from dataclasses import dataclass
from typing import Any

from redis import Redis

from kommo_bridge.answers.record import OPEN, Answers, Outcome, record_key
from kommo_bridge.conversations.keys import conversation_name, texts_key, turn_key
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest

TEXTS_KEPT_SECONDS = 3600
MAX_TEXTS = 50
MAX_TEXT_CHARACTERS = 4_000
MAX_BURST_SECONDS = 10.0
# What the AI is asked at once; more would not fit beside the history.
MAX_QUESTION_CHARACTERS = 16_000
# Of the reply deadline: an older text is answered alone rather than once more with a newer one.
MERGE_SHARE = 0.5
BURST_SHARE = 0.25
TURN_MARGIN_SECONDS = 5
SKIPPED = Outcome("skip", "", silent=True)
NOT_READABLE = "[a voice message, picture or file that cannot be read here]"

# KEYS: the turn. ARGV: job id, milliseconds, what a record's key begins with.
# Who has an outcome holds the turn no more, even if its worker died before it could say so.
TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  local record = redis.call('HMGET', ARGV[3] .. holder, 'request', 'outcome', 'state')
  if record[1] and not record[2] and not record[3] then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


@dataclass(frozen=True)
class Text:
    """What one request wrote, and how far its answer has come.

    Attributes:
        number: Grows in the order of arrival.
        own: Sent by our own widget, which alone understands `skip`.
        at: When it was acknowledged (seconds since the epoch).
        open: Its Salesbot still waits.
        outcome: The status its Salesbot is, or was, continued with; empty while undecided.
    """

    job_id: str
    number: int
    text: str
    chat_id: str
    own: bool
    at: float
    open: bool
    outcome: str

    @property
    def carried(self) -> bool:
        """Nobody else will answer it: its Salesbot was let go, or is gone."""
        return self.outcome == "skip" or not self.open


@dataclass(frozen=True)
class Place:
    """One request among those of its conversation.

    Attributes:
        me, older, newer: In the order of arrival.
        merging: Whether requests that come close together are answered together.
    """

    me: Text
    older: tuple[Text, ...]
    newer: tuple[Text, ...]
    merging: bool

    def joins(self, other: Text) -> bool:
        """Whether the other text and mine may be answered by one reply."""
        own = self.me.own and other.own
        return self.merging and own and self.me.chat_id == other.chat_id

    @property
    def answered(self) -> list[Text]:
        """What my reply answers: my text and those that I carry, in order."""
        return [one for one in self.older if one.carried and one.chat_id == self.me.chat_id] + [
            self.me
        ]

    @property
    def question(self) -> str:
        """The texts as one message, the newest that fit; empty when there is none to read."""
        if not any(one.text for one in self.answered):
            return ""
        texts: list[str] = []
        left = MAX_QUESTION_CHARACTERS
        for one in reversed(self.answered):
            left -= len(one.text or NOT_READABLE)
            if texts and left < 0:
                break
            texts.insert(0, one.text or NOT_READABLE)
        return "\n".join(texts)

    def superseded(self, deadline_seconds: float) -> bool:
        """Whether a newer request will answer my text too, and may: not for ever."""
        age = time.time() - self.answered[0].at
        return age < deadline_seconds * MERGE_SHARE and any(
            one.open and not one.outcome and self.joins(one) for one in self.newer
        )

    def quiet_seconds(self, burst_seconds: float, deadline_seconds: float) -> float:
        """How long to listen for more before answering; 0 when it has been quiet enough."""
        if not (self.merging and self.me.own):
            return 0.0
        burst = min(burst_seconds, deadline_seconds * BURST_SHARE)
        first = min([one.at for one in self.older if self.joins(one)] + [self.me.at])
        ends_at = min(self.me.at + burst, first + MAX_BURST_SECONDS)
        return max(0.0, ends_at - time.time())

    @property
    def in_front(self) -> list[Text]:
        """Those that have to be answered before me."""
        return [one for one in self.older if not one.carried]


class Turns:
    """Whose turn it is, in all conversations."""

    def __init__(self, redis: Redis, answers: Answers) -> None:
        self._redis = redis
        self._answers = answers
        self._take = redis.register_script(TAKE)
        self._release = redis.register_script(RELEASE)

    def place(self, request: WidgetRequest, integration: Integration) -> Place:
        """Where the request stands among those not yet answered."""
        texts = self._texts(request)
        me = next((one for one in texts if one.job_id == request.job_id), None)
        if me is None:  # queued by a former version, or long ago
            me = _alone(request)
        elif request.message and request.has_text:
            me = Text(**{**vars(me), "text": request.message})  # whole, not cut
        return Place(
            me=me,
            older=tuple(one for one in texts if one.number < me.number),
            newer=tuple(one for one in texts if one.number > me.number),
            merging=integration.burst_seconds > 0,
        )

    def settle(self, place: Place) -> bool:
        """Let go the Salesbots whose texts I carry; False when one must be answered before me."""
        clear = True
        for one in place.in_front:
            may_let_go = not one.outcome and place.joins(one)
            if not may_let_go or self._answers.keep_outcome(one.job_id, SKIPPED) != SKIPPED:
                clear = False
        return clear

    def take(self, request: WidgetRequest, seconds: float) -> bool:
        """Take the turn for as long as the AI may think; the same request may take it again."""
        milliseconds = int((seconds + TURN_MARGIN_SECONDS) * 1000)
        return bool(
            self._take(
                keys=[turn_key(conversation_name(request))],
                args=[request.job_id, milliseconds, record_key("")],
            )
        )

    def release(self, request: WidgetRequest) -> None:
        """Give the turn to the next."""
        self._release(keys=[turn_key(conversation_name(request))], args=[request.job_id])

    def leave(self, request: WidgetRequest, texts: list[Text]) -> None:
        """Take off what is answered, and the request itself."""
        job_ids = {one.job_id for one in texts} | {request.job_id}
        self._redis.hdel(texts_key(conversation_name(request)), *job_ids)

    def _texts(self, request: WidgetRequest) -> list[Text]:
        kept: dict[Any, Any] = self._redis.hgetall(texts_key(conversation_name(request)))
        if not kept:
            return []
        texts = {job_id.decode(): value for job_id, value in kept.items()}
        records = self._records([job_id for job_id in texts if job_id != request.job_id])
        found = [_text(job_id, value, records.get(job_id)) for job_id, value in texts.items()]
        return sorted(self._in_time(request, found), key=lambda one: one.number)

    def _records(self, job_ids: list[str]) -> dict[str, list[bytes | None]]:
        if not job_ids:  # mostly a customer's text is alone
            return {}
        with self._redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(record_key(job_id), "request", "state", "outcome")
            return dict(zip(job_ids, pipeline.execute(), strict=True))

    def _in_time(self, request: WidgetRequest, texts: list[Text]) -> list[Text]:
        """Newer texts keep the whole alive; an older one goes when its own time is over."""
        oldest = time.time() - TEXTS_KEPT_SECONDS
        if stale := [one.job_id for one in texts if one.at < oldest]:
            self._redis.hdel(texts_key(conversation_name(request)), *stale)
        return [one for one in texts if one.at >= oldest]


def text_value(request: WidgetRequest) -> str:
    """What a request leaves here; Redis puts its number before it."""
    text = request.message[:MAX_TEXT_CHARACTERS] if request.has_text else ""
    return json.dumps(
        {
            "text": text,
            "chat_id": request.chat_id,
            "own": is_own_widget(request),
            "at": request.accepted_at,
        }
    )


def is_own_widget(request: WidgetRequest) -> bool:
    """Our widget says how it wants its reply; hand-made bots do not."""
    return request.delivery == "json"


def _text(job_id: str, value: bytes, record: list[bytes | None] | None) -> Text:
    """Without a record it is the asker's own, which it knows itself."""
    number, _, fields = value.decode().partition("|")
    exists, state, outcome = record or (b"own", None, None)
    return Text(
        job_id=job_id,
        number=int(number),
        open=exists is not None and (state or OPEN.encode()) == OPEN.encode(),
        outcome=json.loads(outcome)["status"] if outcome else "",
        **json.loads(fields),
    )


def _alone(request: WidgetRequest) -> Text:
    return Text(
        job_id=request.job_id,
        number=int(request.accepted_at * 1_000_000),
        text=request.message if request.has_text else "",
        chat_id=request.chat_id,
        own=is_own_widget(request),
        at=request.accepted_at,
        open=True,
        outcome="",
    )

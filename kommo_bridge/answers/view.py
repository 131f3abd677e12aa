"""An open conversation as it was read: the picture for `plan`, and what the run needs to know."""

import json
from dataclasses import dataclass, fields
from typing import Any

from kommo_bridge.answers.conversation import Conversation, Message, Outcome, Rules, Turn
from kommo_bridge.answers.record import message_of
from kommo_bridge.conversations.keys import person_digest
from kommo_bridge.conversations.usage import cap_reached
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest


@dataclass(frozen=True)
class View:
    """A conversation as it is now.

    Attributes:
        conversation, now: What `plan` looks at.
        mine: This run has the conversation; otherwise none of its changes are kept.
        kept: The changes were kept.
        ended: What became of the job's own request, empty while it is open; `error` says why.
        reported: Its job has failed with that error already.
        looked_at: How many runs have read the job's own request.
        requests: The widget requests of the messages, without the customers' words.
        stale: Texts that nobody needs any more.
    """

    conversation: Conversation
    now: float
    mine: bool = True
    kept: bool = True
    ended: str = ""
    error: str = ""
    reported: bool = False
    looked_at: int = 0
    requests: dict[str, bytes] | None = None
    stale: tuple[str, ...] = ()

    def request_of(self, job_id: str) -> WidgetRequest:
        """The widget request of a message."""
        return WidgetRequest.from_job(json.loads((self.requests or {})[job_id]))


def read_view(found: list[Any], integration: Integration, rules: Rules, person: str) -> View:
    """A view from what `state.lua` returns; `person` as `person_digest` gives it."""
    mine, kept, seconds, microseconds, marks, counted, own, turns, texts, records = found
    paused, no_text, tagged = marks
    ended, error, reported, looked = own
    under_way = _turns(turns)
    messages, requests, stale = _messages(texts, records, under_way, person)
    conversation = Conversation(
        rules=rules,
        messages=messages,
        turns=under_way,
        paused=bool(paused),
        tagged=None if tagged is None else tagged == b"1",
        no_text_said=bool(no_text),
        cap=cap_reached(integration, counted),
    )
    return View(
        conversation=conversation,
        now=seconds + microseconds / 1_000_000,
        mine=bool(mine),
        kept=bool(kept),
        ended=(ended or b"").decode(),
        error=(error or b"").decode(),
        reported=reported is not None,
        looked_at=int(looked or 0),
        requests=requests,
        stale=stale,
    )


def _messages(
    texts: list[bytes], records: list[list[bytes | None]], turns: tuple[Turn, ...], person: str
) -> tuple[tuple[Message, ...], dict[str, bytes], tuple[str, ...]]:
    """This person's messages in order of arrival, their requests, and the texts nobody needs."""
    taken = {one for turn in turns for one in turn.job_ids}
    found: list[Message] = []
    requests: dict[str, bytes] = {}
    stale: list[str] = []
    for name, value, record in zip(texts[::2], texts[1::2], records, strict=True):
        message, writer = message_of(name.decode(), value, record)
        if person_digest(writer) != person:
            continue
        if record[0] is None or not (message.waits or message.job_id in taken):
            stale.append(message.job_id)
            continue
        found.append(message)
        requests[message.job_id] = record[0]
    return tuple(sorted(found, key=lambda one: one.at)), requests, tuple(stale)


def _turns(kept: bytes | None) -> tuple[Turn, ...]:
    """Fields of a newer version are ignored."""
    known = {item.name for item in fields(Turn)}
    turns = []
    for item in json.loads(kept) if kept else []:
        values = {name: value for name, value in item.items() if name in known}
        outcome = values.get("outcome")
        values["outcome"] = Outcome.of(outcome) if outcome else None
        turns.append(Turn(**{**values, "job_ids": tuple(values["job_ids"])}))
    return tuple(turns)

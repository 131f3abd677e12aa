"""A reply whose facts are checked, as the integration's `facts_check` wants it.

`warn` only says what was found. `strict` asks the model once more, naming it; if the new reply
states such things too, or there is none, the conversation is handed over.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from kommo_bridge.ai.dialogue import Reply
from kommo_bridge.ai.facts_check import Unfounded, check
from kommo_bridge.ai.prompt import Question
from kommo_bridge.conversations.memory import Exchange
from kommo_bridge.english import listed
from kommo_bridge.errors import AssistantError
from kommo_bridge.integrations.hours import read_hours
from kommo_bridge.integrations.integration import Integration

# Asks the model: a question, what was said before, and how many seconds there are.
Ask = Callable[[Question, Sequence[Exchange], float], Reply]

CORRECTION = """\
(This is not the customer but the business's own system, which has not sent your reply: what \
follows stands nowhere in what the business has said: {what}. Write the reply to the customer \
again without it, in the customer's language and without a word about this. If it cannot be \
answered without it, say that you do not know, or hand over.)"""
# With less than this left, no reply can be expected.
LEAST_SECONDS = 2.0
NAMED = 8
# A date within so many days may be worked out from the name of its day.
DAYS_AHEAD = 8


def checked_reply(
    ask: Ask,
    integration: Integration,
    question: Question,
    history: Sequence[Exchange],
    seconds: float,
) -> Reply:
    """The reply, with what was found in it.

    Raises:
        AssistantError: There is no reply at all.
    """
    begun = time.monotonic()
    reply = ask(question, history, seconds)
    found = _unfounded(reply, integration, question, history)
    if not found or integration.facts_check != "strict":
        return replace(reply, unfounded=found)
    if not reply.handoff:
        left = seconds - (time.monotonic() - begun)
        again = _again(partial(ask, _correction(question, found)), question, history, reply, left)
        if again and not _unfounded(again, integration, question, history):
            return replace(again, unfounded=found)
        reply = again or reply
    kinds = listed(sorted({one.kind for one in found}), NAMED)
    summary = reply.summary or f"The assistant's reply stated what stands nowhere ({kinds})."
    reason = reply.reason if reply.handoff else "unknown"
    return replace(reply, text="", handoff=True, reason=reason, summary=summary, unfounded=found)


def grounds(integration: Integration, question: Question, reply: Reply) -> Iterator[str]:
    """What the business has said, as far as this reply may rest on it."""
    yield integration.instructions
    yield question.knowledge
    yield from (f"{name}: {value}" for name, value in question.lead_facts)
    yield from (one.result for one in reply.used if one.tool == "search_knowledge")
    yield f"{integration.open_hours}\n{integration.closed_days}"
    hours = read_hours(integration.open_hours, integration.closed_days, integration.time_zone)
    now = (question.now or datetime.now(UTC)).astimezone(hours.zone)
    days = [f"{now + timedelta(days=day):%Y-%m-%d}" for day in range(DAYS_AHEAD)]
    opens = hours.opens_next(now)
    yield "\n".join([f"{now:%H:%M}", *days, f"{opens:%Y-%m-%d %H:%M}" if opens else ""])


def _unfounded(
    reply: Reply, integration: Integration, question: Question, history: Sequence[Exchange]
) -> tuple[Unfounded, ...]:
    if integration.facts_check == "off":
        return ()
    known = list(grounds(integration, question, reply))
    words = [question.text, *(one.customer for one in history)]
    customers_links = integration.facts_check != "strict"
    return tuple(check(reply.text, known, words, customers_links=customers_links))


def _correction(question: Question, found: Sequence[Unfounded]) -> Question:
    what = listed([f"{one.kind} {one.text!r}" for one in found], NAMED)
    return replace(question, text=CORRECTION.format(what=what))


def _again(
    ask: Callable[[Sequence[Exchange], float], Reply],
    question: Question,
    history: Sequence[Exchange],
    reply: Reply,
    seconds: float,
) -> Reply | None:
    """A second reply, with what both have cost; None when there is none."""
    if seconds < LEAST_SECONDS:
        return None
    try:
        again = ask([*history, Exchange("", question.text, reply.text, 0.0)], seconds)
    except AssistantError:
        return None
    return replace(
        again,
        tokens=reply.tokens + again.tokens,
        prompt_tokens=reply.prompt_tokens + again.prompt_tokens,
        cached_tokens=reply.cached_tokens + again.cached_tokens,
        gaps=tuple(dict.fromkeys((*reply.gaps, *again.gaps))),
        used=(*reply.used, *again.used),
    )

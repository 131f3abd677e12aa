"""Questions that nothing given answers: each becomes a text that is known, or is done."""

import time

from flask import request
from werkzeug.wrappers import Response

from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.web.console.pages import Console, go_to, page


def show(console: Console, integration: Integration) -> Response | tuple[str, int]:
    """All of the last thirty days."""
    gaps = Gaps(console.redis)
    if request.method == "POST":
        number = request.form.get("number", 0, type=int)
        if request.form.get("what") == "answer":
            _answer(console, integration, gaps, number)
        gaps.done(integration, number)
        return go_to("gaps", integration, done="gap-done")
    return page("gaps", integration=integration, gaps=gaps.list(integration, time.time()))


def _answer(console: Console, integration: Integration, gaps: Gaps, number: int) -> None:
    """Make the answer a text that the assistant knows.

    Raises:
        KnowledgeError: It is empty or too long; the question stays on the list.
    """
    # Here, not above: only who adds something needs the readers of texts.
    from kommo_bridge.knowledge.knowledge import Knowledge  # noqa: PLC0415

    question = next(
        (one.question for one in gaps.list(integration, time.time()) if one.number == number), ""
    )
    if question:
        text = request.form.get("answer", "").strip()
        Knowledge(console.integrations.database).add_text(integration, question, text)

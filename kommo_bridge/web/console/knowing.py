"""Knowledge: what the business has given the assistant, and what it finds in it.

Pages and files are read by a worker: a page is fetched from its server, a file may be a trap.
"""

from typing import TYPE_CHECKING, Any

from flask import request
from werkzeug.wrappers import Response

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.queue.errands import ADD_FILE, ADD_PAGE, Errands
from kommo_bridge.web.console.pages import Console, go_to, page

if TYPE_CHECKING:
    from kommo_bridge.knowledge.knowledge import Knowledge


def show(console: Console, integration: Integration) -> tuple[str, int]:
    """The sources, what a search finds, and how far a page or file has come."""
    return _page(console, integration)


def piece(console: Console, integration: Integration) -> tuple[str, int]:
    """The part of the page that follows a page or file that is being read."""
    return page("_adding", integration=integration, **_adding(console, integration))


def add(console: Console, integration: Integration) -> Response | tuple[str, int]:
    """A text at once; a page or a file by a worker."""
    title, text = request.form.get("title", ""), request.form.get("text", "").strip()
    url, file = request.form.get("url", "").strip(), request.files.get("file")
    errands = Errands(console.redis)
    if url:
        number = errands.ask(ADD_PAGE, integration, url=url, title=title)
        return go_to("knowledge", integration, adding=number)
    if file and file.filename:
        key = errands.lend(file.read())
        number = errands.ask(ADD_FILE, integration, key=key, name=file.filename, title=title)
        return go_to("knowledge", integration, adding=number)
    try:
        _knowledge(console).add_text(integration, title, text)
    except KnowledgeError as error:
        return _page(console, integration, 400, error=str(error), text=text, title=title)
    return go_to("knowledge", integration, done="known")


def source(console: Console, integration: Integration, number: int) -> Response | tuple[str, int]:
    """What the assistant reads of one source; taking it away."""
    knowledge = _knowledge(console)
    found = knowledge.find(integration, number)
    if request.method == "POST":
        knowledge.remove(integration, number)
        return go_to("knowledge", integration, done="unknown")
    text = knowledge.show(integration, number)
    return page("source", integration=integration, source=found, text=text)


def _page(
    console: Console, integration: Integration, status: int = 200, **more: Any
) -> tuple[str, int]:
    knowledge, question = _knowledge(console), request.args.get("question", "").strip()[:400]
    return page(
        "knowledge",
        status,
        integration=integration,
        sources=knowledge.all(integration),
        question=question,
        found=knowledge.search(integration, question) if question else [],
        **{**_adding(console, integration), **more},
    )


def _adding(console: Console, integration: Integration) -> dict[str, Any]:
    number = request.args.get("adding", "")
    errand = (
        Errands(console.redis).look(number, integration, ADD_PAGE, ADD_FILE) if number else None
    )
    return {
        "adding": number,
        "errand": errand,
        "waiting": bool(errand and errand.state == "waiting"),
    }


def _knowledge(console: Console) -> "Knowledge":
    # Here, not above: only this page needs the readers and the search.
    from kommo_bridge.knowledge.knowledge import Knowledge  # noqa: PLC0415

    return Knowledge(console.integrations.database)

"""Connect: what to upload and import into Kommo, and whether everything works by now.

Kommo and the AI are asked by a worker; the page follows it.
"""

from typing import Any

from flask import Response as FlaskResponse
from flask import make_response, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from kommo_bridge.errors import ArchiveError, BotFileError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.queue.errands import EXAMINE, MAKE_BOT, Errand, Errands
from kommo_bridge.queue.state import last_widget_version
from kommo_bridge.web.console.owner_lines import Line, owner_lines
from kommo_bridge.web.console.pages import Console, go_to, page, session
from kommo_bridge.widget.build import WIDGET_REQUEST_PATH

NO_ADDRESS = (
    "The files cannot be made: the bridge does not know its own address. The person who runs it "
    "sets PUBLIC_URL."
)


def show(console: Console, integration: Integration) -> tuple[str, int]:
    """The steps, the files, and how far an errand has come."""
    return page(
        "connect",
        integration=integration,
        address=_address(console),
        no_address=NO_ADDRESS,
        spoken=bool(last_widget_version(console.redis, integration)),
        **_progress(console, integration),
    )


def lines(console: Console, integration: Integration) -> tuple[str, int]:
    """The part of the page that follows an errand."""
    return page("_progress", integration=integration, **_progress(console, integration))


def check(console: Console, integration: Integration) -> Response:
    """Let a worker examine the account."""
    return go_to("connect", integration, check=Errands(console.redis).ask(EXAMINE, integration))


def widget(console: Console, integration: Integration) -> FlaskResponse | tuple[str, int]:
    """The widget's archive."""
    # Here, not above: it brings a library for pictures.
    from kommo_bridge.widget.build import SHARED_WIDGET, build_archive  # noqa: PLC0415

    try:
        content = build_archive(SHARED_WIDGET, _address(console))
    except ArchiveError as error:
        return page("refused", 400, integration=integration, sentence=str(error))
    return _file(content, "kommo-bridge-widget.zip", "application/zip")


def bot(console: Console, integration: Integration) -> FlaskResponse | Response | tuple[str, int]:
    """The bot file: at once with a number that was given, else after a worker has asked Kommo."""
    number = request.form.get("number", "").strip()
    if not number:
        return go_to("connect", integration, bot=Errands(console.redis).ask(MAKE_BOT, integration))
    from kommo_bridge.widget.bot import build_bot  # noqa: PLC0415

    try:
        title = f"Reply with AI ({integration.subdomain})"
        content = build_bot(title, number, _address(console), "a")
    except BotFileError as error:
        return page("refused", 400, integration=integration, sentence=str(error))
    return _bot_file(content, integration)


def bot_file(console: Console, integration: Integration) -> FlaskResponse:
    """The bot file that a worker has made."""
    errand = Errands(console.redis).look(request.args.get("bot", ""), integration, MAKE_BOT)
    if errand.state != "done" or "file" not in errand.result:
        raise NotFound
    return _bot_file(errand.result["file"].encode(), integration)


def _progress(console: Console, integration: Integration) -> dict[str, Any]:
    """What the page shows of the errands that its address names."""
    errands, args = Errands(console.redis), request.args
    checked = errands.look(args["check"], integration, EXAMINE) if "check" in args else None
    made = errands.look(args["bot"], integration, MAKE_BOT) if "bot" in args else None
    return {
        "checked": checked,
        "lines": _lines(checked),
        "made": made,
        "waiting": any(one and one.state == "waiting" for one in (checked, made)),
        "names": {name: args[name] for name in ("check", "bot") if name in args},
    }


def _lines(checked: Errand | None) -> list[Line]:
    if checked is None or checked.state != "done":
        return []
    found = session()
    if found and found.is_operator:
        return [Line(one["state"], one["subject"], one["text"]) for one in checked.result]
    return owner_lines((one["subject"], one["state"]) for one in checked.result)


def _address(console: Console) -> str:
    base = console.settings.public_url
    return f"{base.rstrip('/')}{WIDGET_REQUEST_PATH}" if base else ""


def _bot_file(content: bytes, integration: Integration) -> FlaskResponse:
    return _file(content, f"{integration.subdomain}-bot.json", "application/json")


def _file(content: bytes, name: str, kind: str) -> FlaskResponse:
    answer = make_response(content)
    answer.headers["Content-Type"] = kind
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer

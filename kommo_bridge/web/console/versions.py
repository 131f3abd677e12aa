"""The versions of the instructions, and the way back to one."""

from dataclasses import replace

from flask import request
from werkzeug.wrappers import Response

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.open_store import refuse_if_overwritten
from kommo_bridge.integrations.versions import version_of, versions_of
from kommo_bridge.web.console.pages import Console, go_to, page, who


def show(console: Console, integration: Integration) -> Response | tuple[str, int]:
    """All that are kept, the newest first; going back to one makes it the newest."""
    database = console.integrations.database
    if request.method == "POST":
        number = request.form.get("number", 0, type=int)
        text = version_of(database, integration, number).text
        after = replace(integration, instructions=text)
        refuse_if_overwritten(console.settings, integration, after)
        console.integrations.rename(integration, after, by=who())
        return go_to("assistant", integration, done="restored")
    found = versions_of(database, integration)
    return page("versions", integration=integration, versions=found)

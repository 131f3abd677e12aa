"""`flask chat`: talk with an integration's assistant before its customers do."""

import logging
import secrets
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.conversations.keys import conversation_name
from kommo_bridge.conversations.money import Paid, cost, shown
from kommo_bridge.english import counted
from kommo_bridge.errors import BridgeError
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.settings import Settings

if TYPE_CHECKING:
    from kommo_bridge.ai.dialogue import Reply
    from kommo_bridge.jobs import Parts

CHAT_SECONDS = 86400
TRACED_CHARACTERS = 200


def chat_command(store: IntegrationStore, settings: Settings) -> click.Command:
    """`flask chat`."""

    @click.command("chat")
    @click.argument("name")
    @click.option("--customer", default="", help="The customer's name, as Kommo would tell it.")
    @click.option(
        "--trace", is_flag=True, help="Show tools, what they found, tokens, money and seconds."
    )
    def chat(name: str, customer: str, *, trace: bool) -> None:
        """Talk with the assistant of NAME here: its memory, handoff, caps and AI are real.

        Kommo is not called. What was said is forgotten at the end; tokens count as used.
        """
        # Here, not above: the web process, which loads these commands, has no use for the AI.
        from kommo_bridge.jobs import build_parts  # noqa: PLC0415

        with errors_as_messages():
            integration = store.get(name)
            parts = build_parts(settings)
            entity_id = secrets.randbelow(2**31)
            click.echo(f"You are a customer of {integration.host}. An empty line ends.")
            log = logging.getLogger("kommo_bridge")
            level = log.level
            log.setLevel(logging.ERROR)  # what fails is told between the lines of the talk
            try:
                while message := _ask():
                    request = _request(integration, message, customer, entity_id)
                    _say(request, integration, parts, trace=trace)
            finally:
                log.setLevel(level)
                conversation = conversation_name(_request(integration, "", "", entity_id))
                parts.steps.memory.forget(conversation)
                parts.steps.memory.resume(conversation)
                parts.close()

    return chat


def _ask() -> str:
    try:
        return str(click.prompt("customer", default="", show_default=False)).strip()
    except click.Abort:  # Ctrl-D
        return ""


def _say(request: WidgetRequest, integration: Integration, parts: "Parts", *, trace: bool) -> None:
    from kommo_bridge.answers.terminal import Terminal, TerminalAsker  # noqa: PLC0415
    from kommo_bridge.jobs import rules_of  # noqa: PLC0415

    terminal = Terminal(**vars(parts.steps.sender))
    asker = TerminalAsker(
        **vars(parts.steps.asker),
        show=_show,
        trace=partial(_trace, integration) if trace else lambda _reply, _seconds: None,
    )
    steps = replace(parts.steps, sender=terminal, asker=asker)
    rules = rules_of(integration, parts.settings, request)
    with suppress(BridgeError):  # what failed stands in the outcome
        while (wait := steps.run(request, integration, rules)) is not None:
            time.sleep(wait)
    outcome = terminal.outcome
    text = "(says nothing)" if outcome.silent else outcome.spoken.replace("\n", "\n           ")
    click.echo(f"assistant: {text}")
    if outcome.error:
        _show(f"{outcome.status}: {outcome.error}")
    elif outcome.status == "handoff":
        _show(f"handoff: {outcome.handoff_reason}. {outcome.summary}".strip(". "))
        hours = counted(integration.handoff_hours, "hour")
        _show(f"a human answers now, for {hours}; here: you go on")
    elif outcome.status != "success":
        _show(outcome.status)
    if outcome.status == "handoff":
        parts.steps.memory.resume(conversation_name(request))


def _show(text: str) -> None:
    click.echo(f"           [{text}]")


def _trace(integration: Integration, reply: "Reply", seconds: float) -> None:
    """What one reply took: tools and what they found, tokens, money, time."""
    for used in reply.used:
        found = " ".join(used.result.split())
        more = " ..." if len(found) > TRACED_CHARACTERS else ""
        _show(f"{used.tool}({used.asked!r}): {found[:TRACED_CHARACTERS]}{more}")
    for gap in reply.gaps:
        _show(f"a gap: {gap}")
    spent = [
        f"{reply.tokens:,} tokens ({reply.prompt_tokens:,} asked, {reply.cached_tokens:,} of them "
        "cached)"
    ]
    paid = Paid(reply.tokens, reply.prompt_tokens, reply.cached_tokens)
    if money := cost(integration, paid):
        spent.append(shown(money, integration.currency))
    _show(", ".join([*spent, f"{seconds:.1f} s"]))


def _request(
    integration: Integration, message: str, customer: str, entity_id: int
) -> WidgetRequest:
    now = time.time()
    return WidgetRequest(
        integration_id=integration.integration_id,
        account_id=integration.account_id or 0,
        subdomain=integration.subdomain,
        entity_type="chat",
        entity_id=entity_id,
        return_url=f"https://{integration.host}/chat/{secrets.token_hex(8)}",
        message=message,
        contact_name=customer,
        origin="chat",
        expires_at=now + CHAT_SECONDS,
        accepted_at=now,
    )

"""`flask chat`: talk with an integration's assistant before its customers do."""

import logging
import secrets
from functools import partial
from typing import TYPE_CHECKING

import click

from kommo_bridge.cli.tables import errors_as_messages
from kommo_bridge.conversations.money import Paid, cost, shown
from kommo_bridge.english import counted
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings

if TYPE_CHECKING:
    from kommo_bridge.ai.dialogue import Reply
    from kommo_bridge.chat import Chat

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
        from kommo_bridge.chat import Chat  # noqa: PLC0415
        from kommo_bridge.jobs import build_parts  # noqa: PLC0415

        with errors_as_messages():
            integration = store.get(name)
            parts = build_parts(settings)
            talk = Chat(
                parts,
                integration,
                secrets.randbelow(2**31),
                customer=customer,
                show=_show,
                trace=partial(_trace, integration) if trace else lambda _reply, _seconds: None,
            )
            click.echo(f"You are a customer of {integration.host}. An empty line ends.")
            log = logging.getLogger("kommo_bridge")
            level = log.level
            log.setLevel(logging.ERROR)  # what fails is told between the lines of the talk
            try:
                while message := _ask():
                    _say(talk, message, integration)
            finally:
                log.setLevel(level)
                talk.forget()
                parts.close()
                parts.close()

    return chat


def _ask() -> str:
    try:
        return str(click.prompt("customer", default="", show_default=False)).strip()
    except click.Abort:  # Ctrl-D
        return ""


def _say(talk: "Chat", message: str, integration: Integration) -> None:
    outcome = talk.say(message).outcome
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


def _show(text: str) -> None:
    click.echo(f"           [{text}]")


def _trace(integration: Integration, reply: "Reply", seconds: float) -> None:
    """What one reply took: tools and what they found, what stands nowhere, tokens, money, time."""
    for used in reply.used:
        found = " ".join(used.result.split())
        more = " ..." if len(found) > TRACED_CHARACTERS else ""
        _show(f"{used.tool}({used.asked!r}): {found[:TRACED_CHARACTERS]}{more}")
    for gap in reply.gaps:
        _show(f"a gap: {gap}")
    for fact in reply.unfounded:
        _show(f"stands nowhere: {fact.kind} {fact.text!r}")
    spent = [
        f"{reply.tokens:,} tokens ({reply.prompt_tokens:,} asked, {reply.cached_tokens:,} of them "
        "cached)"
    ]
    paid = Paid(reply.tokens, reply.prompt_tokens, reply.cached_tokens)
    if money := cost(integration, paid):
        spent.append(shown(money, integration.currency))
    _show(", ".join([*spent, f"{seconds:.1f} s"]))

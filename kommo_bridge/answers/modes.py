"""What the mode of an integration and the tags of a lead mean for an answer. Pure."""

from kommo_bridge.answers.conversation import SILENT_HANDOFF, SKIP, Message, Outcome, Rules
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.crm import Lead


def leaves_as(outcome: Outcome, message: Message, rules: Rules) -> Outcome:
    """What a Salesbot is continued with: in the mode `hint` it never says a word."""
    if outcome.silent or not _is_hint(message, rules):
        return outcome
    return SKIP if message.own else SILENT_HANDOFF


def _is_hint(message: Message, rules: Rules) -> bool:
    """A call that may have arrived is repeated as it left, whatever the mode is meanwhile."""
    if message.unknown_since is not None and message.outcome:
        return message.outcome.hint
    return rules.mode == "hint"


def silenced(lead: Lead | None, integration: Integration) -> bool:
    """Whether the tags leave the lead to a human.

    Args:
        lead: None when Kommo could not say: a customer is then answered, except in the mode `test`,
            where only those are answered who are known to be tests.
    """
    if integration.mode == "test" and not (lead and lead.has_tag(integration.test_tag)):
        return True
    return bool(integration.pause_tag and lead and lead.has_tag(integration.pause_tag))

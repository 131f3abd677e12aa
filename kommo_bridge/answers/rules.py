"""What an integration and the settings prescribe for a conversation; `plan` reads it."""

from kommo_bridge.answers.conversation import Rules
from kommo_bridge.conversations.keys import ENTITY_TYPES
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.settings import Settings


def rules_of(integration: Integration, settings: Settings, request: WidgetRequest) -> Rules:
    """What the integration and the settings prescribe for the request's conversation."""
    phrases = [one.strip() for one in integration.handoff_phrases.splitlines()]
    lead = request.entity_type == ENTITY_TYPES["lead"]
    # Who tries an assistant here, by `flask chat` or a scenario, wants to read it.
    mode = integration.mode if request.entity_type in ENTITY_TYPES.values() else "live"
    return Rules(
        reply_deadline=settings.reply_deadline_seconds,
        continue_deadline=settings.continue_deadline_seconds,
        burst=integration.burst_seconds,
        enabled=integration.enabled,
        handoff_phrases=tuple(one for one in phrases if one),
        looks_up_tag=lead and (bool(integration.pause_tag) or mode == "test"),
        mode=mode,  # type: ignore[arg-type]  # one of the choices of the field
        silent=mode == "test" and not lead,
        tells_lead=lead and bool(integration.lead_fields.strip()),
    )

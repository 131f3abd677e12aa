"""How the owner of the business hears of the week."""

from dataclasses import dataclass

from kommo_bridge.integrations.declared import declared
from kommo_bridge.integrations.kinds import MailAddress, SecretUrl


@dataclass(frozen=True)
class OwnerFields:
    """How the owner of the business hears of the week."""

    owner_email: str = declared(
        MailAddress(), "Who gets the weekly report by mail, on Monday morning (`SMTP_URL`).", ""
    )
    owner_webhook_url: str = declared(
        SecretUrl(), "A webhook that gets the weekly report as JSON, on Monday morning.", ""
    )

"""What each check of the doctor gets and gives."""

from dataclasses import dataclass
from typing import Literal

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.settings import Settings

State = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and what to do."""

    subject: str
    state: State
    text: str


@dataclass(frozen=True)
class Context:
    """What the checks look at. `token` is a signed test token."""

    integration: Integration
    settings: Settings
    token: str
    own_url: str

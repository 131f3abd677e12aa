"""Figures that nobody keeps: a run of a scenario counts nothing and calls nobody but the AI.

Their bases are never initialised, so that a figure, a cap or a call that is forgotten here fails
instead of reaching Redis or Kommo.
"""

from typing import Any

from kommo_bridge.conversations.days import Days
from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.conversations.money import Paid
from kommo_bridge.conversations.usage import Usage
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.knowledge.knowledge import Knowledge
from kommo_bridge.kommo.client import KommoClient
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.telemetry.incidents import Incidents
from kommo_bridge.telemetry.metrics import Metrics


class NoMetrics(Metrics):
    """Counts nothing."""

    def __init__(self) -> None:
        pass

    def count(self, *_event: Any, **_options: Any) -> None:
        """Nothing is counted."""

    def observe(self, *_event: Any, **_options: Any) -> None:
        """Nothing is observed."""


class NoIncidents(Incidents):
    """Notes nothing."""

    def __init__(self) -> None:
        pass

    def note(self, *_event: Any, **_options: Any) -> None:
        """Nothing is noted."""


class NoGaps(Gaps):
    """Notes nothing."""

    def __init__(self) -> None:
        pass

    def note(self, *_event: Any, **_options: Any) -> None:
        """Nothing is noted."""


class NoKnowledge(Knowledge):
    """Nothing was told."""

    def __init__(self) -> None:
        pass

    def for_prompt(self, integration: Integration) -> str:  # noqa: ARG002
        """Nothing."""
        return ""

    def is_searched(self, integration: Integration) -> bool:  # noqa: ARG002
        """There is nothing to search."""
        return False


class NoUsage(Usage):
    """Outside the caps."""

    def __init__(self) -> None:
        pass

    def count(self, request: WidgetRequest, integration: Integration, paid: Paid) -> None:
        """Nothing is counted."""

    def warn(self, integration: Integration) -> bool:  # noqa: ARG002
        """No cap is reached."""
        return False


class NoDays(Days):
    """Belongs to no week."""

    def __init__(self) -> None:
        pass


class NoKommo(KommoClient):
    """Cannot call anybody."""

    def __init__(self) -> None:
        pass


class NoStore(IntegrationStore):
    """Cannot be read."""

    def __init__(self) -> None:
        pass

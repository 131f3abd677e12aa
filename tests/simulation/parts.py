"""Small parts of the bridge as the world needs them."""

from functools import cached_property
from typing import Any

from kommo_bridge.conversations.keys import conversation_name
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.kommo.widget_request import WidgetRequest

from .scenario import Scenario
from .state import Store
from .world import World


class Silent:
    """Metrics and incidents: nobody looks at them here."""

    def __getattr__(self, name: str) -> Any:
        return self._nothing

    @staticmethod
    def _nothing(*_args: Any, **_options: Any) -> None:
        return None


class Memory:
    """As `Conversations`: one more round trip."""

    def __init__(self, world: World) -> None:
        self.world = world

    def history(self, *_args: Any) -> list[Any]:
        self.world.redis(lambda: None)
        return []

    def remember(self, *_args: Any) -> None:
        self.world.redis(lambda: None)


class Usage:
    """As `Usage`: counts replies for the cap."""

    def __init__(self, world: World, store: Store) -> None:
        self.world = world
        self.store = store

    def count(self, request: Any, *_args: Any) -> None:
        entity = self.store.entity(conversation_name(request))
        self.world.redis(lambda: setattr(entity, "replies", entity.replies + 1))

    def warn(self, *_args: Any) -> None:
        return None


class Request(WidgetRequest):
    """The same, with what hangs on it made once."""

    job_id: str = cached_property(lambda self: "wr-" + self.return_url.rpartition("/")[2])  # type: ignore
    has_text: bool = cached_property(lambda self: bool(self.message))  # type: ignore


def integration(number: int, scenario: Scenario) -> Integration:
    return Integration(
        integration_id=f"i{number}",
        subdomain=f"account{number}",
        access_token="old",
        burst_seconds=scenario.burst,
        handoff_phrases="human please",
        disclosure="",
        mode=scenario.mode(number),
    )

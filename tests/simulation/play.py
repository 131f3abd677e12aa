"""Plays one scenario to its end."""

import logging
from dataclasses import dataclass

from .bridge import Bridge
from .heart import Heart
from .scenario import Scenario
from .world import Broken


@dataclass(frozen=True)
class Result:
    """What came of one scenario."""

    scenario: Scenario
    rule: str = ""
    story: str = ""
    told: tuple[str, ...] = ()


def play(scenario: Scenario, heart: Heart, *, telling: bool = False) -> Result:
    """Run one scenario."""
    logging.disable(logging.CRITICAL)
    bridge = Bridge(scenario, heart, telling=telling)
    try:
        bridge.run()
    except Broken as broken:
        return Result(scenario, broken.rule, broken.story, tuple(bridge.world.told or ()))
    finally:
        logging.disable(logging.NOTSET)
    return Result(scenario, told=tuple(bridge.world.told or ()))

"""How a field of an integration is declared."""

from dataclasses import MISSING, field
from typing import Any

from kommo_bridge.integrations.kinds import Kind, Secret


def declared(kind: Kind, text: str, default: Any = MISSING) -> Any:
    """A field of `Integration`; `text` is one sentence of help for operators."""
    shown = not isinstance(kind, Secret)
    return field(default=default, repr=shown, metadata={"kind": kind, "help": text})

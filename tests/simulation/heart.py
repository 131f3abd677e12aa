"""A copy of `kommo_bridge.answers` that runs on the world's clock.

Each copy is imported anew, so that a test may put a fault back into the source of one rule and
leave the product as it is.
"""

import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

PACKAGE = "kommo_bridge.answers"
MODULES = (
    "conversation",
    "retries",
    "plan",
    "verdict",
    "changes",
    "steps",
    "sender",
    "asker",
    "modes",
    "notice",
    "turns",
)


@dataclass(frozen=True)
class Change:
    """A piece of source, wherever it stands, and what stands there instead."""

    old: str
    new: str


class Clock:
    """Stands in for the module `time` in the copy; the world that runs at the moment sets it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleep = time.sleep

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def monotonic(self) -> float:
        """The same: this clock never goes back."""
        return self.now

    perf_counter = monotonic


class Heart:
    """The modules of one copy, as attributes."""

    def __init__(self, modules: dict[str, ModuleType], clock: Clock) -> None:
        self.clock = clock
        for name, module in modules.items():
            if vars(module).get("time") is time:
                module.time = clock  # type: ignore[attr-defined]
            setattr(self, name.rpartition(".")[2], module)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def load(changes: Sequence[Change] = ()) -> Heart:
    """Import the answers anew, with these changes of their source."""
    with _imported_anew(changes):
        for name in MODULES:
            importlib.import_module(f"{PACKAGE}.{name}")
        prefix = f"{PACKAGE}."
        return Heart({n: m for n, m in sys.modules.items() if n.startswith(prefix)}, Clock())


@contextmanager
def _imported_anew(changes: Sequence[Change]) -> Iterator[None]:
    parent = importlib.import_module("kommo_bridge")
    importlib.import_module(PACKAGE)
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if _ours(name)}
    finder = _Finder(changes)
    sys.meta_path.insert(0, finder)
    try:
        yield
        if sorted(finder.made, key=repr) != sorted(changes, key=repr):
            raise ValueError(f"not found just once in the answers: {changes}")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _ours(name)]:
            del sys.modules[name]
        sys.modules.update(before)
        parent.answers = before[PACKAGE]  # type: ignore[attr-defined]


def _ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


class _Finder(MetaPathFinder):
    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes
        self.made: list[Change] = []

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not _ours(fullname):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.origin and self._changes:
            spec.loader = _Changed(fullname, spec.origin, self._changes, self.made)
        return spec


class _Changed(SourceFileLoader):
    def __init__(
        self, fullname: str, path: str, changes: Sequence[Change], made: list[Change]
    ) -> None:
        super().__init__(fullname, path)
        self._changes = changes
        self._made = made

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        for one in self._changes:
            self._made += [one] * source.count(one.old)
            source = source.replace(one.old, one.new)
        return compile(source, f"{self.path} (changed)", "exec")

"""An opened widget archive, and what a rule about it is. No rule lives here."""

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kommo_bridge.errors import ArchiveError

JsonObject = dict[str, Any]

MANIFEST = "manifest.json"
SCRIPT = "script.js"
LARGEST_UNPACKED_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Archive:
    """The entries of a zip. A file that is missing or broken reads as empty, never as an error.

    Args:
        names: The names as they are stored, folders and repeated names included.
        files: Name -> content; of a repeated name, the last.
    """

    names: tuple[str, ...]
    files: dict[str, bytes]

    def text(self, name: str) -> str:
        """The file as text, without its BOM; what is not UTF-8 becomes U+FFFD."""
        return self.files.get(name, b"").decode("utf-8-sig", errors="replace")

    def json(self, name: str) -> JsonObject:
        """The JSON object in the file, or an empty one."""
        try:
            return as_object(json.loads(self.text(name)))
        except (ValueError, RecursionError):
            return {}

    @cached_property
    def manifest(self) -> JsonObject:
        """The content of manifest.json."""
        return self.json(MANIFEST)

    @cached_property
    def widget(self) -> JsonObject:
        """The manifest's `widget`: names, version, locales."""
        return as_object(self.manifest.get("widget"))

    @cached_property
    def handlers(self) -> dict[str, JsonObject]:
        """The blocks that the widget adds to the designer: handler code -> its description."""
        blocks = as_object(self.manifest.get("salesbot_designer"))
        return {code: as_object(block) for code, block in blocks.items() if code != "logo"}

    @cached_property
    def locales(self) -> tuple[str, ...]:
        """The languages that the manifest names."""
        return tuple(code for code in as_list(self.widget.get("locale")) if isinstance(code, str))

    @cached_property
    def locations(self) -> tuple[str, ...]:
        """The places of Kommo's interface that the manifest names."""
        return tuple(p for p in as_list(self.manifest.get("locations")) if isinstance(p, str))


@dataclass(frozen=True)
class Rule:
    """One demand of Kommo.

    Args:
        identity: Short and stable, e.g. `manifest.tour`.
        promise: What holds when the rule is kept, as a sentence.
        source: The page, of Kommo where there is one, that the rule stands on.
        faults: Yields a sentence for everything that breaks the rule.
    """

    identity: str
    promise: str
    source: str
    faults: Callable[[Archive], Iterable[str]]


def open_archive(content: bytes) -> Archive:
    """Read a zip into memory.

    Raises:
        ArchiveError: It is no zip, is damaged or encrypted, or unpacks to more than 32 MiB.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            return _read(opened)
    # RuntimeError: encrypted; NotImplementedError: a compression that Python does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise ArchiveError(f"This is not a zip that can be read: {error}.") from error


def _read(opened: zipfile.ZipFile) -> Archive:
    entries = opened.infolist()
    if sum(entry.file_size for entry in entries) > LARGEST_UNPACKED_BYTES:
        raise ArchiveError("The zip unpacks to more than 32 MiB: this is no widget archive.")
    # orig_filename: Python itself turns the backslashes of an entry into slashes on Windows.
    return Archive(
        names=tuple(entry.orig_filename for entry in entries),
        files={e.orig_filename: opened.read(e) for e in entries if not e.is_dir()},
    )


def as_object(value: object) -> JsonObject:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []

"""Rules about the zip and its entries: their places, their names, the encoding of texts."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from kommo_bridge.widget.archive import MANIFEST, SCRIPT, Archive, Rule

STRUCTURE = "https://developers.kommo.com/docs/structure-widget"

TEXT_SUFFIXES = frozenset({".json", ".js", ".css", ".twig"})
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif"})
# What the build replaces in manifest.json and script.js.
URL_TOKEN = b"__WIDGET_REQUEST_URL__"
VERSION_TOKEN = b"__WIDGET_VERSION__"


def misses_the_root(archive: Archive) -> Iterator[str]:
    """Kommo looks for both files at the root; a wrapping folder hides them."""
    for name in (MANIFEST, SCRIPT):
        if name in archive.files:
            continue
        elsewhere = [found for found in archive.names if PurePosixPath(found).name == name]
        if elsewhere:
            yield f"{elsewhere[0]}: must lie at the root of the zip, without a folder around it"
        else:
            yield f"{name}: is missing at the root of the zip"


def has_backslashes(archive: Archive) -> Iterator[str]:
    """PowerShell's Compress-Archive writes backslashes, and Kommo refuses such a zip."""
    for name in archive.names:
        if "\\" in name:
            yield f"{name}: folders must be parted by forward slashes"


def has_unsafe_names(archive: Archive) -> Iterator[str]:
    """A name that leaves the folder, or comes twice, unpacks to something else than one sees."""
    for name, times in Counter(archive.names).items():
        if times > 1:
            yield f"{name}: is in the zip {times} times"
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            yield f"{name}: must be a plain path inside the archive"


def has_stray_files(archive: Archive) -> Iterator[str]:
    """System files such as .DS_Store and __MACOSX, sources and drafts do not belong in a widget."""
    for name in archive.files:
        path = PurePosixPath(name.replace("\\", "/"))
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
        if hidden or path.suffix.lower() not in TEXT_SUFFIXES | PICTURE_SUFFIXES:
            yield f"{name}: does not belong in a widget archive"


def is_not_plain_utf8(archive: Archive) -> Iterator[str]:
    """Texts are UTF-8 without a byte order mark."""
    for name in _texts(archive):
        if archive.files[name].startswith(b"\xef\xbb\xbf"):
            yield f"{name}: starts with a byte order mark (BOM)"
        try:
            archive.files[name].decode("utf-8")
        except UnicodeDecodeError as error:
            yield f"{name}: is not UTF-8 at byte {error.start}"


def is_not_json(archive: Archive) -> Iterator[str]:
    """Every .json file holds one JSON object without a key that comes twice."""
    for name in archive.files:
        if not name.endswith(".json"):
            continue
        try:
            content = json.loads(archive.text(name), object_pairs_hook=_object_of_single_keys)
        except (ValueError, RecursionError) as error:
            yield f"{name}: is not valid JSON: {error}"
        else:
            if not isinstance(content, dict):
                yield f"{name}: must hold a JSON object"


def has_build_tokens(archive: Archive) -> Iterator[str]:
    """`flask widget build` puts the address and the version in the place of its tokens."""
    for name in _texts(archive):
        for token in (URL_TOKEN, VERSION_TOKEN):
            if token in archive.files[name]:
                yield f"{name}: still holds {token.decode()}; pack it with `flask widget build`"


def _texts(archive: Archive) -> Iterator[str]:
    return (n for n in archive.files if PurePosixPath(n).suffix.lower() in TEXT_SUFFIXES)


def _object_of_single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, times in Counter(key for key, _ in pairs).items():
        if times > 1:
            raise ValueError(f"the key {key!r} comes {times} times")
    return dict(pairs)


RULES = (
    Rule("zip.root", "manifest.json and script.js lie at the root", STRUCTURE, misses_the_root),
    Rule("zip.slashes", "Folders are parted by forward slashes", STRUCTURE, has_backslashes),
    Rule("zip.names", "Every entry has one plain name of its own", STRUCTURE, has_unsafe_names),
    Rule("zip.stray", "No system file, source or draft is inside", STRUCTURE, has_stray_files),
    Rule("text.utf8", "Texts are UTF-8 without a byte order mark", STRUCTURE, is_not_plain_utf8),
    Rule("text.json", "Every .json file holds one valid object", STRUCTURE, is_not_json),
    Rule("text.tokens", "No token of the build is left over", STRUCTURE, has_build_tokens),
)

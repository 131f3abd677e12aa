"""Builds the archive that a user uploads to Kommo, and checks any such archive.

Same source, address and version, same bytes: entries are sorted; their times, permissions and
compression are fixed. Kommo's requirements are in `rules`, and what is built meets them.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kommo_bridge.errors import ArchiveError
from kommo_bridge.widget.archive import MANIFEST, JsonObject, as_object
from kommo_bridge.widget.rules import ARCHIVE_RULES, Rule, open_archive
from kommo_bridge.widget.rules.files import STRUCTURE, URL_TOKEN, VERSION_TOKEN
from kommo_bridge.widget.rules.manifest import is_version
from kommo_bridge.widget.rules.script import is_public_https

WIDGET_REQUEST_PATH = "/api/kommo/kommo/widget-request"
SHARED_WIDGET = Path(__file__).parents[2] / "widgets" / "shared"

# What is taken from the source; all else beside it (drafts, system files) stays behind.
ROOT_FILES = ("manifest.json", "script.js", "style.css")
PACKED = (*ROOT_FILES, "i18n/*.json", "images/*.png", "templates/*.twig")
EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
PLAIN_FILE = 0o100644 << 16
UNIX = 3


@dataclass(frozen=True)
class ArchiveFinding:
    """What one rule says of an archive.

    Args:
        rule: The rule's identity, e.g. `images.size`.
        ok: Whether the rule is kept.
        message: The rule as a sentence, or the faults, each naming its file.
        source: The page that the rule stands on.
    """

    rule: str
    ok: bool
    message: str
    source: str


def check_archive(content: bytes) -> list[ArchiveFinding]:
    """One finding a rule, in the order of the rules; a lone fault when the zip cannot be opened."""
    try:
        archive = open_archive(content)
    except ArchiveError as error:
        return [ArchiveFinding("zip.readable", ok=False, message=str(error), source=STRUCTURE)]
    readable = ArchiveFinding(
        "zip.readable", ok=True, message="The zip can be read", source=STRUCTURE
    )
    return [readable, *(_finding(rule, list(rule.faults(archive))) for rule in ARCHIVE_RULES)]


def _finding(rule: Rule, faults: list[str]) -> ArchiveFinding:
    message = "; ".join(faults) or rule.promise
    return ArchiveFinding(rule.identity, ok=not faults, message=message, source=rule.source)


def build_archive(source: Path, widget_request_url: str, version: str | None = None) -> bytes:
    """The zip to upload, made from a folder such as `widgets/shared`.

    Args:
        source: The folder with manifest.json and script.js.
        widget_request_url: Where the block sends its widget requests: https, a named host.
        version: E.g. `1.0.1`, greater at every upload; the manifest's own when left out.

    Raises:
        ArchiveError: The address, the version or the folder cannot be used, or the result breaks a
            rule of Kommo; the message names file and rule.
    """
    own_version = source_version(source)
    version = version or own_version
    if not is_version(version):
        raise ArchiveError(f"The version must read like 1.0.0, not {version!r}.")
    if not is_public_https(widget_request_url):
        raise ArchiveError(
            f"The address must be https on a public host name, not {widget_request_url!r}."
        )
    content = _zip(_entries(source, widget_request_url, version))
    _refuse_faults(check_archive(content))
    return content


def source_version(source: Path) -> str:
    """The version in the manifest of a source folder, its only home.

    Raises:
        ArchiveError: There is no manifest, it is not JSON, or it names no version.
    """
    version = as_object(_manifest(source).get("widget")).get("version")
    if not isinstance(version, str):
        raise ArchiveError(f"{source / MANIFEST}: widget.version is missing.")
    return version


def fill_in(text: bytes, widget_request_url: str, version: str) -> bytes:
    """A text of the source with the address and the version in the place of their tokens."""
    filled = text.replace(URL_TOKEN, widget_request_url.encode())
    return filled.replace(VERSION_TOKEN, version.encode())


def _manifest(source: Path) -> JsonObject:
    try:
        return as_object(json.loads((source / MANIFEST).read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ArchiveError(f"{source / MANIFEST}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ArchiveError(f"{source / MANIFEST}: is not valid JSON: {error}.") from error


def _entries(source: Path, url: str, version: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of all entries, sorted by name; line ends are LF on every system."""
    for name in sorted(_packed_names(source)):
        content = (source / name).read_bytes()
        if not name.endswith(".png"):
            content = fill_in(content.replace(b"\r\n", b"\n"), url, version)
        yield name, _with_version(content, version) if name == MANIFEST else content


def _packed_names(source: Path) -> Iterator[str]:
    for pattern in PACKED:
        for path in source.glob(pattern):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(source).as_posix()


def _with_version(manifest: bytes, version: str) -> bytes:
    content: JsonObject = json.loads(manifest)
    content["widget"]["version"] = version
    return json.dumps(content, ensure_ascii=False, indent=2).encode() + b"\n"


def _zip(entries: Iterator[tuple[str, bytes]]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in entries:
            entry = zipfile.ZipInfo(name, date_time=EARLIEST_ZIP_TIME)
            entry.external_attr = PLAIN_FILE
            entry.create_system = UNIX
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    return packed.getvalue()


def _refuse_faults(findings: list[ArchiveFinding]) -> None:
    faults = [f"{finding.rule}: {finding.message}" for finding in findings if not finding.ok]
    if faults:
        raise ArchiveError("Kommo would refuse this archive.\n" + "\n".join(faults))

"""The widget archive: reproducible, and checked by every rule of Kommo that is known."""

import io
import json
import re
import runpy
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kommo_bridge.errors import ArchiveError
from kommo_bridge.widget.build import (
    SHARED_WIDGET,
    build_archive,
    check_archive,
    source_version,
)
from kommo_bridge.widget.rules import ARCHIVE_RULES

URL = "https://bridge.example.com/api/kommo/kommo/widget-request"

Files = dict[str, bytes]
Breakage = Callable[[Files], None]


@pytest.fixture(scope="module")
def whole() -> Files:
    return unpacked(build_archive(SHARED_WIDGET, URL))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHARED_WIDGET, tmp_path / "widget"))


def unpacked(content: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: Files) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def faults(content: bytes) -> dict[str, str]:
    """Rule -> message of every rule that is broken."""
    return {found.rule: found.message for found in check_archive(content) if not found.ok}


def test_the_built_archive_breaks_no_rule() -> None:
    archive = build_archive(SHARED_WIDGET, URL)

    assert [found.rule for found in check_archive(archive) if found.ok] == [
        "zip.readable",
        *(rule.identity for rule in ARCHIVE_RULES),
    ]


def test_the_same_input_gives_the_same_bytes(source: Path) -> None:
    for path in source.rglob("*"):
        path.touch()
        path.chmod(0o777)

    assert build_archive(source, URL) == build_archive(SHARED_WIDGET, URL)


def test_line_ends_of_windows_and_stray_files_change_nothing(source: Path) -> None:
    for path in [*source.glob("*.js*"), *source.glob("i18n/*")]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    for stray in (".DS_Store", "images/logo.svg", "images/._logo.png", "i18n/notes.txt"):
        (source / stray).write_bytes(b"stray")

    assert build_archive(source, URL) == build_archive(SHARED_WIDGET, URL)


def test_all_entries_carry_the_same_time_and_permissions() -> None:
    with zipfile.ZipFile(io.BytesIO(build_archive(SHARED_WIDGET, URL))) as archive:
        entries = archive.infolist()

    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr for entry in entries} == {0o100644 << 16}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_DEFLATED}


def test_address_and_version_are_written_into_script_and_manifest() -> None:
    files = unpacked(build_archive(SHARED_WIDGET, URL, "2.3.4"))

    manifest = json.loads(files["manifest.json"])
    field = manifest["salesbot_designer"]["kommo_bridge"]["settings"]["url"]
    assert f"WIDGET_REQUEST_URL = '{URL}'" in files["script.js"].decode()
    assert "WIDGET_VERSION = '2.3.4'" in files["script.js"].decode()
    assert manifest["widget"]["version"] == "2.3.4"
    assert field["default_value"] == URL


def test_the_version_lives_in_the_manifest_alone() -> None:
    files = unpacked(build_archive(SHARED_WIDGET, URL))

    version = source_version(SHARED_WIDGET)
    assert json.loads(files["manifest.json"])["widget"]["version"] == version
    assert f"WIDGET_VERSION = '{version}'" in files["script.js"].decode()


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0-beta", "01.0.0", "1.0.0\n", "'+x+'"])
def test_a_version_of_another_form_is_refused(version: str) -> None:
    with pytest.raises(ArchiveError, match=r"must read like 1\.0\.0"):
        build_archive(SHARED_WIDGET, URL, version)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bridge.example.com",
        "http://bridge.example.com/x",
        "https://localhost/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://user:secret@bridge.example.com/x",
        "https://bridge.example.com:port/x",
        "https://bridge.example.com/x'+alert(1)+'",
        'https://bridge.example.com/"x',
        "https://bridge.example.com/{{lead.id}}",
        "https://bridge.example.com/x\n",
        "https://brücke.example.com/x",
    ],
)
def test_an_address_that_kommo_cannot_call_safely_is_refused(url: str) -> None:
    with pytest.raises(ArchiveError, match="must be https on a public host name"):
        build_archive(SHARED_WIDGET, url)


def test_a_source_that_breaks_a_rule_is_refused_with_file_and_rule(source: Path) -> None:
    Image.new("RGB", (131, 100)).save(source / "images" / "logo.png")
    (source / "i18n" / "tr.json").unlink()

    with pytest.raises(ArchiveError) as refusal:
        build_archive(source, URL)

    assert "images.size: images/logo.png: is 131x100 pixels, must be 130x100" in str(refusal.value)
    assert "i18n.locales: i18n/tr.json: is missing" in str(refusal.value)


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not valid JSON"),
        ("[]", "widget.version is missing"),
        ('{"widget": {"version": 1}}', "widget.version is missing"),
    ],
)
def test_a_source_without_a_readable_manifest_is_refused(
    source: Path, manifest: str | None, complaint: str
) -> None:
    path = source / "manifest.json"
    path.unlink()
    if manifest is not None:
        path.write_text(manifest)

    with pytest.raises(ArchiveError, match=re.escape(str(path)) + ".*" + complaint):
        build_archive(source, URL, "1.0.0")


# Every rule, and how an archive breaks it: (rule, how, what the message names).


def add(name: str, content: bytes = b"") -> Breakage:
    return lambda files: files.update({name: content})


def drop(*names: str) -> Breakage:
    def breakage(files: Files) -> None:
        for name in names:
            del files[name]

    return breakage


def rename(change: Callable[[str], str]) -> Breakage:
    def breakage(files: Files) -> None:
        renamed = {change(name): content for name, content in files.items()}
        files.clear()
        files.update(renamed)

    return breakage


def replace(name: str, old: str, new: str) -> Breakage:
    def breakage(files: Files) -> None:
        assert old.encode() in files[name]
        files[name] = files[name].replace(old.encode(), new.encode())

    return breakage


def prepend(name: str, start: bytes) -> Breakage:
    return lambda files: files.update({name: start + files[name]})


MISSING = object()


def put(path: str, value: Any, name: str = "manifest.json") -> Breakage:
    """Set, or with MISSING remove, the value at a dotted path of a JSON file."""

    def breakage(files: Files) -> None:
        content = json.loads(files[name])
        *way, last = path.split(".")
        spot = content
        for step in way:
            spot = spot[step]
        if value is MISSING:
            del spot[last]
        else:
            spot[last] = value
        files[name] = json.dumps(content).encode()

    return breakage


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height)).save(content, kind)
    return content.getvalue()


def tour(**changes: Any) -> Breakage:
    """A whole tour in all languages, with the changes put over it."""
    whole_tour = {
        "is_tour": True,
        "tour_images": {code: ["/images/logo.png"] for code in ("en", "es", "pt", "tr", "id")},
        "tour_description": "widget.description",
    }
    return put("tour", whole_tour | changes)


BLOCK = "salesbot_designer.kommo_bridge"
FIELD = f"{BLOCK}.settings.url"

BROKEN: list[tuple[str, Breakage, str]] = [
    ("zip.root", drop("manifest.json"), "manifest.json: is missing"),
    ("zip.root", rename(lambda n: f"widget/{n}"), "widget/script.js: must lie at the root"),
    ("zip.slashes", rename(lambda n: n.replace("/", "\\")), "i18n\\en.json"),
    ("zip.names", add("../evil.json", b"{}"), "../evil.json"),
    ("zip.names", add("/images/evil.png"), "/images/evil.png"),
    ("zip.stray", add(".DS_Store"), ".DS_Store"),
    ("zip.stray", add("__MACOSX/._script.js"), "__MACOSX/._script.js"),
    ("zip.stray", add("images/Thumbs.db"), "images/Thumbs.db"),
    ("zip.stray", add("images/logo.svg"), "images/logo.svg"),
    ("zip.stray", add("widget.zip"), "widget.zip"),
    ("zip.stray", add("README"), "README"),
    ("text.utf8", prepend("manifest.json", b"\xef\xbb\xbf"), "manifest.json: starts with a byte"),
    ("text.utf8", add("style.css", b"\xff\xfe"), "style.css: is not UTF-8 at byte 0"),
    ("text.json", add("i18n/en.json", b"{"), "i18n/en.json: is not valid JSON"),
    ("text.json", add("i18n/en.json", b"[]"), "i18n/en.json: must hold a JSON object"),
    ("text.json", prepend("i18n/en.json", b'{"a": 1, "a": 2}'), "the key 'a' comes 2 times"),
    ("text.tokens", replace("script.js", URL, "__WIDGET_REQUEST_URL__"), "script.js: still holds"),
    ("text.tokens", put("widget.version", "__WIDGET_VERSION__"), "manifest.json: still holds"),
    ("manifest.texts", put("widget.name", MISSING), "widget.name"),
    ("manifest.texts", put("widget.description", "Our widget"), "widget.description"),
    ("manifest.texts", put("widget", "nothing"), "widget.short_description"),
    ("manifest.interface", put("widget.interface_version", "2"), "interface_version"),
    ("manifest.interface", put("widget.interface_version", 1), "interface_version"),
    ("manifest.interface", put("widget.interface_version", True), "interface_version"),
    ("manifest.installation", put("widget.installation", False), "installation"),
    ("manifest.installation", put("widget.installation", "true"), "installation"),
    ("manifest.installation", put("widget.init_once", "no"), "init_once"),
    ("manifest.version", put("widget.version", "1.0"), "version"),
    ("manifest.version", put("widget.version", MISSING), "version"),
    ("manifest.code", put("widget.code", "my_widget"), "widget.code"),
    ("manifest.code", put("widget.secret_key", "s3cret"), "widget.secret_key"),
    ("manifest.locations", put("locations", ["settings"]), "salesbot_designer"),
    ("manifest.locations", put("locations", "settings"), "settings"),
    ("manifest.settings", put("settings", {}), "settings must hold"),
    ("manifest.settings", put("settings", MISSING), "settings must hold"),
    ("manifest.settings", put("settings.note.type", "color"), "settings.note.type"),
    ("manifest.settings", put("settings.note.name", "Note"), "settings.note.name"),
    ("manifest.tour", put("tour", {"is_tour": False}), "tour.is_tour"),
    ("manifest.tour", tour(is_tour="yes"), "tour.is_tour"),
    ("manifest.tour", tour(tour_images={"en": ["/images/logo.png"]}), "no picture for tr"),
    ("manifest.tour", tour(tour_images={"en": ["/images/tour.png"]}), "/images/tour.png"),
    ("manifest.tour", tour(tour_description=None), "tour_description"),
    ("manifest.block", put("salesbot_designer", {"logo": "/images/logo.png"}), "at least one"),
    ("manifest.block", put(f"{BLOCK}.name", "AI"), f"{BLOCK}.name"),
    ("manifest.block", put(f"{BLOCK}.settings", MISSING), f"{BLOCK}.settings"),
    ("manifest.block", put(f"{FIELD}.type", "string"), f"{FIELD}.type"),
    ("manifest.block", put(f"{FIELD}.name", MISSING), f"{FIELD}.name"),
    ("manifest.block", put(f"{FIELD}.default_value", ""), f"{FIELD}.default_value"),
    ("i18n.locales", put("widget.locale", []), "widget.locale"),
    ("i18n.locales", put("widget.locale", ["en", "es", "pt", "tr", "id", "de"]), "de"),
    ("i18n.locales", drop("i18n/id.json"), "i18n/id.json: is missing"),
    ("i18n.locales", add("i18n/ru.json", b"{}"), "i18n/ru.json"),
    ("i18n.same", put("salesbot.exit_skip", MISSING, "i18n/tr.json"), "i18n/tr.json"),
    ("i18n.same", put("salesbot.exit_skip", " ", "i18n/pt.json"), "salesbot.exit_skip"),
    ("i18n.same", put("extra", {"key": "text"}, "i18n/es.json"), "i18n/en.json"),
    ("i18n.keys", put(f"{BLOCK}.name", "salesbot.other"), "lacks salesbot.other"),
    ("i18n.keys", put("settings.note.name", "settings.other"), "i18n/id.json: lacks"),
    ("i18n.keys", tour(tour_description="widget.tour_description"), "widget.tour_description"),
    ("images.present", drop("images/logo_min.png"), "images/logo_min.png: is missing"),
    (
        "images.size",
        add("images/logo.png", picture(100, 130)),
        "is 100x130 pixels, must be 130x100",
    ),
    ("images.size", add("images/logo_dp.png", picture(109, 174)), "images/logo_dp.png"),
    ("images.size", add("images/logo.png", picture(130, 100, "JPEG")), "is not a whole PNG"),
    ("images.size", add("images/logo.png", picture(130, 100)[:-20]), "is not a whole PNG"),
    ("images.weight", add("images/logo_extra.png", b"x" * 307_201), "images/logo_extra.png"),
    ("script.amd", prepend("script.js", b"/* define( */ var x = 1;\n"), "script.js"),
    ("script.amd", add("script.js"), "script.js"),
    ("script.callbacks", replace("script.js", "salesbotDesignerSettings", "settingsOfOld"), "no"),
    ("script.length", prepend("script.js", b"//" + b"x" * 65_536 + b"\n"), "64 KB are allowed"),
    ("script.https", replace("script.js", "https://bridge", "http://bridge"), "http://bridge"),
    ("script.https", put(f"{FIELD}.default_value", "https://localhost/x"), FIELD),
]


@pytest.mark.parametrize(
    ("rule", "breakage", "named"), BROKEN, ids=[f"{rule} {named}" for rule, _, named in BROKEN]
)
def test_a_broken_archive_is_caught(
    whole: Files, rule: str, breakage: Breakage, named: str
) -> None:
    files = dict(whole)
    breakage(files)

    found = faults(packed(files))

    assert named in found[rule]


def test_every_rule_has_an_archive_that_breaks_it() -> None:
    assert {rule for rule, _, _ in BROKEN} == {rule.identity for rule in ARCHIVE_RULES}


def test_a_name_that_comes_twice_is_caught(whole: Files) -> None:
    content = io.BytesIO(packed(whole))
    with zipfile.ZipFile(content, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("script.js", "define(1)")

    assert faults(content.getvalue())["zip.names"] == "script.js: is in the zip 2 times"


def test_a_widget_in_the_digital_pipeline_needs_a_sixth_logo(whole: Files) -> None:
    files = dict(whole)
    drop("images/logo_dp.png")(files)
    assert faults(packed(files)) == {}

    put("locations", ["salesbot_designer", "settings", "digital_pipeline"])(files)

    assert faults(packed(files)) == {"images.present": "images/logo_dp.png: is missing"}


def test_a_whole_tour_is_accepted(whole: Files) -> None:
    files = dict(whole)
    tour()(files)

    assert faults(packed(files)) == {}


@pytest.mark.parametrize(
    "start", [b"'use strict';\n", b"// note\n/* more */\n", b"/* http://www.w3.org */\n"]
)
def test_comments_and_strict_mode_may_stand_before_the_module(whole: Files, start: bytes) -> None:
    files = dict(whole)
    prepend("script.js", start)(files)

    assert faults(packed(files)) == {}


def test_folders_in_the_zip_are_no_files(whole: Files) -> None:
    assert faults(packed({"images/": b"", **whole})) == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"no zip at all",
        lambda content: content[:-30],
        lambda content: content[:400] + b"\x00" * 40 + content[440:],
    ],
)
def test_what_cannot_be_unpacked_is_one_fault(damage: Callable[[bytes], bytes]) -> None:
    found = faults(damage(build_archive(SHARED_WIDGET, URL)))

    assert list(found) == ["zip.readable"]
    assert found["zip.readable"].startswith("This is not a zip that can be read")


def test_a_zip_that_unpacks_to_far_too_much_is_not_unpacked() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("script.js", bytes(33 * 1024 * 1024))

    assert faults(content.getvalue())["zip.readable"].startswith("The zip unpacks to more than")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
MANIFEST_KEYS = st.sampled_from(["widget", "locations", "settings", "salesbot_designer", "tour"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strange=st.dictionaries(MANIFEST_KEYS, JSON_VALUES), code=MANIFEST_KEYS, inner=JSON_VALUES)
def test_no_manifest_however_strange_stops_the_check(strange: Any, code: str, inner: Any) -> None:
    manifest = {code: {"locale": inner, "x": {"settings": inner}, "tour_images": inner}, **strange}
    files = {"manifest.json": json.dumps(manifest).encode(), "script.js": b"", "i18n/en.json": b"1"}

    assert len(check_archive(packed(files))) == len(ARCHIVE_RULES) + 1


def test_the_logos_are_what_the_drawing_shows() -> None:
    sources = SHARED_WIDGET.parent / "source"
    artboards = runpy.run_path(str(sources / "render_logos.py"))["artboards"]

    pictures: dict[str, bytes] = artboards((sources / "logo.svg").read_text(encoding="utf-8"))

    assert len(pictures) == 6
    for name, png in pictures.items():
        committed = Image.open(SHARED_WIDGET / "images" / f"{name}.png")
        assert committed.tobytes() == Image.open(io.BytesIO(png)).tobytes(), name

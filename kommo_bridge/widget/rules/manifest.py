"""Rules about manifest.json. Where a page of Kommo and a live upload disagree, the upload wins."""

import re
from collections.abc import Iterator

from kommo_bridge.widget.archive import Archive, JsonObject, Rule, as_list, as_object

PAGE = "https://developers.kommo.com/docs/manifest-json"
LOCATIONS_PAGE = "https://developers.kommo.com/docs/widget-locations"
SALESBOT_PAGE = "https://developers.kommo.com/docs/salesbot-sdk"

INTERFACE_VERSION = 2
REQUIRED_LOCATIONS = ("salesbot_designer", "settings")
SETTING_TYPES = frozenset({"text", "pass", "users", "users_lp", "custom"})
DESIGNER_FIELD_TYPES = frozenset({"text", "numeric", "url"})


def lacks_texts(archive: Archive) -> Iterator[str]:
    """`name`, `description` and `short_description` are keys of the i18n files."""
    for field in ("name", "description", "short_description"):
        if not is_text_key(archive.widget.get(field)):
            yield f"manifest.json: widget.{field} must be an i18n key such as widget.{field}"


def has_other_interface_version(archive: Archive) -> Iterator[str]:
    """The number 2, not the string."""
    version = archive.widget.get("interface_version")
    if type(version) is not int or version != INTERFACE_VERSION:
        yield f"manifest.json: widget.interface_version must be the number {INTERFACE_VERSION}"


def has_no_install_button(archive: Archive) -> Iterator[str]:
    """With `installation` false the widget loads but stays inert; `init_once` is a boolean too."""
    if archive.widget.get("installation") is not True:
        yield "manifest.json: widget.installation must be true, or there is no Install button"
    if not isinstance(archive.widget.get("init_once", False), bool):
        yield "manifest.json: widget.init_once must be true or false"


def has_no_version(archive: Archive) -> Iterator[str]:
    """Kommo compares versions at the next upload, so ours always has three numbers."""
    version = archive.widget.get("version")
    if not isinstance(version, str) or not is_version(version):
        yield "manifest.json: widget.version must read like 1.0.0"


def has_invented_keys(archive: Archive) -> Iterator[str]:
    """Kommo generates both; a wrong one gives `Upload and manifest codes not equal`."""
    for field in ("code", "secret_key"):
        if field in archive.widget:
            yield f"manifest.json: leave widget.{field} out, Kommo generates it"


def lacks_locations(archive: Archive) -> Iterator[str]:
    """Without `salesbot_designer` there is no block, without `settings` nothing to install."""
    for location in REQUIRED_LOCATIONS:
        if location not in archive.locations:
            yield f"manifest.json: locations must name {location}"


def has_no_settings(archive: Archive) -> Iterator[str]:
    """An empty object gives `"settings" field is required in manifest.json` at the upload."""
    settings = as_object(archive.manifest.get("settings"))
    if not settings:
        yield "manifest.json: settings must hold at least one field"
    for code, field in settings.items():
        if not is_text_key(as_object(field).get("name")):
            yield f"manifest.json: settings.{code}.name must be an i18n key"
        if as_object(field).get("type") not in SETTING_TYPES:
            known = ", ".join(sorted(SETTING_TYPES))
            yield f"manifest.json: settings.{code}.type must be one of {known}"


def has_half_a_tour(archive: Archive) -> Iterator[str]:
    """A tour is absent or whole; `is_tour: false` gives `Something went wrong` at the upload."""
    if "tour" not in archive.manifest:
        return
    tour = as_object(archive.manifest["tour"])
    if tour.get("is_tour") is not True:
        yield "manifest.json: tour.is_tour must be true; without a tour, leave tour out"
    if not is_text_key(tour.get("tour_description")):
        yield "manifest.json: tour.tour_description must be an i18n key"
    pictures = as_object(tour.get("tour_images"))
    for locale in archive.locales:
        yield from _missing_tour_pictures(archive, locale, as_list(pictures.get(locale)))


def _missing_tour_pictures(archive: Archive, locale: str, pictures: list[object]) -> Iterator[str]:
    if not pictures:
        yield f"manifest.json: tour.tour_images has no picture for {locale}"
    for picture in pictures:
        if str(picture).lstrip("/") not in archive.files:
            yield f"{picture}: is named by tour.tour_images.{locale} and missing"


def has_no_block(archive: Archive) -> Iterator[str]:
    """At least one handler, each with a name and fields that the designer can draw."""
    if not archive.handlers:
        yield "manifest.json: salesbot_designer must describe at least one block"
    for code, block in archive.handlers.items():
        where = f"manifest.json: salesbot_designer.{code}"
        if not is_text_key(block.get("name")):
            yield f"{where}.name must be an i18n key"
        if not isinstance(block.get("settings"), dict):
            yield f"{where}.settings must be an object"
        for field_code, field in as_object(block.get("settings")).items():
            yield from _faults_of_field(f"{where}.settings.{field_code}", as_object(field))


def _faults_of_field(where: str, field: JsonObject) -> Iterator[str]:
    """A field without a default left the designer's Save button grey on live accounts."""
    if not is_text_key(field.get("name")):
        yield f"{where}.name must be an i18n key"
    if field.get("type") not in DESIGNER_FIELD_TYPES:
        yield f"{where}.type must be one of {', '.join(sorted(DESIGNER_FIELD_TYPES))}"
    if field.get("default_value") in (None, ""):
        yield f"{where}.default_value is missing: the designer's Save button would stay grey"


def is_text_key(value: object) -> bool:
    """True for a dotted path into the i18n files, e.g. `salesbot.url`."""
    return isinstance(value, str) and re.fullmatch(r"\w+(\.\w+)+", value) is not None


def is_version(value: str) -> bool:
    """True for three plain numbers, e.g. `1.0.12`."""
    return re.fullmatch(r"(0|[1-9][0-9]{0,4})(\.(0|[1-9][0-9]{0,4})){2}", value) is not None


RULES = (
    Rule("manifest.texts", "The widget's name and descriptions are i18n keys", PAGE, lacks_texts),
    Rule("manifest.interface", "The interface version is 2", PAGE, has_other_interface_version),
    Rule("manifest.installation", "The widget can be installed", PAGE, has_no_install_button),
    Rule("manifest.version", "The version reads like 1.0.0", PAGE, has_no_version),
    Rule("manifest.code", "No code or secret_key is invented", PAGE, has_invented_keys),
    Rule(
        "manifest.locations",
        "The widget stands in the designer and the settings",
        LOCATIONS_PAGE,
        lacks_locations,
    ),
    Rule("manifest.settings", "The settings hold at least one field", PAGE, has_no_settings),
    Rule("manifest.tour", "There is no tour, or a whole one", PAGE, has_half_a_tour),
    Rule("manifest.block", "The designer's block is whole", SALESBOT_PAGE, has_no_block),
)

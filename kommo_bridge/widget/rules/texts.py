"""Rules about the languages: the i18n files and the keys that the manifest takes from them."""

from collections.abc import Iterator

from kommo_bridge.widget.archive import Archive, JsonObject, Rule, as_object

PAGE = "https://developers.kommo.com/docs/structure-widget"

KOMMO_LOCALES = frozenset({"en", "es", "pt", "tr", "id"})


def has_other_locales(archive: Archive) -> Iterator[str]:
    """Kommo speaks five languages; each one named has a file, and no file goes unnamed."""
    if not archive.locales:
        yield "manifest.json: widget.locale must list at least one language"
    for locale in archive.locales:
        if locale not in KOMMO_LOCALES:
            yield f"manifest.json: widget.locale names {locale}, which Kommo does not know"
        if _file(locale) not in archive.files:
            yield f"{_file(locale)}: is missing"
    for name in archive.files:
        if name.startswith("i18n/") and name not in map(_file, archive.locales):
            yield f"{name}: its language is not in widget.locale"


def has_unequal_texts(archive: Archive) -> Iterator[str]:
    """Every language has the same keys, and each of them a text."""
    keys = {locale: _keys(archive.json(_file(locale))) for locale in archive.locales}
    everything = set().union(*keys.values())
    for locale, own in keys.items():
        for key in sorted(everything - own):
            yield f"{_file(locale)}: has no text for {key}"


def lacks_named_keys(archive: Archive) -> Iterator[str]:
    """Every key that the manifest names exists in every language."""
    for locale in archive.locales:
        known = _keys(archive.json(_file(locale)))
        for key in _named_keys(archive):
            if key not in known:
                yield f"{_file(locale)}: lacks {key}, which manifest.json names"


def _named_keys(archive: Archive) -> list[str]:
    """The i18n keys in the manifest, in its order and without repetition."""
    widget, tour = archive.widget, as_object(archive.manifest.get("tour"))
    keys = [widget.get(field) for field in ("name", "description", "short_description")]
    keys.append(tour.get("tour_description"))
    keys += [as_object(field).get("name") for field in _fields(archive.manifest)]
    for block in archive.handlers.values():
        keys += [block.get("name"), *(as_object(f).get("name") for f in _fields(block))]
    return list(dict.fromkeys(key for key in keys if isinstance(key, str)))


def _fields(parent: JsonObject) -> list[object]:
    return list(as_object(parent.get("settings")).values())


def _keys(texts: JsonObject, prefix: str = "") -> set[str]:
    """The dotted paths of all texts that are not blank."""
    found: set[str] = set()
    for key, value in texts.items():
        if isinstance(value, dict):
            found |= _keys(value, f"{prefix}{key}.")
        elif isinstance(value, str) and value.strip():
            found.add(f"{prefix}{key}")
    return found


def _file(locale: str) -> str:
    return f"i18n/{locale}.json"


RULES = (
    Rule("i18n.locales", "Every language is Kommo's and has a file", PAGE, has_other_locales),
    Rule("i18n.same", "All languages have the same texts", PAGE, has_unequal_texts),
    Rule("i18n.keys", "All languages know the manifest's keys", PAGE, lacks_named_keys),
)

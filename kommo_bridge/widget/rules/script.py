"""Rules about script.js and the address that the block calls. A browser test runs it."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from kommo_bridge.widget.archive import SCRIPT, Archive, Rule, as_object

SCRIPT_PAGE = "https://www.amocrm.ru/developers/content/integrations/script_js"
SALESBOT_PAGE = "https://developers.kommo.com/docs/salesbot-sdk"
BOT_PAGE = "https://developers.kommo.com/docs/salesbot-dp"
CHATBOT_PAGE = "https://developers.kommo.com/docs/private-chatbot-integration"

CALLBACKS = (
    "render",
    "init",
    "bind_actions",
    "onSave",
    "salesbotDesignerSettings",
    "onSalesbotDesignerSave",
)
LARGEST_SCRIPT_BYTES = 64 * 1024

# Comments and 'use strict' may stand before the module.
_PROLOGUE = re.compile(r"""\A(\s+|/\*.*?\*/|//[^\n]*|['"]use strict['"];?)*""", re.DOTALL)
# Names of XML namespaces look like addresses but are not.
_QUOTED_URLS = re.compile(r"""['"`](?!http://www\.w3\.org/)([a-z]+://[^'"`\s]*)['"`]""", re.I)


def is_no_amd_module(archive: Archive) -> Iterator[str]:
    """Kommo loads script.js with RequireJS: it begins with `define(`."""
    code = _PROLOGUE.sub("", archive.text(SCRIPT), count=1)
    if not re.match(r"define\s*\(", code):
        yield "script.js: must begin with define(...), as an AMD module does"


def lacks_callbacks(archive: Archive) -> Iterator[str]:
    """Without `salesbotDesignerSettings` the designer drew an empty block on a live account."""
    for callback in CALLBACKS:
        if not re.search(rf"\b{callback}\b", archive.text(SCRIPT)):
            yield f"script.js: has no callback {callback}"


def is_too_long(archive: Archive) -> Iterator[str]:
    """A bot's script ends at 64 KB; a script.js beyond that cannot be all flow."""
    size = len(archive.files.get(SCRIPT, b""))
    if size > LARGEST_SCRIPT_BYTES:
        yield f"script.js: has {size / 1024:.0f} KB, 64 KB are allowed"


def calls_in_the_clear(archive: Archive) -> Iterator[str]:
    """The block's address is https on a named host: Kommo's servers call it, with a token."""
    for url in _QUOTED_URLS.findall(archive.text(SCRIPT)):
        if not is_public_https(url):
            yield f"script.js: {url} must be a public https address"
    for code, block in archive.handlers.items():
        for field_code, field in as_object(block.get("settings")).items():
            default = as_object(field).get("default_value")
            if isinstance(default, str) and "://" in default and not is_public_https(default):
                where = f"salesbot_designer.{code}.settings.{field_code}.default_value"
                yield f"manifest.json: {where} must be a public https address"


def is_public_https(url: str) -> bool:
    """True for https on a named host that is not this machine, without user-info.

    Only characters that need no escaping in JavaScript or JSON pass.
    """
    if not re.fullmatch(r"https://[\w.~:/?#@!$&()*+,;=%\[\]-]+", url, re.ASCII):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return "@" not in parts.netloc and re.fullmatch(r"([\w-]+\.)+[a-z][\w-]*", host) is not None


RULES = (
    Rule("script.amd", "script.js is an AMD module", SCRIPT_PAGE, is_no_amd_module),
    Rule("script.callbacks", "script.js has all callbacks", SALESBOT_PAGE, lacks_callbacks),
    Rule("script.length", "script.js has at most 64 KB", BOT_PAGE, is_too_long),
    Rule("script.https", "The address of the bridge is https", CHATBOT_PAGE, calls_in_the_clear),
)

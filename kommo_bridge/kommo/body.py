"""The body of a widget request: its three shapes become one dict.

What Kommo sends: https://developers.kommo.com/docs/private-chatbot-integration prints JSON, every
captured call is a form with bracketed keys (`data[message]=hello`). Both are read here, and so is
a form whose `data` is one JSON string.
"""

import json
import re
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from kommo_bridge.errors import InvalidRequest

MAX_BODY_BYTES = 64 * 1024
MAX_FORM_FIELDS = 200
MAX_DEPTH = 5
# Parsed keys that are cached: Kommo sends the same few in every form.
KEY_CACHE_SIZE = 64

BRACKETED_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def parse_body(body: bytes, content_type: str) -> dict[str, Any]:
    """Read the three body shapes into one dict with `token`, `data` and `return_url`.

    The shape follows the content type, then the first byte: proxies are known to change the type.

    Raises:
        InvalidRequest: The body cannot be read.
    """
    try:
        text = body.decode("utf-8").lstrip("\ufeff")
        if "json" in content_type.lower() or text.lstrip().startswith("{"):
            fields_read = json.loads(text)
        else:
            fields_read = _parse_form(text)
        if isinstance(fields_read, dict) and isinstance(fields_read.get("data"), str):
            fields_read["data"] = json.loads(fields_read["data"])
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body cannot be read as a form or as JSON.") from error
    if not isinstance(fields_read, dict):
        raise InvalidRequest("The body must be a form or a JSON object.")
    return fields_read


def _parse_form(text: str) -> dict[str, Any]:
    pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    form: dict[str, Any] = {}
    for key, value in pairs:
        path = _path(key)
        if len(path) > MAX_DEPTH:
            raise ValueError("brackets too deep")
        if path:
            _put(form, path, value)
    return form


@lru_cache(KEY_CACHE_SIZE)
def _path(key: str) -> tuple[str, ...]:
    """`a[b][c]` as its parts; none when it is no such key."""
    match = BRACKETED_KEY.fullmatch(key)
    return (match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])) if match else ()


def _put(form: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    """Set `form[a][b][c]` as PHP reads `a[b][c]`: the last value of a key wins."""
    for name in path[:-1]:
        if not isinstance(form.get(name), dict):
            form[name] = {}
        form = form[name]
    form[path[-1]] = value

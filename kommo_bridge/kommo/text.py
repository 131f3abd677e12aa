"""Text as Kommo takes it: nothing it would resolve or choke on, and cut for its `show` handler.

https://developers.kommo.com/reference/salesbot-widget-block-execution-confirmation allows ten
handlers and 80 characters in each `show`.
"""

import regex

MAX_HANDLERS = 10
MAX_SHOW_UNITS = 80

INVISIBLE_CHARACTERS = regex.compile(r"[^\P{C}\n\t\u200c\u200d\u200e\u200f\U000E0020-\U000E007F]")
PLACEHOLDER_START = regex.compile(r"\{(?=\{)")
VISIBLE = regex.compile(r"[^\s\p{C}]")
WORDS = regex.compile(r"\S+\s*")
# Messengers make a link of shop.example/path too.
LINK = regex.compile(r"://|\bwww\.|\.\p{L}{2,}/", regex.IGNORECASE)
ENDS_A_SENTENCE = regex.compile(r"[.!?…。！？]['\")»”]*\s*$|\n\s*$")


def safe_text(text: str) -> str:
    """Remove control characters and break up `{{`, which Kommo would take for a placeholder."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()
    safe = PLACEHOLDER_START.sub("{ ", INVISIBLE_CHARACTERS.sub("", text)).strip()
    return safe if VISIBLE.search(safe) else ""


def split_for_show(text: str) -> tuple[str, ...]:
    """Cut a text into at most ten parts of at most 80 UTF-16 units, at sentence or word borders.

    Returns:
        The parts, or nothing at all when the text does not fit or could only be cut inside a URL
        or a grapheme: such a text travels in `data` alone.
    """
    parts: list[str] = []
    words = WORDS.findall(text)
    while words:
        count = _words_that_fit(words)
        if not count and not LINK.search(words[0]) and (cut := _cut_between_graphemes(words[0])):
            words[:1] = cut
            continue
        if not count or len(parts) == MAX_HANDLERS:
            return ()
        parts.append("".join(words[:count]).strip())
        words = words[count:]
    return tuple(parts)


def utf16_units(text: str) -> int:
    """The length as JavaScript counts it: whether Kommo counts so is not known, it is safest."""
    return len(text.encode("utf-16-le")) // 2


def _words_that_fit(words: list[str]) -> int:
    """How many words make one part: up to the last sentence end past half of it, else all."""
    fitting = at_sentence_end = 0
    line = ""
    for word in words:
        line += word
        if utf16_units(line.strip()) > MAX_SHOW_UNITS:
            break
        fitting += 1
        if ENDS_A_SENTENCE.search(line) and utf16_units(line) > MAX_SHOW_UNITS // 2:
            at_sentence_end = fitting
    return fitting if fitting == len(words) else at_sentence_end or fitting


def _cut_between_graphemes(word: str) -> list[str]:
    """Cut one overlong word in two; nothing when its first grapheme alone is too long."""
    head = ""
    for grapheme in regex.findall(r"\X", word):
        if utf16_units(head + grapheme) > MAX_SHOW_UNITS:
            break
        head += grapheme
    return [head, word[len(head) :]] if head else []

"""The AI's reply as text for a messenger: Markdown becomes WhatsApp's marks, within a length.

https://faq.whatsapp.com/539178204879377 : *bold*, _italic_, ~struck~, `code`. A single asterisk
stays as it is, for it is WhatsApp's own mark and a sign in prices. No word is ever lost below the
length: where the library would leave one out, the text goes as it came.

A model may send anything, so the source is cut before any expression or parser sees it, each
expression takes time in proportion to it, and text with more marks than a person would write
is not parsed at all.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import regex
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from kommo_bridge.kommo.text import safe_text, utf16_units

# WhatsApp ends at 4,096 characters, and nobody reads that far.
MAX_UNITS = 3_500
# So many times the length is read of a reply, in characters: marks and spaces take room.
SOURCE_FACTOR = 4
MAX_SOURCE = SOURCE_FACTOR * MAX_UNITS
CUT_MARK = " …"
PARAGRAPH_END = regex.compile(r"\n\n")
# The look behind starts at a space: tried at each mark of a long row, it would walk back each time.
SENTENCE_BORDER = regex.compile(r"\s(?<=[.!?…]['\")»”*_]*\s)|(?<=[。！？])|\n")
SPACE = regex.compile(r"\s")
WORD = regex.compile(r"[\p{L}\p{N}]+")
FENCE_LANGUAGE = re.compile(r"^([^\S\n]*(?:`{3,6}|~{3,6}))[^\S\n]*[\w+#.-]+[^\S\n]*$", re.MULTILINE)

BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n){2,}")
# Where the parser stops to think, and how often it may: some tenths of a second in all.
MARK = re.compile(r"[!#$%&*+:<=>@\[\\\]^_`{}~-]")
MAX_MARKS = 2_000
MAX_LINES = 1_000
MAX_CELLS = 5_000  # a table's rows are filled up to its widest
# What a cut must leave of the length: for the nicer borders, and for the others.
GOOD_SHARE, POOR_SHARE = 0.85, 0.5

SELF_LINK = re.compile(r"\[([^\s\[\]()]+)\]\(\1\)")


class _Parser(MarkdownIt):
    """Addresses stay as the AI wrote them: they are read here, not put into a page."""

    def normalizeLink(self, url: str) -> str:  # noqa: N802
        return url

    def normalizeLinkText(self, link: str) -> str:  # noqa: N802
        return link

    def validateLink(self, url: str) -> bool:  # noqa: ARG002, N802
        return True


_parser = (
    _Parser("commonmark", {"html": False})
    .enable(["table", "strikethrough"])
    # Indented lines, underlined lines and &amp; are text here.
    .disable(["code", "lheading", "html_block", "html_inline", "entity", "reference"])
)


@dataclass(frozen=True)
class MessengerText:
    """What the customer reads; empty when nothing of the reply was visible.

    Attributes:
        text: At most the limit long.
        cut: It was longer.
    """

    text: str
    cut: bool = False


def messenger_text(reply: str, limit: int = MAX_UNITS) -> MessengerText:
    """Shape a reply.

    Args:
        reply: Markdown or plain text.
        limit: In UTF-16 units, as messengers count.
    """
    source = reply[: SOURCE_FACTOR * limit]
    plain = SELF_LINK.sub(r"\1", FENCE_LANGUAGE.sub(r"\1", safe_text(source)))
    shaped = BLANK_LINES.sub("\n\n", _shaped(plain))
    if len(source) == len(reply) and utf16_units(shaped) <= limit:
        return MessengerText(shaped)
    return MessengerText(_shorten(shaped, limit), cut=True)


def _shaped(plain: str) -> str:
    """With messenger's marks; as it came where a word would be lost, or parsing cost too much."""
    if not _may_be_parsed(plain):
        return plain
    shaped = safe_text(_blocks(SyntaxTreeNode(_parser.parse(plain)).children))
    lost = Counter(WORD.findall(plain)) - Counter(WORD.findall(shaped))
    return plain if lost else shaped


def _may_be_parsed(plain: str) -> bool:
    """Whether the parser will be quick: it may need seconds for what is mostly marks."""
    lines = plain.split("\n")
    return (
        len(lines) <= MAX_LINES
        and len(lines) * max(line.count("|") for line in lines) <= MAX_CELLS
        and len(MARK.findall(plain)) <= MAX_MARKS
    )


def _blocks(nodes: list[SyntaxTreeNode]) -> str:
    """Blocks below each other: a blank line where the source had a paragraph's border."""
    if not nodes:
        return ""
    text = _block(nodes[0])
    for before, after in pairwise(nodes):
        touching = before.map and after.map and before.map[1] == after.map[0]
        text += ("\n" if touching and not _ends_blank(before) else "\n\n") + _block(after)
    return text


def _ends_blank(node: SyntaxTreeNode) -> bool:
    """A list's lines include the blank line after it."""
    return node.type in ("bullet_list", "ordered_list")


def _block(node: SyntaxTreeNode) -> str:
    make = _BLOCKS.get(node.type)
    return make(node) if make else _inline(node.children)


def _heading(node: SyntaxTreeNode) -> str:
    words = _inline(node.children, bold=False)
    return f"*{words}*" if words else ""


def _list(node: SyntaxTreeNode) -> str:
    return "\n".join(_item(item) for item in node.children)


def _quote(node: SyntaxTreeNode) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _blocks(node.children).split("\n"))


def _table(node: SyntaxTreeNode) -> str:
    return "\n".join(_row(row) for part in node.children for row in part.children)


def _item(item: SyntaxTreeNode) -> str:
    """One item; what belongs to it stands indented below."""
    mark = "-" if item.markup == "*" else f"{item.info}{item.markup}"
    text = "\n".join(_block(child) for child in item.children)
    return f"{mark} " + text.replace("\n", "\n  ")


def _row(row: SyntaxTreeNode) -> str:
    cells = [_inline(cell.children, bold=cell.type != "th") for cell in row.children]
    if row.parent and row.parent.type == "thead":
        cells = [f"*{cell}*" if cell else "" for cell in cells]
    return " | ".join(cell for cell in cells if cell)


def _inline(nodes: list[SyntaxTreeNode], *, bold: bool = True) -> str:
    return "".join(_span(node, bold=bold) for node in nodes).strip()


def _span(node: SyntaxTreeNode, *, bold: bool) -> str:
    inside = "".join(_span(child, bold=bold) for child in node.children)
    if node.type in ("softbreak", "hardbreak"):
        return "\n"
    if node.type in ("link", "image"):
        url = node.attrs.get("href") or node.attrs.get("src") or ""
        return _link(inside or node.content, str(url), str(node.attrs.get("title", "")))
    mark = {"strong": "*" if bold else "", "s": "~"}.get(node.type, node.markup)
    return f"{mark}{inside or node.content}{mark}"


def _link(text: str, url: str, title: str) -> str:
    named = f"{text} ({title})" if title else text
    if not url or not named or named in (url, url.removeprefix("mailto:")):
        return named or url
    return f"{named}: {url}"


_BLOCKS: dict[str, Callable[[SyntaxTreeNode], str]] = {
    "heading": _heading,
    "bullet_list": _list,
    "ordered_list": _list,
    "blockquote": _quote,
    "fence": lambda node: f"```\n{node.content.rstrip()}\n```",
    "table": _table,
    "hr": lambda _: "",
}


def _shorten(text: str, limit: int) -> str:
    """Up to a border, never inside a word where it can be, and with as little lost as may be."""
    head = _fitting(text, limit - utf16_units(CUT_MARK))
    for border, share in (
        (PARAGRAPH_END, GOOD_SHARE),
        (SENTENCE_BORDER, GOOD_SHARE),
        (SENTENCE_BORDER, POOR_SHARE),
        (SPACE, POOR_SHARE),
    ):
        ends = [match.start() for match in border.finditer(text, 0, len(head) + 1)]
        cut = head[: ends[-1]].rstrip() if ends else ""
        if cut and utf16_units(cut) >= share * utf16_units(head):
            return _closed(cut) + CUT_MARK
    return _closed(head.rstrip()) + CUT_MARK


def _fitting(text: str, room: int) -> str:
    """As many whole graphemes as there is room for, in UTF-16 units."""
    end = 0
    for grapheme in regex.finditer(r"\X", text[:room]):
        room -= utf16_units(grapheme[0])
        if room < 0:
            break
        end = grapheme.end()
    return text[:end]


def _closed(head: str) -> str:
    """Without a mark that the cut left open."""
    last_line = head.rpartition("\n")[2]
    if last_line.count("*") % 2:
        place = head.rindex("*")
        return head[:place] + head[place + 1 :]
    return head

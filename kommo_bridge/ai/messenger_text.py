"""The AI's reply as text for a messenger: Markdown becomes WhatsApp's marks, within a length.

https://faq.whatsapp.com/539178204879377 : *bold*, _italic_, ~struck~, `code`. A single asterisk
stays as it is, for it is WhatsApp's own mark and a sign in prices. No word is ever lost below the
length: where the library would leave one out, the text goes as it came.
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
CUT_MARK = " …"
PARAGRAPH_END = regex.compile(r"\n\n")
SENTENCE_END = regex.compile(r"(?<=[.!?…]['\")»”*_]*)\s|(?<=[。！？])|\n")
SPACE = regex.compile(r"\s")
WORD = regex.compile(r"[\p{L}\p{N}]+")
FENCE_LANGUAGE = re.compile(r"^(\s*(?:`{3,6}|~{3,6}))[^\S\n]*[\w+#.-]+[^\S\n]*$", re.MULTILINE)

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
    plain = SELF_LINK.sub(r"\1", FENCE_LANGUAGE.sub(r"\1", safe_text(reply)))
    shaped = safe_text(_blocks(SyntaxTreeNode(_parser.parse(plain)).children))
    if Counter(WORD.findall(plain)) - Counter(WORD.findall(shaped)):
        shaped = plain
    shaped = re.sub(r"\n(?:[^\S\n]*\n){2,}", "\n\n", shaped)
    if utf16_units(shaped) <= limit:
        return MessengerText(shaped)
    return MessengerText(_shorten(shaped, limit), cut=True)


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
    """Up to the last border that keeps at least half; never inside a word where it can be."""
    room = limit - utf16_units(CUT_MARK)
    head = ""
    for grapheme in regex.findall(r"\X", text[:limit]):
        room -= utf16_units(grapheme)
        if room < 0:
            break
        head += grapheme
    for border in (PARAGRAPH_END, SENTENCE_END, SPACE):
        ends = [match.start() for match in border.finditer(text, 0, len(head) + 1)]
        if ends and ends[-1] * 2 > len(head):
            head = head[: ends[-1]]
            break
    return _closed(head.rstrip()) + CUT_MARK


def _closed(head: str) -> str:
    """Without a mark that the cut left open."""
    last_line = head.rpartition("\n")[2]
    if last_line.count("*") % 2:
        place = head.rindex("*")
        return head[:place] + head[place + 1 :]
    return head

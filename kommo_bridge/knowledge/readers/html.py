"""HTML pages: headings, paragraphs, lists and tables, without menus, scripts and forms."""

import re
from collections.abc import Iterator
from typing import Any

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.block import BETWEEN_HEADINGS, Block
from kommo_bridge.knowledge.readers.text import decode
from kommo_bridge.knowledge.tables import table_blocks

LEFT_OUT = "script,style,noscript,template,svg,iframe,nav,form,button,select,[hidden],dialog"
HEADINGS = {f"h{level}": level for level in range(1, 7)}
LINE_TAGS = frozenset(
    "address article aside blockquote br dd div dl dt fieldset figcaption figure footer header hr "
    "li main ol p pre section table tbody td tfoot th thead tr ul".split()
)
PARAGRAPH_TAGS = frozenset("p section article ul ol dl table address footer header".split())
CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
# Further down, browsers do not look for it either.
CHARSET_WITHIN = 1024
MIN_LETTERS = 20
# Marks between words, until the text of a block is complete.
LINE, PARAGRAPH = "\x01", "\x02"
BREAKS = re.compile(r"[\s\x01\x02]+")
EMPTY_ITEM = re.compile(r"^-$\n*", re.MULTILINE)


def read_html(data: bytes, charset: str = "") -> tuple[str, list[Block]]:
    """The title and the content of a page.

    Args:
        charset: What the HTTP header says; empty without one.

    Raises:
        KnowledgeError: The page has no text of its own.
    """
    from selectolax.lexbor import LexborHTMLParser  # noqa: PLC0415

    declared = CHARSET.search(data[:CHARSET_WITHIN])
    named = charset or (declared[1].decode("ascii") if declared else "")
    tree = LexborHTMLParser(decode(data, named))
    title = tree.css_first("title")
    name = " ".join(title.text().split()) if title else ""
    for node in tree.css(LEFT_OUT):
        node.decompose()
    blocks = _Walk().over(tree.body or tree.root)
    letters = sum(block.size for block in blocks)
    if letters < MIN_LETTERS:
        raise KnowledgeError(
            "The page has no text of its own (it may need JavaScript): print it to a PDF and add "
            "that, or add the text as a file."
        )
    return name, blocks


class _Walk:
    """Goes through the nodes of a page in order; without recursion, which a page could exhaust."""

    def __init__(self) -> None:
        self._path: list[tuple[int, str]] = []
        self._words: list[str] = []
        self._done: list[Block] = []

    def over(self, root: Any) -> list[Block]:
        todo: list[tuple[Any, bool]] = [(root, False)]
        while todo:
            node, ended = todo.pop()
            if ended:
                self._leave(node)
            elif self._enter(node):
                todo.append((node, True))
                todo += [(child, False) for child in reversed(list(node.iter(include_text=True)))]
        self._end_text()
        return self._done

    def _enter(self, node: Any) -> bool:
        """Take what a node says; whether to go into it."""
        tag = node.tag
        if tag == "-text":
            self._words.append(node.text_content or "")
            return False
        if tag in HEADINGS:
            self._head(HEADINGS[tag], " ".join(node.text(separator=" ").split()))
            return False
        if tag == "table" and (rows := _rows(node)):
            self._end_text()
            self._done += table_blocks(rows, self._heading)
            return False
        self._mark(tag)
        if tag == "li":
            self._words.append("- ")
        return tag is not None

    def _leave(self, node: Any) -> None:
        self._mark(node.tag)
        if node.tag == "a":
            self._words.append(_address(node))

    def _mark(self, tag: str) -> None:
        if tag in PARAGRAPH_TAGS:
            self._words.append(PARAGRAPH)
        elif tag in LINE_TAGS:
            self._words.append(LINE)

    def _head(self, level: int, title: str) -> None:
        self._end_text()
        self._path = [one for one in self._path if one[0] < level]
        if title:
            self._path.append((level, title))

    @property
    def _heading(self) -> str:
        return BETWEEN_HEADINGS.join(title for _, title in self._path)

    def _end_text(self) -> None:
        text = BREAKS.sub(_break, "".join(self._words)).strip()
        text = EMPTY_ITEM.sub("", text)
        if text:
            self._done.append(Block(self._heading, text))
        self._words = []


def _break(between: re.Match[str]) -> str:
    """What stands between two words."""
    if PARAGRAPH in between[0]:
        return "\n\n"
    return "\n" if LINE in between[0] else " "


def _rows(table: Any) -> list[list[str]]:
    """The rows of a table of data; none of one that only arranges a page."""
    if len(table.css("table")) > 1:
        return []
    rows = [list(_cells(row)) for row in table.css("tr")]
    return rows if max(map(len, rows), default=0) > 1 else []


def _cells(row: Any) -> Iterator[str]:
    for cell in row.iter():
        if cell.tag in ("td", "th"):
            yield cell.text(separator=" ")


def _address(link: Any) -> str:
    """A phone number or mail address that stands behind other words."""
    scheme, _, place = (link.attributes.get("href") or "").partition(":")
    place = place.partition("?")[0].strip()
    if scheme.lower() not in ("tel", "mailto") or not place:
        return ""
    said = re.sub(r"\W", "", link.text())
    return "" if re.sub(r"\W", "", place) in said else f" ({place})"

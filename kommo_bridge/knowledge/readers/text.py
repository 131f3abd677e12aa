"""Plain text and Markdown, and the encodings that text comes in."""

import codecs
import re

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.block import BETWEEN_HEADINGS, Block
from kommo_bridge.knowledge.tables import table_blocks

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
HEADING = re.compile(r"(#{1,6})\s+(.*?)[\s#]*$")
FENCE = re.compile(r"\s*(```|~~~)")
TABLE_RULE = re.compile(r"\s*\|?[\s:|-]*-[\s:|-]*$")
NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f]")


def decode(data: bytes, declared: str = "") -> str:
    """The text of some bytes: as they are marked, as declared, UTF-8, or a Windows code page.

    Excel writes CSV files in the code page of its Windows: 1251 for Cyrillic, 1254 for Turkish,
    which has all letters that Spanish and Portuguese need, too.
    """
    marked = [name for mark, name in MARKS if data.startswith(mark)]
    for name in filter(None, (*marked, declared, "utf-8")):
        try:
            text = data.decode(name)
        except (UnicodeError, LookupError):
            continue
        return _with_one_kind_of_line(text)
    return _with_one_kind_of_line(
        data.decode("cp1251" if _is_cyrillic(data) else "cp1254", "replace")
    )


def read_as_text(data: bytes) -> str:
    """The text of a file.

    Raises:
        KnowledgeError: It is not text.
    """
    text = decode(data)
    if NOT_TEXT.search(text):
        raise KnowledgeError("This is not a text file: save it as UTF-8 text, PDF or XLSX.")
    return text


def _with_one_kind_of_line(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_cyrillic(data: bytes) -> bool:
    """In Cyrillic most letters stand beside another one above ASCII, elsewhere few do."""
    pairs = len(re.findall(rb"[\xc0-\xff]{2}", data))
    return pairs > len(re.findall(rb"[\x80-\xff]", data)) / 4


def read_text(data: bytes) -> list[Block]:
    """A plain text."""
    return _filled([Block("", read_as_text(data).strip())])


def read_markdown(data: bytes) -> list[Block]:
    """Markdown: headings, and tables with pipes; everything else stays as it is written."""
    return _Markdown().of(read_as_text(data))


class _Markdown:
    def __init__(self) -> None:
        self._path: list[tuple[int, str]] = []
        self._lines: list[str] = []
        self._table: list[str] = []
        self._done: list[Block] = []

    def of(self, text: str) -> list[Block]:
        fenced = False
        for line in text.split("\n"):
            if FENCE.match(line):
                fenced = not fenced
            elif not fenced and (found := HEADING.match(line)):
                self._end()
                level = len(found[1])
                self._path = [one for one in self._path if one[0] < level] + [(level, found[2])]
            elif not fenced and line.lstrip().startswith("|"):
                self._end_text()
                self._table.append(line)
            else:
                self._end_table()
                self._lines.append(line)
        self._end()
        return _filled(self._done)

    @property
    def _heading(self) -> str:
        return BETWEEN_HEADINGS.join(title for _, title in self._path)

    def _end(self) -> None:
        self._end_text()
        self._end_table()

    def _end_text(self) -> None:
        self._done.append(Block(self._heading, "\n".join(self._lines).strip()))
        self._lines = []

    def _end_table(self) -> None:
        rows = [_cells(line) for line in self._table if not TABLE_RULE.match(line)]
        self._done += table_blocks(rows, self._heading)
        self._table = []


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]


def _filled(blocks: list[Block]) -> list[Block]:
    return [block for block in blocks if block.text or block.rows]

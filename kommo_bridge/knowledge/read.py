"""Which reader takes a file or page, and what is refused before one does."""

import re
from dataclasses import dataclass
from pathlib import PurePath

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.block import Block

MAX_BYTES = 5 * 1024 * 1024
MAX_CHARACTERS = 2_000_000

KNOWN = "Known are text, Markdown, CSV, XLSX, PDF and HTML."
SUFFIXES = {
    **dict.fromkeys((".txt", ".text", ".log"), "text"),
    **dict.fromkeys((".md", ".markdown"), "markdown"),
    **dict.fromkeys((".csv", ".tsv", ".tab"), "csv"),
    **dict.fromkeys((".xlsx", ".xlsm"), "xlsx"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    ".pdf": "pdf",
}
CONTENT_TYPES = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "text",
    "text/markdown": "markdown",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
ADVICE = {
    **dict.fromkeys((".doc", ".docx", ".odt", ".rtf", ".pages", ".ppt", ".pptx"), "as PDF"),
    **dict.fromkeys((".xls", ".ods", ".numbers", ".xlsb"), "as .xlsx or CSV"),
}
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".heic", ".bmp", ".tif", ".tiff")
CHARSET = re.compile(r"charset=[\"']?([\w-]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Content:
    """What was read.

    Attributes:
        title: What the source calls itself; empty when it does not.
        blocks: Never empty.
    """

    title: str
    blocks: list[Block]


def kind_of_file(name: str, data: bytes) -> str:
    """The kind of a file, by its name.

    Raises:
        KnowledgeError: No reader takes it.
    """
    suffix = PurePath(name).suffix.lower()
    if data.startswith(b"%PDF-"):
        return "pdf"
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if suffix in ADVICE:
        raise KnowledgeError(f"A {suffix} file cannot be read: save it {ADVICE[suffix]}.")
    if suffix in PICTURES:
        raise KnowledgeError("A picture cannot be read: write what it says into a text file.")
    raise KnowledgeError(f"{suffix or 'A file without a suffix'} is no known kind of file. {KNOWN}")


def kind_of_page(content_type: str, data: bytes) -> str:
    """The kind of what a server sent, by its `Content-Type`.

    Raises:
        KnowledgeError: No reader takes it.
    """
    name = content_type.partition(";")[0].strip().lower()
    if data.startswith(b"%PDF-"):
        return "pdf"
    if name in CONTENT_TYPES:
        return CONTENT_TYPES[name]
    shown = re.sub(r"[^\w/+.-]", "", name)[:60] or "nothing"
    raise KnowledgeError(f"The page's content type is {shown}, which cannot be read. {KNOWN}")


def charset_of(content_type: str) -> str:
    """The encoding that a `Content-Type` names; empty without one."""
    found = CHARSET.search(content_type)
    return found[1] if found else ""


def read(kind: str, data: bytes, charset: str = "") -> Content:
    """What a file or page says.

    A reader's package is imported here and nowhere else. Hostile files can use much time and
    memory: `extract` reads them in a process of its own, with limits.

    Raises:
        KnowledgeError: It is too large, empty or cannot be read; one sentence says what to do.
    """
    check_size(data)
    content = _read(kind, data, charset)
    characters = sum(block.size for block in content.blocks)
    if not characters:
        raise KnowledgeError("There is no text in it: add a file with words.")
    if characters > MAX_CHARACTERS:
        raise KnowledgeError(
            f"It has more than {MAX_CHARACTERS:,} characters: keep what customers ask about."
        )
    return content


def check_size(data: bytes) -> None:
    """Refuse what no reader gets to see.

    Raises:
        KnowledgeError: It is larger than `MAX_BYTES`.
    """
    if len(data) > MAX_BYTES:
        raise KnowledgeError(
            "It is larger than 5 MiB: split it, or keep the part that customers ask about."
        )


def _read(kind: str, data: bytes, charset: str) -> Content:
    # Each reader is imported when it is needed: their packages are heavy.
    if kind == "html":
        from kommo_bridge.knowledge.readers.html import read_html  # noqa: PLC0415

        return Content(*read_html(data, charset))
    if kind == "pdf":
        from kommo_bridge.knowledge.readers.pdf import read_pdf  # noqa: PLC0415

        return Content("", read_pdf(data))
    if kind == "xlsx":
        from kommo_bridge.knowledge.readers.xlsx import read_xlsx  # noqa: PLC0415

        return Content("", read_xlsx(data))
    if kind == "csv":
        from kommo_bridge.knowledge.readers.csv_table import read_csv  # noqa: PLC0415

        return Content("", read_csv(data))
    from kommo_bridge.knowledge.readers.text import read_markdown, read_text  # noqa: PLC0415

    return Content("", read_markdown(data) if kind == "markdown" else read_text(data))

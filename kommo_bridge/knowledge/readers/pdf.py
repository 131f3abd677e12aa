"""PDF files that hold text."""

import io
import logging
import re
from typing import Any

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.block import Block

MAX_PAGES = 500
# Scanners and page numbers leave a few characters in a PDF that has no text of its own.
MIN_LETTERS_PER_PAGE = 10

LETTERS = re.compile(r"\w")


def read_pdf(data: bytes) -> list[Block]:
    """The text, page by page.

    Raises:
        KnowledgeError: It has a password, holds pictures only, has too many pages, or is broken.
    """
    import pypdf  # noqa: PLC0415

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of each small fault
    try:
        texts = _texts(pypdf.PdfReader(io.BytesIO(data)))
    except (KnowledgeError, MemoryError):
        raise
    except Exception as error:  # pypdf lets through whatever a broken file leads to
        raise KnowledgeError("The PDF cannot be read: open it and save it again.") from error
    if _letters(texts) < MIN_LETTERS_PER_PAGE * len(texts):
        raise KnowledgeError(
            "The PDF holds pictures of text only: export it from the program that it was written "
            "in, or let a scanner's text recognition (OCR) run over it."
        )
    many = len(texts) > 1
    blocks = [Block(f"page {number}" if many else "", text) for number, text in enumerate(texts, 1)]
    return [block for block in blocks if block.text]


def _texts(reader: Any) -> list[str]:
    if reader.is_encrypted and not reader.decrypt(""):
        raise KnowledgeError("The PDF has a password: save it without one.")
    if len(reader.pages) > MAX_PAGES:
        raise KnowledgeError(
            f"The PDF has more than {MAX_PAGES} pages: keep those that customers ask about."
        )
    return [_tidy(page.extract_text()) for page in reader.pages]


def _letters(texts: list[str]) -> int:
    return sum(len(LETTERS.findall(text)) for text in texts)


def _tidy(text: str) -> str:
    """Without what a PDF has between its words: rows of blanks, soft hyphens, lone surrogates."""
    text = text.encode("utf-8", "ignore").decode().replace("\u00ad", "").replace("\x00", "")
    lines = [re.sub(r"[ \t\u00a0]+", " ", line).strip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()

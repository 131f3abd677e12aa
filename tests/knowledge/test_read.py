"""Files and pages become blocks, or one sentence says what to do."""

import io
import zipfile
from datetime import date, datetime, time

import openpyxl
import pytest
from knowledge_files import locked_pdf, long_sheet, pdf, saved, xlsx, zip_bomb

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.block import Block, from_json, shown, to_json
from kommo_bridge.knowledge.extract import extract
from kommo_bridge.knowledge.read import (
    MAX_BYTES,
    MAX_CHARACTERS,
    charset_of,
    kind_of_file,
    kind_of_page,
    read,
)
from kommo_bridge.knowledge.readers.xlsx import shown_value

PRICES = [["Item", "Price"], ["Pizza", "9 €"], ["Soup", "5 €"]]
AS_BLOCK = Block("", header=("Item", "Price"), rows=(("Pizza", "9 €"), ("Soup", "5 €")))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text"),
        ("A.MD", "markdown"),
        ("b.csv", "csv"),
        ("b.tsv", "csv"),
        ("c.xlsx", "xlsx"),
        ("d.pdf", "pdf"),
        ("e.HTM", "html"),
    ],
)
def test_a_files_name_says_its_kind(name: str, kind: str) -> None:
    assert kind_of_file(name, b"") == kind


def test_a_pdf_is_one_whatever_it_is_called() -> None:
    assert kind_of_file("menu", pdf("x")) == "pdf"
    assert kind_of_page("application/octet-stream", pdf("x")) == "pdf"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("prices.xls", "save it as .xlsx or CSV"),
        ("about.docx", "save it as PDF"),
        ("menu.JPG", "write what it says into a text file"),
        ("program.exe", "Known are text, Markdown"),
        ("README", "A file without a suffix is no known kind"),
    ],
)
def test_a_file_that_no_reader_takes_is_refused_with_advice(name: str, advice: str) -> None:
    with pytest.raises(KnowledgeError, match=advice):
        kind_of_file(name, b"words")


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [("text/html; charset=utf-8", "html"), ("Text/Plain", "text"), ("text/csv", "csv")],
)
def test_a_pages_content_type_says_its_kind(content_type: str, kind: str) -> None:
    assert kind_of_page(content_type, b"") == kind


@pytest.mark.parametrize(
    ("content_type", "shown_as"),
    [("image/png", "image/png"), ("", "nothing"), ("x\r\ny<script>", "xyscript")],
)
def test_a_page_of_another_type_is_refused(content_type: str, shown_as: str) -> None:
    with pytest.raises(KnowledgeError, match=f"content type is {shown_as}, which cannot"):
        kind_of_page(content_type, b"")


def test_the_charset_of_a_header_is_read() -> None:
    assert charset_of('text/html; charset="windows-1251"') == "windows-1251"
    assert charset_of("text/html") == ""


def test_a_text_is_one_block() -> None:
    assert read("text", b"Open from 9.\r\n\r\nClosed on Sunday.\n").blocks == [
        Block("", "Open from 9.\n\nClosed on Sunday.")
    ]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Señor, mañana à noite", "utf-8"),
        ("Señor, mañana à noite", "utf-8-sig"),
        ("Señor, mañana à noite", "utf-16"),
        ("Señor, mañana à noite", "cp1252"),
        ("Şişli, İstanbul, ağaç, ılık", "cp1254"),
        ("Доставка по городу 300 рублей", "cp1251"),
    ],
)
def test_a_text_is_read_in_the_encodings_that_programs_write(text: str, encoding: str) -> None:
    assert read("text", text.encode(encoding)).blocks == [Block("", text)]


def test_markdown_keeps_headings_and_tables() -> None:
    text = """# Menu
Fresh every day.

## Pizza ##
| Item | Price |
|------|------:|
| Margherita | 9 € |
| A\\|B | 7 € |
after the table
```
# no heading
| no table |
```
# Hours
Mon 9-18
"""

    assert read("markdown", text.encode()).blocks == [
        Block("Menu", "Fresh every day."),
        Block(
            "Menu > Pizza",
            header=("Item", "Price"),
            rows=(("Margherita", "9 €"), ("A|B", "7 €")),
        ),
        Block(
            "Menu > Pizza",
            "after the table\n```\n# no heading\n| no table |\n```".replace("```\n", "").replace(
                "\n```", ""
            ),
        ),
        Block("Hours", "Mon 9-18"),
    ]


@pytest.mark.parametrize("separator", list(";\t,|"))
def test_csv_is_read_with_any_separator(separator: str) -> None:
    text = "\n".join(separator.join(f'"{cell}"' for cell in row) for row in PRICES)

    assert read("csv", text.encode()).blocks == [AS_BLOCK]


def test_decimal_commas_do_not_part_columns() -> None:
    text = "Item;Price\nPizza;9,50\nSoup;5,00\nTea;1,20\n"

    (block,) = read("csv", text.encode()).blocks

    assert block.rows == (("Pizza", "9,50"), ("Soup", "5,00"), ("Tea", "1,20"))


def test_excels_separator_line_is_obeyed() -> None:
    assert read("csv", b"sep=|\nItem|Price\nPizza|9\n").blocks == [
        Block("", header=("Item", "Price"), rows=(("Pizza", "9"),))
    ]


def test_each_visible_sheet_is_read() -> None:
    book = openpyxl.load_workbook(
        io.BytesIO(xlsx(Food=PRICES, Hours=[["Mo", "9-18"]], Costs=[["secret", 1]]))
    )
    book["Costs"].sheet_state = "hidden"

    assert read("xlsx", saved(book)).blocks == [
        Block("Food", header=AS_BLOCK.header, rows=AS_BLOCK.rows),
        Block("Hours", rows=(("Mo", "9-18"),)),
    ]


@pytest.mark.parametrize(
    ("value", "number_format", "expected"),
    [
        (None, "", ""),
        (12, "General", "12"),
        (12.0, "General", "12"),
        (0.1 + 0.2, "General", "0.3"),
        (9.5, "0.00", "9.50"),
        (9.5, "#,##0.00 [$€-407]", "9.50 €"),
        (1200, '"$"#,##0.00_);[Red]("$"#,##0.00)', "1200.00 $"),
        (300, "#,##0 ₽", "300 ₽"),
        (0.15, "0%", "15%"),
        (0.125, "0.0%", "12.5%"),
        (True, "", "yes"),
        (datetime(2026, 1, 31), "", "2026-01-31"),  # noqa: DTZ001  sheets know no zones
        (datetime(2026, 1, 31, 9, 30), "", "2026-01-31 09:30"),  # noqa: DTZ001
        (date(2026, 1, 31), "", "2026-01-31"),
        (time(9, 0), "", "09:00"),
        ("text", "@", "text"),
    ],
)
def test_a_cell_is_shown_as_in_the_sheet(value: object, number_format: str, expected: str) -> None:
    assert shown_value(value, number_format) == expected


def test_a_pdf_is_read_page_by_page() -> None:
    one = read("pdf", pdf("Haircut 25 euro\nBeard 15 euro")).blocks
    two = read("pdf", pdf("Haircut 25 euro", "Open from 9 to 18")).blocks

    assert one == [Block("", "Haircut 25 euro\nBeard 15 euro")]
    assert two == [Block("page 1", "Haircut 25 euro"), Block("page 2", "Open from 9 to 18")]


def test_a_page_is_read_without_menus_and_scripts() -> None:
    page = """<html><head><title> Flora  shop </title><style>p{}</style></head><body>
      <nav>Home About</nav><script>var x</script><p hidden>secret</p>
      <h1>Flora</h1><p>Fresh <b>flowers</b>,<br>every day.</p>
      <ul><li>Roses</li><li>Tulips</li></ul>
      <h2>Prices</h2><table><tr><th>Item</th><th>Price</th></tr>
      <tr><td>Rose</td><td>2 €</td></tr></table>
      <h2>Contact</h2><a href="tel:+34600111222">Call us</a>,
      <a href="mailto:hi@flora.example?subject=x">hi@flora.example</a>
      <footer>Calle del Mar 5</footer></body></html>"""

    content = read("html", page.encode())

    assert content.title == "Flora shop"
    assert content.blocks == [
        Block("Flora", "Fresh flowers,\nevery day.\n\n- Roses\n- Tulips"),
        Block("Flora > Prices", header=("Item", "Price"), rows=(("Rose", "2 €"),)),
        Block("Flora > Contact", "Call us (+34600111222), hi@flora.example\n\nCalle del Mar 5"),
    ]


def test_a_table_that_only_arranges_a_page_is_text() -> None:
    inner = "<table><tr><td>Roses 2 euro</td></tr></table>"
    page = f"<table><tr><td>{inner}</td><td>Tulips 1 euro</td></tr></table>"

    (block,) = read("html", page.encode()).blocks

    assert not block.rows
    assert block.text.split("\n") == ["Roses 2 euro", "", "Tulips 1 euro"]


def test_a_pages_encoding_is_the_headers_else_its_own() -> None:
    page = "<meta charset='windows-1251'><p>Доставка по городу бесплатно</p>".encode("cp1251")

    assert read("html", page).blocks == [Block("", "Доставка по городу бесплатно")]
    assert read(
        "html", "<p>Доставка по городу бесплатно</p>".encode("koi8-r"), "koi8-r"
    ).blocks == [Block("", "Доставка по городу бесплатно")]


def test_a_page_nested_thousands_of_times_is_read() -> None:
    page = b"<div>" * 5_000 + b"Open from nine to eighteen o'clock"

    assert read("html", page).blocks[0].text == "Open from nine to eighteen o'clock"


MADE_OF_PARTS = io.BytesIO()
with zipfile.ZipFile(MADE_OF_PARTS, "w") as archive:
    archive.writestr("a.txt", "not a workbook")


@pytest.mark.parametrize(
    ("kind", "data", "advice"),
    [
        ("text", b"x" * (MAX_BYTES + 1), "larger than 5 MiB: split it"),
        ("text", b"x" * (MAX_CHARACTERS + 1), "more than 2,000,000 characters"),
        ("text", b" \n", "There is no text in it"),
        ("csv", b"", "There is no text in it"),
        ("text", b"PK\x03\x04\x00\x00", "not a text file: save it as"),
        ("csv", b'a,"' + b"x" * 200_000, "CSV file cannot be read: open it"),
        ("pdf", locked_pdf("secret"), "has a password: save it without one"),
        ("pdf", pdf("1", "2"), "holds pictures of text only"),
        ("pdf", b"%PDF-1.4 broken", "PDF cannot be read: open it and save it again"),
        ("xlsx", b"PK\x03\x04 broken", "XLSX file cannot be read: open it"),
        ("xlsx", MADE_OF_PARTS.getvalue(), "XLSX file cannot be read: open it"),
        ("xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1", "has a password or is an old .xls file"),
        ("xlsx", zip_bomb(), "unpacks to more than 100 MiB"),
        ("xlsx", long_sheet(20_000), "more than 20,000 rows"),
        ("html", b"<div id=app></div><script>render()</script>", "no text of its own"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_is_refused_with_advice(kind: str, data: bytes, advice: str) -> None:
    with pytest.raises(KnowledgeError, match=advice):
        read(kind, data)


def test_a_pdf_whose_password_is_empty_is_read() -> None:
    assert read("pdf", locked_pdf("")).blocks


def test_blocks_survive_the_store() -> None:
    blocks = [Block("A > B", "text ё"), AS_BLOCK]

    assert from_json(to_json(blocks)) == blocks
    assert shown(blocks) == "## A > B\ntext ё\n\nItem | Price\nPizza | 9 €\nSoup | 5 €"


def test_a_process_of_its_own_reads_the_same() -> None:
    data = "<title>Flora</title><p>Открыто с девяти до шести</p>".encode()

    assert extract("html", data) == read("html", data)


def test_a_process_of_its_own_passes_a_refusal_on() -> None:
    with pytest.raises(KnowledgeError, match="has a password"):
        extract("pdf", locked_pdf("secret"))


def test_a_file_that_keeps_its_reader_busy_is_given_up() -> None:
    with pytest.raises(KnowledgeError, match="too much time or memory"):
        extract("text", b"words", seconds=0.001)


def test_a_file_that_needs_too_much_memory_is_given_up() -> None:
    with pytest.raises(KnowledgeError, match="too much time or memory"):
        extract("text", b"x" * (MAX_CHARACTERS - 1), memory_bytes=1)

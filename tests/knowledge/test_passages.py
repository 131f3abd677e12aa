"""Sources are cut into passages that can be understood by themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kommo_bridge.knowledge.block import Block
from kommo_bridge.knowledge.passages import MAX_CHARACTERS, Passage, passages
from kommo_bridge.knowledge.tables import row_text, table_blocks


def texts(*blocks: Block) -> list[str]:
    return [one.text for one in passages("Menu", blocks)]


def test_a_row_is_a_passage_with_its_header() -> None:
    block = Block("Pizza", header=("Item", "Price"), rows=(("Margherita", "9 €"), ("Soup", "")))

    assert passages("Menu", [block]) == [
        Passage("Menu", "Pizza", "Item: Margherita; Price: 9 €"),
        Passage("Menu", "Pizza", "Item: Soup"),
    ]


def test_a_row_longer_than_its_header_loses_nothing() -> None:
    assert row_text(("Item",), ("Soup", "5 €")) == "Item: Soup; 5 €"
    assert row_text((), ("Soup", "", "5 €")) == "Soup | 5 €"


def test_short_paragraphs_are_put_together() -> None:
    assert texts(Block("", "Open from 9.\n\nClosed on Sunday.")) == [
        "Open from 9.\nClosed on Sunday."
    ]


def test_a_long_text_is_cut_at_its_paragraphs() -> None:
    text = "\n\n".join(f"{number} {'word ' * 50}".strip() for number in range(4))

    assert [one[0] for one in texts(Block("", text))] == ["0", "1", "2", "3"]


def test_a_long_paragraph_is_cut_after_a_sentence() -> None:
    text = " ".join(["We deliver to the whole city every day of the week."] * 40)

    found = texts(Block("", text))

    assert all(one.endswith("week.") and len(one) <= MAX_CHARACTERS for one in found)
    assert " ".join(found) == text


@pytest.mark.hypothesis
@given(st.text(alphabet=st.sampled_from("ab .\n;é"), max_size=3000))
def test_nothing_is_lost_and_no_passage_is_too_long(text: str) -> None:
    found = texts(Block("", text))

    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(one.strip() and len(one) <= MAX_CHARACTERS + 1 for one in found)


def test_a_row_of_one_cell_is_the_heading_of_those_below() -> None:
    rows = [
        ["Price list 2026"],
        ["Valid from May"],
        ["Item", "Price"],
        ["Soups"],
        ["Tomato", "5 €"],
        [],
        ["Pizza", ""],
        ["Item", "Price"],
        ["Margherita", "9 €"],
        ["All prices include service."],
    ]

    assert table_blocks(rows, "Food") == [
        Block("Food", "Price list 2026"),
        Block("Food > Soups", header=("Item", "Price"), rows=(("Tomato", "5 €"),)),
        Block("Food > Pizza", header=("Item", "Price"), rows=(("Margherita", "9 €"),)),
        Block("Food", "All prices include service."),
    ]


@pytest.mark.parametrize(
    "first",
    [["Monday", "9-18"], ["Espresso", "€ 2"], ["Do you deliver?", "Yes"], ["We deliver.", "Daily"]],
)
def test_a_first_row_of_values_is_no_header(first: list[str]) -> None:
    (block,) = table_blocks([first, ["Tuesday", "10-18"]], "")

    assert block.header == ()
    assert block.rows[0] == tuple(first)


def test_one_column_is_text() -> None:
    assert table_blocks([["Roses"], [""], ["Tulips"]], "") == [Block("", "Roses\nTulips")]
    assert table_blocks([], "") == []

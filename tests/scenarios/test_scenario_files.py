"""Scenario files are read strictly, and errors name file, scenario and line."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from kommo_bridge.errors import ScenarioError
from kommo_bridge.scenarios.read import MAX_FILE_BYTES, read_files, read_table, read_text

WHOLE = """
[[scenario]]
id = "roses"
now = 2026-03-02T10:00:00+01:00
language = "en"
history = [{ customer = "Hello", reply = "Hello, how can I help?" }]

[[scenario.turns]]
customer = "How much are 21 roses?"
outcome = "reply"
contains = ["45", "euro"]
absent = "54"
regex = '\\b45\\b'
max_chars = 200
facts = "known"
criteria = "The reply is polite."

[[scenario.turns]]
customer = "A human, please."
outcome = "handoff"
reason = "customer_request"
language = "es"
tool = "handoff"
"""


def test_every_key_is_read() -> None:
    [scenario] = read_text(WHOLE, "shop.toml")
    first, second = scenario.turns

    assert scenario.id == "roses"
    assert scenario.now
    assert scenario.now.utcoffset() == timedelta(hours=1)
    assert scenario.history[0].reply == "Hello, how can I help?"
    assert first.expected.contains == ("45", "euro")
    assert first.expected.absent == ("54",)
    assert first.expected.regex == (r"\b45\b",)
    assert first.expected.language == "en"
    assert first.expected.max_chars == 200
    assert first.expected.facts == "known"
    assert first.expected.criteria == ("The reply is polite.",)
    assert (second.expected.language, second.expected.tool) == ("es", "handoff")
    assert second.expected.reason == "customer_request"


def test_a_time_without_an_offset_is_left_to_the_integrations_zone() -> None:
    [scenario] = read_text(WHOLE.replace("+01:00", ""), "shop.toml")

    assert scenario.now == datetime(2026, 3, 2, 10)  # noqa: DTZ001


# What is changed in the file, what the error says, and the line it names.
WRONG = {
    "a wrong key of a turn": ("max_chars", "max_char", "'max_char' is not a key of a turn", 14),
    "a wrong key of a scenario": ("now =", "today =", "'today' is not a key of a scenario", 4),
    "an unknown outcome": ('"handoff"\nreason', '"human"\nreason', "outcome must be one of", 20),
    "an unknown language": ('"es"', '"xx"', "language must be one of", 22),
    "a language of the scenario": ('"en"', '"xx"', "language must be one of", 5),
    "no text": ('"A human, please."', '" "', "customer must be a text", 19),
    "a number for a text": ('"54"', "54", "absent must be a text or a list of texts", 12),
    "an empty list": ('["45", "euro"]', "[]", "contains must be a text or a list", 11),
    "a broken pattern": (r"\b45\b", "(45", "is not a pattern", 13),
    "facts of another kind": ('"known"', '"true"', "facts must be one of known", 15),
    "an unknown reason": ('"customer_request"', '"rage"', "reason must be one of", 21),
    "a length of zero": ("= 200", "= 0", "max_chars must be a whole number", 14),
    "a length that is true": ("= 200", "= true", "max_chars must be a whole number", 14),
    "no date": ("2026-03-02T10:00:00+01:00", '"soon"', "now must be a date and time", 4),
    "a date alone": ("2026-03-02T10:00:00+01:00", "2026-03-02", "now must be a date and time", 4),
    "half a history": (', reply = "Hello, how can I help?"', "", "history must be a list", 6),
    "an id of two lines": ('"roses"', '"ro\\nses"', "id must be one line", 3),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_with_its_line(what: str) -> None:
    old, new, sentence, line = WRONG[what]
    assert old in WHOLE

    with pytest.raises(ScenarioError) as caught:
        read_text(WHOLE.replace(old, new, 1), "shop.toml")

    assert str(caught.value).startswith("shop.toml, scenario ")
    assert f"line {line}: " in str(caught.value)
    assert sentence in str(caught.value)


def test_the_line_is_that_of_the_right_scenario_whatever_a_text_holds() -> None:
    before = (
        '[[scenario]]\nid = "one"\n[[scenario.turns]]\ncustomer = """\n[[scenario]]\nid = 3\n"""\n'
    )
    text = before + 'outcome = "reply"\n' + WHOLE.replace('id = "roses"', "id = 3")

    with pytest.raises(ScenarioError, match=r"scenario 'number 2', line 11: id must be a text"):
        read_text(text, "shop.toml")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "shop.toml: there is no \\[\\[scenario\\]\\] in it"),
        ("[scenario]\nid = 'one'", "shop.toml: there is no"),
        ("scenario = [1]", "a scenario must be a table"),
        ("[[case]]\nid = 'one'", "line 1: 'case' is not a key of a scenario file"),
        ("[[scenario]\nid = 'one'", "this is not TOML: .*line 1"),
        ("[[scenario]]\nid = 'one'", "line 1: it has no"),
        ("[[scenario]]\nid = 'one'\nturns = ['Hello']", "a turn must be a table"),
        ("[[scenario]]\nid = 'one'\nturns = [{customer = 'Hello'}]", "line 1: nothing must hold"),
        (WHOLE + WHOLE, "scenario 'roses', line 26: another scenario has this id"),
    ],
)
def test_a_file_that_is_none(content: str, sentence: str) -> None:
    with pytest.raises(ScenarioError, match=sentence):
        read_text(content, "shop.toml")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    large, latin = tmp_path / "large.toml", tmp_path / "latin.toml"
    large.write_text("#" * (MAX_FILE_BYTES + 1), encoding="utf-8")
    latin.write_bytes("# café".encode("latin-1"))

    for path, sentence in {
        tmp_path / "none.toml": "none.toml cannot be read: No such file",
        large: "large.toml is larger than a mebibyte",
        latin: "latin.toml is not UTF-8",
    }.items():
        with pytest.raises(ScenarioError, match=sentence):
            read_files([path])


def test_two_files_may_not_share_an_id(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(WHOLE, encoding="utf-8")

    with pytest.raises(ScenarioError, match=r"b\.toml: 'roses' is the id of another scenario"):
        read_files([tmp_path / "a.toml", tmp_path / "b.toml"])


def test_a_table_of_the_store_is_read_again() -> None:
    [scenario] = read_text(WHOLE, "shop.toml")
    assert scenario.table
    assert scenario.now

    again = read_table({**scenario.table, "now": scenario.now.isoformat()}, "acme")

    assert (again.id, again.turns, again.now) == (scenario.id, scenario.turns, scenario.now)
    with pytest.raises(ScenarioError, match=r"^acme, scenario 'roses': 'then' is not a key"):
        read_table({**scenario.table, "then": 1}, "acme")

"""The ready-made Salesbot: what Kommo's import is given, and that it runs there as it should."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from kommo_bridge.errors import BotFileError
from kommo_bridge.widget.bot import Variant, build_bot
from kommo_bridge.widget.bot_check import bot_faults, declared_exits
from local.partners.salesbot.bot_import import ImportRefused, import_bot
from local.partners.salesbot.widget_script import saved_flow

URL = "https://bridge.example.com/api/kommo/kommo/widget-request"
NUMBER = 1282319
EXITS = ("success", "handoff", "fail", "skip")
INSTALLED = {NUMBER: EXITS}

Graph = dict[str, Any]
Change = Callable[[Graph, list[Graph]], object]


def bot(variant: Variant = "a") -> bytes:
    return build_bot("Reply with AI", str(NUMBER), URL, variant)


def graphs(content: bytes) -> tuple[Graph, list[Graph]]:
    model = json.loads(content)["model"]
    return json.loads(model["text"]), json.loads(model["positions"])


def changed(change: Change) -> bytes:
    """The bot file after somebody has changed its graphs by hand."""
    whole = json.loads(bot())
    text, positions = graphs(bot())
    change(text, positions)
    whole["model"] |= {"text": json.dumps(text), "positions": json.dumps(positions)}
    return json.dumps(whole).encode()


@pytest.mark.parametrize("variant", ["a", "b"])
def test_the_bot_is_imported_and_runs(variant: Variant) -> None:
    imported = import_bot(bot(variant), INSTALLED)

    assert imported.widget_params == {"url": URL}
    assert imported.looping_exits == {"success", "skip"}
    assert imported.ending_exits == {"handoff", "fail"}


def test_the_file_has_the_shape_of_an_export() -> None:
    whole = json.loads(bot())
    text, positions = graphs(bot())

    assert (whole["type_functionality"], whole["model"]["type"]) == (0, 2)
    assert set(whole["model"]) == {"text", "positions", "name", "type"}
    assert set(text) == {"0", "1", "conversation"}
    assert [block["type"] for block in positions] == [
        *("start", "static", "question", "question", "finish", "finish")
    ]
    assert text["1"]["question"][0]["params"]["conditions"] == [
        {
            "event": {"source": "message", "action": "received"},
            "action": {"type": "question", "step": 0},
        }
    ]
    assert "exits" not in positions[2]["actions"][0]["params"]["params"]
    assert len(bot()) < 4096


def test_the_ends_have_steps_of_their_own_in_variant_b_only() -> None:
    text, _ = graphs(bot("b"))

    assert set(text) == {"0", "1", "2", "3", "conversation"}
    assert text["2"]["question"] == [{"handler": "stop", "params": []}]


def test_each_file_has_numbers_of_its_own() -> None:
    assert bot() != bot()


def test_the_exits_are_those_that_the_script_declares() -> None:
    assert set(declared_exits()) == set(saved_flow({}).exits) == set(EXITS)


@pytest.mark.parametrize(
    ("number", "url", "said"),
    [
        ("", URL, "digits only"),
        ("0", URL, "digits only"),
        ("12a", URL, "digits only"),
        ("١٢", URL, "digits only"),
        ("7", URL.replace("https", "http"), "https"),
        ("7", "https://localhost/api/kommo/kommo/widget-request", "https"),
        ("7", "https://bridge.example.com/other", "widget-request"),
        ("7", "https://" + "x" * 70_000 + ".example.com/api/kommo/kommo/widget-request", "64 KB"),
    ],
)
def test_a_value_that_cannot_work_is_refused(number: str, url: str, said: str) -> None:
    with pytest.raises(BotFileError, match=said):
        build_bot("Reply with AI", number, url, "a")


def step(text: Graph, number: int) -> Any:
    return text[str(number)]["question"][0]["params"]


def action(positions: list[Graph], number: int) -> Any:
    return next(one for one in positions if one["id"] == number)["actions"][0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            lambda text, _: step(text, 0)["exits"].pop("skip"), "those of script.js", id="no exit"
        ),
        pytest.param(
            lambda text, _: step(text, 0)["exits"]["fail"].update(type="question", step=1),
            "'fail' to question 1 is not drawn",
            id="another way than drawn",
        ),
        pytest.param(
            lambda _, positions: action(positions, 1)["links"].pop(),
            "'fail' to finish 3 is not drawn",
            id="a link is missing",
        ),
        pytest.param(
            lambda _, positions: action(positions, 2)["links"].append({"block": 3}),
            "is drawn only",
            id="a link too many",
        ),
        pytest.param(
            lambda _, positions: positions[4].update(id=4), "same number", id="a number twice"
        ),
        pytest.param(
            lambda _, positions: positions[5].update(step=2), "same step", id="a step twice"
        ),
        pytest.param(
            lambda _, positions: positions[0]["goto"].update(block=2),
            "does not begin with step 0",
            id="another beginning",
        ),
        pytest.param(lambda text, _: text.pop("1"), "leads to step 1: not there", id="no pause"),
        pytest.param(
            lambda text, _: step(text, 1)["conditions"].append(
                {
                    "event": {"source": "timer", "action": "ended", "delay": 60},
                    "action": {"type": "finish", "step": 2},
                }
            ),
            "'timer ended' to finish 2 is not drawn",
            id="a timer",
        ),
    ],
)
def test_a_file_that_would_not_run_is_noticed_here_and_by_the_import(
    change: Change, said: str
) -> None:
    content = changed(change)

    assert any(said in fault for fault in bot_faults(content)), list(bot_faults(content))
    with pytest.raises(ImportRefused):
        import_bot(content, INSTALLED)


def test_a_pause_with_a_timer_alone_ends_the_bot() -> None:
    def change(text: Graph, positions: list[Graph]) -> None:
        timer = {"source": "timer", "action": "ended", "delay": 60}
        step(text, 1)["conditions"][0]["event"] = timer
        action(positions, 2)["params"]["params"]["event"] = timer

    assert import_bot(changed(change), INSTALLED).looping_exits == set()
    assert list(bot_faults(changed(change))) == [
        "The pause has a timer, which would end the bot while the customer thinks."
    ]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"\xef\xbb\xbf" + bot()[:-1], id="cut"),
        pytest.param(b'{"type_functionality": 0}', id="no model"),
        pytest.param(bot().replace(b'"type_functionality": 0', b'"type_functionality": 3'), id="3"),
        pytest.param(
            json.dumps({**json.loads(bot()), "text": "{}"}).encode(), id="text beside the model"
        ),
        pytest.param(
            json.dumps(
                {"type_functionality": 0, "model": {**json.loads(bot())["model"], "text": {}}}
            ).encode(),
            id="text as an object",
        ),
    ],
)
def test_what_is_no_export_is_refused_by_the_import(content: bytes) -> None:
    with pytest.raises(ImportRefused):
        import_bot(content, INSTALLED)


@pytest.mark.parametrize("installed", [{}, {NUMBER + 1: EXITS}, {NUMBER: ("success", "fail")}])
def test_the_import_needs_the_widget_with_its_exits(installed: dict[int, tuple[str, ...]]) -> None:
    with pytest.raises(ImportRefused):
        import_bot(bot(), installed)

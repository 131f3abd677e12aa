"""The stand-in Salesbot: what a customer sees when the widget's own flow is run."""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests

from kommo_bridge.widget.bot import build_bot
from kommo_bridge.widget.build import SHARED_WIDGET, source_version
from local.partners.http.exchange import Answer, Request
from local.partners.http.faults import Slow, Status
from local.partners.http.local_server import LocalServer
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.partners.salesbot.bot_import import import_bot
from local.partners.salesbot.flow_run import FlowFault, FlowRun, known_values
from local.partners.salesbot.salesbot import Conversation, run_salesbot
from local.partners.salesbot.widget_script import (
    BUILT_IN_URL,
    WidgetFlow,
    saved_flow,
    widget_flow,
)

BRIDGE_URL = "http://127.0.0.1:9"
SPOKEN = ["success", "handoff", "fail"]


def body(status: str = "success", reply: str = "Hello!", **more: Any) -> dict[str, Any]:
    return {"data": {"status": status, "reply": reply, "message": reply}, **more}


def show(text: str) -> dict[str, Any]:
    return {"handler": "show", "params": {"type": "text", "value": text}}


def go_to(step: int, part: str = "question") -> dict[str, Any]:
    return {"handler": "goto", "params": {"type": part, "step": step}}


class ScriptedBridge(LocalServer):
    """Acknowledges every widget request, then continues the bot with the next scripted body."""

    def __init__(self, access_token: str) -> None:
        super().__init__()
        self._headers = {"Authorization": f"Bearer {access_token}"}
        self.bodies: list[Mapping[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.answers: list[int] = []
        self._threads: list[threading.Thread] = []

    def answer(self, request: Request) -> Answer:
        form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
        self.asked.append(form)
        if self.bodies:
            work = threading.Thread(target=self._continue, args=(form["return_url"],))
            self._threads.append(work)
            work.start()
        return Answer.json(200, {"status": "ok"})

    def _continue(self, return_url: str) -> None:
        done = requests.post(return_url, json=self.bodies.pop(0), headers=self._headers, timeout=5)
        self.answers.append(done.status_code)

    def stop(self) -> None:
        for thread in self._threads:
            thread.join(5)
        super().stop()


@pytest.fixture(scope="module")
def flow() -> WidgetFlow:
    return widget_flow(BRIDGE_URL)


@pytest.fixture
def bridge(account: Account) -> Iterator[ScriptedBridge]:
    with ScriptedBridge(account.access_token) as server:
        yield server
    assert server.errors == []


@pytest.fixture
def run(flow: WidgetFlow) -> FlowRun:
    """A bot that waits in the widget block."""
    values = known_values("Hi", lead_id=7, contact_id=8, contact_name="Ana", origin="waba")
    started = FlowRun(flow, values)
    started.start()
    return started


# The flow of script.js


def test_the_script_gives_a_flow_with_the_bridge_of_the_parameter() -> None:
    saved = saved_flow({"url": "https://other.example.com/x?key=1"})

    assert saved.steps[0]["question"][0]["params"]["url"] == "https://other.example.com/x?key=1"
    assert saved.exits == ("success", "handoff", "fail", "skip")


def test_without_a_parameter_the_address_of_the_build_counts() -> None:
    assert saved_flow({}).steps[0]["question"][0]["params"]["url"] == BUILT_IN_URL


def test_the_first_stop_is_the_widget_request_with_all_that_the_bridge_reads(run: FlowRun) -> None:
    assert run.call is not None
    assert run.call.url == f"{BRIDGE_URL}/api/kommo/kommo/widget-request"
    assert run.call.data == {
        "message": "Hi",
        "lead_id": "7",
        "contact_id": "8",
        "talk_id": "{{talk.id}}",  # not known to this account: Kommo leaves it as it is written
        "chat_id": "{{chat.id}}",
        "contact_name": "Ana",
        "origin": "waba",
        "from": "widget",
        "delivery": "json",
        "widget_version": source_version(SHARED_WIDGET),
    }


@pytest.mark.parametrize("status", SPOKEN)
def test_a_spoken_status_prints_the_reply_once_and_leaves_by_its_exit(
    run: FlowRun, status: str
) -> None:
    reply = "Yes.\n\nEvery day, 9–20 h 🌹 " + "x" * 200

    run.resume(body(status, reply))

    assert (run.bubbles, run.exit) == ([reply], status)


@pytest.mark.parametrize(
    ("answer", "exit_code"),
    [
        pytest.param(body("skip"), "skip", id="skip"),
        pytest.param(body("thinking"), "fail", id="unknown status"),
        pytest.param({"data": {"reply": "Hello!"}}, "fail", id="no status"),
        pytest.param(body(""), "fail", id="empty status"),
        pytest.param({}, "fail", id="no data"),
    ],
)
def test_without_a_status_to_speak_of_nothing_is_printed(
    run: FlowRun, answer: dict[str, Any], exit_code: str
) -> None:
    run.resume(answer)

    assert (run.bubbles, run.exit) == ([], exit_code)


@pytest.mark.parametrize(
    "data", [{"status": "success"}, {"status": "success", "reply": ""}], ids=["missing", "empty"]
)
def test_a_reply_that_is_missing_or_empty_is_printed_as_its_placeholder(
    run: FlowRun, data: dict[str, str]
) -> None:
    """Seen live: the customer reads the template itself."""
    run.resume({"data": data})

    assert run.bubbles == ["{{json.reply}}"]


def test_a_value_is_not_looked_into_again(run: FlowRun) -> None:
    run.resume(body(reply="{{contact.name}} {{json.status}}"))

    assert run.bubbles == ["{{contact.name}} {{json.status}}"]


def test_unknown_placeholders_stay_literal_and_known_ones_may_be_empty(flow: WidgetFlow) -> None:
    values = known_values("Hi", lead_id=7, contact_id=8, contact_name="", origin="")
    bot = FlowRun(flow, values)

    assert bot.render("{{contact.name}}|{{ lead.id }}|{{talk.id}}|{{json.reply}}") == (
        "|7|{{talk.id}}|{{json.reply}}"
    )


def test_a_show_besides_the_reply_is_seen_as_a_second_bubble(run: FlowRun) -> None:
    run.resume(body(execute_handlers=[show("Hello!")]))

    assert run.bubbles == ["Hello!", "Hello!"]


@pytest.mark.parametrize(
    ("handlers", "bubbles", "exit_code"),
    [
        ([go_to(4)], ["Hello!"], "fail"),
        ([go_to(0, "finish")], [], None),
        ([show("one"), go_to(1), show("never")], ["one", "Hello!"], "success"),
    ],
)
def test_goto_in_the_continue_call_counts_the_widgets_own_steps(
    run: FlowRun, handlers: list[Any], bubbles: list[str], exit_code: str | None
) -> None:
    run.resume(body(execute_handlers=handlers))

    assert (run.bubbles, run.exit) == (bubbles, exit_code)


def test_goto_back_to_the_widget_request_asks_again(run: FlowRun) -> None:
    run.resume(body(execute_handlers=[go_to(0)]))

    assert run.call is not None
    assert (run.bubbles, run.exit) == ([], None)


def steps(*handlers: dict[str, Any]) -> WidgetFlow:
    return WidgetFlow(({"question": list(handlers)},), ("success",))


@pytest.mark.parametrize(
    ("handlers", "fault"),
    [
        ([go_to(0)], "in circles"),
        ([go_to(5)], "no step 5"),
        ([go_to(0, "answer")], "not known"),
        ([{"handler": "send_internal", "params": {}}], "'send_internal' is not one of"),
        ([{"handler": "exits", "params": {"value": "done"}}], "'done' is not one of"),
        (
            [
                {
                    "handler": "conditions",
                    "params": {
                        "logic": "or",
                        "conditions": [{"term1": "1", "term2": "2", "operation": ">"}],
                        "result": [],
                    },
                }
            ],
            "operation '>'",
        ),
    ],
)
def test_a_flow_that_kommo_would_not_play_is_a_fault(
    handlers: list[dict[str, Any]], fault: str
) -> None:
    with pytest.raises(FlowFault, match=fault):
        FlowRun(steps(*handlers), {}).start()


@pytest.mark.parametrize(("logic", "seen"), [("and", []), ("or", ["yes"])])
def test_conditions_take_one_or_all(logic: str, seen: list[str]) -> None:
    terms = [
        {"term1": "{{a}}", "term2": "1", "operation": "="},
        {"term1": "{{a}}", "term2": "1", "operation": "!="},
    ]
    params = {"logic": logic, "conditions": terms, "result": [show("yes")]}
    bot = FlowRun(steps({"handler": "conditions", "params": params}), {"a": "1"})

    bot.start()

    assert (bot.bubbles, bot.exit) == (seen, None)


def test_buttons_are_seen() -> None:
    params = {"type": "buttons", "value": "Which?", "buttons": ["A", "B"]}
    bot = FlowRun(steps({"handler": "show", "params": params}), {})

    bot.start()

    assert bot.bubbles == ["Which?\n[A]\n[B]"]


def test_without_the_engine_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py_mini_racer", None)

    with pytest.raises(RuntimeError, match=r"pip install -r requirements-dev\.txt"):
        widget_flow(BRIDGE_URL)


# Over HTTP


Ask = Callable[..., Any]


@pytest.fixture
def ask(kommo: StandInKommo, account: Account, bridge: ScriptedBridge) -> Ask:
    """Run the bot once against the scripted bridge."""
    own = widget_flow(bridge.url)

    def make(message: str = "Do you deliver?", *bodies: Any, **options: Any) -> Any:
        bridge.bodies += bodies
        return run_salesbot(
            kommo, account, own, message=message, timeout_seconds=options.pop("seconds", 5)
        )

    return make


def test_a_bot_asks_in_a_form_and_prints_the_answer(ask: Ask, bridge: ScriptedBridge) -> None:
    done = ask("Do you deliver?", body(reply="Yes."))

    assert (done.bubbles, done.exit, done.acknowledged_status) == (("Yes.",), "success", 200)
    # In no order: the bridge may continue before its 200 has been read.
    assert done.acknowledgement_milliseconds > 0
    assert done.answer_milliseconds is not None
    assert done.answer_milliseconds > 0
    assert bridge.asked[0]["data[message]"] == "Do you deliver?"
    assert bridge.asked[0]["data[delivery]"] == "json"
    assert set(bridge.asked[0]) == {"token", "return_url"} | {
        f"data[{key}]" for key in done.sent.data
    }


def test_a_refused_bot_hangs_in_silence_and_says_so(ask: Ask, bridge: ScriptedBridge) -> None:
    bridge.faults.order(Status(401))

    done = ask()

    assert (done.bubbles, done.exit, done.acknowledged_status) == ((), None, 401)
    assert done.answer_milliseconds is None


def test_a_bot_that_nobody_continues_still_waits(ask: Ask) -> None:
    done = ask(seconds=0.1)

    assert (done.bubbles, done.exit, done.acknowledged_status) == ((), None, 200)
    assert done.answer_milliseconds is None


def test_a_bridge_too_slow_to_acknowledge_may_still_continue(
    ask: Ask, bridge: ScriptedBridge
) -> None:
    bridge.faults.order(Slow(2.1))

    done = ask("Hello?", body())

    assert (done.bubbles, done.exit, done.acknowledged_status) == (("Hello!",), "success", None)


def test_a_conversation_of_three_messages_runs_through_the_loop(
    kommo: StandInKommo, account: Account, bridge: ScriptedBridge
) -> None:
    conversation = Conversation(kommo, account, widget_flow(bridge.url), contact_name="Ana")
    bridge.bodies += [body(reply="one"), body("skip"), body(reply="three")]

    seen = [conversation.say(text) for text in ("1", "2", "3")]

    assert [run.bubbles for run in seen if run] == [("one",), (), ("three",)]
    assert [form["data[message]"] for form in bridge.asked] == ["1", "2", "3"]
    assert len({form["return_url"] for form in bridge.asked}) == 3
    assert conversation.running


@pytest.mark.parametrize(
    ("last", "running"), [("success", True), ("skip", True), ("handoff", False), ("fail", False)]
)
def test_the_imported_bot_loops_and_ends_as_the_one_made_by_hand(
    kommo: StandInKommo, account: Account, bridge: ScriptedBridge, last: str, running: bool
) -> None:
    content = build_bot("Reply with AI", "7", BUILT_IN_URL, "a")
    imported = import_bot(content, {7: saved_flow({}).exits})
    bot = Conversation(
        kommo, account, widget_flow(bridge.url), looping_exits=imported.looping_exits
    )
    bridge.bodies += [body(reply="one"), body("skip"), body(last, "three")]

    seen = [bot.say(text) for text in ("1", "2", "3")]

    assert saved_flow(imported.widget_params) == widget_flow("https://bridge.example.com")
    assert [run.exit for run in seen if run] == ["success", "skip", last]
    assert bot.running is running


@pytest.mark.parametrize("status", ["handoff", "fail"])
def test_after_a_hand_over_nobody_answers_until_an_operator_starts_the_bot(
    kommo: StandInKommo, account: Account, bridge: ScriptedBridge, status: str
) -> None:
    conversation = Conversation(kommo, account, widget_flow(bridge.url))
    bridge.bodies += [body(status, reply="A colleague comes."), body(reply="Back.")]

    first, second = conversation.say("A person, please"), conversation.say("Hello?")
    conversation.start_anew()
    third = conversation.say("Bot?")

    assert first is not None
    assert third is not None
    assert (first.bubbles, first.exit, second) == (("A colleague comes.",), status, None)
    assert (third.bubbles, third.exit) == (("Back.",), "success")


def test_what_json_held_before_is_still_there_in_the_next_pass(flow: WidgetFlow) -> None:
    """A reply left out is not an empty bubble: the customer reads the former one again."""
    json_kept: dict[str, Any] = {}
    for data in ({"status": "success", "reply": "one"}, {"status": "success"}):
        bot = FlowRun(flow, {}, json_kept)
        bot.start()
        bot.resume({"data": data})

    assert bot.bubbles == ["one"]


def test_a_run_prints_nothing_secret(ask: Ask, account: Account) -> None:
    done = ask("private words", body())

    printed = repr(done) + json.dumps(list(done.bubbles))
    assert account.secret_key not in printed
    assert done.sent.token not in printed
    assert "private words" not in printed

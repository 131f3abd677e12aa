"""The built widget in real Chromium, loaded with RequireJS by a stand-in for Kommo's page."""

import io
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from kommo_bridge.widget.build import SHARED_WIDGET, build_archive

pytestmark = pytest.mark.browser

URL = "https://bridge.example.com/api/kommo/kommo/widget-request"
OVERRIDE = "https://other.example.com/hook?key=1"
VERSION = "3.2.1"
LOCALES = ("en", "es", "pt", "tr", "id")
EXITS = ("success", "handoff", "fail", "skip")
LARGEST_FLOW_BYTES = 64 * 1024  # https://developers.kommo.com/docs/salesbot-dp

CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NO_BROWSER = (
    "This test runs the widget in Chromium and found {}. "
    "On Debian: sudo bash .ci/install-browser (it installs chromium and chromium-driver). "
    "Elsewhere: install Chrome or Chromium and the chromedriver of its version, on the PATH."
)


def program(what: str, *names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.fail(NO_BROWSER.format(f"no {what}"), pytrace=False)
    return found


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and keeps silent about it."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host's page with the unpacked archive below /widget, on a free loopback port."""
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(Path(__file__).parent / "browser", root, dirs_exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(build_archive(SHARED_WIDGET, URL, VERSION))) as archive:
        archive.extractall(root / "widget")
    handler = partial(QuietHandler, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/host.html"
        server.shutdown()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = program("browser", "chromium", "chromium-browser", "google-chrome")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    driver = Chrome(options, Service(program("chromedriver", "chromedriver")))
    driver.set_script_timeout(10)
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium: Chrome, site: str) -> Chrome:
    chromium.get(site)
    return chromium


def load(page: Chrome, locale: str = "en") -> list[str]:
    """Load the widget in that locale; the names of its callbacks."""
    loading = """
        const done = arguments[arguments.length - 1];
        loadWidget(arguments[0]).then(done, problem => done(String(problem)));
    """
    names = page.execute_async_script(loading, locale)
    assert isinstance(names, list), names
    return names


def complaints(page: Chrome) -> list[dict[str, Any]]:
    """What the page wrote to the browser's console."""
    written: list[dict[str, Any]] = page.get_log("browser")  # type: ignore[no-untyped-call]
    return written


def call(page: Chrome, callback: str, *arguments: object) -> Any:
    script = "const [name, ...rest] = arguments; return callbacks[name](...rest);"
    return page.execute_script(script, callback, *arguments)


def flow(page: Chrome, params: object, handler: str = "kommo_bridge") -> list[dict[str, Any]]:
    saved = call(page, "onSalesbotDesignerSave", handler, params)
    assert isinstance(saved, str)
    steps: list[dict[str, Any]] = json.loads(saved)
    return steps


def asked_url(steps: list[dict[str, Any]]) -> str:
    url: str = steps[0]["question"][0]["params"]["url"]
    return url


def walk(steps: list[dict[str, Any]], status: str | None) -> tuple[list[str], str | None]:
    """What the flow prints after the continue call, and the exit it leaves by."""
    printed: list[str] = []
    waiting = list(steps[0]["question"][1:])
    while waiting:
        handler, params = (action := waiting.pop(0))["handler"], action["params"]
        if handler == "show":
            printed.append(params["value"])
        elif handler == "goto":
            waiting = list(steps[params["step"]][params["type"]])
        elif handler == "exits":
            return printed, params["value"]
        elif handler == "conditions" and params["conditions"][0]["term2"] == status:
            waiting = params["result"] + waiting
    return printed, None


@pytest.mark.parametrize("locale", LOCALES)
def test_the_widget_loads_as_an_amd_module_and_starts(page: Chrome, locale: str) -> None:
    names = load(page, locale)

    assert {"render", "init", "bind_actions", "onSave", "settings", "destroy"} <= set(names)
    assert page.execute_script("return startWidget();") == [True, True, True]
    assert call(page, "onSave") is True
    assert complaints(page) == []


@pytest.mark.parametrize(
    "callback", ["settings", "advancedSettings", "dpSettings", "onInstall", "destroy"]
)
def test_the_callbacks_that_the_widget_does_not_need_do_no_harm(
    page: Chrome, callback: str
) -> None:
    load(page)

    assert call(page, callback) is None


@pytest.mark.parametrize("locale", LOCALES)
def test_the_designer_is_given_four_exits_in_the_users_language(page: Chrome, locale: str) -> None:
    load(page, locale)

    settings = call(page, "salesbotDesignerSettings", None, None, {})

    texts = json.loads((SHARED_WIDGET / "i18n" / f"{locale}.json").read_text(encoding="utf-8"))
    titles = {exit_["code"]: exit_["title"] for exit_ in settings["exits"]}
    assert titles == {code: texts["salesbot"][f"exit_{code}"] for code in EXITS}
    assert len(set(titles.values())) == len(EXITS)


def test_a_host_without_translations_still_gets_the_exits(page: Chrome) -> None:
    load(page, "none")

    settings = call(page, "salesbotDesignerSettings")

    assert settings["exits"] == [{"code": code, "title": code} for code in EXITS]


def test_saving_returns_exactly_this_flow(page: Chrome) -> None:
    load(page)

    steps = flow(page, {"url": URL})

    request = {
        "url": URL,
        "data": {
            "message": "{{message_text}}",
            "lead_id": "{{lead.id}}",
            "contact_id": "{{contact.id}}",
            "talk_id": "{{talk.id}}",
            "chat_id": "{{chat.id}}",
            "contact_name": "{{contact.name}}",
            "origin": "{{origin}}",
            "from": "widget",
            "delivery": "json",
            "widget_version": VERSION,
        },
    }
    assert steps == [
        {"question": [{"handler": "widget_request", "params": request}, goto(1)]},
        {
            "question": [
                when("success", goto(2)),
                when("handoff", goto(3)),
                when("fail", goto(4)),
                when("skip", leave("skip")),
                leave("fail"),
            ]
        },
        {"question": [show_reply(), leave("success")]},
        {"question": [show_reply(), leave("handoff")]},
        {"question": [show_reply(), leave("fail")]},
    ]


def goto(step: int) -> dict[str, Any]:
    return {"handler": "goto", "params": {"type": "question", "step": step}}


def leave(code: str) -> dict[str, Any]:
    return {"handler": "exits", "params": {"value": code}}


def show_reply() -> dict[str, Any]:
    return {"handler": "show", "params": {"type": "text", "value": "{{json.reply}}"}}


def when(status: str, action: dict[str, Any]) -> dict[str, Any]:
    condition = {"term1": "{{json.status}}", "term2": status, "operation": "="}
    params = {"logic": "and", "conditions": [condition], "result": [action]}
    return {"handler": "conditions", "params": params}


@pytest.mark.parametrize(
    ("status", "printed", "exit_"),
    [
        ("success", ["{{json.reply}}"], "success"),
        ("handoff", ["{{json.reply}}"], "handoff"),
        ("fail", ["{{json.reply}}"], "fail"),
        ("skip", [], "skip"),
        ("something new", [], "fail"),
        (None, [], "fail"),
    ],
)
def test_every_status_prints_at_most_once_and_leaves_by_an_exit(
    page: Chrome, status: str | None, printed: list[str], exit_: str
) -> None:
    load(page)

    assert walk(flow(page, {}), status) == (printed, exit_)


def test_every_step_ends_without_a_condition_and_the_flow_is_short(page: Chrome) -> None:
    load(page)

    steps = flow(page, {})

    assert [step["question"][-1]["handler"] for step in steps] == ["goto"] + ["exits"] * 4
    assert len(json.dumps(steps)) < LARGEST_FLOW_BYTES


@pytest.mark.parametrize(
    "params",
    [
        {"url": OVERRIDE},
        {"url": f"  {OVERRIDE}\n"},
        {"value_manual": OVERRIDE},
        {"url": "", "value_manual": OVERRIDE},
        {"url": URL, "value_manual": OVERRIDE},
        {"url": OVERRIDE, "value_manual": " "},
        {"url": {"value_manual": OVERRIDE}},
        {"url": {"value": OVERRIDE}},
        {"url": {"url": OVERRIDE}},
        {"url": {"text": OVERRIDE, "value": ""}},
        {"text": OVERRIDE},
        {"params": {"url": OVERRIDE}},
        {"params": {"url": {"value_manual": OVERRIDE}}},
        {"params": {"params": {"params": {"url": OVERRIDE}}}},
        {"url": None, "params": {"value_manual": OVERRIDE}},
        OVERRIDE,
    ],
    ids=json.dumps,
)
def test_an_address_typed_in_the_designer_is_found_in_every_shape(
    page: Chrome, params: object
) -> None:
    load(page)

    assert asked_url(flow(page, params)) == OVERRIDE


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        [],
        "",
        0,
        {"url": ""},
        {"url": " \t"},
        {"url": None},
        {"url": {}},
        {"url": {"value_manual": "", "value": " "}},
        {"url": "{{lead.cf.1}}"},
        {"url": "leave it"},
        {"params": None},
        {"params": {"params": {}}},
    ],
    ids=json.dumps,
)
def test_without_a_typed_address_the_built_one_is_asked(page: Chrome, params: object) -> None:
    load(page)

    assert asked_url(flow(page, params)) == URL


def test_parameters_that_contain_themselves_do_no_harm(page: Chrome) -> None:
    load(page)

    circle = "const p = {}; p.params = p; return callbacks.onSalesbotDesignerSave('x', p);"

    assert asked_url(json.loads(page.execute_script(circle))) == URL


@pytest.mark.parametrize("handler", ["kommo_bridge", "", None, "another"])
@pytest.mark.parametrize("locale", LOCALES)
def test_the_flow_depends_on_neither_language_nor_handler(
    page: Chrome, locale: str, handler: str
) -> None:
    load(page, locale)

    assert flow(page, {"url": OVERRIDE}, handler) == flow(page, {"url": OVERRIDE})


def test_the_script_keeps_to_the_syntax_of_old_browsers() -> None:
    script = (SHARED_WIDGET / "script.js").read_text(encoding="utf-8")

    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("*"))
    for newer in ("=>", "`", "let ", "const ", "class ", "...", "async "):
        assert newer not in code, newer

"""The console in a real Chromium: on a phone and a desktop, by keyboard, without scripts."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from helpers import Ask
from redis import Redis
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from werkzeug.serving import make_server

from console.conftest import PASSWORD, page_of
from kommo_bridge.access import Access
from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.conversations.keys import entity_name, integration_name
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.knowledge.knowledge import Knowledge
from kommo_bridge.queue.rounds import Rounds
from kommo_bridge.web.console.pages import TABS

pytestmark = pytest.mark.browser

SECONDS = 20
AXE = (Path(__file__).parent / "axe" / "axe-4.14.1.min.js").read_text(encoding="utf-8")
PHONE, DESKTOP = 390, 1280
HOSTILE = "<img src=x onerror=\"document.title='owned'\"> 🌹 مرحبا"


@contextmanager
def chromium(*, scripts: bool = True) -> Iterator[Chrome]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    driver = shutil.which("chromedriver")
    if not found or not driver:
        pytest.fail("This test needs Chromium: sudo bash .ci/install-browser", pytrace=False)
    options = ChromeOptions()
    options.binary_location = found
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    if not scripts:
        off = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", off)
    with Chrome(options=options, service=Service(driver)) as chrome:
        yield chrome


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/console"
    server.shutdown()
    thread.join()
    server.server_close()


def sign_in(browser: Chrome, url: str) -> None:
    """By keyboard alone."""
    browser.get(f"{url}/sign-in")
    browser.find_element(By.NAME, "username").send_keys("admin", Keys.TAB)
    browser.switch_to.active_element.send_keys(PASSWORD, Keys.ENTER)
    WebDriverWait(browser, SECONDS).until(lambda page: "/accounts" in page.current_url)


def look(browser: Chrome, width: int, scheme: str) -> None:
    """Set the size of the screen, and light or dark."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def note_results(rounds: Rounds, acme: Integration) -> None:
    """A round of tests with one that did not hold."""
    number = rounds.begin(acme, 2, red_team=False)
    rounds.plan(number, [HOSTILE])
    observed = {"outcome": "reply", "reply": HOSTILE * 9, "error": ""}
    misses = [{"key": "contains", "expected": HOSTILE, "found": HOSTILE}]
    difference = {"turn": 1, "customer": HOSTILE, "observed": observed, "misses": misses}
    took = {"tokens": 1234, "money": 0.01, "seconds": 1.5}
    rounds.note(number, HOSTILE, 1, {"held": True, **took})
    rounds.note(number, HOSTILE, 2, {"held": False, **took, "difference": difference})
    rounds.end(acme, number, HOSTILE)


def test_every_page_is_for_everyone_on_a_phone_and_on_a_desktop(
    url: str, store: IntegrationStore, redis: Redis, ask: Ask, acme: Integration
) -> None:
    """No violation of axe-core's rules, nothing beside the screen, no script of ours refused."""
    store.save(replace(acme, name=HOSTILE, instructions=HOSTILE * 30))
    for number in range(1, 30):
        Conversations(redis).remember(ask(entity_id=number), acme, HOSTILE * 20, HOSTILE * 20)
    Conversations(redis).pause(entity_name(acme, "2", 29), 5, HOSTILE)
    Gaps(redis).note(acme, HOSTILE, time.time())
    Knowledge(store.database).add_text(acme, HOSTILE, HOSTILE * 30)
    turns = [{"customer": HOSTILE, "outcome": "reply"}]
    SavedScenarios(store.database).save(acme, [{"id": HOSTILE, "turns": turns}])
    note_results(Rounds(redis), acme)
    pages = ["/sign-in", "/accounts", "/accounts/add", page_of(acme, "owner")]
    pages += [page_of(acme, tab.endpoint) for tab in TABS]
    pages += [page_of(acme, "knowledge/1"), page_of(acme, "assistant/versions")]
    pages += [page_of(acme, f"conversations/lead/{number}") for number in (28, 29)]
    with chromium() as browser:
        sign_in(browser, url)
        for page in pages:
            for width, scheme in ((PHONE, "light"), (DESKTOP, "dark")):
                look(browser, width, scheme)
                browser.get(f"{url}{page}")
                browser.execute_script(AXE)
                found = browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
                told = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
                assert told == [], f"{page} {width} {scheme}"
                wide = browser.execute_script("return document.documentElement.scrollWidth")
                assert wide <= width, page
                assert browser.title != "owned"
        # Where a broken policy or a missing file would stand.
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_an_owner_changes_a_price_without_any_script(
    url: str, access: Access, store: IntegrationStore, acme: Integration
) -> None:
    with chromium(scripts=False) as browser:
        wait = WebDriverWait(browser, SECONDS)
        browser.get(f"{url}/link/{access.make_link(integration_name(acme))}")
        browser.find_element(By.CSS_SELECTOR, "main button").send_keys(Keys.ENTER)
        wait.until(lambda page: page.find_elements(By.NAME, "instructions"))
        browser.find_element(By.NAME, "instructions").send_keys("21 roses are 49 euro.")
        browser.find_element(By.CSS_SELECTOR, ".save button").send_keys(Keys.ENTER)
        wait.until(lambda page: page.find_elements(By.CLASS_NAME, "done"))

        assert "Saved." in browser.find_element(By.CLASS_NAME, "done").text
        assert store.get("acme").instructions == "21 roses are 49 euro."

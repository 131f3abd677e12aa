"""The pictures of docs/console.md: the real console with the data of a made-up flower shop.

`make screenshots` writes them to docs/images. It needs Chromium with chromedriver and Pillow.
"""

import io
import logging
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
from PIL import Image
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.common.by import By
from werkzeug.serving import make_server

from kommo_bridge import jobs
from kommo_bridge.app import create_app
from kommo_bridge.conversations.days import Answered, Days
from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.conversations.keys import entity_name, integration_key, integration_name
from kommo_bridge.conversations.memory import Conversations
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.open_store import open_store
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.knowledge.knowledge import Knowledge
from kommo_bridge.kommo.widget_request import WidgetRequest
from kommo_bridge.queue.state import WIDGET_VERSIONS_KEY, work_queue
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings
from kommo_bridge.telemetry.health import note_answered
from local.partners.ai import StandInAI
from local.partners.kommo.server import StandInKommo
from local.redis_server import RedisServer

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PASSWORD = "for-the-pictures"
WIDTH, PHONE, TALLEST = 1100, 390, 1300
INSTRUCTIONS = """We are Acme, a flower shop in Valencia. Open every day from 9 to 20 h.
A bouquet of 21 roses is 45 euro. Delivery within the city is free, elsewhere 12 euro.
Orders before 17 h arrive on the same day. We do not send abroad."""
SAID = [
    ("Do you deliver on Sundays?", "Yes, every day from 9 to 20 h. Within the city it is free."),
    ("How much are 21 roses?", "21 roses are 45 euro.\n\nShall I keep them for you?"),
    ("The bouquet of yesterday was wrong!", "I am sorry. A colleague will answer you here."),
]
SCENARIOS: list[dict[str, Any]] = [
    {"id": name, "turns": [{"customer": customer, **holds}]}
    for name, customer, holds in (
        ("a person", "I would like to talk to a human.", {"outcome": "handoff"}),
        ("sunday", "Are you open on Sundays?", {"outcome": "reply", "absent": "closed"}),
        ("roses", "How much are 21 roses?", {"outcome": "reply", "contains": "45 euro"}),
    )
]


def main() -> None:
    """Write all pictures."""
    logging.disable(logging.CRITICAL)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(RedisServer(folder))
        ai = stack.enter_context(StandInAI(api_key="sk-pictures"))
        kommo = stack.enter_context(StandInKommo())
        settings = Settings(
            secret_key="k" * 32,
            redis_url=redis.url,
            database_path=folder / "bridge.db",
            dashboard_password=PASSWORD,
            openai_api_key="sk-pictures",
            openai_base_url=ai.base_url,
            openai_model="stand-in",
            kommo_extra_hosts=frozenset({kommo.host}),
        )
        acme = _fill(settings, kommo)
        url = stack.enter_context(_served(settings))
        browser = stack.enter_context(_chromium())
        _take_all(browser, url, settings, acme)


def _fill(settings: Settings, kommo: StandInKommo) -> Integration:
    """The shop, two more accounts, and some conversations."""
    store, redis = open_store(settings), connect(settings.redis_url)
    token = jwt.encode({"exp": time.time() + 700 * 86400}, "k" * 64, algorithm="HS512")
    account = kommo.add_account("acme", 12345678, "0b01c2d3-0000", "s" * 64, token)
    acme = Integration(
        integration_id=account.integration_id,
        subdomain="acme",
        account_id=account.account_id,
        secret_key=account.secret_key,
        access_token=token,
        name="Acme flowers",
        instructions=INSTRUCTIONS,
        time_zone="Europe/Madrid",
        burst_seconds=0,
    )
    store.add(acme)
    store.add(replace(acme, subdomain="sonrisa", name="Clínica Sonrisa", enabled=False))
    store.add(replace(acme, subdomain="moda", name="Moda Lima", access_token=""))
    knowledge = Knowledge(store.database)
    knowledge.add_text(acme, "Bouquets", "Tulips: 12 euro.\nRoses: 21 for 45 euro.")
    knowledge.add_text(acme, "Delivery abroad", "We do not send abroad.")
    SavedScenarios(store.database).save(acme, SCENARIOS)
    Gaps(redis).note(acme, "Do you also repair vases?", time.time())
    days = Days(redis)
    for number in range(40):
        handoff = "order" if number % 9 == 0 else ""
        answered = Answered(f"conversation-{number}", 2.0 + number % 5, handoff)
        days.answered(acme, answered, time.time() - 86400 * (number % 6))
    note_answered(redis, integration_name(acme))
    redis.hset(WIDGET_VERSIONS_KEY, integration_key(acme), "1.1.0")
    conversations = Conversations(redis)
    for number, said in enumerate(SAID * 2):
        lead = 26818280 + number % 4
        conversations.remember(_request(acme, lead, number), acme, *said)
    conversations.pause(entity_name(acme, "2", 26818281), 11, "complaint")
    return acme


def _request(acme: Integration, lead: int, number: int) -> WidgetRequest:
    now = time.time()
    return WidgetRequest(
        integration_id=acme.integration_id,
        account_id=acme.account_id or 0,
        subdomain=acme.subdomain,
        entity_type="2",
        entity_id=lead,
        return_url=f"https://{acme.host}/api/v4/salesbot/1/continue/{number}",
        message="",
        expires_at=now + 600,
        accepted_at=now,
    )


@contextmanager
def _served(settings: Settings) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(settings), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}/console"
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def _chromium() -> Iterator[Chrome]:
    options = ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    with Chrome(options=options) as browser:
        yield browser


def _take_all(browser: Chrome, url: str, settings: Settings, acme: Integration) -> None:
    browser.get(f"{url}/sign-in")
    browser.find_element(By.NAME, "username").send_keys("admin")
    browser.find_element(By.NAME, "password").send_keys(PASSWORD)
    browser.find_element(By.CSS_SELECTOR, "main button").click()
    account = f"{url}/account/{integration_name(acme)}"
    for name, address in (
        ("accounts", f"{url}/accounts"),
        ("assistant", f"{account}/assistant"),
        ("knowledge", f"{account}/knowledge?question=how+much+are+tulips"),
        ("gaps", f"{account}/gaps"),
        ("week", f"{account}/week"),
        ("conversations", f"{account}/conversations"),
        ("conversation", f"{account}/conversations/lead/26818281"),
    ):
        browser.get(address)
        _take(browser, name)
    jobs.use_parts(jobs.build_parts(settings))
    browser.get(f"{account}/connect")
    _press(browser, settings, "main form button")
    _take(browser, "connect")
    browser.get(f"{account}/tests")
    _press(browser, settings, "main button[value=saved]")
    _take(browser, "tests")
    browser.get(f"{account}/try")
    browser.find_element(By.NAME, "message").send_keys("Do you deliver on Sundays?")
    _press(browser, settings, "main form button")
    _take(browser, "try")
    _take(browser, "try-phone", PHONE)


def _press(browser: Chrome, settings: Settings, button: str) -> None:
    """Press a button, do what it asks a worker for, and show the result."""
    browser.find_element(By.CSS_SELECTOR, button).click()
    redis = connect(settings.redis_url)
    SimpleWorker([work_queue(redis)], connection=redis, serializer=JSONSerializer).work(burst=True)
    browser.get(browser.current_url)


def _take(browser: Chrome, name: str, width: int = WIDTH) -> None:
    """One picture, as tall as the page, in few colours."""
    _size(browser, width, 400)
    height: int = browser.execute_script("return document.documentElement.scrollHeight")
    _size(browser, width, min(height, TALLEST))
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    target = IMAGES / f"console-{name}.png"
    picture.quantize(64).save(target, optimize=True)
    print(target.relative_to(IMAGES.parents[1]))


def _size(browser: Chrome, width: int, height: int) -> None:
    metrics: dict[str, Any] = {"width": width, "height": height, "deviceScaleFactor": 1}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {**metrics, "mobile": width == PHONE}
    )


if __name__ == "__main__":
    main()

"""The dashboard in a real browser: queues, a failed job with its traceback, requeue by a click."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from rq.results import Result
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.queue.enqueue import FUNCTION
from kommo_bridge.queue.state import work_queue
from kommo_bridge.settings import Settings
from local.partners.ai import StandInAI, openai_error
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.processes import process_environ, run_bridge

pytestmark = pytest.mark.browser

PASSWORD = "for-the-browser"
SECONDS = 20
# Set by whoever renews the pictures of docs/dashboard.md.
PICTURES = os.environ.get("DASHBOARD_PICTURES")


@pytest.fixture
def browser() -> Iterator[Chrome]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    driver = shutil.which("chromedriver")
    if not found or not driver:
        pytest.fail("This test needs Chromium: sudo bash .ci/install-browser", pytrace=False)
    options = ChromeOptions()
    options.binary_location = found
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_argument("--window-size=1100,700")
    with Chrome(options=options, service=Service(driver)) as chrome:
        yield chrome


@pytest.fixture
def url(settings: Settings, acme: Integration, tmp_path: Path) -> Iterator[str]:
    environ = process_environ(settings) | {"DASHBOARD_PASSWORD": PASSWORD}
    with run_bridge(environ, tmp_path / "bridge.log"):
        yield f"127.0.0.1:{environ['PORT']}"


def picture(browser: Chrome, name: str) -> None:
    if PICTURES:
        browser.save_screenshot(str(Path(PICTURES) / name))


def test_queues_a_failed_job_and_requeue(
    url: str, browser: Chrome, kommo: StandInKommo, account: Account, ai: StandInAI, redis: Redis
) -> None:
    wait = WebDriverWait(browser, SECONDS)
    ai.faults.order(openai_error(401), times=1)
    sent = kommo.send_widget_request(f"http://{url}", account, "Do you deliver?", entity_id=7)
    kommo.wait_for(sent, SECONDS)
    failed = work_queue(redis).failed_job_registry
    wait.until(lambda _: failed.get_job_ids())
    [job_id] = failed.get_job_ids()

    browser.get(f"http://admin:{PASSWORD}@{url}/rq/")
    browser.get(f"http://{url}/rq/")
    wait.until(lambda page: "kommo" in page.find_element(By.ID, "queues").text)
    picture(browser, "rq-dashboard-queues.png")

    browser.get(f"http://{url}/rq/0/view/job/{job_id}")
    wait.until(lambda page: "the AI answered 401" in page.find_element(By.TAG_NAME, "body").text)
    picture(browser, "rq-dashboard-failed-job.png")
    browser.find_element(By.ID, "requeue-job-btn").click()

    wait.until(lambda _: not failed.get_job_ids())
    assert len(kommo.continuations) == 1


def test_what_a_job_says_of_itself_is_text_and_never_runs(
    url: str, browser: Chrome, redis: Redis
) -> None:
    """An exception may quote anybody: a customer, an AI, a lying server."""
    wait = WebDriverWait(browser, SECONDS)
    script = "<img src=x onerror=\"document.title='owned'\">"
    shown = f"ValueError: {script}"
    queue = work_queue(redis)
    job = queue.enqueue(FUNCTION, script, description=script, meta={"said": script})
    failed = queue.failed_job_registry
    wait.until(lambda _: failed.get_job_ids())
    Result.create_failure(job, ttl=60, exc_string=f"ValueError: {script}")

    browser.get(f"http://admin:{PASSWORD}@{url}/rq/")
    for page in (f"job/{job.id}", "jobs/kommo/failed/8/asc/1", "workers"):
        browser.get(f"http://{url}/rq/0/view/{page}")
        if page != "workers":
            wait.until(lambda it: shown in it.find_element(By.TAG_NAME, "body").text)
        assert browser.title != "owned"

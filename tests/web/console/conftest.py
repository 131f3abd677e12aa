"""The console with two accounts, and visitors who fill in its forms as a browser would."""

import html
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from kommo_bridge.access import Access
from kommo_bridge.app import create_app
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings

PASSWORD = "pässword-" + secrets.token_hex(8)
CSRF = re.compile(r'name="csrf" value="([^"]+)"')
STATE = re.compile(r'name="state" value="([^"]+)"')


@dataclass
class Visitor:
    """Somebody with a browser of their own."""

    client: FlaskClient
    csrf: str = field(default="", repr=False)

    def get(self, path: str, **options: Any) -> TestResponse:
        """A page; what its forms send back is kept."""
        answer = self.client.get(f"/console{path}", **options)
        found = CSRF.search(answer.text) if answer.mimetype == "text/html" else None
        if found:
            self.csrf = found[1]
        return answer

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """Send a form of the page seen last."""
        form = {"csrf": self.csrf, **(data or {})}
        return self.client.post(f"/console{path}", data=form, **options)

    def sign_in(self, password: str = PASSWORD, username: str = "admin") -> TestResponse:
        """The operator's form."""
        self.get("/sign-in")
        return self.post("/sign-in", {"username": username, "password": password})

    def open_link(self, token: str) -> TestResponse:
        """An owner's link, and its button where there is one."""
        page = self.get(f"/link/{token}")
        return self.post(f"/link/{token}") if page.status_code == 200 else page

    def save(self, path: str, **changes: str) -> TestResponse:
        """Save a page of fields with some of them changed; `a__es` stands for `a:es`."""
        state = STATE.search(self.get(path).text)
        named = {name.replace("__", ":"): value for name, value in changes.items()}
        return self.post(path, {"state": state[1] if state else "", **named})


@pytest.fixture
def guarded(settings: Settings) -> Settings:
    return replace(settings, dashboard_password=PASSWORD, public_url="https://bridge.example.com")


@pytest.fixture
def app(guarded: Settings, acme: Integration, other: Integration) -> Flask:
    return create_app(guarded)


@pytest.fixture
def other(store: IntegrationStore) -> Integration:
    """Another account than acme."""
    one = Integration("0c02d3e4-0000", "other", secret_key="t" * 64, access_token="token-of-other")
    store.add(one)
    return one


@pytest.fixture
def visitor(app: Flask) -> Visitor:
    return Visitor(app.test_client())


@pytest.fixture
def operator(app: Flask) -> Visitor:
    one = Visitor(app.test_client())
    assert one.sign_in().status_code == 303
    one.get("/accounts")
    return one


@pytest.fixture
def access(guarded: Settings) -> Access:
    return Access(connect(guarded.redis_url), guarded)


@pytest.fixture
def owner(app: Flask, access: Access, acme: Integration) -> Visitor:
    """The owner of acme."""
    one = Visitor(app.test_client())
    assert one.open_link(access.make_link(integration_name(acme))).status_code == 303
    one.get(page_of(acme))
    return one


def page_of(integration: Integration, name: str = "assistant") -> str:
    """The address of a page of an account."""
    return f"/account/{integration_name(integration)}/{name}"


def seen(answer: TestResponse) -> str:
    """A page's text, as a reader sees it."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())

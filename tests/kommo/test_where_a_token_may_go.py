"""Where an access token may go besides a return URL, and how long it lives."""

import time

import pytest
from helpers import SECRET_KEY

from kommo_bridge.errors import KommoError
from kommo_bridge.kommo.return_url import check_base_url
from kommo_bridge.kommo.tokens import days_left, sign_bot_token

HOST = "acme.kommo.com"
EXTRA = frozenset({"127.0.0.1:8080", "proxy.example.com:8443"})


@pytest.mark.parametrize(
    "url", [f"https://{HOST}", "http://127.0.0.1:8080", "https://proxy.example.com:8443"]
)
def test_it_may_go_to_the_accounts_host_and_the_extra_ones(url: str) -> None:
    assert check_base_url(url, HOST, EXTRA) == url


@pytest.mark.parametrize(
    "url",
    [
        f"http://{HOST}",
        "https://beta.kommo.com",
        f"https://{HOST}://127.0.0.1:8080",
        "http://127.0.0.1:8081",
        "http://proxy.example.com:8443",
        HOST,
    ],
)
def test_it_goes_nowhere_else(url: str) -> None:
    with pytest.raises(KommoError) as refused:
        check_base_url(url, HOST, EXTRA)

    assert refused.value.permanent


def test_the_days_that_a_token_lives() -> None:
    now = time.time()

    assert days_left(sign_bot_token({"exp": now + 864_000}, SECRET_KEY), now) == pytest.approx(10)
    assert days_left("opaque", now) is None

"""Who comes in, how, to what, and what somebody else's page or cookie can do."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from redis import Redis

from console.conftest import PASSWORD, Visitor, page_of, seen
from kommo_bridge.access import LINK_SECONDS, OWNER_SECONDS, Access
from kommo_bridge.app import create_app
from kommo_bridge.conversations.keys import integration_name
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.settings import Settings
from kommo_bridge.web.console.door import COOKIE
from kommo_bridge.web.console.mount import ROUTES, WHO
from kommo_bridge.web.password_guard import FREE_TRIES


def cookie_of(visitor: Visitor) -> str:
    found = visitor.client.get_cookie(COOKIE, path="/console")
    return found.value if found else ""


def pages(*who: str, posts: bool = False) -> list[tuple[str, str, str]]:
    """Method, address and name of the pages for them, each account being {name}."""
    found = []
    for route in ROUTES:
        path = route.path.replace("<subdomain>/<integration_id>", "{name}")
        path = path.replace("<int:entity_id>", "7").replace("<entity_type>", "lead")
        path = path.replace("<int:number>", "1")
        if route.who in who:
            methods = [one for one in route.methods if one == "POST" or not posts]
            found += [(method, path, route.name) for method in methods]
    return found


# The two ways in


def test_without_a_password_there_is_no_console(settings: Settings, acme: Integration) -> None:
    client = create_app(settings).test_client()

    assert client.get("/console/sign-in").status_code == 404


def test_the_operator_signs_in_sees_all_accounts_and_signs_out(operator: Visitor) -> None:
    page = operator.get("/accounts")
    cookie = cookie_of(operator)

    assert "acme.kommo.com" in page.text
    assert "other.kommo.com" in page.text
    assert operator.post("/sign-out").headers["Location"] == "/console/sign-in?done=signed-out"
    assert cookie_of(operator) == ""
    operator.client.set_cookie(COOKIE, cookie, path="/console")
    assert operator.get("/accounts").status_code == 303


@pytest.mark.parametrize(
    ("username", "password"), [("admin", "wrong"), ("root", ""), ("", ""), ("admin", "")]
)
def test_a_wrong_name_or_password_is_refused_without_saying_which(
    visitor: Visitor, username: str, password: str
) -> None:
    answer = visitor.sign_in(password or (PASSWORD if username == "root" else ""), username)

    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.text
    assert visitor.get("/accounts").status_code == 303


def test_guessing_is_slowed_down_even_for_the_right_password(visitor: Visitor) -> None:
    for _ in range(FREE_TRIES):
        visitor.sign_in("wrong")

    answer = visitor.sign_in()

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert cookie_of(visitor) == ""


def test_a_link_brings_the_owner_to_that_account_alone(
    owner: Visitor, acme: Integration, other: Integration
) -> None:
    assert owner.get("/").headers["Location"] == f"/console{page_of(acme)}"
    assert owner.get(page_of(acme)).status_code == 200
    assert owner.get(page_of(other)).status_code == 404


def test_opening_a_link_for_a_preview_does_not_use_it_up(
    visitor: Visitor, access: Access, acme: Integration
) -> None:
    token = access.make_link(integration_name(acme))

    for _ in range(3):
        assert "opens the console of acme" in seen(visitor.get(f"/link/{token}"))

    assert visitor.open_link(token).status_code == 303


def test_a_link_works_once(app: Flask, owner: Visitor, access: Access, acme: Integration) -> None:
    token = access.make_link(integration_name(acme))
    first, second = Visitor(app.test_client()), Visitor(app.test_client())

    assert first.open_link(token).status_code == 303
    assert second.open_link(token).status_code == 410
    assert second.get(page_of(acme)).status_code == 303


def test_links_and_sessions_have_an_end(
    redis: Redis, owner: Visitor, access: Access, acme: Integration
) -> None:
    access.make_link(integration_name(acme))

    ends = {
        kind: [redis.ttl(key) for key in redis.scan_iter(f"kommo_bridge:console:{kind}:*")]
        for kind in ("link", "session")
    }
    assert [0 < left <= LINK_SECONDS for left in ends["link"]] == [True]
    assert [0 < left <= OWNER_SECONDS for left in ends["session"]] == [True]


@pytest.mark.parametrize("change", [lambda t: t[:-2] + "xx", lambda t: "x" + t, lambda _: "abc"])
def test_a_changed_link_brings_nobody_in(
    visitor: Visitor, access: Access, acme: Integration, change: Any
) -> None:
    assert visitor.open_link(change(access.make_link(integration_name(acme)))).status_code == 410


def test_revoking_ends_the_sessions_and_links_of_that_owner_alone(
    app: Flask,
    operator: Visitor,
    owner: Visitor,
    access: Access,
    acme: Integration,
    other: Integration,
) -> None:
    neighbour = Visitor(app.test_client())
    neighbour.open_link(access.make_link(integration_name(other)))
    waiting = access.make_link(integration_name(acme))

    operator.get(page_of(acme, "owner"))
    assert operator.post(page_of(acme, "revoke")).status_code == 303

    assert owner.get(page_of(acme)).status_code == 303
    assert owner.open_link(waiting).status_code == 410
    assert neighbour.get(page_of(other)).status_code == 200
    assert operator.get(page_of(acme)).status_code == 200
    assert owner.open_link(access.make_link(integration_name(acme))).status_code == 303


def test_a_link_by_the_page_works_and_is_not_in_the_page_again(
    app: Flask, operator: Visitor, acme: Integration
) -> None:
    operator.get(page_of(acme, "owner"))
    shown = operator.post(page_of(acme, "owner")).text
    link = shown.split('value="https://bridge.example.com/console')[1].split('"')[0]

    assert link not in operator.get(page_of(acme, "owner")).text
    assert Visitor(app.test_client()).open_link(link.removeprefix("/link/")).status_code == 303


def test_another_password_ends_the_operators_sessions(guarded: Settings, operator: Visitor) -> None:
    changed = create_app(replace(guarded, dashboard_password="another-password-entirely"))
    visitor = Visitor(changed.test_client())
    visitor.client.set_cookie(COOKIE, cookie_of(operator), path="/console")

    assert visitor.get("/accounts").status_code == 303


def test_an_owner_whose_account_is_gone_sees_nothing(
    owner: Visitor, store: IntegrationStore, acme: Integration
) -> None:
    store.remove(acme)

    assert owner.get(page_of(acme)).status_code == 404


# What others can do


def test_every_page_is_in_the_table_and_nothing_else(app: Flask) -> None:
    rules = {one.endpoint for one in app.url_map.iter_rules() if one.rule.startswith("/console")}

    assert rules == {f"console.{name}" for name in WHO}
    assert len(ROUTES) + 1 == len(WHO)


def test_nobody_sees_a_page_without_coming_in(visitor: Visitor, acme: Integration) -> None:
    visitor.get("/sign-in")

    for method, path, name in pages("signed in", "owner", "operator"):
        send = visitor.get if method == "GET" else visitor.post
        answer = send(path.format(name=integration_name(acme)))
        assert (answer.status_code, answer.headers["Location"]) == (303, "/console/sign-in"), name
        assert "acme" not in answer.text


def test_an_owner_reaches_no_other_account_and_no_page_of_the_operator(
    owner: Visitor, acme: Integration, other: Integration, store: IntegrationStore
) -> None:
    tried = [(other, *one) for one in pages("owner", "operator")]
    tried += [(acme, *one) for one in pages("operator")]

    for whose, method, path, name in tried:
        send = owner.get if method == "GET" else owner.post
        answer = send(path.format(name=integration_name(whose)))
        assert answer.status_code == 404, name
        assert "token-of-other" not in answer.text
    assert store.all() == [acme, other]


@pytest.mark.parametrize(
    "name",
    ["acme/0b01c2d3", "acme/0b01", "ACME/0b01c2d3-0000-4000-8000-00000000456c", "nobody/0b01"],
)
def test_an_address_names_an_account_in_full_or_not_at_all(operator: Visitor, name: str) -> None:
    assert operator.get(f"/account/{name}/assistant").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Referer": "https://evil.example/console/"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_another_site_sends_no_form(
    operator: Visitor, acme: Integration, headers: dict[str, str]
) -> None:
    for _, path, name in pages("anyone", "owner", "operator", posts=True):
        answer = operator.post(path.format(name=integration_name(acme)), headers=headers)
        assert answer.status_code == 403, name


@pytest.mark.parametrize("form", [{"csrf": ""}, {"csrf": "wrong"}, {"csrf": "é"}, {}], ids=str)
def test_a_form_without_its_number_is_refused(
    operator: Visitor, acme: Integration, form: dict[str, str]
) -> None:
    for _, path, name in pages("anyone", "owner", "operator", posts=True):
        address = f"/console{path.format(name=integration_name(acme))}"
        assert operator.client.post(address, data=form).status_code == 403, name


def test_the_number_of_one_session_is_worth_nothing_in_another(
    operator: Visitor, owner: Visitor, acme: Integration
) -> None:
    operator.csrf = owner.csrf

    assert operator.post(page_of(acme, "switch")).status_code == 403


def test_a_session_known_before_signing_in_is_not_taken_over(app: Flask) -> None:
    victim = Visitor(app.test_client())
    victim.client.set_cookie(COOKIE, "planted", path="/console")

    victim.sign_in()

    assert cookie_of(victim) not in ("", "planted")


@pytest.mark.parametrize("cookie", ["x", "a.b", "a" * 43, "é"])
def test_a_made_up_cookie_brings_nobody_in(visitor: Visitor, cookie: str) -> None:
    visitor.client.set_cookie(COOKIE, cookie, path="/console")

    assert visitor.get("/accounts").status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "/sign-in?next=https://evil.example",
        "/?next=//evil.example",
        "/sign-in?done=https://evil.example",
        "/accounts?done=<script>alert(1)</script>",
    ],
)
def test_nothing_in_an_address_leads_elsewhere_or_is_shown(operator: Visitor, path: str) -> None:
    page = operator.get(path)
    answer = operator.sign_in()

    assert "evil.example" not in page.text
    assert "<script>alert" not in page.text
    assert answer.headers["Location"] == "/console/"


@pytest.mark.parametrize("path", ["/accounts", "/sign-in", "/nothing", "/link/abc"])
def test_every_page_forbids_framing_storing_and_scripts_in_it(operator: Visitor, path: str) -> None:
    answer = operator.get(path)

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_its_cookies_are_for_the_console_and_for_no_script(visitor: Visitor) -> None:
    behind_tls = {"X-Forwarded-Proto": "https"}
    visitor.get("/sign-in")
    form = {"username": "admin", "password": PASSWORD}

    plain = visitor.post("/sign-in", form).headers["Set-Cookie"]
    visitor.get("/sign-in")
    secure = visitor.post("/sign-in", form, headers=behind_tls).headers["Set-Cookie"]

    for cookie in (plain, secure):
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Path=/console" in cookie
    assert "Secure" in secure
    assert "Secure" not in plain


def test_files_may_be_kept_by_the_browser(visitor: Visitor) -> None:
    answer = visitor.get("/static/htmx-2.0.10.min.js")

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert "text/javascript" in answer.headers["Content-Type"]
    answer.close()


def test_a_piece_of_a_page_is_not_replaced_by_the_form_to_sign_in(
    visitor: Visitor, acme: Integration
) -> None:
    answer = visitor.get(page_of(acme), headers={"HX-Request": "true"})

    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/console/sign-in")


def test_a_session_that_redis_has_lost_is_none(redis: Redis, operator: Visitor) -> None:
    redis.flushall()

    assert operator.get("/accounts").status_code == 303


def test_redis_away_is_told_in_plain_words(guarded: Settings, acme: Integration) -> None:
    away = create_app(replace(guarded, redis_url="redis://127.0.0.1:1/0"))
    visitor = Visitor(away.test_client())
    visitor.client.set_cookie(COOKIE, Access(Redis(), guarded)._signer.sign("x").decode())

    answer = visitor.get("/accounts")

    assert answer.status_code == 503
    assert "Please try again in a minute" in answer.text
    assert "Redis" not in answer.text


# flask console


def test_the_command_prints_a_link_and_revokes_it(
    app: Flask, visitor: Visitor, acme: Integration
) -> None:
    runner = app.test_cli_runner()

    printed = runner.invoke(args=["console", "link", "acme"]).stdout.strip()
    revoked = runner.invoke(args=["console", "revoke", "acme"])
    again = runner.invoke(args=["console", "revoke", "acme"])

    assert printed.startswith("https://bridge.example.com/console/link/")
    assert "have ended" in revoked.output
    assert "There were none" in again.output
    assert visitor.open_link(printed.rpartition("/")[2]).status_code == 410


def test_without_a_console_there_is_no_link(settings: Settings, acme: Integration) -> None:
    result = create_app(settings).test_cli_runner().invoke(args=["console", "link", "acme"])

    assert result.exit_code == 1
    assert "set DASHBOARD_PASSWORD" in result.output

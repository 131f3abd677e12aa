"""The console at `/console/`: its pages, and whom each is for. Mounted with a password only."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Blueprint, Flask
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException, NotFound

from kommo_bridge.access import Access
from kommo_bridge.errors import BridgeError
from kommo_bridge.integrations.store import IntegrationStore
from kommo_bridge.redis_client import connect
from kommo_bridge.settings import Settings
from kommo_bridge.web.console import (
    accounts,
    assistant,
    connecting,
    conversations,
    door,
    gaps,
    guard,
    knowing,
    testing,
    trying,
    versions,
    week,
)
from kommo_bridge.web.console.filters import duration, moment, plain_number
from kommo_bridge.web.console.guard import Who
from kommo_bridge.web.console.pages import Console, find_account
from kommo_bridge.web.password_guard import PasswordGuard

REDIS_SECONDS = 2.0
OF_ACCOUNT = "/account/<subdomain>/<integration_id>"

View = Callable[..., Any]


@dataclass(frozen=True)
class Route:
    """A page: its address, whom it is for, and what makes it."""

    path: str
    name: str
    who: Who
    view: View
    methods: tuple[str, ...] = ("GET",)


def _nothing(_console: Console, rest: str) -> None:  # noqa: ARG001
    raise NotFound


GET_POST = ("GET", "POST")
ROUTES = (
    Route("/", "home", "signed in", door.home),
    Route("/sign-in", "sign_in", "anyone", door.sign_in, GET_POST),
    Route("/sign-out", "sign_out", "anyone", door.sign_out, ("POST",)),
    Route("/link/<token>", "link", "anyone", door.link, GET_POST),
    Route("/accounts", "accounts", "operator", accounts.show),
    Route("/accounts/add", "add_account", "operator", accounts.add, GET_POST),
    Route(f"{OF_ACCOUNT}/switch", "switch", "operator", accounts.switch, ("POST",)),
    Route(f"{OF_ACCOUNT}/owner", "owner", "operator", accounts.owner, GET_POST),
    Route(f"{OF_ACCOUNT}/revoke", "revoke", "operator", accounts.revoke, ("POST",)),
    Route(f"{OF_ACCOUNT}/assistant", "assistant", "owner", assistant.show, GET_POST),
    Route(f"{OF_ACCOUNT}/conversations", "conversations", "owner", conversations.listed),
    Route(
        f"{OF_ACCOUNT}/conversations/<entity_type>/<int:entity_id>",
        "conversation",
        "owner",
        conversations.show,
        GET_POST,
    ),
    Route(f"{OF_ACCOUNT}/assistant/versions", "versions", "owner", versions.show, GET_POST),
    Route(f"{OF_ACCOUNT}/connect", "connect", "owner", connecting.show),
    Route(f"{OF_ACCOUNT}/connect/progress", "progress", "owner", connecting.lines),
    Route(f"{OF_ACCOUNT}/connect/check", "check", "owner", connecting.check, ("POST",)),
    Route(f"{OF_ACCOUNT}/connect/widget.zip", "widget", "owner", connecting.widget),
    Route(f"{OF_ACCOUNT}/connect/bot", "bot", "owner", connecting.bot, ("POST",)),
    Route(f"{OF_ACCOUNT}/connect/bot.json", "bot_file", "owner", connecting.bot_file),
    Route(f"{OF_ACCOUNT}/try", "try", "owner", trying.show),
    Route(f"{OF_ACCOUNT}/try/chat", "chat", "owner", trying.piece),
    Route(f"{OF_ACCOUNT}/try/say", "say", "owner", trying.say, ("POST",)),
    Route(f"{OF_ACCOUNT}/try/new", "new_chat", "owner", trying.new, ("POST",)),
    Route(f"{OF_ACCOUNT}/tests", "tests", "owner", testing.show),
    Route(f"{OF_ACCOUNT}/tests/add", "add_tests", "owner", testing.add, ("POST",)),
    Route(f"{OF_ACCOUNT}/tests/saving", "test_saving", "owner", testing.saving),
    Route(f"{OF_ACCOUNT}/tests/remove", "remove_test", "owner", testing.remove, ("POST",)),
    Route(f"{OF_ACCOUNT}/tests/run", "run_tests", "owner", testing.run, ("POST",)),
    Route(f"{OF_ACCOUNT}/tests/results", "test_results", "owner", testing.piece),
    Route(f"{OF_ACCOUNT}/week", "week", "owner", week.show),
    Route(f"{OF_ACCOUNT}/knowledge", "knowledge", "owner", knowing.show),
    Route(f"{OF_ACCOUNT}/knowledge/add", "add_source", "owner", knowing.add, ("POST",)),
    Route(f"{OF_ACCOUNT}/knowledge/adding", "adding", "owner", knowing.piece),
    Route(f"{OF_ACCOUNT}/knowledge/<int:number>", "source", "owner", knowing.source, GET_POST),
    Route(f"{OF_ACCOUNT}/gaps", "gaps", "owner", gaps.show, GET_POST),
    Route("/<path:rest>", "nothing", "anyone", _nothing),
)
WHO: dict[str, Who] = {"static": "anyone", **{route.name: route.who for route in ROUTES}}


def mount_console(app: Flask, settings: Settings, store: IntegrationStore) -> None:
    """Mount it; called only when `DASHBOARD_PASSWORD` is set."""
    redis = connect(settings.redis_url, timeout_seconds=REDIS_SECONDS)
    console = Console(settings, store, redis, Access(redis, settings), PasswordGuard())
    blueprint = Blueprint("console", __name__, template_folder="templates", static_folder="static")
    for written in (moment, duration, plain_number):
        blueprint.add_app_template_filter(written)
    for route in ROUTES:
        view = partial(_of_account if OF_ACCOUNT in route.path else _call, console, route.view)
        blueprint.add_url_rule(route.path, route.name, view, methods=route.methods)
    blueprint.before_request(lambda: guard.let_through(console, WHO))
    blueprint.after_request(guard.finish)
    blueprint.register_error_handler(HTTPException, guard.refused)
    blueprint.register_error_handler(BridgeError, guard.not_done)
    blueprint.register_error_handler(RedisError, guard.out_of_reach)
    blueprint.register_error_handler(Exception, guard.unexpected)
    app.register_blueprint(blueprint, url_prefix="/console")


def _call(console: Console, view: View, **path: Any) -> Any:
    return view(console, **path)


def _of_account(
    console: Console, view: View, subdomain: str, integration_id: str, **path: Any
) -> Any:
    return view(console, find_account(console, subdomain, integration_id), **path)

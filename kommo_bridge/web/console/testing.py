"""Tests: the scenarios of an account, and what comes of them. A worker reads and runs them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request
from redis import Redis
from werkzeug.wrappers import Response

from kommo_bridge.conversations.money import MILLIONTHS, shown
from kommo_bridge.errors import ErrandRefused
from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.saved_scenarios import SavedScenarios
from kommo_bridge.queue.errands import RUN_SCENARIOS, SAVE_SCENARIOS, Errands
from kommo_bridge.queue.rounds import Round, Rounds
from kommo_bridge.web.console.pages import Console, go_to, page

MAX_CHARACTERS = 200_000
MOST_REPEATS = 3
FIRST_WORDS = 90
ASKED_WITHIN_SECONDS = 10
# What did not hold, in the words of the page; the keys are those of docs/scenarios.md.
EXPECTED = {
    "outcome": "How it should end",
    "reason": "Why a person should take over",
    "contains": "It should say",
    "absent": "It should not say",
    "regex": "It should match",
    "language": "Its language",
    "max_chars": "Most characters",
    "facts": "Facts",
    "tool": "It should use",
    "criteria": "It should be true",
    "leak": "It should tell",
    "link": "Links",
}
ENDS = {
    "reply": "answered",
    "handoff": "a person would take over",
    "silent": "nothing was said",
    "fail": "there was no reply",
}


@dataclass(frozen=True)
class Row:
    """What came of one scenario so far; `first` is the first reply that differs."""

    id: str
    held: int
    count: int
    first: Mapping[str, Any] | None
    tokens: int
    money: str
    seconds: float


def show(console: Console, integration: Integration) -> tuple[str, int]:
    """The saved scenarios, the way to add some, and the last results."""
    return _page(console, integration)


def piece(console: Console, integration: Integration) -> tuple[str, int]:
    """The part of the page that follows the runs."""
    return page("_round", integration=integration, **_results(console.redis, integration))


def saving(console: Console, integration: Integration) -> tuple[str, int, dict[str, str]]:
    """The part that follows a text until it is saved or refused; then the page loads anew."""
    values = _saving(console.redis, integration)
    headers = {} if values["is_saving"] else {"HX-Refresh": "true"}
    return (*page("_saving", integration=integration, **values), headers)


def add(console: Console, integration: Integration) -> Response | tuple[str, int]:
    """Hand a text of scenarios to a worker, which reads it strictly."""
    text = request.form.get("text", "")
    wrong = ""
    if not text.strip():
        wrong = "Write a test first, or take the example."
    elif len(text) > MAX_CHARACTERS:
        wrong = f"This is longer than {MAX_CHARACTERS:,} characters. Add it in parts."
    if wrong:
        return _page(console, integration, 400, problem=wrong, text=text)
    number = Errands(console.redis).ask(SAVE_SCENARIOS, integration, text=text)
    return go_to("tests", integration, saving=number)


def remove(console: Console, integration: Integration) -> Response:
    """Take a scenario away."""
    SavedScenarios(console.integrations.database).remove(integration, request.form.get("id", ""))
    return go_to("tests", integration, done="test-removed")


def run(console: Console, integration: Integration) -> Response | tuple[str, int]:
    """Begin a round, unless one is under way."""
    red_team = request.form.get("what") == "red team"
    repeat = min(max(request.form.get("repeat", 1, type=int), 1), MOST_REPEATS)
    if not red_team and not SavedScenarios(console.integrations.database).of(integration):
        return _page(console, integration, 400, error="There is no test yet. Add one below.")
    try:
        _begin(console.redis, integration, repeat, red_team=red_team)
    except ErrandRefused as error:
        return _page(console, integration, 400, error=str(error))
    return go_to("tests", integration)


def _begin(redis: Redis, integration: Integration, repeat: int, *, red_team: bool) -> None:
    rounds, errands = Rounds(redis), Errands(redis)
    last = rounds.latest(integration)
    if last and not _is_under_way(errands, integration, last):
        rounds.release(integration)  # also one whose worker could not end it
    number = rounds.begin(integration, repeat, red_team=red_team)
    try:
        errand = errands.ask(RUN_SCENARIOS, integration, round=number)
    except ErrandRefused:
        rounds.end(integration, number)
        raise
    rounds.asked(number, errand)


def _is_under_way(errands: Errands, integration: Integration, last: Round) -> bool:
    """Between its making and its being asked it has no errand, for a moment."""
    if last.is_over:
        return False
    if not last.errand:
        return time.time() < last.started_at + ASKED_WITHIN_SECONDS
    return errands.look(last.errand, integration, RUN_SCENARIOS).state == "waiting"


def _page(
    console: Console, integration: Integration, status: int = 200, **more: Any
) -> tuple[str, int]:
    tables = SavedScenarios(console.integrations.database).of(integration)
    return page(
        "tests",
        status,
        integration=integration,
        saved=[{"id": one["id"], "words": _first_words(one)} for one in tables],
        **{
            **_results(console.redis, integration),
            **_saving(console.redis, integration),
            **more,
        },
    )


def _first_words(table: Mapping[str, Any]) -> str:
    """What the customer writes first; nothing where another version has saved it."""
    try:
        words = " ".join(str(table["turns"][0]["customer"]).split())
    except (LookupError, TypeError):
        return ""
    return words if len(words) <= FIRST_WORDS else f"{words[:FIRST_WORDS]} ..."


def _saving(redis: Redis, integration: Integration) -> dict[str, Any]:
    number = request.args.get("saving", "")
    errand = Errands(redis).look(number, integration, SAVE_SCENARIOS) if number else None
    result = errand.result if errand and isinstance(errand.result, dict) else {}
    is_saving = bool(errand and errand.state == "waiting")
    problem = str(result.get("error", ""))
    if errand and errand.state == "failed":
        problem = "Nobody has read it within a minute. Please try again."
    keeps = errand is not None and (is_saving or problem)
    return {
        "saving": number,
        "is_saving": is_saving,
        "problem": problem,
        "kept": result if "new" in result else None,
        "text": str(errand.asked.get("text", "")) if errand and keeps else "",
    }


def _results(redis: Redis, integration: Integration) -> dict[str, Any]:
    last = Rounds(redis).latest(integration)
    rows = _rows(last, integration) if last else []
    is_running = bool(last and _is_under_way(Errands(redis), integration, last))
    return {
        "round": last,
        "is_running": is_running,
        "is_broken": bool(last and not is_running and not last.is_over),
        "rows": rows,
        "all_held": sum(one.held == one.count for one in rows),
        "planned": len(last.order) * last.repeat if last else 0,
        "total": _total(last, integration) if last else None,
        "expected": EXPECTED,
        "ends": ENDS,
    }


def _rows(last: Round, integration: Integration) -> list[Row]:
    """The scenarios that were run, in their order; one that was taken away since is left out."""
    rows = []
    for name in last.order:
        runs = [last.runs[key] for key in sorted(last.runs) if key[0] == name]
        if runs:
            held = sum(bool(one["held"]) for one in runs)
            first = next((one["difference"] for one in runs if "difference" in one), None)
            rows.append(Row(name, held, len(runs), first, *_took(runs, integration)))
    return rows


def _total(last: Round, integration: Integration) -> tuple[int, str, float]:
    """Tokens, money and seconds of all runs; those of a judge are told beside them."""
    return _took(list(last.runs.values()), integration)


def _took(runs: list[Mapping[str, Any]], integration: Integration) -> tuple[int, str, float]:
    money = round(sum(one["money"] for one in runs) * MILLIONTHS)
    return (
        sum(one["tokens"] for one in runs),
        shown(money, integration.currency) if money else "",
        sum(one["seconds"] for one in runs),
    )

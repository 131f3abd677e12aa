"""`make demo`: a customer's conversation through the real bridge, on this machine alone.

Real: gunicorn, Redis, the worker, every HTTP call, the flow of the widget's `script.js`.
Stand-ins: Kommo, and the AI unless `OPENAI_API_KEY` is set. It ends by itself; the
exit status shows whether all went well.
"""

import os
import secrets
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http import HTTPStatus
from io import TextIOWrapper
from pathlib import Path

from kommo_bridge.conversations.gaps import Gaps
from kommo_bridge.redis_client import connect
from local.demo_accounts import as_integration, demo_accounts
from local.local_redis import local_redis
from local.partners.ai import StandInAI
from local.partners.http.faults import Status
from local.partners.kommo.account import Account
from local.partners.kommo.server import StandInKommo
from local.partners.salesbot.salesbot import Conversation, SalesbotRun
from local.partners.salesbot.widget_script import widget_flow
from local.partners.shop_ai import shop_reply
from local.processes import ROOT, end_tidily, run_bridge
from local.redis_server import free_port

MESSAGES = (
    "Hello, how much is a bouquet of 21 roses?",
    "And of 51?",
)
BURST = ("Hi again", "do you deliver", "on Sundays?")
WANTS_HUMAN = "I would like to talk to a human, please."
BURST_LEAD = 1002
UNKNOWN_LEAD = 1003
NOBODY_WROTE_AN_ANSWER = "Do you repair bicycles?"
NOTE_SECONDS = 10.0
SECONDS_BETWEEN_MESSAGES = 0.3
INSTRUCTIONS = (
    "We are Flora, a flower shop. We deliver every day from 9 to 20 h. Cards and cash are accepted."
)


def main() -> int:
    """Play the conversation and the failure; 0 when both went as promised."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # each line as it comes, into a pipe too
    with ExitStack() as stack:
        folder = _folder(stack)
        kommo = stack.enter_context(StandInKommo())
        real_ai = bool(os.environ.get("OPENAI_API_KEY"))
        ai = None if real_ai else stack.enter_context(StandInAI(shop_reply))
        down = stack.enter_context(StandInAI())
        down.faults.order(Status(503), times=None)
        redis_url = stack.enter_context(local_redis(folder / "redis"))
        environ = _environment(folder, redis_url, kommo, ai)
        accounts = demo_accounts(environ, kommo, down, INSTRUCTIONS)
        stack.enter_context(run_bridge(environ, folder / "bridge.log"))
        url = f"http://127.0.0.1:{environ['PORT']}"
        print(f"Kommo: a stand-in on this machine. AI: {_ai_name(ai)}. Redis: {redis_url}")
        print(f"The bridge: gunicorn and worker.py, {url}\n")
        went_well = _conversation(kommo, url, accounts[0])
        went_well &= _burst(kommo, url, accounts[0])
        went_well &= _handoff(kommo, url, accounts[0])
        went_well &= _unknown(kommo, url, accounts[0], real_ai=real_ai)
        _gaps(redis_url, accounts[0])
        went_well &= _closed(kommo, url, accounts[2])
        went_well &= _second_ai(kommo, url, accounts[3])
        went_well &= _failure(kommo, url, accounts[1])
        if kommo.violations:
            print("FAULT: an access token reached a block of another account")
            went_well = False
        if not went_well:
            print("The bridge's log:\n" + (folder / "bridge.log").read_text(errors="replace"))
    print("\nAll went well." if went_well else "\nSomething went wrong: see above.")
    return 0 if went_well else 1


def _folder(stack: ExitStack) -> Path:
    """A folder in `instance/` that is gone afterwards."""
    parent = ROOT / "instance"
    parent.mkdir(exist_ok=True)
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-", dir=parent)))


def _conversation(kommo: StandInKommo, url: str, account: Account) -> bool:
    print(
        "A customer writes on WhatsApp; the widget's own flow runs, looped by a pause. The bridge "
        "listens 2 s for more, and remembers:"
    )
    bot = Conversation(kommo, account, widget_flow(url), contact_name="Ana", timeout_seconds=90)
    return all(_exchange(bot, message, exit_expected="success") for message in MESSAGES)


def _burst(kommo: StandInKommo, url: str, account: Account) -> bool:
    print("\nThree messages within a second, a Salesbot for each: one reply, two are let go:")
    bots = [
        Conversation(kommo, account, widget_flow(url), lead_id=BURST_LEAD, timeout_seconds=90)
        for _ in BURST
    ]
    with ThreadPoolExecutor(len(BURST)) as pool:
        running = []
        for bot, message in zip(bots, BURST, strict=True):
            print(f"  customer  {message}")
            running.append(pool.submit(bot.say, message))
            time.sleep(SECONDS_BETWEEN_MESSAGES)
        runs = [one.result() for one in running]
    for run in runs:
        _print_bubbles(run)
    exits = [run.exit if run else None for run in runs]
    bubbles = sum(len(run.bubbles) for run in runs if run)
    print(f"            exits {', '.join(map(str, exits))}; {bubbles} message to the customer")
    return exits == ["skip", "skip", "success"] and bubbles == 1


def _handoff(kommo: StandInKommo, url: str, account: Account) -> bool:
    print("\nThe customer asks for a human: a handoff, then the assistant is silent:")
    bot = Conversation(kommo, account, widget_flow(url), contact_name="Ana", timeout_seconds=90)
    went_well = _exchange(bot, WANTS_HUMAN, exit_expected="handoff")
    bot.start_anew()
    return went_well & _exchange(bot, "Are you there?", exit_expected="skip", bubbles=0)


def _unknown(kommo: StandInKommo, url: str, account: Account, *, real_ai: bool) -> bool:
    print("\nA question that nothing answers: a gap, and a handoff with a note on the lead:")
    bot = Conversation(
        kommo,
        account,
        widget_flow(url),
        lead_id=UNKNOWN_LEAD,
        contact_name="Bo",
        timeout_seconds=90,
    )
    exits = ("handoff", "success") if real_ai else ("handoff",)  # a real model may only say so
    went_well = _exchange(bot, NOBODY_WROTE_AN_ANSWER, exit_expected=exits)
    ends_at = time.monotonic() + NOTE_SECONDS
    while time.monotonic() < ends_at and not real_ai and not _notes(kommo, UNKNOWN_LEAD):
        time.sleep(0.1)
    for text in _notes(kommo, UNKNOWN_LEAD):
        print("  lead      " + text.replace("\n", "\n            "))
    return went_well and (real_ai or len(_notes(kommo, UNKNOWN_LEAD)) == 1)


def _gaps(redis_url: str, account: Account) -> None:
    redis = connect(redis_url)
    for gap in Gaps(redis).list(as_integration(account), time.time()):
        print(f"  gap       {gap.question} (flask gaps {account.subdomain})")
    redis.close()


def _notes(kommo: StandInKommo, lead_id: int) -> list[str]:
    return [one.text for one in kommo.crm.notes if one.entity_id == lead_id]


def _closed(kommo: StandInKommo, url: str, account: Account) -> bool:
    print("\nA shop that is closed now; the assistant knows when it opens:")
    bot = Conversation(kommo, account, widget_flow(url), timeout_seconds=60)
    return _exchange(bot, "Are you open now?", exit_expected="success")


def _second_ai(kommo: StandInKommo, url: str, account: Account) -> bool:
    print("\nA business whose first AI is down, and whose second one steps in:")
    bot = Conversation(kommo, account, widget_flow(url), timeout_seconds=60)
    return _exchange(bot, "Which days do you deliver?", exit_expected="success")


def _failure(kommo: StandInKommo, url: str, account: Account) -> bool:
    print("\nAnother business, whose AI is down (503): the fallback sentence arrives in time:")
    bot = Conversation(kommo, account, widget_flow(url), timeout_seconds=60)
    return _exchange(bot, "Hello?", exit_expected="fail")


def _exchange(
    bot: Conversation, message: str, *, exit_expected: str | tuple[str, ...], bubbles: int = 1
) -> bool:
    """One message and what the customer then sees: that many bubbles, or it is a fault."""
    print(f"  customer  {message}")
    run = bot.say(message)
    if run is None or run.answer_milliseconds is None:
        status = run.acknowledged_status if run else "nothing: the bot has stopped"
        print(f"  FAULT     acknowledged with {status}, but never continued")
        return False
    _print_bubbles(run)
    print(
        f"            exit {run.exit}; acknowledged {run.acknowledged_status} in "
        f"{run.acknowledgement_milliseconds:.0f} ms, answered in {run.answer_milliseconds:.0f} ms"
    )
    exits = (exit_expected,) if isinstance(exit_expected, str) else exit_expected
    seen = (run.acknowledged_status, len(run.bubbles))
    return seen == (HTTPStatus.OK, bubbles) and run.exit in exits


def _print_bubbles(run: SalesbotRun | None) -> None:
    for text in run.bubbles if run else ():
        print("  Salesbot  " + text.replace("\n", "\n            "))


def _environment(
    folder: Path, redis_url: str, kommo: StandInKommo, ai: StandInAI | None
) -> dict[str, str]:
    """What the bridge's processes are started with; of the caller's only what they need."""
    kept = ("PATH", "HOME", "LANG", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL")
    environ = {name: os.environ[name] for name in kept if os.environ.get(name)}
    environ |= {
        "SECRET_KEY": secrets.token_hex(32),
        "REDIS_URL": redis_url,
        "DATABASE_PATH": str(folder / "bridge.db"),
        "KOMMO_EXTRA_HOSTS": kommo.host,
        "PORT": str(free_port()),
        "WEB_CONCURRENCY": "2",
        # Short, so that the failure shows soon; a real model is given more time.
        "REPLY_DEADLINE_SECONDS": "8" if ai else "30",
    }
    if ai:
        environ |= {"OPENAI_API_KEY": "sk-stand-in", "OPENAI_BASE_URL": ai.base_url}
    return environ


def _ai_name(ai: StandInAI | None) -> str:
    if ai:
        return "a small offline stand-in (set OPENAI_API_KEY for a real one)"
    return os.environ.get("OPENAI_MODEL") or "the default model"


if __name__ == "__main__":
    end_tidily()
    sys.exit(main())

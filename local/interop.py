"""`make interop`: the bridge against AI servers that others wrote, on this machine alone.

LLMock speaks as seven providers, fails as they fail, and judges its client by itself. LiteLLM's
proxy stands before it. Real: gunicorn, Redis, the worker, every call. A stand-in: Kommo. The exit
status shows whether all went well.
"""

import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from kommo_bridge.integrations.integration import Integration
from kommo_bridge.integrations.store import IntegrationStore
from local.ai_servers import litellm, llmock
from local.local_redis import local_redis
from local.partners.kommo.server import StandInKommo
from local.partners.salesbot.salesbot import run_salesbot
from local.partners.salesbot.widget_script import widget_flow
from local.processes import ROOT, end_tidily, run_bridge
from local.redis_server import free_port

ANSWER_SECONDS = 60.0
PROVIDERS = {
    "openai": "v1",
    "mistral": "mistral/v1",
    "groq": "groq/openai/v1",
    "together": "together/v1",
    "perplexity": "perplexity/v1",
    "ai21": "ai21/v1",
    "xai": "xai/v1",
}
# LiteLLM takes no weak one, LLMock any.
KEY = f"sk-{secrets.token_hex(32)}"
HAND_OVER = {"sentence": "A colleague will write.", "reason": "customer_request", "summary": "-"}


def fails(status: int, **more: Any) -> dict[str, Any]:
    """An error of LLMock's, in the provider's own shape."""
    return {"type": "fail", "status": status, **more}


@dataclass(frozen=True)
class Case:
    """One message of a customer.

    Attributes:
        path: Of the base URL; empty for LiteLLM's proxy.
        ordered: What LLMock does first.
        exit: The exit that the Salesbot must take.
        logged: Words that the bridge's log must have.
    """

    name: str
    path: str
    exit: str = "success"
    ordered: tuple[dict[str, Any], ...] = ()
    model: str = "gpt-4o-mini"
    logged: str = ""


TOOL_CALL = {"type": "reply", "tool_calls": [{"name": "handoff", "arguments": HAND_OVER}]}
CASES = [
    *(Case(name, path) for name, path in PROVIDERS.items()),
    *(Case(f"{name}, handoff", path, "handoff", (TOOL_CALL,)) for name, path in PROVIDERS.items()),
    Case("429 with a wait, twice", "v1", ordered=(fails(429, retry_after=1, times=2),)),
    Case("429 with a longer wait", "v1", ordered=(fails(429, retry_after=4.2),)),
    Case("503, twice", "v1", ordered=(fails(503, times=2),)),
    Case("401", "v1", "fail", (fails(401),), logged="the AI answered 401 invalid_api_key"),
    Case("404", "v1", "fail", (fails(404),), logged="the AI answered 404"),
    Case("LiteLLM", ""),
    Case("LiteLLM, handoff", "", "handoff", (TOOL_CALL,)),
    Case("LiteLLM, unknown model", "", "fail", model="nobody-has", logged="the AI answered 400"),
    Case("LiteLLM, 429 behind it", "", ordered=(fails(429, retry_after=1, times=1),)),
]


def main(programs: Path) -> int:
    """Play all cases; 0 when each ended as it must and LLMock finds no fault with us."""
    with ExitStack() as stack:
        (ROOT / "instance").mkdir(exist_ok=True)
        parent = tempfile.TemporaryDirectory(prefix="interop-", dir=ROOT / "instance")
        folder = Path(stack.enter_context(parent))
        print("Starting LLMock and LiteLLM's proxy, which takes its time", flush=True)
        mock = stack.enter_context(llmock(programs, folder))
        proxy = stack.enter_context(litellm(programs, folder, mock, KEY))
        kommo = stack.enter_context(StandInKommo())
        environ = {
            "SECRET_KEY": secrets.token_hex(32),
            "REDIS_URL": stack.enter_context(local_redis(folder / "redis")),
            "DATABASE_PATH": str(folder / "bridge.db"),
            "OPENAI_API_KEY": "sk-nobody",
            "KOMMO_EXTRA_HOSTS": kommo.host,
            "PORT": str(free_port()),
        }
        stack.enter_context(run_bridge(environ, folder / "bridge.log"))
        went_well = [
            _play(one, number, kommo, environ, f"{mock}/{one.path}" if one.path else proxy)
            for number, one in enumerate(_ordered(CASES, mock), start=1)
        ]
        verdict = requests.get(f"{mock}/_llmock/verdict", timeout=10).json()
        faults = [one for one in verdict["findings"] if one["severity"] == "error"]
        for one in faults:
            print(f"FAULT  LLMock: {one['code']}: {one['title']}")
    print(f"{sum(went_well)} of {len(CASES)} cases as they must be, {len(faults)} faults by LLMock")
    return 0 if all(went_well) and not faults else 1


def _ordered(cases: list[Case], mock: str) -> Iterator[Case]:
    """Each case, once LLMock has its orders; those of the case before are used up."""
    for one in cases:
        orders = {"behaviors": list(one.ordered)}
        if one.ordered:
            told = requests.post(f"{mock}/_llmock/scenario", json=orders, timeout=10)
            told.raise_for_status()
        yield one


def _play(
    case: Case, number: int, kommo: StandInKommo, environ: Mapping[str, str], base_url: str
) -> bool:
    """One message through the whole bridge; an account of its own for each case."""
    names = f"shop{number}", number, f"0b01c2d3-0000-4000-8000-{number:012d}"
    account = kommo.add_account(*names, secrets.token_hex(32), secrets.token_hex(32))
    store = IntegrationStore(Path(environ["DATABASE_PATH"]), environ["SECRET_KEY"])
    store.add(
        Integration(
            account.integration_id,
            account.subdomain,
            secret_key=account.secret_key,
            access_token=account.access_token,
            ai_api_key=KEY,
            ai_base_url=base_url,
            model=case.model,
            burst_seconds=0,
        )
    )
    log = Path(environ["DATABASE_PATH"]).with_name("bridge.log")
    begins = log.stat().st_size
    flow = widget_flow(f"http://127.0.0.1:{environ['PORT']}")
    # In words of its own: LLMock takes the same words for a retry.
    words = f"Do you deliver to {number} Main Street?"
    run = run_salesbot(kommo, account, flow, message=words, timeout_seconds=ANSWER_SECONDS)
    said = log.read_text(errors="replace")[begins:]
    well = run.exit == case.exit and case.logged in said
    print(f"{'ok   ' if well else 'FAULT'}  {case.name:24} exit {run.exit}", flush=True)
    if not well:
        print(f"       must be {case.exit}, with {case.logged!r} in the log:\n{said}")
    return well


if __name__ == "__main__":
    end_tidily()
    sys.exit(main(Path(sys.argv[1]).absolute()))

"""AI servers that others wrote, started on this machine for `make interop`."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

from local.redis_server import free_port

START_SECONDS = 120.0  # LiteLLM imports for long


@contextmanager
def llmock(programs: Path, folder: Path) -> Iterator[str]:
    """LLMock's address; it calls tools only when it is told to."""
    port = free_port()
    command = ["llmock", "serve", "--port", str(port), "--tool-mode", "off"]
    # Its other styles repeat the prompt, which the bridge never sends on.
    command += ["--response-style", "hello"]
    with _running(programs, command, folder, {}, f"http://127.0.0.1:{port}/_llmock/verdict"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def litellm(programs: Path, folder: Path, behind: str, key: str) -> Iterator[str]:
    """The base URL of LiteLLM's proxy, which asks LLMock and repeats nothing by itself."""
    config, port = folder / "litellm.yaml", free_port()
    config.write_text(
        "model_list:\n"
        "  - model_name: gpt-4o-mini\n"
        "    litellm_params:\n"
        "      model: openai/gpt-4o-mini\n"
        "      api_key: sk-behind\n"
        f"      api_base: {behind}/v1\n"
        "      max_retries: 0\n"
        "router_settings:\n"
        "  num_retries: 0\n"
        "  disable_cooldowns: true\n",
        encoding="utf-8",
    )
    command = ["litellm", "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
    variables = {"LITELLM_MASTER_KEY": key}
    with _running(
        programs, command, folder, variables, f"http://127.0.0.1:{port}/health/liveliness"
    ):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def _running(
    programs: Path, command: list[str], folder: Path, variables: Mapping[str, str], url: str
) -> Iterator[None]:
    """A server, once it answers at this URL."""
    name, *arguments = command
    path = folder / f"{name}.log"
    environ = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(folder), **variables}
    with path.open("wb") as log:
        program = str(programs / name)
        process = subprocess.Popen([program, *arguments], env=environ, stdout=log, stderr=log)
        try:
            ends_at = time.monotonic() + START_SECONDS
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > ends_at:
                    raise RuntimeError(f"{name} did not start:\n{path.read_text(errors='replace')}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait(30)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False

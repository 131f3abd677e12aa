"""Reads a file or page in a process of its own, which may use only so much time and memory.

A file from outside can keep a reader busy for minutes, unpack to gigabytes or crash a library in
C. Here none of that reaches the worker: its answers go on, its memory does not grow by packages
that a night's refresh needs, and its secrets are not in the environment of the other process.
"""

import json
import subprocess
import sys
from pathlib import Path

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.block import from_json
from kommo_bridge.knowledge.read import Content, check_size

SECONDS = 30
MEMORY_BYTES = 1024 * 1024 * 1024
ROOT = Path(__file__).resolve().parents[2]
TOO_MUCH = "It takes too much time or memory to read: split it, or save it as plain text."


def extract(
    kind: str,
    data: bytes,
    charset: str = "",
    *,
    seconds: float = SECONDS,
    memory_bytes: int = MEMORY_BYTES,
) -> Content:
    """The same as `read.read`, within limits.

    Raises:
        KnowledgeError: It cannot be read, or not within the limits.
    """
    check_size(data)
    module = "kommo_bridge.knowledge.extract_process"
    command = [sys.executable, "-m", module, kind, charset, str(memory_bytes)]
    try:
        done = subprocess.run(  # noqa: S603  the arguments are ours
            command,
            input=data,
            capture_output=True,
            cwd=ROOT,
            env={"PYTHONDONTWRITEBYTECODE": "1"},
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise KnowledgeError(TOO_MUCH) from None
    if done.returncode:  # out of memory or time, or crashed
        raise KnowledgeError(TOO_MUCH)
    told = json.loads(done.stdout)
    if error := told.get("error"):
        raise KnowledgeError(error)
    return Content(told["title"], from_json(told["blocks"]))

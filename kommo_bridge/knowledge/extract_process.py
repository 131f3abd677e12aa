"""The process that `extract` starts: bytes on its standard input, JSON on its standard output."""

import json
import os
import resource
import sys

from kommo_bridge.errors import KnowledgeError
from kommo_bridge.knowledge.block import to_json
from kommo_bridge.knowledge.read import read

CPU_SECONDS = 30


def main(kind: str, charset: str, memory_bytes: str) -> None:
    """Read, and say what came of it."""
    _limit(resource.RLIMIT_AS, int(memory_bytes))
    _limit(resource.RLIMIT_CPU, CPU_SECONDS)
    os.nice(10)  # customers wait for the worker, nobody for this
    try:
        content = read(kind, sys.stdin.buffer.read(), charset)
        told = {"title": content.title, "blocks": to_json(content.blocks)}
    except KnowledgeError as error:
        told = {"error": str(error)}
    sys.stdout.write(json.dumps(told))


def _limit(what: int, most: int) -> None:
    """Lower a limit of this process; a system that has none (macOS for memory) goes without."""
    try:
        resource.setrlimit(what, (most, most))
    except (ValueError, OSError):
        return


if __name__ == "__main__":
    main(*sys.argv[1:])

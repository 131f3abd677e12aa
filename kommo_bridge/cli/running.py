"""Which Redis the commands speak to: that of REDIS_URL, else the one that `make run` started."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import click
from redis import Redis

from kommo_bridge.answers.record import OPEN_KEY
from kommo_bridge.monitoring.watch import LOOK_KEY
from kommo_bridge.queue.state import live_workers, work_queue
from kommo_bridge.telemetry.metrics import KEY as METRICS_KEY

# Made by `make run`, and taken away at its end: {"pid": 123, "redis_url": "redis://..."}.
RUNNING_FILE = Path("instance/running.json")


def command_environ(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of a command, with the Redis of a `make run` in this folder."""
    if environ.get("REDIS_URL", "").strip() or not (url := _running_redis()):
        return environ
    return {**environ, "REDIS_URL": url}


def warn_if_unused(redis: Redis) -> None:
    """Say so when no bridge has used this Redis: the answer would be of no conversation of ours."""
    if redis.exists(METRICS_KEY, OPEN_KEY, LOOK_KEY):
        return
    if not live_workers(work_queue(redis)):
        text = f"Warning: no bridge has used this Redis yet: {address_of(redis)} (REDIS_URL)."
        click.echo(text, err=True)


def address_of(redis: Redis) -> str:
    """Where a client leads, without its password."""
    told = redis.connection_pool.connection_kwargs
    place = told.get("path") or f"{told.get('host', 'localhost')}:{told.get('port', 6379)}"
    return f"{place}/{told.get('db', 0)}"


def _running_redis() -> str:
    """What `make run` left; empty when it does not run (any more)."""
    try:
        left = json.loads(RUNNING_FILE.read_text(encoding="utf-8"))
        url, pid = str(left["redis_url"]), int(left["pid"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return url if pid > 0 and _is_alive(pid) else ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's
        return True
    except (OSError, OverflowError):
        return False
    return True

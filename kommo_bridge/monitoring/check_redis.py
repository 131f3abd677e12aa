"""Redis, and the workers that it knows of."""

from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import RedisError

from kommo_bridge.monitoring.check import Context, Finding
from kommo_bridge.queue.state import live_workers, work_queue
from kommo_bridge.redis_client import connect

TIMEOUT_SECONDS = 5
FULL_SHARE = 0.9


def check_redis(context: Context) -> Iterator[Finding]:
    """Whether it answers, is one that the bridge can use, keeps its data, and has live workers."""
    try:
        with connect(context.settings.redis_url, timeout_seconds=TIMEOUT_SECONDS) as redis:
            info: dict[str, Any] = redis.info()
            workers = live_workers(work_queue(redis))
    except RedisError as error:
        text = f"cannot be used ({type(error).__name__}): check REDIS_URL"
        yield Finding("Redis", "fault", text)
        return
    yield Finding("Redis", "ok", "answers")
    yield redis_role(info)
    yield redis_memory(info)
    yield redis_persistence(info)
    if workers:
        yield Finding("workers", "ok", f"{workers} alive")
    else:
        yield Finding("workers", "fault", "none is alive: start one with python worker.py")


def redis_role(info: Mapping[str, Any]) -> Finding:
    """A single server that takes writes: neither replica nor cluster nor Sentinel."""
    mode, role = info.get("redis_mode", "standalone"), info.get("role", "master")
    if mode != "standalone":
        text = f"it runs as {mode}: Redis Cluster and Sentinel are not supported"
        return Finding("Redis role", "fault", text)
    if role != "master":
        return Finding("Redis role", "fault", f"a {role} takes no writes: use its primary")
    return Finding("Redis role", "ok", "a single primary")


def redis_memory(info: Mapping[str, Any]) -> Finding:
    """What it does when it is full, and how full it is."""
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: it may forget jobs; set noeviction"
        return Finding("Redis memory", "warning", text)
    if limit and used > limit * FULL_SHARE:
        text = f"{used / limit:.0%} of maxmemory is used: full, it refuses every widget request"
        return Finding("Redis memory", "warning", text)
    return Finding("Redis memory", "ok", "maxmemory-policy is noeviction")


def redis_persistence(info: Mapping[str, Any]) -> Finding:
    """What a restart of it keeps."""
    if int(info.get("aof_enabled", 0)):
        return Finding("Redis persistence", "ok", "appendonly is on")
    text = "appendonly is off: a restart loses what was queued since its last snapshot, or all"
    return Finding("Redis persistence", "warning", text)

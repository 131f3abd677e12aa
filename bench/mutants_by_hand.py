"""Faults that mutmut cannot make: in Lua, and as calls or guards that are missing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A piece of the code, what stands there instead, and the tests that should notice."""

    file: str
    right: str
    wrong: str
    tests: str


STEPS, CALLS = "kommo_bridge/answers/steps.py", "kommo_bridge/answers/calls.py"
STATE, CHANGES = "kommo_bridge/answers/state.lua", "kommo_bridge/answers/changes.py"
PACE, SLOT = "kommo_bridge/kommo/pacing_scripts.py", "kommo_bridge/kommo/slot.py"
CLIENT, ENQUEUE = "kommo_bridge/kommo/client.py", "kommo_bridge/queue/enqueue.lua"
OF_STATE, OF_STEPS = (
    "answers/test_state.py",
    "answers/test_calls.py answers/test_state.py answers/test_steps.py",
)
OF_PACE, OF_CLIENT = (
    "kommo/test_pacing.py answers/test_calls.py",
    "kommo/test_client.py kommo/test_pacing.py",
)
OF_QUEUE = "queue/test_enqueue.py queue/test_shares.py"

FAULTS = (
    # The wait before a second call, and before a reply that is held leaves.
    Fault(STEPS, "self.parts.sleep(max(step.seconds, SHORTEST_WAIT))", "pass", OF_STEPS),
    Fault(CALLS, "next_at=min(next_at, start) if now < start else next_at,", "", OF_STEPS),
    Fault(SLOT, "time.sleep(max(0.0, self._starts_at - time.monotonic()))", "pass", OF_PACE),
    Fault(
        CALLS,
        "later = replace(target, next_at=view.now + booked.seconds)",
        "later = target",
        OF_STEPS,
    ),
    # What another worker, or an operator, has decided meanwhile.
    Fault(CALLS, "if not view.kept:", "if False:", OF_STEPS),
    Fault(CALLS, "if not view.kept:", "if not view.mine:", OF_STEPS),
    Fault(CALLS, "unless_paused=not silent", "unless_paused=False", OF_STEPS),
    Fault(STEPS, "if not view.kept or view.conversation.paused:", "if not view.kept:", OF_STEPS),
    Fault(STEPS, "if not view.kept or view.conversation.paused:", "if False:", OF_STEPS),
    Fault(STATE, "local mine = held == token", "local mine = true", OF_STATE),
    Fault(STATE, "if mine or (looks ~= '' and", "if mine or (true and", OF_STATE),
    Fault(STATE, "(not value or own_earlier_run)", "(not value)", OF_STATE),
    Fault(STATE, "(not value or own_earlier_run)", "true", OF_STATE),
    Fault(STATE, "if mine and (silent_only", "if (silent_only", OF_STATE),
    Fault(STATE, "(silent_only == '' or paused == 0)", "true", OF_STATE),
    Fault(STATE, "elseif not ended then", "else", OF_STATE),
    Fault(STATE, "redis.call('HEXISTS', command[2], 'state') == 1", "false", OF_STATE),
    Fault(STATE, "if not state and redis.call", "if redis.call", OF_STATE),
    Fault(STATE, "and outcome and owner ~= '' then", "and outcome then", OF_STATE),
    Fault(STATE, "  kept = 1\n", "", OF_STATE),
    Fault(STATE, "and time[1] - renewed_at >= tonumber(silent_for)", "", OF_STATE),
    Fault(
        CHANGES, 'commands: list[Command] = [("OF", key)]', "commands: list[Command] = []", OF_STATE
    ),
    Fault(CHANGES, 'commands.append(("OF", ""))', "pass", OF_STATE),
    Fault(STEPS, "self.state.report()", "pass", "test_jobs.py"),
    # The pace.
    Fault(
        PACE,
        "local before = redis.call('ZCOUNT'",
        "local before = 0 * redis.call('ZCOUNT'",
        OF_PACE,
    ),
    Fault(PACE, "start = math.max(start, now + paused)", "", OF_PACE),
    Fault(PACE, "if taken then redis.call('ZREM', in_use, taken) end", "", OF_PACE),
    Fault(
        PACE, "local free = rest < 0 and held - ARGV[3] or now + rest", "local free = now", OF_PACE
    ),
    Fault(PACE, "if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then", "if true then", OF_PACE),
    Fault(PACE, "redis.call('EXISTS', probe) == 0", "true", OF_PACE),
    Fault(PACE, "probing = ARGV[9] == '1' and", "probing =", OF_PACE),
    Fault(SLOT, "self._used = self._in_doubt = True", "self._used = True", OF_CLIENT),
    Fault(CLIENT, "self._pacer.limited(slot.host, wait)", "pass", OF_CLIENT),
    Fault(CLIENT, "allow_redirects=False,", "", OF_CLIENT),
    Fault(CLIENT, "check_return_url(return_url, slot.host, self._extra_hosts)", "pass", OF_CLIENT),
    # The queue.
    Fault(ENQUEUE, "== 0 then return {'repeat'} end", "== 2 then return {'repeat'} end", OF_QUEUE),
    Fault(ENQUEUE, "  redis.call('DEL', record_key)\n", "", OF_QUEUE),
    Fault(ENQUEUE, "redis.call('ZADD', open_key,", "redis.call('ZADD', open_key, 'XX',", OF_QUEUE),
    Fault(ENQUEUE, "if redis.call('ZCARD', held_back_key) == 0\n  and", "if", OF_QUEUE),
    Fault(ENQUEUE, "redis.call('ZCARD', allowed_key) < tonumber(at_once)", "true", OF_QUEUE),
    Fault(
        ENQUEUE,
        "local wait = over(entity_rate_key, 1, entity_count, rate_seconds)\n  or",
        "local wait =",
        OF_QUEUE,
    ),
    Fault(ENQUEUE, "at_once = redis.call('GET', share_key)", "at_once = false", OF_QUEUE),
)

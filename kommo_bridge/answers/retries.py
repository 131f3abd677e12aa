"""Every wait and deadline of an answer, side by side, in seconds.

They depend on each other: `tests/answers/test_retries.py` asserts how. The deadlines that operators
choose are settings (`REPLY_DEADLINE_SECONDS`, `CONTINUE_DEADLINE_SECONDS`).
"""

# Waits before the second, third ... try of a failing call; the last one repeats.
WAITS = (2, 5, 10, 20, 40, 60)

# How long a worker holds a conversation between two steps: longer than looking up a tag takes,
# including the wait for its slot. Longer while Kommo is called or the AI is asked.
HOLD = 6.0
HOLD_WHILE_SENDING = 15.0
# A job that runs again takes the conversation from its own earlier run, once that has not renewed
# its hold for so many seconds: one that a lease was waited for has been silent for longer.
TAKE_OVER_AFTER = 9
# The AI's time ends before the deadline, so that the fallback leaves in time.
ASK_MARGIN = 1.0
ASK_MARGIN_SHARE = 0.1
# The conversation is held a little longer than the AI may take: when its time is over, the SDK
# still sleeps before it notices that none is left for a second try.
ASK_HOLD_MARGIN = 2.5
# The longest wait that a thread sleeps through; RQ schedules longer ones, which holds no thread.
SHORT_WAIT = 2.5
# Another worker has the conversation: look again after this.
BUSY_WAIT = 1.0
# The integration store is away, and with it everything that is known of who speaks: look again.
STORE_WAIT = 5.0
# The longest quiet time of a burst, from its first text.
LONGEST_BURST = 10.0
# The longest that a reply whose first call failed holds the next turn back.
LONGEST_HOLD_BACK = 15.0
# One that no longer holds back makes no further call when another's deadline is nearer than the
# longest call can take, with the wait for its slot.
ROOM_FOR_A_CALL = 12.0
# The last call before a Salesbot is given up is made within its last seconds.
LAST_SECONDS = 60.0
# How often the sweep looks for overdue requests, and the head start that it gives their jobs.
SWEEP_EVERY = 1.0
SWEEP_MARGIN = 3.0
# How long the sweep leaves a request alone that it could not work on.
SWEEP_AGAIN = 30.0
# If the sweep needs longer than this for one request, a partner hangs.
SWEEP_SLOW = 3.5

# Staff are told on the lead: again after a call that Kommo has not taken, for so long in all. No
# other worker looks at one that is being written, which takes four calls and a lookup at most.
STAFF_AGAIN = 10.0
STAFF_SECONDS = 900.0
STAFF_LEASE = 90.0

# Shares of the reply deadline: how long texts may still join a turn, and the longest burst.
JOIN_SHARE = 1 / 3
BURST_SHARE = 1 / 4

# How often a refusal that is not about the account (400, 409, 302 ...) is tried before the short
# fallback sentence replaces the reply, where that can help.
TRIES_BEFORE_SHORT = 3


def wait_after(failures: int) -> float:
    """The wait after a failed call that so many failures came before."""
    return float(WAITS[min(failures, len(WAITS) - 1)])

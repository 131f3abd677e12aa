"""Every wait and deadline of an answer, beside each other.

What must hold between them is asserted in `tests/answers/test_retries.py`, so that nobody changes
one of them alone. All values are seconds. Deadlines that operators set are settings
(`REPLY_DEADLINE_SECONDS`, `CONTINUE_DEADLINE_SECONDS`).
"""

# Before the second, third ... try of a failing call; the last one repeats until the deadline.
WAITS = (2, 5, 10, 20, 40, 60)

# Who works on a conversation holds it that long: longer than a look at a tag takes, with the wait
# for its slot. Longer still while Kommo is called, and while the AI is asked.
HOLD = 6.0
HOLD_WHILE_SENDING = 15.0
# The AI's time ends before the deadline, so that the fallback leaves in time.
ASK_MARGIN = 1.0
ASK_MARGIN_SHARE = 0.1
# The conversation stays ours a little longer than the AI may take.
ASK_HOLD_MARGIN = 0.5
# A thread waits that long itself; a longer wait is RQ's, which holds no thread.
SHORT_WAIT = 2.5
# Another worker has the conversation: look again after this.
BUSY_WAIT = 1.0
# The longest quiet time of a burst, from its first text.
LONGEST_BURST = 10.0
# A reply whose first call failed holds back the next turn for no longer.
LONGEST_HOLD_BACK = 15.0
# The last call before a Salesbot is given up falls into these last seconds.
LAST_SECONDS = 60.0
# How often overdue answers are looked for, and what is left to the job itself before that.
SWEEP_EVERY = 1.0
SWEEP_MARGIN = 3.0
# What cannot even be looked at rests that long.
SWEEP_AGAIN = 30.0
# A look at one overdue answer that takes longer shows that its partner hangs.
SWEEP_SLOW = 3.5

# Shares of the reply deadline: how long texts may still join a turn, and the longest burst.
JOIN_SHARE = 1 / 3
BURST_SHARE = 1 / 4

# A refusal that names no account trouble (400, 409, 302 ...) is tried that often before the reply
# gives way to the short fallback sentence, where that can help.
TRIES_BEFORE_SHORT = 3


def wait_after(failures: int) -> float:
    """The wait after that many failures before this one."""
    return float(WAITS[min(failures, len(WAITS) - 1)])

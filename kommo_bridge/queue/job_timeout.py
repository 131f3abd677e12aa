"""Job timeouts without a timer thread per job: one ticker watches all threads.

RQ's own TimerDeathPenalty starts a thread for each running job; SIGALRM reaches the main thread
only. Here the worker's ticker looks once a second.
"""

import ctypes
import threading
import time

from rq.timeouts import BaseDeathPenalty


class TickedDeathPenalty(BaseDeathPenalty):
    """A job's timeout, watched by the worker's ticker instead of a timer thread per job.

    The exception reaches the thread when its running call returns. Every call to a partner has a
    total deadline of its own, so this is only the backstop.
    """

    by_thread: dict[int, "TickedDeathPenalty"] = {}  # noqa: RUF012

    def setup_death_penalty(self) -> None:
        """Start watching the running thread."""
        self.kill_at = time.monotonic() + self._timeout
        self.thread_id = threading.get_ident()
        self.raised = False
        self.by_thread[self.thread_id] = self

    def cancel_death_penalty(self) -> None:
        """Stop watching it."""
        self.by_thread.pop(self.thread_id, None)

    @classmethod
    def tick(cls) -> float:
        """Raise in every thread whose time is up; returns the longest overrun in seconds."""
        worst = 0.0
        for thread_id, penalty in list(cls.by_thread.items()):
            overtime = time.monotonic() - penalty.kill_at
            worst = max(worst, overtime)
            if overtime > 0 and not penalty.raised:
                penalty.raised = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_long(thread_id), ctypes.py_object(penalty._exception)
                )
        return worst

"""T1 to T7: what must hold of every conversation, judged from outside.

Looked at are what customers wrote, what Kommo took, what the AI was paid for and when humans had a
conversation; of the bridge only what it says of each request in the end.
"""

from bisect import bisect_right
from collections import defaultdict
from typing import Any

from kommo_bridge.kommo.address_block import MEMORY_SECONDS

from .ai import Asked
from .kommo import Call
from .scenario import TEST_LEAD
from .world import START, Broken

GRACE_T4, GRACE_T5 = 1.0, 3.0
LEASE_TIME = 40.0
PATIENT = 100.0
PER_SECOND = 7
LONGEST_WAY_BACK = 0.1  # of a response


class Invariants:
    """Watches one world."""

    def __init__(self, bridge: Any) -> None:
        self.bridge = bridge
        self.arrivals: dict[int, list[float]] = defaultdict(list)
        self.told_of: dict[str, str] = {}
        self.gaps: set[str] = set()
        self.questions: dict[str, int] = defaultdict(int)
        self.notices: dict[str, Any] = {}
        self.pauses: dict[str, list[tuple[float, float]]] = defaultdict(list)

    # after each step

    def paused(self, name: str, until: float) -> None:
        """A human has the conversation from now on."""
        self.pauses[name].append((self.bridge.world.now, until))

    def resumed(self, name: str) -> None:
        """The human has left."""
        now = self.bridge.world.now
        self.pauses[name] = [(start, min(end, now)) for start, end in self.pauses[name]]

    def paid(self, asked: Asked) -> None:
        """T6: not wasted. A turn is known by its oldest text: the others may have been part of the
        last question of the turn before."""
        oldest = asked.names[0]
        self.questions[oldest] += 1
        if self.questions[oldest] > 3:
            raise Broken("T6", f"{self.questions[oldest]} questions with {oldest} were paid for")

    def arrived(self, call: Call) -> None:
        """T3, T4, T7, looked at where Kommo receives a call."""
        self._paced(call)
        if call.spoken:
            self._silent(call)
            self._allowed(call)
        if self.bridge.store.records[call.job_id].ended == "continued":
            raise Broken("T3", f"{self._name(call)} is called though it is known as continued")
        if call.took:
            self._once(call)

    def _paced(self, call: Call) -> None:
        arrived = call.arrived or 0.0
        before = self.arrivals[call.account]
        before.append(arrived)
        if len(before) > PER_SECOND and arrived - before[-PER_SECOND - 1] < 1.0:
            raise Broken("T7", f"{PER_SECOND + 1} calls within a second")
        for start, end in self.bridge.pace(call.account).pauses:
            if start + 0.5 < call.left < end:
                raise Broken("T7", f"{self._name(call)} is called while its account is paused")

    def _silent(self, call: Call) -> None:
        request = self.bridge.store.records[call.job_id].request
        for start, end in self.pauses[self.bridge.entity(request)]:
            if start + GRACE_T4 < call.left < end:
                raise Broken("T4", f"{self._name(call)} is told {call.reply[:20]!r} over a human")

    def _allowed(self, call: Call) -> None:
        """T4 of the modes: a hint is for staff, and in a test nobody else is answered.

        What the former version, which knew no modes, may have sent is repeated as it was.
        """
        record = self.bridge.store.records[call.job_id]
        repeated = self.bridge.bots[call.job_id].message.left == "unknown"
        if self._is_silent(call.account, record) and not repeated:
            raise Broken("T4", f"{self._name(call)} is told {call.reply[:20]!r} against the mode")

    def _is_silent(self, account: int, record: Any) -> bool:
        mode = self.bridge.scenario.mode(account)
        untagged: bool = record.request.entity_id != TEST_LEAD
        return mode == "hint" or (mode == "test" and untagged)

    def gap(self, reply: str) -> None:
        """T3 of what the AI had no answer to: noted once, and only with a reply that was sent."""
        if reply in self.gaps:
            raise Broken("T3", f"the gap of {reply} is noted twice")
        self.gaps.add(reply)
        calls = {one.reply.split()[0] for one in self.bridge.kommo.calls if one.spoken}
        hints = {one.reply.split()[0] for one in self.notices.values() if one.reply}
        if reply not in calls | hints:
            raise Broken("T3", f"the gap of {reply} is noted, which nobody was given")

    def noticed(self, notice: Any, job_id: str) -> None:
        """T3 for staff: told once of each request, and a hint is as good as a reply."""
        if job_id in self.notices:
            raise Broken("T3", f"staff are told twice of {self.bridge.names[job_id]}")
        self.notices[job_id] = notice
        if notice.hint:
            self._told(notice.reply.split()[0])

    def _once(self, call: Call) -> None:
        self._told(call.reply.split()[0] if call.spoken else "")

    def _told(self, reply: str) -> None:
        for name in self._texts_of(reply):
            if name in self.told_of:
                raise Broken("T3", f"{name} was answered by {self.told_of[name]} and by {reply}")
        for name in self._texts_of(reply):
            self.told_of[name] = reply

    def _texts_of(self, reply: str) -> tuple[str, ...]:
        asked = self.bridge.ai.replies.get(reply)
        return asked.names if asked else ()

    def _name(self, call: Call) -> str:
        return str(self.bridge.names[call.job_id])

    # after the run

    def check(self) -> None:
        """T1, T2 and T5, when nothing is open any more."""
        for job_id in self.bridge.names:
            self._ended(job_id)
        for job_id in self.bridge.names:
            record = self.bridge.store.records[job_id]
            self._seen_by_staff(job_id, record)
            self._heard(job_id, record)
            if record.request.has_text:
                self._in_time(job_id, record)

    def _calls(self, job_id: str) -> list[Call]:
        return [one for one in self.bridge.kommo.calls if one.job_id == job_id]

    def _ended(self, job_id: str) -> None:
        """T1."""
        record, name = self.bridge.store.records[job_id], self.bridge.names[job_id]
        bot = self.bridge.bots[job_id]
        if not record.ended:
            raise Broken("T1", f"{name} is still open")
        if record.ended == "continued":
            unknown = record.noted > sum(one.heard for one in self._calls(job_id))
            crashed = bool(self.bridge.scenario.kills or self.bridge.scenario.redis)
            unknown = unknown or bool(bot.message.left) or (record.doubtful and crashed)
            if not bot.taken and not unknown:
                raise Broken("T1", f"{name} counts as continued, and was not")
            return
        calls = self._calls(job_id)
        told = calls and calls[-1].heard and calls[-1].response == 404
        known = record.message.unknown_since is None
        if bot.taken and told and known and bot.account not in self.bridge.removed:
            raise Broken("T1", f"{name} counts as given up, and was continued")
        if not bot.taken and not self._may_be_given_up(job_id, record, bot):
            raise Broken("T1", f"{name} was given up ({record.error})")

    def _may_be_given_up(self, job_id: str, record: Any, bot: Any) -> bool:
        calls = self._calls(job_id)
        last = calls[-1] if calls else None
        if last and last.response in (404, 410, 401, 402):
            return True
        if last and last.response == 403 and not self._may_be_block(last):
            return True
        account = bot.account
        if account in self.bridge.removed:
            return True
        end = record.message.at + self.bridge.scenario.continue_deadline
        start, _ = self.bridge.heart.turns.last_window(record.message, self.bridge.rules(account))
        if self.bridge.world.now < end:
            return False
        if last and last.left >= start:
            return True
        pace = self.bridge.pace(account)
        return any(a < end and b > start for a, b in pace.pauses) or self.bridge.all_paused

    def _may_be_block(self, refused: Any) -> bool:
        """Somebody had heard a 429 shortly before this 403."""
        return any(
            one.response == 429
            and one.heard
            and LONGEST_WAY_BACK < refused.arrived - one.arrived < MEMORY_SECONDS - 60
            for one in self.bridge.kommo.calls
        )

    def _seen_by_staff(self, job_id: str, record: Any) -> None:
        """T2 for staff: they are told of each handoff that Kommo has accepted."""
        bot = self.bridge.bots[job_id]
        handed_over = bot.taken and bot.taken[1] == "handoff" and bot.taken[2] not in ("", "-")
        if handed_over and record.ended == "continued" and job_id not in self.notices:
            raise Broken("T2", f"{self.bridge.names[job_id]} was handed over to nobody")

    def _heard(self, job_id: str, record: Any) -> None:
        """T2; a voice message is heard when its customer was asked to write shortly before."""
        name, bot, at = self.bridge.names[job_id], self.bridge.bots[job_id], record.message.at
        if name in self.told_of or not bot.taken:
            return
        if self._is_silent(bot.account, record) and self._is_excused(bot.account, record):
            return
        text = record.request.has_text
        since = at if text else at - self.bridge.heart.changes.NO_TEXT_SAID_SECONDS - 1
        words = self._words(record)
        if any(one.arrived > since and not (text and one.reply[0] == "r") for one in words):
            return
        if self._with_a_human(record, at, bot.taken[0]) or self._believed(record):
            return
        raise Broken("T2", f"{name} was let go, and its customer was told nothing about it")

    def _is_excused(self, account: int, record: Any) -> bool:
        """No test; or no hint, as nothing was to be read, or the AI or Kommo failed, or the
        integration was switched off, or staff were told of a handoff."""
        scenario = self.bridge.scenario
        if scenario.mode(account) == "test" or not record.request.has_text:
            return True
        if any(deed.what == "disable" and deed.account == account for deed in scenario.deeds):
            return True
        if self._with_a_human(record, record.message.at, self.bridge.world.now):
            return True  # also when they came before it was known that Kommo had accepted
        return any(
            one.error or (job_id in self.notices and self.notices[job_id].handoff)
            for job_id, one in self.bridge.store.records.items()
            if one.person == record.person
        )

    def _believed(self, record: Any) -> bool:
        """A 404 after an unknown outcome was read as success, and was none: nobody can know."""
        return any(
            one.ended == "continued" and not self.bridge.bots[job_id].taken
            for job_id, one in self.bridge.store.records.items()
            if one.person == record.person
        )

    def _words(self, record: Any) -> list[Any]:
        """What this person was told."""
        person, entity = record.person, self.bridge.entity(record.request)
        return [
            one
            for one in self.bridge.kommo.calls
            if one.took and one.spoken
            and self.bridge.store.records[one.job_id].person == person
            and self.bridge.entity(self.bridge.store.records[one.job_id].request) == entity
        ]  # fmt: skip

    def _with_a_human(self, record: Any, start: float, end: float) -> bool:
        pauses = self.pauses[self.bridge.entity(record.request)]
        return any(begin <= end and until >= start for begin, until in pauses)

    def _in_time(self, job_id: str, record: Any) -> None:
        """T5: judged only where Kommo, Redis and a worker were well all the time."""
        at, bot = record.message.at, self.bridge.bots[job_id]
        by = at + self.bridge.scenario.reply_deadline + GRACE_T5
        if self._troubled(bot.account, at, by) or self._with_a_human(record, at, by):
            return
        message = bot.message
        if self._is_silent(bot.account, record):
            return
        if message.stops_at is not None or message.calls or message.always or message.left:
            return
        if self._held_up(record, bot) or self._text_refused(record):
            return
        words = sorted(one.arrived for one in self._words(record))
        place = bisect_right(words, at)
        if place == len(words) or words[place] > by:
            late = f"{words[place] - at:.1f} s" if place < len(words) else "never"
            name = self.bridge.names[job_id]
            raise Broken("T5", f"{name} got the first word after {late}")

    def _held_up(self, record: Any, bot: Any) -> bool:
        """Calls to other Salesbots of this person fail, near enough to be of the same turn.

        Where the reply deadline leaves time, earlier ones must not hold this one up.
        """
        deadline, at = self.bridge.scenario.reply_deadline, record.message.at
        for job_id, other in self.bridge.store.records.items():
            if other.person == record.person and job_id != bot.job_id:
                message = self.bridge.bots[job_id].message
                near = abs(other.message.at - at) <= deadline / 3 + 1 or deadline < PATIENT
                if near and (message.calls or message.always or message.left):
                    return True
        return False

    def _text_refused(self, record: Any) -> bool:
        """Kommo did not like what this person was to be told: a shorter text comes later."""
        records = self.bridge.store.records
        return any(
            one.response in (400, 413, 422) and records[one.job_id].person == record.person
            for one in self.bridge.kommo.calls
        )

    def _troubled(self, account: int, start: float, end: float) -> bool:
        scenario = self.bridge.scenario
        if account in self.bridge.removed or scenario.deeds:
            return True
        if any(START + one.start < end + 1 for one in (*scenario.kommo, *scenario.redis)):
            return True
        for worker in self.bridge.office.workers:
            if any(died < end and back + LEASE_TIME > start for died, back in worker.died):
                return True
        return any(
            begin < end and until > start for begin, until in self.bridge.pace(account).pauses
        )

"""What must hold of every conversation, checked from what customers, AI and Kommo saw.

T1 ended, T2 heard, T3 once, T4 silent, T5 in time, T6 not wasted, T7 paced. Nothing of the bridge
is looked at. Each check returns its breaks as sentences, none when the promise was kept. Times are
`time.monotonic()`; where a busy machine could break a promise, what it was late is added.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from local.echo import Question, asked_again, reply_name
from local.partners.kommo.call_limit import busiest_second
from local.partners.kommo.records import Arrival, Continuation, is_silent

CALLS_PER_SECOND = 7
MOST_QUESTIONS = 3
PAUSE_GRACE_SECONDS = 1.0
REPLY_GRACE_SECONDS = 3.0
FOREVER = float("inf")


@dataclass(frozen=True)
class Text:
    """What a customer wrote and the bridge has accepted.

    Attributes:
        name: The word in it that the AI repeats.
        entity: Account and lead; `person` narrows it to a conversation.
        path: Where its Salesbot waits.
        voice: Without words.
        gone: Its Salesbot stopped waiting, or its account refuses us to the end.
        calm: Nothing was done to its account, workers and Redis while it waited.
    """

    name: str
    entity: tuple[str, int]
    person: str
    at: float
    path: str
    voice: bool = False
    gone: bool = False
    calm: bool = False

    @property
    def conversation(self) -> tuple[tuple[str, int], str]:
        """Whose messages are answered together."""
        return self.entity, self.person


@dataclass(frozen=True)
class Pause:
    """A human has the conversations of a lead."""

    entity: tuple[str, int]
    start: float
    end: float = FOREVER


@dataclass
class Seen:
    """All that was seen of one run.

    Attributes:
        texts: Accepted, in order.
        questions: What the AI was paid for.
        pauses, resumes: By operators; a resume has its lead and its time.
        paces: The times of each account's calls.
        limited: An account answered 429: from when until when it must not be called.
        unsure: Conversations in which a lost answer may be taken for an accepted one: a call left
            there or a worker died, and then the Salesbot was gone.
        late: How late the machine was between two moments.
        reply_deadline, continue_deadline: The bridge's settings, in seconds.
    """

    texts: list[Text]
    questions: list[Question]
    continuations: list[Continuation]
    arrivals: list[Arrival]
    pauses: list[Pause]
    paces: dict[str, tuple[float, ...]]
    resumes: list[tuple[tuple[str, int], float]] = field(default_factory=list)
    limited: list[tuple[str, float, float]] = field(default_factory=list)
    unsure: set[tuple[tuple[str, int], str]] = field(default_factory=set)
    late: Callable[[float, float], float] = lambda _start, _end: 0.0
    reply_deadline: float = 120.0
    continue_deadline: float = 900.0

    @cached_property
    def by_path(self) -> dict[str, Text]:
        """The text of each Salesbot."""
        return {one.path: one for one in self.texts}

    @cached_property
    def continued(self) -> dict[str, Continuation]:
        """What each Salesbot was continued with first."""
        return {one.block.path: one for one in reversed(self.continuations)}

    @cached_property
    def told(self) -> dict[str, list[Continuation]]:
        """Who was told each reply of the AI."""
        found: dict[str, list[Continuation]] = {}
        for one in self.continuations:
            if name := reply_name(one.body["data"]["reply"]):
                found.setdefault(name, []).append(one)
        return found

    @cached_property
    def words(self) -> dict[tuple[tuple[str, int], str], list[tuple[float, bool]]]:
        """By conversation: when something visible was accepted, and whether it was a sentence."""
        found: dict[tuple[tuple[str, int], str], list[tuple[float, bool]]] = {}
        for one in self.continuations:
            reply, text = one.body["data"]["reply"], self.by_path.get(one.block.path)
            if text and not is_silent(one.body):
                visible = one.at, reply_name(reply) is None
                found.setdefault(text.conversation, []).append(visible)
        return found

    @cached_property
    def human(self) -> dict[tuple[str, int], list[Pause]]:
        """Pauses by lead: an operator's, and after each handoff until somebody resumes."""
        pauses = list(self.pauses)
        for one in self.continuations:
            text = self.by_path.get(one.block.path)
            if text and one.body["data"]["status"] == "handoff":
                ends = [at for entity, at in self.resumes if entity == text.entity and at > one.at]
                pauses.append(Pause(text.entity, one.at, min(ends, default=FOREVER)))
        found: dict[tuple[str, int], list[Pause]] = {}
        for pause in pauses:
            found.setdefault(pause.entity, []).append(pause)
        return found

    def breaks(self) -> dict[str, list[str]]:
        """The broken promises by name."""
        checks = {
            "T1 ended": self.not_ended, "T2 heard": self.not_heard, "T3 once": self.told_twice,
            "T4 silent": self.spoken_in_a_pause, "T5 in time": self.too_late,
            "T6 not wasted": self.wasted, "T7 paced": self.too_fast, "mixed up": self.mixed_up,
        }  # fmt: skip
        return {name: list(check()) for name, check in checks.items()}

    def not_ended(self) -> Iterable[str]:
        """T1."""
        for text in self.texts:
            if text.path not in self.continued and not text.gone and not self._last_called(text):
                calls = [f"{one.at - text.at:.2f}" for one in self._calls_of(text)]
                yield f"{text.name} was never continued; calls after {calls} s"

    def not_heard(self) -> Iterable[str]:
        """T2."""
        answered = {name for one in self.questions if one.reply in self.told for name in one.asked}
        for text in self.texts:
            if text.voice or text.gone or text.name in answered:
                continue
            if text.conversation in self.unsure or text.path not in self.continued:
                continue
            words = self.words.get(text.conversation, [])
            if any(at > text.at and sentence for at, sentence in words):
                continue
            if not self._human_had(text):
                body = self.continued[text.path].body["data"]
                yield f"{text.name} was let go ({body}) and never answered"

    def told_twice(self) -> Iterable[str]:
        """T3."""
        paths = [one.block.path for one in self.continuations]
        yield from (f"{one} was continued twice" for one in {*paths} if paths.count(one) > 1)
        yield from (f"{name} was told twice" for name, one in self.told.items() if len(one) > 1)
        accepted: dict[str, str] = {}
        for question in self.questions:
            if question.reply not in self.told:
                continue
            for name in question.asked:
                other = accepted.setdefault(name, question.reply)
                if other != question.reply:
                    yield f"{name} was answered by {other} and by {question.reply}"

    def spoken_in_a_pause(self) -> Iterable[str]:
        """T4."""
        for arrival in self.arrivals:
            text = self.by_path.get(arrival.path)
            if text is None or arrival.silent:
                continue
            for pause in self.pauses:
                if pause.entity != text.entity or not pause.start < arrival.at < pause.end:
                    continue
                seconds = arrival.at - pause.start
                if seconds > PAUSE_GRACE_SECONDS + self.late(pause.start, arrival.at):
                    yield f"{text.name}: {seconds:.2f} s after a pause {arrival.body}"

    def too_late(self) -> Iterable[str]:
        """T5, where nothing was done to Kommo, workers and Redis meanwhile."""
        for text in self.texts:
            if text.voice or text.gone or not text.calm or self._human_had(text):
                continue
            words = [at for at, _ in self.words.get(text.conversation, []) if at > text.at]
            limit = text.at + self.reply_deadline + REPLY_GRACE_SECONDS
            first = min(words, default=FOREVER)
            if first > limit + self.late(text.at, limit):
                yield f"{text.name}: the first word came after {first - text.at:.2f} s"

    def wasted(self) -> Iterable[str]:
        """T6."""
        for name, count in asked_again(self.questions).items():
            if count > MOST_QUESTIONS:
                yield f"{name} is part of {count} paid questions"

    def too_fast(self) -> Iterable[str]:
        """T7."""
        for account, times in self.paces.items():
            if (most := busiest_second(times)) > CALLS_PER_SECOND:
                yield f"{account}: {most} calls within a second"
        for account, start, end in self.limited:
            times = self.paces[account]
            at = bisect_left(times, start + self.late(start, end))
            if at < len(times) and times[at] < end:
                yield f"{account} was called {times[at] - start:.2f} s into its pause"

    def mixed_up(self) -> Iterable[str]:
        """A question holds one person's words only, and its reply goes to that person."""
        whose = {one.name: one.conversation for one in self.texts}
        for question in self.questions:
            told = [self.by_path.get(one.block.path) for one in self.told.get(question.reply, [])]
            people = {whose[name] for name in question.all if name in whose}
            if len(people | {one.conversation for one in told if one}) > 1:
                yield f"{question.reply} holds words of {people}"

    def _calls_of(self, text: Text) -> list[Arrival]:
        return [one for one in self.arrivals if one.path == text.path]

    def _last_called(self, text: Text) -> bool:
        """Called in its last minute, or in the minute more of one who could not be called."""
        window = min(60.0, self.continue_deadline - self.reply_deadline)
        start = text.at + self.continue_deadline - window
        return any(one.at >= start for one in self._calls_of(text))

    def _human_had(self, text: Text) -> bool:
        """A human had the conversation at some time while this text waited."""
        ended = self.continued.get(text.path)
        end = ended.at if ended else FOREVER
        pauses = self.human.get(text.entity, [])
        return any(one.start <= end and one.end >= text.at for one in pauses)

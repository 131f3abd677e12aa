"""What a soak has seen, held against what was promised: T1 to T8, and the counts."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from stage import Stage

from local.echo import Echo
from local.lateness import Lateness
from local.partners.kommo.widget_requests import WidgetRequestSent
from local.promises import Pause, Seen, Text

BURST_SECONDS = 1.0
MOST_AI_SECONDS = 0.8
NEIGHBOUR_SECONDS = 2.0
# What a killed process or Redis held up is answered after this at the latest.
RECOVERED_SECONDS = 22.0
REFUSING = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
SHOWN = 5


@dataclass
class Tally:
    """What was sent, and what was done to the bridge and its partners."""

    echo: Echo
    late: Lateness
    texts: list[Text] = field(default_factory=list)
    sent: dict[str, WidgetRequestSent] = field(default_factory=dict)
    refused: int = 0
    unknown: int = 0
    repeats: int = 0
    faults: int = 0
    expired: set[str] = field(default_factory=set)
    pauses: list[Pause] = field(default_factory=list)
    resumes: list[tuple[tuple[str, int], float]] = field(default_factory=list)
    limited: list[tuple[str, float, float]] = field(default_factory=list)
    kills: dict[str, list[float]] = field(default_factory=dict)

    def killed(self, what: str) -> int:
        """How often."""
        return len(self.kills.get(what, ()))

    def killed_between(self, start: float, end: float) -> bool:
        """Whether anything was."""
        return any(start <= at <= end for times in self.kills.values() for at in times)


def verdict(it: Stage, tally: Tally, calm: str, still_open: int) -> int:
    """Print the figures; 1 when a promise was broken.

    Args:
        calm: The account to which nothing was done; its answers show T8.
        still_open: Salesbots that the bridge would still have to continue.
    """
    saw = _seen(it, tally, calm)
    waits = sorted(_waits(saw, tally, calm))
    breaks = {**saw.breaks(), "T8 apart": [one for _, one in waits if one]}
    data = [one.body["data"] for one in it.kommo.continuations if one.block.path in saw.by_path]
    status = [one["status"] for one in data]
    rows = [
        ("requests accepted", len(saw.texts)), ("refused while Redis was away", tally.refused),
        ("no acknowledgement within 2 s", tally.unknown), ("repeats sent", tally.repeats),
        ("faults ordered", tally.faults), ("workers killed", tally.killed("worker")),
        ("webs killed", tally.killed("web")), ("Redis killed", tally.killed("redis")),
        ("Salesbots gone", len(tally.expired)), ("pauses", len(tally.pauses)),
        ("replies and sentences", status.count("success")), ("handoffs", status.count("handoff")),
        ("failures told", status.count("fail")), ("let go", status.count("skip")),
        ("tokens sent astray", len(it.kommo.violations)), ("still open", still_open),
        ("waits of the calm account", len(waits)),
        ("  the longest, in ms", round(1000 * waits[-1][0]) if waits else 0),
        *((name, len(found)) for name, found in breaks.items()),
    ]  # fmt: skip
    for name, value in rows:
        print(f"{name:32} {value:7}")
    for name, found in breaks.items():
        for one in found[:SHOWN]:
            print(f"  {name}: {one}")
    return 1 if still_open or it.kommo.violations or any(breaks.values()) else 0


def _seen(it: Stage, tally: Tally, calm: str) -> Seen:
    kommo = it.kommo
    continued = {one.block.path for one in kommo.continuations}
    refused = {one.path for one in kommo.refusals if one.status in REFUSING}
    gone = (tally.expired | refused) - continued
    calls = [one.path for one in kommo.arrivals]
    texts = [replace(one, gone=one.path in gone, calm=one.entity[0] == calm) for one in tally.texts]
    lost = {
        one.conversation
        for one in texts
        if one.gone and (calls.count(one.path) > 1 or tally.killed_between(one.at, one.at + 60))
    }
    return Seen(
        texts=texts,
        questions=tally.echo.questions,
        continuations=kommo.continuations,
        arrivals=kommo.arrivals,
        pauses=tally.pauses,
        resumes=tally.resumes,
        paces={one.subdomain: kommo.calls(one) for one in it.accounts},
        limited=[
            (name, start, end)
            for name, start, end in tally.limited
            if not tally.killed_between(start - 1.5, end)  # who died could not note it
        ],
        unsure=lost,
        late=tally.late.between,
        reply_deadline=it.settings.reply_deadline_seconds,
        continue_deadline=it.settings.continue_deadline_seconds,
    )


def _waits(saw: Seen, tally: Tally, calm: str) -> Iterable[tuple[float, str]]:
    """How long each customer of the calm account waited for a word while all processes lived, and
    what was wrong with it."""
    most = max(BURST_SECONDS, MOST_AI_SECONDS) + NEIGHBOUR_SECONDS
    for text in saw.texts:
        if text.entity[0] != calm or text.path not in saw.continued:
            continue
        if tally.killed_between(text.at - RECOVERED_SECONDS, text.at + 2 * most):
            continue
        words = [at for at, _ in saw.words.get(text.conversation, [])]
        place = bisect_left(words, text.at)
        waited = words[place] - text.at if place < len(words) else float("inf")
        late = waited > most + tally.late.between(text.at, text.at + most)
        yield waited, f"{text.name} waited {waited:.2f} s" if late else ""

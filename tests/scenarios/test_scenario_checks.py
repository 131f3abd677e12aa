"""The checks of a reply, as tables."""

from dataclasses import replace
from typing import Any

import pytest

from kommo_bridge.scenarios.checks import check
from kommo_bridge.scenarios.scenario import Expected, Observed

REPLY = Observed(
    "reply", "A bouquet of\u00a021 roses is 45 euro.\nYou can pay with card.", tokens=9
)
HANDOFF = Observed("handoff", "One moment.", reason="order", tools=("note_gap", "handoff"))
SILENT = Observed("silent")

HOLDS: list[tuple[dict[str, Any], Observed]] = [
    ({"outcome": "reply"}, REPLY),
    ({"outcome": "handoff", "reason": "order", "tool": "handoff"}, HANDOFF),
    ({"outcome": "silent", "language": "en"}, SILENT),
    ({"outcome": "handoff"}, Observed("silent", with_human=True)),
    ({"contains": ("21 ROSES is", "euro. you")}, REPLY),
    ({"absent": ("54",)}, REPLY),
    ({"regex": (r"\b45\b", r"(?i)card\.$")}, REPLY),
    ({"language": "en"}, REPLY),
    ({"language": "es"}, Observed("reply", "Ramo de 21 rosas: 45 euros.")),
    ({"max_chars": len(REPLY.reply)}, REPLY),
    ({"tool": "note_gap"}, HANDOFF),
    ({"facts": "known"}, replace(REPLY, known=("21 roses: 45 euro",))),
    ({"facts": "known"}, SILENT),
    ({"outcome": "reply"}, Observed("reply", "Our team will be in the shop at 9: come in.")),
    ({}, Observed("reply", "A colleague will call you.")),
]
# What is expected, what is observed, and what the miss says was found.
MISSES: list[tuple[dict[str, Any], Observed, str]] = [
    ({"outcome": "handoff"}, REPLY, "reply"),
    ({"outcome": "silent"}, REPLY, "reply"),
    ({"outcome": "reply"}, SILENT, "silent"),
    ({"outcome": "handoff"}, SILENT, "silent"),
    ({"outcome": "handoff"}, Observed("reply", "Hello.", with_human=True), "reply"),
    ({"outcome": "reply"}, Observed("fail", "Sorry", error="the AI answered 401"), "answered 401"),
    ({"contains": ("Sorry",)}, Observed("fail", "Sorry", error="too late"), "too late"),
    ({"reason": "complaint"}, HANDOFF, "order"),
    ({"reason": "complaint"}, REPLY, "none"),
    ({"contains": ("45 euro", "99")}, REPLY, ""),
    ({"absent": ("roses  IS 45",)}, REPLY, ""),
    ({"regex": ("^You can",)}, REPLY, ""),
    ({"language": "es"}, REPLY, "en"),
    ({"language": "en"}, Observed("reply", "Wir liefern jeden Tag von neun Uhr an."), "recognised"),
    ({"max_chars": 20}, REPLY, str(len(REPLY.reply))),
    ({"facts": "known"}, REPLY, "45 euro"),
    ({"facts": "known"}, replace(REPLY, words=("I heard 45 euro",)), "45 euro"),
    ({"tool": "handoff"}, REPLY, "no tool"),
    ({"tool": "search_knowledge"}, HANDOFF, "note_gap, handoff"),
]
PROMISES = [
    "I do not know, but a colleague will answer you soon.",
    "Someone from our team will get back to you.",
    "No lo sé, pero un compañero le contestará pronto.",
    "Um colega responderá em breve.",
    "Наш менеджер скоро вам ответит.",
    "Bir arkadaşımız size kısa sürede yazacak.",
    "Rekan kami akan segera membalas.",
]


@pytest.mark.parametrize(("expected", "observed"), HOLDS)
def test_what_holds_is_no_miss(expected: dict[str, Any], observed: Observed) -> None:
    assert check(Expected(**expected), observed) == []


@pytest.mark.parametrize(("expected", "observed", "found"), MISSES)
def test_what_does_not_hold_is_named(
    expected: dict[str, Any], observed: Observed, found: str
) -> None:
    [miss] = check(Expected(**expected), observed)

    assert miss.key == ("outcome" if observed.outcome == "fail" else next(iter(expected)))
    assert found in miss.found


@pytest.mark.parametrize("reply", PROMISES)
def test_a_promise_by_words_alone_is_no_reply(reply: str) -> None:
    [answered] = check(Expected(outcome="reply"), Observed("reply", reply))
    [handed_over] = check(Expected(outcome="handoff"), Observed("reply", reply))

    assert "without a handoff" in answered.found
    assert "by words alone" in handed_over.found
    assert check(Expected(outcome="handoff"), Observed("handoff", reply)) == []


def test_all_that_does_not_hold_is_named_at_once() -> None:
    expected = Expected(outcome="handoff", contains=("99", "51"), max_chars=3)

    assert [one.key for one in check(expected, REPLY)] == [
        *("outcome", "contains", "contains", "max_chars"),
    ]


def test_a_pattern_that_would_take_years_is_a_miss() -> None:
    observed = Observed("reply", "a" * 60 + "!")

    [miss] = check(Expected(regex=(r"^(?:(?:a|a)|(?:a|aa))+$(?<=x)",)), observed)

    assert "not decided" in miss.found

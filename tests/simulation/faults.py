"""Faults put back into a copy of the rules, and the rule that each of them must be seen to break.

Each is one that the former version had, or that a slip would bring: one or two lines of source.
"""

from dataclasses import dataclass

from .heart import Change


@dataclass(frozen=True)
class Fault:
    """A fault: what it is called, the rules of which it breaks one, and its lines.

    Attributes:
        seed: A schedule that showed it once, tried first; any other one will do.
    """

    name: str
    breaks: tuple[str, ...]
    changes: tuple[Change, ...]
    seed: int = 0


FAULTS = (
    Fault(
        "the older Salesbots of a burst are let go before the customer was told",
        ("T2",),
        (
            Change(
                "Changes(turns=view.conversation.with_turn(begun), hold=hold)",
                "Changes(turns=view.conversation.with_turn(begun), hold=hold, messages=tuple("
                "replace(one, outcome=Outcome('skip', '', silent=True, source='silence'))"
                " for one in view.conversation.members(step.turn)[:-1]))",
            ),
        ),
        seed=6,
    ),
    Fault(
        "the deadline of a turn is that of its newest text",
        ("T5",),
        (
            Change("texts[0].at + rules.reply_deadline - margin",
                   "texts[-1].at + rules.reply_deadline - margin"),
            Change("return texts[0].at + rules.reply_deadline * JOIN_SHARE", "return NEVER"),
        ),
        seed=146,
    ),
    Fault(
        "every 403 is final",
        ("T1",),
        (Change("result.status in REFUSED and not result.blocked and",
                "result.status in REFUSED and"),),
        seed=12,
    ),
    Fault(
        "the right to ask for a text is taken before Kommo accepted the sentence",
        ("T2",),
        (
            Change(
                "turn = replace(step.turn, outcome=outcome)\n"
                "        return self.state.keep(Changes(",
                "turn = replace(step.turn, outcome=outcome)\n"
                "        return self.state.keep(Changes("
                "no_text_said=step.sentence == 'no_text', ",
            ),
        ),
        seed=8,
    ),
    Fault(
        "302, 408, 409, 423 and 425 are final",
        ("T1",),
        (Change("    if gone or refused:",
                "    if gone or refused or result.status in (302, 408, 409, 423, 425):"),),
        seed=4,
    ),
    Fault(
        "a 400 or 413 is final, the short sentence is not tried",
        ("T1",),
        (Change("    if gone or refused:",
                "    if gone or refused or result.status in ABOUT_THE_TEXT:"),),
        seed=33,
    ),
    Fault(
        "a pause is not looked at before fallbacks and handoffs",
        ("T4",),
        (
            Change("if conversation.paused or conversation.tagged or",
                   "if conversation.tagged or"),
            Change("unless_paused=not silent", "unless_paused=False"),
            Change("if not view.kept or view.conversation.paused:", "if not view.kept:"),
        ),
        seed=8,
    ),
    Fault(
        "a Salesbot that Kommo keeps refusing holds back the rest of its conversation",
        ("T5",),
        (Change("    return until if until > now else 0.0", "    return NEVER"),),
        seed=8,
    ),
    Fault(
        "what is too long for one question is let go with the rest",
        ("T2",),
        (
            Change('return "\\n".join(one.text or NOT_READABLE for one in texts)',
                   'return "\\n".join(one.text or NOT_READABLE for one in texts)[:9_000]'),
        ),
        seed=99,
    ),
    Fault(
        "newer texts take the reply back as often as they come",
        ("T6",),
        (
            Change("newer and not turn.final and turn.asked < MAX_QUESTIONS",
                   "newer and not turn.final"),
        ),
        seed=298,
    ),
    Fault(
        "a reply that may have arrived goes to another Salesbot",
        ("T3",),
        (Change("next((one for one in waiting if one.unknown_since is not None), None)",
                "None"),),
        seed=135,
    ),
    Fault(
        "a 404 after an unknown outcome is not read as success",
        ("T1", "T3"),
        (Change("(gone and was_unknown)", "False"),),
        seed=7,
    ),
    Fault(
        "a Salesbot is given up at its deadline without a last call",
        ("T1",),
        (Change("    return now >= _over_at(message, rules)",
                "    return now >= last_window(message, rules)[1]"),),
        seed=1019,
    ),
    Fault(
        "the others of a turn are asked about again after it was told",
        ("T3",),
        (Change("others = [one for one in members if one.waits and",
                "others = [one for one in members if False and one.waits and"),),
        seed=3,
    ),
    Fault(
        "newer texts join a turn whose reply may have arrived through a Salesbot that was given up",
        ("T3",),
        (Change("replace(turn, outcome=outcome, closed=True)", "replace(turn, outcome=outcome)"),),
        seed=315708,
    ),
    Fault(
        "a Salesbot that is gone when it is let go counts as never told",
        ("T2",),
        (Change("called = as_it_arrived(called, view.conversation.turns)", "pass"),),
        seed=602921,
    ),
    Fault(
        "the AI's time is not bounded by the reply deadline",
        ("T5",),
        (Change("return Ask(case.turn, case.last_moment - now)",
                "return Ask(case.turn, 100.0)"),),
        seed=334,
    ),
    Fault(
        "a hint is told to the customer",
        ("T4",),
        (Change('return rules.mode == "hint"', "return False"),),
    ),
    Fault(
        "staff are not told of a hint or a handoff",
        ("T2",),
        (Change("notice=notice_of(", "notice=None and notice_of("),),
    ),
    Fault(
        "whoever is no test is answered too",
        ("T4",),
        (Change('if integration.mode == "test" and not', "if not integration.mode and not"),),
    ),
)  # fmt: skip

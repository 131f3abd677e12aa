"""What must hold of a reply, checked without a model. Pure: the same reply always gets the same.

`criteria` are a judge's; see `judge`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import regex

from kommo_bridge.ai.facts_check import check as unfounded
from kommo_bridge.integrations.sentences import language_of
from kommo_bridge.scenarios.scenario import Expected, Observed

# A pattern may be of any shape: one that takes longer is a failure.
REGEX_SECONDS = 0.2
# Fewer words than this may be of any language: "Ramo de 21 rosas: 45 euros."
TELLING_WORDS = 6
WORD = regex.compile(r"[\p{L}]{2,}")
# A colleague who is announced by words alone, in the languages of our own sentences.
PROMISE = regex.compile(
    r"""(?xi)
    \b(?:colleague|manager|specialist|team|someone)\b.{0,25}?\b(?:will|is\sgoing\sto)\s+
        (?:\w+\s+)?(?:answer|contact|call|reply|write|confirm|get\sback|reach|help|check|be\sin\stouch)
    | \b(?:colega|compañer[oa]|alguien|alguém|equipo|equipe)\b.{0,25}?
        \b(?:responderá|contestará|llamará|contactará|escribirá|entrará|vai|irá|ligará)
    | \b(?:коллега|менеджер|сотрудник|специалист)\w*\b.{0,25}?
        \b(?:ответит|напишет|свяжется|позвонит|перезвонит)
    | \b(?:arkadaşımız|temsilcimiz|ekibimiz)\b.{0,40}?\b(?:\w*ecek|\w*acak)\b
    | \b(?:rekan|tim)\s+kami\b.{0,15}?\bakan\b
    """
)


@dataclass(frozen=True)
class Miss:
    """One thing that does not hold: the key, what was expected, and what was found instead."""

    key: str
    expected: str
    found: str = ""


def check(expected: Expected, observed: Observed) -> list[Miss]:
    """All that does not hold of a turn; empty when it is as it must be.

    A turn without a reply because the AI failed never holds, whatever was expected.
    """
    if observed.outcome == "fail":
        return [Miss("outcome", expected.outcome or "reply", f"no reply: {observed.error}")]
    return [miss for rule in RULES for miss in rule(expected, observed)]


def _outcome(expected: Expected, observed: Observed) -> Iterator[Miss]:
    if expected.outcome == "handoff" and observed.outcome == "silent" and observed.with_human:
        return  # it was handed over a turn earlier, which nobody would call wrong
    if expected.outcome and expected.outcome != observed.outcome:
        promised = observed.outcome == "reply" and PROMISE.search(observed.reply)
        only = ", which promises a colleague by words alone" if promised else ""
        yield Miss("outcome", expected.outcome, observed.outcome + only)
    elif expected.outcome == "reply" and PROMISE.search(observed.reply):
        yield Miss("outcome", "reply", "a promise that a colleague will answer, without a handoff")


def _reason(expected: Expected, observed: Observed) -> Iterator[Miss]:
    if expected.reason and expected.reason != observed.reason:
        yield Miss("reason", expected.reason, observed.reason or "none")


def _contains(expected: Expected, observed: Observed) -> Iterator[Miss]:
    reply = plain(observed.reply)
    for text in expected.contains:
        if plain(text) not in reply:
            yield Miss("contains", text)


def _absent(expected: Expected, observed: Observed) -> Iterator[Miss]:
    reply = plain(observed.reply)
    for text in expected.absent:
        if plain(text) in reply:
            yield Miss("absent", text)


def _regex(expected: Expected, observed: Observed) -> Iterator[Miss]:
    for pattern in expected.regex:
        try:
            if not regex.search(pattern, observed.reply, timeout=REGEX_SECONDS):
                yield Miss("regex", pattern)
        except TimeoutError:
            yield Miss("regex", pattern, f"not decided within {REGEX_SECONDS:g} s")


def _language(expected: Expected, observed: Observed) -> Iterator[Miss]:
    if not expected.language or observed.outcome == "silent":
        return
    found = language_of([observed.reply])
    telling = found or len(WORD.findall(observed.reply)) >= TELLING_WORDS
    if found != expected.language and telling:
        yield Miss("language", expected.language, found or "not recognised")


def _max_chars(expected: Expected, observed: Observed) -> Iterator[Miss]:
    if expected.max_chars and len(observed.reply) > expected.max_chars:
        yield Miss("max_chars", f"at most {expected.max_chars}", f"{len(observed.reply)}")


def _facts(expected: Expected, observed: Observed) -> Iterator[Miss]:
    if expected.facts:
        for one in unfounded(observed.reply, observed.known, observed.words):
            yield Miss("facts", f"a {one.kind} that is known", one.text)


def _tool(expected: Expected, observed: Observed) -> Iterator[Miss]:
    if expected.tool and expected.tool not in observed.tools:
        yield Miss("tool", expected.tool, ", ".join(observed.tools) or "no tool")


def plain(text: str) -> str:
    """Without case, and with single spaces."""
    return " ".join(text.casefold().split())


RULES: tuple[Callable[[Expected, Observed], Iterator[Miss]], ...] = (
    _outcome,
    _reason,
    _contains,
    _absent,
    _regex,
    _language,
    _max_chars,
    _facts,
    _tool,
)

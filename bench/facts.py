"""The facts check on hand-made replies in six languages: false alarms, misses, microseconds.

    python bench/facts.py

`facts_replies.toml` holds what six businesses have said, and replies to their customers: sound
ones, and ones in which something is invented.
"""

import sys
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from kommo_bridge.ai.facts_check import Unfounded, check

BOOK = 80_000  # characters: about the 20,000 tokens that stand in a prompt
REPLIES = Path(__file__).with_name("facts_replies.toml")


class Case(NamedTuple):
    """One reply; `invented` is the kind of what is invented in it, empty when it is sound."""

    language: str
    said: str
    customer: str
    reply: str
    invented: str

    def found(self) -> list[Unfounded]:
        """What the check finds."""
        return check(self.reply, [self.said], [self.customer])


def cases() -> list[Case]:
    """All of them."""
    businesses = tomllib.loads(REPLIES.read_text(encoding="utf-8"))
    return [
        Case(language, one["said"], customer, reply, "".join(kind))
        for language, one in businesses.items()
        for customer, reply, *kind in one["sound"] + one["invented"]
    ]


def main() -> None:
    """Print the figures, and each reply that was judged wrongly."""
    all_cases = cases()
    sound = [case for case in all_cases if not case.invented]
    invented = [case for case in all_cases if case.invented]
    alarms = [case for case in sound if case.found()]
    misses = [case for case in invented if case.invented not in {f.kind for f in case.found()}]
    for name, wrong, among in (("false alarms", alarms, sound), ("missed", misses, invented)):
        print(f"{name}: {len(wrong)} of {len(among)} ({len(wrong) / len(among):.1%})")
        for case in wrong:
            told = ", ".join(f"{one.kind} {one.text!r}" for one in case.found())
            print(f"  {case.language}: {case.customer!r} -> {case.reply!r} {told}")
    started = time.process_time()
    for case in all_cases:
        case.found()
    each = (time.process_time() - started) / len(all_cases)
    print(f"{each * 1e6:.0f} microseconds of processor a reply")
    book = "\n".join(case.said for case in all_cases)[:BOOK]
    started = time.process_time()
    check("A flat white is £3.20.", [book], [])
    first, started = time.process_time() - started, time.process_time()
    check("A flat white is £3.20.", [book], [])
    again = time.process_time() - started
    print(f"{BOOK} characters: {first * 1e3:.0f} ms the first time, then {again * 1e3:.1f} ms")


if __name__ == "__main__":
    main()

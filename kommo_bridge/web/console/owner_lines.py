"""The doctor's findings for an owner: what they can mend themselves, in their words."""

from collections.abc import Iterable
from dataclasses import dataclass

from kommo_bridge.monitoring.check import State

RANK: tuple[State, ...] = ("ok", "warning", "fault")
TELL = "Tell the person who runs the bridge."
MAKE_ANEW = (
    "Let an administrator of your Kommo account make a new long-lived token (Settings, "
    "Integrations, your integration, Keys and scopes), and give it to the person who runs the "
    "bridge."
)


@dataclass(frozen=True)
class Line:
    """One line: how it is, what it is about, and what to do when it is not well."""

    state: State
    title: str
    advice: str = ""


# The findings that an owner can do something about; all others are about the bridge itself.
KNOWN = {
    "integration": ("The assistant is switched on", TELL),
    "access token": ("Kommo lets the assistant answer", MAKE_ANEW),
    "token expiry": ("It may answer for long enough", MAKE_ANEW),
    "rights": ("It has the rights of an administrator", MAKE_ANEW),
    "account": ("It is connected with this account", MAKE_ANEW),
    "widget": (
        "The first message has come from your bot",
        "Put the widget's block into a bot, save it twice, and write to your business from another "
        "phone.",
    ),
    "AI": ("The AI replies", TELL),
}
BRIDGE = "The bridge itself works"


def owner_lines(findings: Iterable[tuple[str, State]]) -> list[Line]:
    """Subject and state of each finding -> one line a matter, the worst state of each."""
    worst: dict[str, State] = {}
    for subject, state in findings:
        matter = subject if subject in KNOWN else BRIDGE
        if RANK.index(state) >= RANK.index(worst.get(matter, "ok")):
            worst[matter] = state
    lines = []
    for matter, state in worst.items():
        title, advice = KNOWN.get(matter, (BRIDGE, TELL))
        lines.append(Line(state, title, "" if state == "ok" else advice))
    return lines

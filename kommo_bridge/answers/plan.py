"""The rules of a turn: one picture of a conversation in, one step out.

    plan(conversation, now) -> Ask | Say | LookUp | Send | LetGo | Part | GiveUp | Close | Wait

Where to find each rule:

* a pause is checked first and last .............. `plan`; `calls._begin`, before a word leaves
* the AI is asked at once ........................ `words.find_words`
* the reply is held, a newer text takes it back .. `_hold`
* a reply that was paid for is kept meanwhile .... `steps._ask`
* the turn's deadline is its oldest text's ....... `words._too_late`, `turns.last_moment`
* the newest Salesbot first ...................... `_send` and `turns.target_of`
* one that is gone (404) hands the reply on ...... `calls._ended`
* `skip` only after the customer was told ........ `_let_go`, marked in `calls._accepted`
* an unknown outcome keeps its own Salesbot ...... `_send`; after the deadline alone: `_part`
* a failed call holds the next turn back for 15 s  `turns.holds_back_until`
* and then gives way to the next one's deadline .. `turns.gives_way`
* a sentence of ours instead of the AI's ......... the functions of `words.RULES`
* hints; who is answered in a test ............... `modes.leaves_as`; `modes.silenced`
* a handoff begins; while a human has it ......... `calls._accepted`; `_leave_to_the_human`
* hand-made bots and persons of one lead ......... `turns._joined`; `view` shows one person alone
* a Salesbot is given up ......................... `turns.is_over`

No I/O and no clock: `steps` reads the picture, carries out the step and plans again.
"""

from collections.abc import Sequence

from kommo_bridge.answers.conversation import (
    SILENT_HANDOFF,
    SKIP,
    Conversation,
    Message,
    Turn,
)
from kommo_bridge.answers.step import (
    Ask,
    Close,
    GiveUp,
    LetGo,
    LookUp,
    Part,
    Send,
    Step,
    Wait,
)
from kommo_bridge.answers.turns import (
    MAX_QUESTIONS,
    gives_way,
    growing,
    holds_back_until,
    is_over,
    joins_until,
    last_minute_first,
    last_moment,
    next_call_at,
    quiet_until,
    soonest,
    target_of,
    turns_of,
    with_newer,
)
from kommo_bridge.answers.words import find_words


def plan(conversation: Conversation, now: float) -> Step:
    """The next step in a conversation; `now` in seconds since the epoch, by Redis' clock."""
    if conversation.paused or conversation.tagged or conversation.rules.silent:
        return _leave_to_the_human(conversation, now)
    turns = last_minute_first(conversation, turns_of(conversation), now)
    waits: list[float] = []
    for place, turn in enumerate(turns, start=1):
        step = _carry_on(conversation, turn, now)
        until = holds_back_until(turn, conversation.rules, now)
        if isinstance(step, Send) and not until and gives_way(conversation, turns, turn, now):
            continue
        if not isinstance(step, Wait):
            return step
        waits.append(step.seconds or 0.0)
        if until:
            matters = place < len(turns) or len(turn.job_ids) > 1  # what follows, or `_part`
            waits += [until - now] if matters else []
            break
    step = _let_go(conversation, now)
    if not isinstance(step, Wait):
        return step
    waits += [] if step.seconds is None else [step.seconds]
    return Wait(max(0.0, min(waits)) if waits else None)


def _carry_on(conversation: Conversation, turn: Turn, now: float) -> Step:
    """The next step of one turn."""
    waiting = _waiting(conversation.members(turn))
    if not waiting:
        return Close(turn)
    over = next((one for one in waiting if is_over(one, conversation.rules, now)), None)
    if over:
        return GiveUp(over.job_id)
    if turn.outcome is None:
        return find_words(conversation, turn, now)
    return (
        _hold(conversation, turn, now)
        or _part(conversation, turn, now)
        or _send(conversation, turn, now)
    )


def _hold(conversation: Conversation, turn: Turn, now: float) -> Step | None:
    """Hold a reply until the customer is quiet; for a newer text the AI is asked again.

    Not while a call with the reply may have arrived, not more than twice, and not when asking
    cannot help. A sentence of ours costs nothing and is simply chosen again. None: send it now.
    """
    if _unknown(conversation, turn):
        return None
    members, rules = conversation.members(turn), conversation.rules
    texts = with_newer(conversation, turn) if now < joins_until(members, rules) else members
    newer = len(texts) > len(members)
    if turn.outcome and turn.outcome.source != "ai":
        return find_words(conversation, turn, now) if newer else None
    quiet = quiet_until(texts, rules)
    if quiet > now:
        return Wait(quiet - now)
    again = newer and not turn.final and turn.asked < MAX_QUESTIONS
    return Ask(growing(turn, texts), last_moment(texts, rules) - now) if again else None


def _part(conversation: Conversation, turn: Turn, now: float) -> Step | None:
    """Split a turn: a Salesbot whose result stays unknown keeps the reply, but once the customer
    has waited for the whole reply deadline, the others of its turn go on without it."""
    members, rules = conversation.members(turn), conversation.rules
    unknown = _unknown(conversation, turn)
    if not unknown or len(_waiting(members)) == 1 or now < last_moment(members, rules):
        return None
    return None if holds_back_until(turn, rules, now) else Part(turn, unknown.job_id)


def _send(conversation: Conversation, turn: Turn, now: float) -> Step:
    """Send to the newest Salesbot that waits, or to the one whose result is unknown."""
    rules, waiting = conversation.rules, _waiting(conversation.members(turn))
    target = _unknown(conversation, turn) or target_of(waiting, rules, now)
    if target.next_at > now:
        return Wait(next_call_at(target, waiting, rules, now) - now)
    if rules.looks_up_tag and conversation.tagged is None:
        return LookUp()
    return Send(target.job_id, turn)


def _leave_to_the_human(conversation: Conversation, now: float) -> Step:
    """A human has the conversation: every Salesbot is continued without a word."""
    waiting = [one for one in conversation.messages if one.waits]
    for one in waiting:
        if is_over(one, conversation.rules, now):
            return GiveUp(one.job_id)
        if one.next_at <= now:
            return LetGo(one.job_id, SKIP if one.own else SILENT_HANDOFF)
    if conversation.turns and not waiting:
        return Close(conversation.turns[0])
    return Wait(soonest(waiting, conversation.rules, now))


def _let_go(conversation: Conversation, now: float) -> Step:
    """Continue those without a word whose customer has the reply, or a human."""
    waiting = [one for one in conversation.messages if one.waits and one.let_go]
    for one in waiting:
        if is_over(one, conversation.rules, now):
            return GiveUp(one.job_id)
        if one.next_at <= now and one.outcome:
            return LetGo(one.job_id, one.outcome)
    return Wait(soonest(waiting, conversation.rules, now))


def _waiting(members: Sequence[Message]) -> list[Message]:
    """The messages whose Salesbots still wait for a reply."""
    return [one for one in members if one.waits and not one.let_go]


def _unknown(conversation: Conversation, turn: Turn) -> Message | None:
    """The Salesbot that may have got the turn's reply already."""
    waiting = _waiting(conversation.members(turn))
    return next((one for one in waiting if one.unknown_since is not None), None)

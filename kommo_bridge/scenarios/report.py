"""What came of the runs, for people and for machines. Pure: runs in, lines or plain types out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from kommo_bridge.conversations.money import MILLIONTHS, shown
from kommo_bridge.scenarios.checks import Miss
from kommo_bridge.scenarios.run import Difference, Run, by_trial
from kommo_bridge.scenarios.scenario import Observed

# Zero failures in n runs: with 95 % confidence no more than about 3/n fail ("rule of three").
RULE_OF_THREE = 3
MAX_SHOWN = 600


def rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """The table: a row for each scenario, a column for each label; `k of n` held."""
    held: dict[str, dict[str, str]] = {}
    labels: dict[str, None] = {}
    for trial, own in by_trial(runs):
        count = sum(one.held for one in own)
        text = f"{count} of {len(own)}" + ("" if count == len(own) else "  FAILED")
        held.setdefault(trial.scenario.id, {})[trial.label] = text
        labels[trial.label] = None
    header = ("SCENARIO", *(label or "HELD" for label in labels))
    listed = [(id_, *(one.get(name, "-") for name in labels)) for id_, one in held.items()]
    return [header, *listed, *(_costs(runs, list(labels)) if len(labels) > 1 else ())]


def _costs(runs: Sequence[Run], labels: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """What the labels that are compared took: tokens in all, seconds for one conversation."""
    own = [[one for one in runs if one.trial.label == label] for label in labels]
    yield ("(tokens)", *(f"{sum(one.tokens for one in these):,}" for these in own))
    yield ("(seconds each)", *(f"{fmean(one.seconds for one in these):.1f}" for these in own))


def rows_of_integrations(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """The table of an agency: a row for each integration and label."""
    held: dict[tuple[str, str], list[str]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for trial, own in by_trial(runs):
        key = (trial.integration.subdomain, trial.label)
        failed = held.setdefault(key, [])
        counts[key] += 1
        if not all(one.held for one in own):
            failed.append(trial.scenario.id)
    header = ("INTEGRATION", "MODEL", "HELD", "FAILED")
    return [
        header,
        *(
            (
                name,
                label or "-",
                f"{counts[name, label] - len(failed)} of {counts[name, label]}",
                ", ".join(failed) or "-",
            )
            for (name, label), failed in held.items()
        ),
    ]


def differences(runs: Sequence[Run]) -> Iterator[str]:
    """The first reply of each trial that is not as it must be, against what was expected."""
    several = len({one.trial.integration.subdomain for one in runs}) > 1
    for trial, own in by_trial(runs):
        failed = next((one for one in own if one.difference), None)
        if failed is None or failed.difference is None:
            continue
        named = (trial.integration.subdomain if several else "", trial.label)
        label = "".join(f", {one}" for one in named if one)
        yield ""
        yield f"{trial.scenario.id}{label}, run {failed.number}, turn {failed.difference.turn}"
        yield from _turn(failed.difference)


def summary(runs: Sequence[Run], seconds: float) -> Iterator[str]:
    """How much it took, and how sure one may be."""
    trials = list(by_trial(runs))
    good = sum(all(one.held for one in own) for _, own in trials)
    tokens = sum(one.tokens for one in runs)
    yield f"{good} of {len(trials)} scenarios held in every run."
    yield ", ".join([f"{tokens:,} tokens", *_money(runs), f"{seconds:.1f} s."])
    yield confidence(len(runs), sum(not one.held for one in runs))


def _money(runs: Sequence[Run]) -> Iterator[str]:
    """What the tokens cost, in each currency; nothing where there are no prices."""
    paid: Counter[str] = Counter()
    for one in runs:
        paid[one.trial.integration.currency] += one.money
    yield from (shown(amount, currency) for currency, amount in paid.items() if amount)


def confidence(count: int, failed: int) -> str:
    """What so many runs prove."""
    if failed:
        return f"{failed} of {count} runs failed."
    share = min(1.0, RULE_OF_THREE / count)
    return f"None of {count} runs failed: up to {share:.0%} of them may still fail (95 % sure)."


def as_json(runs: Sequence[Run], seconds: float) -> dict[str, Any]:
    """The same for machines; `seconds` is how long it took in all."""
    return {
        "held": all(one.held for one in runs),
        "runs": len(runs),
        "failed": sum(not one.held for one in runs),
        "tokens": sum(one.tokens for one in runs),
        "seconds": round(seconds, 3),
        "scenarios": [
            {
                "id": trial.scenario.id,
                "integration": trial.integration.subdomain,
                "label": trial.label,
                "held": sum(one.held for one in own),
                "runs": [run_as_json(one) for one in own],
            }
            for trial, own in by_trial(runs)
        ],
    }


def run_as_json(run: Run) -> dict[str, Any]:
    """One run, with the turn at which it ended where something did not hold."""
    found: dict[str, Any] = {
        "number": run.number,
        "held": run.held,
        "tokens": run.tokens,
        "seconds": round(run.seconds, 3),
        "money": run.money / MILLIONTHS,
    }
    if run.difference:
        found["difference"] = {
            "turn": run.difference.turn,
            "customer": run.difference.customer,
            "observed": _observed(run.difference.observed),
            "misses": [vars(one) for one in run.difference.misses],
        }
    return found


def _observed(observed: Observed) -> dict[str, Any]:
    """Without what the assistant knows, which is long and the same for all."""
    return {name: one for name, one in vars(observed).items() if name not in ("known", "words")}


def _turn(difference: Difference) -> Iterator[str]:
    said = difference.observed.reply or f"({difference.observed.error or 'says nothing'})"
    yield from block("customer", difference.customer)
    yield from block("assistant", f"[{difference.observed.outcome}] {said}")
    for miss in difference.misses:
        yield from block("expected", _sentence(miss))


def _sentence(miss: Miss) -> str:
    text = f"{miss.key}: {miss.expected}"
    return f"{text}; it was {miss.found}" if miss.found else text


def block(name: str, text: str) -> Iterator[str]:
    """A text beside its name, not too long; its further lines stand below."""
    shown = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + " ..."
    first, *more = shown.split("\n")
    yield f"  {name:<10} {first}"
    for line in more:
        yield f"  {'':<10} {line}"

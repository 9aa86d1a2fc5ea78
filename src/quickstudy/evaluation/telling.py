"""Scores of numbers and of several labels in plain words."""

from __future__ import annotations

from collections.abc import Mapping

from quickstudy.evaluation.intervals import Estimate
from quickstudy.evaluation.multilabel import LabelScores
from quickstudy.evaluation.regression import NumberScores
from quickstudy.evaluation.words import figure, fraction, percent

_NAMED = 6  # numbers told of one by one


def sentence_numbers(
    scores: NumberScores, *, one: str, many: str, units: Mapping[str, str] | None = None
) -> list[str]:
    """Say the scores in plain words: how far off, R2, and how far off the average would be."""
    on = f"on {scores.n:,} {one if scores.n == 1 else many}"
    unit = {name: f" {u}" for name, u in (units or {}).items() if u}
    if len(scores.targets) == 1:
        single, after = scores.per_target[0], unit.get(scores.targets[0], "")
        low, high = single.mae.interval
        sure = f"95 % sure: {figure(low)} to {figure(high)}"
        said = f"Off by {figure(single.mae.value)}{after} on average {on} ({sure}); "
        return [
            said + (_r2(single.r2, "") if single.r2 else "no R2, as the truth never varies") + ".",
            f"Guessing the average would be off by {figure(single.guess_mae)}{after}.",
        ]
    lines = [f"No R2 {on}: the truth never varies."]
    if scores.main is not None:
        told = _r2(scores.main, f" on average over {len(scores.targets):,} numbers {on}")
        lines = [f"{told}.".replace(" (", " (95 % sure: ")]
    for name, each in list(zip(scores.targets, scores.per_target, strict=True))[:_NAMED]:
        off, guess = figure(each.mae.value), figure(each.guess_mae)
        after = unit.get(name, "")
        lines.append(
            f"'{name}': off by {off}{after} on average; guessing its average: {guess}{after}."
        )
    if len(scores.targets) > _NAMED:
        lines.append(f"The report has the other {len(scores.targets) - _NAMED:,}.")
    return lines


def _r2(found: Estimate, where: str) -> str:
    low, high = found.interval
    return f"R2 {fraction(found.value)}{where} ({fraction(low)} to {fraction(high)})"


def sentence_labels(scores: LabelScores, *, one: str, many: str) -> list[str]:
    """Say the scores in plain words: mean average precision, all right, guess, weakest label."""
    on = f"on {scores.n:,} {one if scores.n == 1 else many}"
    if scores.main is None or scores.main_of_guess is None:
        return [f"No example {on} carries a label: only those it gave wrongly can be counted."]
    low, high = scores.main.interval
    said = [
        f"Mean average precision {percent(scores.main.value)} % {on} "
        f"(95 % sure: {percent(low)} to {percent(high)} %).",
        f"Every label right on {percent(scores.exact.value)} % of them"
        + (f"; F1 {percent(scores.micro_f1.value)} %." if scores.micro_f1 else "."),
        f"Guessing by how common each label is would score {percent(scores.main_of_guess)} %.",
    ]
    known = [
        (each.average_precision.value, name, each.n)
        for name, each in zip(scores.labels, scores.per_label, strict=True)
        if each.average_precision
    ]
    value, name, n = min(known)
    if len(known) > 1 and value < 1:
        said.append(f"Weakest label: '{name}' (average precision {percent(value)} %, n = {n:,}).")
    return said

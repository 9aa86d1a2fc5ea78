"""The pieces of a script about what is asked: what is true, what is taught, answers, the score."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from quickstudy.script.told import Told
from quickstudy.script.writing import filled, number

WIDTH = 100

_SCORE = {
    "classification": """
    right = int(($answers(examples).argmax(1) == labels).sum())
    print(f"{right} of {len(labels)} right: {right / len(labels):.1%}; the run: $run %")
""",
    "multilabel": """
    given, there = $answers(examples) >= $threshold, labels > 0.5  # the threshold that suited val
    f1 = 2 * (given & there).sum().item() / max(1, (given.sum() + there.sum()).item())
    print(f"F1 {f1:.3f} over all labels of {len(labels)} examples; the run: $run")
""",
    "regression": """
    error = $answers(examples) - labels
    r2 = 1 - error.square().mean(0) / (labels - labels.mean(0)).square().mean(0)
    print(f"Off by {error.abs().mean():.4g} on average; R2 {r2.mean():.4f}; the run: $run")
""",
}


def constants(told: Told) -> str:
    """Return the lines that name what is asked."""
    if told.asks == "classification":
        return f"CLASSES = {_named(told)}"
    if told.asks == "multilabel":
        return f"LABELS = {_named(told)}"
    mean, std = (told.task.get(key) or () for key in ("mean", "std"))
    if not mean:
        return ""
    what = ", ".join(told.classes)
    pair = f"[[{_numbers(mean)}], [{_numbers(std)}]]"
    line = f"USUAL, SPAN = torch.tensor({pair}, dtype=torch.float64)"
    comment = f"  # of {what}"
    if len(line + comment) <= WIDTH and what.isprintable():
        return line + comment
    return textwrap.fill(line, WIDTH, subsequent_indent="    ")


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.12g}" for value in values)


def _named(told: Told) -> str:
    """Return the classes as a list; many are read from the model instead."""
    names = json.dumps(list(told.classes), ensure_ascii=False)
    if len(f"CLASSES = {names}") <= WIDTH and names.isprintable():
        return names
    kept = '["task"]["outputs"]' if "task" in told.model else '["classes"]'
    return f'json.loads((RUN / "model" / "model.json").read_bytes()){kept}'


def truth(told: Told) -> str:
    """Return the line that takes what is true from `rows`, indented for a function."""
    if told.asks == "classification":
        return ""
    found = {
        "multilabel": '[float(name in row["label"].split(";")) for name in LABELS] for row in rows',
        "regression": '[float(number) for number in row["label"].split(";")] for row in rows',
    }
    return f"    labels = [{found[told.asks]}]"


def true(told: Told) -> str:
    """Return what is true as a tensor, as code; but for classes behind the line of `truth`."""
    if told.asks == "classification":
        return 'torch.tensor([CLASSES.index(row["label"]) for row in rows])'
    exact = ", dtype=torch.float64" if told.asks == "regression" else ""
    return f"torch.tensor(labels{exact})"


def words(told: Told) -> str:
    """Return what `truth` is, in words."""
    return {
        "classification": "their classes N",
        "multilabel": f"1 for each label there, N {len(told.classes)}",
        "regression": f"their numbers N {len(told.classes)}",
    }[told.asks]


def target(told: Told) -> str:
    """Return what the picked examples are taught, as code: ``N K`` where the network computes."""
    if told.asks == "classification":
        return f"F.one_hot(labels[picked], {len(told.classes)}).float().to(DEVICE)"
    if told.asks == "multilabel":
        return "labels[picked].to(DEVICE)"
    if not told.task.get("mean"):
        return "labels[picked].float().to(DEVICE)"
    return "((labels[picked] - USUAL) / SPAN).float().to(DEVICE)"


def function(told: Told) -> str:
    """Return the name of what answers."""
    return "numbers" if told.asks == "regression" else "probabilities"


def shares(told: Told, scores: str) -> str:
    """Return the answer to scores as code: a probability for each, or numbers on their scale."""
    cooled = f"({scores}{told.cooled})" if told.cooled else scores
    return {
        "classification": f"{cooled}.softmax(-1)",
        "multilabel": f"{cooled}.sigmoid()",
        "regression": scores,
    }[told.asks]


def scaled(told: Told, answers: str) -> str:
    """Return numbers in their own units, as code; other answers as they are."""
    if told.asks != "regression" or not told.task.get("mean"):
        return answers
    return f"{answers}.double() * SPAN + USUAL"


def score(told: Told) -> str:
    """Return the lines that say how good it is."""
    test = told.report["test"]
    if told.asks == "classification":
        run = number(100 * test["accuracy"])
    elif told.asks == "multilabel":
        run = number(test["micro_f1"]["value"]) if test.get("micro_f1") else "none"
    else:
        run = f"R2 {test['r2']['value']:.4f}" if test.get("r2") else "no R2"
    threshold = number(told.task.get("threshold", 0.5))
    return filled(_SCORE[told.asks], {}, run=run, answers=function(told), threshold=threshold)

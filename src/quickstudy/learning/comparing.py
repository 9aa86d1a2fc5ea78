"""Two runs on the test examples that both were asked about: which model is better?"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy import evaluation, kinds
from quickstudy.errors import ChoiceError, ExampleError
from quickstudy.evaluation import Compared
from quickstudy.kinds import NOUNS
from quickstudy.kinds.image.decode import MAX_PIXELS
from quickstudy.learning.answers import Answers, read_answers
from quickstudy.learning.examples import DECODED, NAME, TOLD

FEWEST = 10  # examples in common: fewer tell nothing
_SHOWN = 12  # of each side
_SAME_SEED = "Learn both with the same --seed from the same source, or give both the same --test."


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs compared: by numbers, in a sentence, and by the examples where they differ."""

    found: Compared
    sentence: str
    facts: dict[str, Any]
    """What the page and ``--json`` tell; the page also has `examples` to look at."""


@dataclass(frozen=True, eq=False)
class _Matched:
    """Test examples that two runs have in common: their places in the one and in the other."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    tested: int
    """In both tests, those learnt from and those labelled otherwise as well."""
    learnt: int
    relabelled: int


def compare(first: str | Path, second: str | Path) -> Comparison:
    """Compare two runs on the test examples of the same content that neither has learnt from.

    Raises `RunError` for a folder without a run that kept its answers, `ChoiceError` for runs that
    were asked different things or have too few test examples in common.
    """
    one, two = read_answers(Path(first)), read_answers(Path(second))
    two = _in_the_same_order(one, two)
    matched = _matched(one, two)
    _refuse_few(one, two, matched)
    truth = one.truth[matched.first]
    sides = one.answers[matched.first], two.answers[matched.second]
    found = evaluation.compared(one.task.name, truth, *sides)
    names = _short_names(one.folder, two.folder)
    sentence = _sentence(found, names, NOUNS[one.kind])
    facts = {
        "runs": {"first": _about(one, names[0]), "second": _about(two, names[1])},
        "kind": one.kind,
        "classes": list(one.task.outputs),
        "tested": [len(one.names), len(two.names)],
        "common": matched.tested,
        "learnt_from": matched.learnt,
        "labelled_otherwise": matched.relabelled,
        **found.as_dict(),
        "sentence": sentence,
    }
    return Comparison(found, sentence, {**facts, "examples": _examples(one, two, matched, truth)})


def _in_the_same_order(one: Answers, two: Answers) -> Answers:
    """Return the second run's answers with its classes in the order of the first's.

    Raises `ChoiceError` where the two runs answer different questions.
    """
    if (one.kind, one.task.name) != (two.kind, two.task.name):
        said = [f"{run.task.name} of {NOUNS[run.kind][1]}" for run in (one, two)]
        raise ChoiceError(
            f"These runs answer different questions: {said[0]}, and {said[1]}.",
            "Compare two runs on the same examples.",
        )
    ours, theirs = one.task.outputs, two.task.outputs
    if set(ours) != set(theirs):
        odd = sorted(set(ours) ^ set(theirs))
        named = ", ".join(repr(name) for name in odd[:5]) + (", ..." if len(odd) > 5 else "")
        raise ChoiceError(
            f"These runs know different {_WHAT[one.task.name]}: only one of them has {named}.",
            "Compare two runs that learnt the same ones.",
        )
    if ours == theirs:
        return two
    place = [theirs.index(name) for name in ours]
    truth = (
        np.argsort(place)[two.truth] if one.task.name == "classification" else two.truth[:, place]
    )
    return Answers(
        *(two.folder, two.kind, one.task, two.source, two.names, two.digests, truth),
        *(two.answers[:, place], two.learnt, two.recurs),
    )


_WHAT = {"classification": "classes", "multilabel": "labels", "regression": "numbers"}


def _matched(one: Answers, two: Answers) -> _Matched:
    """Match test examples by content; of equal ones the first of the one with that of the other."""
    keys = [_numbered(run.digests) for run in (one, two)]
    there = {key: place for place, key in enumerate(keys[1])}
    pairs = np.array(
        [(place, there[key]) for place, key in enumerate(keys[0]) if key in there], np.int64
    ).reshape(-1, 2)
    content = one.digests[pairs[:, 0]]
    learnt = np.isin(content, one.learnt) | np.isin(content, two.learnt)
    if one.recurs and two.recurs:
        learnt[:] = False  # of few cases, which recur, every one is learnt from
    truths = one.truth[pairs[:, 0]], two.truth[pairs[:, 1]]
    other = truths[0] != truths[1]
    other = other.any(1) if other.ndim > 1 else other
    fair = pairs[~learnt & ~other]
    relabelled = int((other & ~learnt).sum())
    return _Matched(fair[:, 0], fair[:, 1], len(pairs), int(learnt.sum()), relabelled)


def _numbered(digests: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Return (content, how many times it came before) of each example."""
    seen: dict[int, int] = {}
    found = []
    for digest in digests.tolist():
        seen[digest] = seen.get(digest, -1) + 1
        found.append((digest, seen[digest]))
    return found


def _refuse_few(one: Answers, two: Answers, matched: _Matched) -> None:
    n, many = len(matched.first), NOUNS[one.kind][1]
    if n >= FEWEST:
        return
    learnt = f", {matched.learnt:,} of which one of them has learnt from" if matched.learnt else ""
    if matched.tested == 0:
        crossed = int(
            np.isin(one.digests, two.learnt).sum() + np.isin(two.digests, one.learnt).sum()
        )
        why = f"; {crossed:,} that one was tested on, the other has learnt from" if crossed else ""
        raise ChoiceError(f"These runs have no test {many} in common{why}.", _SAME_SEED)
    other = ""
    if matched.relabelled:
        other = f", {matched.relabelled:,} of which are labelled otherwise in the other run"
    raise ChoiceError(
        f"These runs have {matched.tested:,} test {many} in common{learnt}{other}: "
        f"{n:,} are left to compare on, and it takes {FEWEST} at least.",
        _SAME_SEED,
    )


def _short_names(first: Path, second: Path) -> tuple[str, str]:
    """Return what to call two runs: the last parts of their folders that tell them apart."""
    parts = [folder.absolute().parts for folder in (first, second)]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if names[0] != names[1]:
            return names[0], names[1]
    return f"{parts[0][-1]} (first)", f"{parts[1][-1]} (second)"


def _about(run: Answers, name: str) -> dict[str, Any]:
    return {"name": name, "folder": str(run.folder), "source": run.source}


def _score(metric: str, value: float) -> str:
    if metric == "R2":
        return f"R2 {evaluation.fraction(value)}"
    return f"{evaluation.percent(value)} %" + (" mAP" if metric == "mAP" else "")


def _sentence(found: Compared, names: tuple[str, str], words: tuple[str, str]) -> str:
    """Return which is better, by how much, how sure that is; where unsure what it would take."""
    of_numbers, many = found.metric == "R2", words[1]

    def signed(value: float) -> str:
        return f"{value:+.3f}" if of_numbers else f"{100 * value:+.1f}"

    low, high = found.difference.interval
    unit = "" if of_numbers else " points"
    test = "exact McNemar" if found.task == "classification" else "swapped at random"
    p = f"p = {found.p:.2g}" if found.p >= 0.001 else "p < 0.001"
    first, second = (_score(found.metric, each.value) for each in (found.first, found.second))
    sure = (
        f"difference {signed(found.difference.value)}{unit}, 95 % sure: {signed(low)} to "
        f"{signed(high)}; {test} {p}"
    )
    both = f"{second} against {first} of {names[0]}, on the same {found.n:,} {many} ({sure})."
    if found.verdict != "unclear":
        return f"{names[1]} is {found.verdict}: {both}"
    sought = f"{found.sought:.2g}" if of_numbers else f"{100 * found.sought:.1f} points"
    seen = abs(found.difference.value) >= found.sought
    what = f"the difference of {sought} seen here" if seen else f"a difference of {sought}"
    more = f"To show {what} it would take about {_rounded(found.needed):,} test {many}."
    return f"Cannot tell whether {names[1]} is better: {both} {more}"


def _rounded(n: int) -> int:
    step: int = 10 ** max(0, len(str(n)) - 2)
    return -(-n // step) * step


def _examples(one: Answers, two: Answers, matched: _Matched, truth: Any) -> list[dict[str, Any]]:
    """Return the examples where the two differ the most, each with what both said, to look at."""
    task, first, second = one.task, one.answers[matched.first], two.answers[matched.second]
    gain = _gains(task.name, truth, first, second)
    better, worse = np.argsort(-gain, kind="stable"), np.argsort(gain, kind="stable")
    shown = [("second", i) for i in better[:_SHOWN].tolist() if gain[i] > 0]
    shown += [("first", i) for i in worse[:_SHOWN].tolist() if gain[i] < 0]
    looks = _looks(two, [int(matched.second[i]) for _, i in shown])
    told = []
    for (side, i), look in zip(shown, looks, strict=True):
        said = [task.mistake(truth[i], each[i]) for each in (first, second)]
        answers = [{k: v for k, v in one.items() if k != "true"} for one in said]
        name = two.names[int(matched.second[i])]
        beside = {"true": said[0]["true"], "first": answers[0], "second": answers[1]}
        told.append({"better": side, "name": name, **beside, **look})
    return told


def _gains(task: str, truth: Any, first: Any, second: Any) -> NDArray[np.float64]:
    """Return how much better the second is at each example, ``N``: 0 where they do not differ."""
    if task == "classification":
        rows = np.arange(len(truth))
        right = [(each.argmax(1) == truth).astype(np.float64) for each in (first, second)]
        sure = np.abs(second[rows, truth] - first[rows, truth])
        found: NDArray[np.float64] = (right[1] - right[0]) * (1 + sure)
        return found
    scale = 1.0 if task == "multilabel" else np.where(truth.std(0) > 0, truth.std(0), 1.0)
    off = [np.abs((each - truth) / scale).mean(1) for each in (first, second)]
    gained: NDArray[np.float64] = off[0] - off[1]
    return gained


def _looks(run: Answers, places: Sequence[int]) -> list[dict[str, str | None]]:
    """Return examples of a run's test as data URIs, nothing of those that have gone since."""
    nothing: dict[str, str | None] = {"picture": None, "sound": None}
    lines, columns = _listed(run.folder)
    memory = _Memory(run.folder, run.kind)
    found = []
    for place in places:
        name = run.names[place]
        number, line = lines.get(name, (-1, {}))
        raw: Any = Path(line["path"]) if line.get("path") else memory.raw(number)
        if run.kind == "table" and columns and number >= 0:
            raw = tuple(line[column] for column in columns)
        try:
            look = nothing if raw is None else kinds.shown(run.kind, raw, MAX_PIXELS, columns)
        except (ExampleError, OSError):
            look = nothing
        found.append(look)
    return found


def _listed(folder: Path) -> tuple[dict[str, tuple[int, dict[str, str]]], tuple[str, ...]]:
    """Return the lines of `examples.csv` by name with their numbers, and a table's columns."""
    file = folder / NAME
    if not file.is_file():
        return {}, ()
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as text:
        reader = csv.DictReader(text)
        columns = tuple(name for name in reader.fieldnames or () if name not in TOLD)
        return {line["name"]: (number, line) for number, line in enumerate(reader)}, columns


class _Memory:
    """Examples given in memory, which a run keeps as they were decoded."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._pieces: NDArray[Any] | None = None
        if kind == "image" and (folder / DECODED).is_file():
            with np.load(folder / DECODED, allow_pickle=False) as arrays:
                self._pieces = arrays["examples"]

    def raw(self, number: int) -> NDArray[Any] | None:
        """Return the picture of a line of `examples.csv`; None where it was not kept."""
        if self._pieces is None or not 0 <= number < len(self._pieces):
            return None
        found: NDArray[Any] = self._pieces[number]
        return found

"""The model card: README.md of a model's folder, for people and for model hubs.

Filled from the facts of the run, and from nothing else: of the user's computer it names no folder,
of the examples no file. After Mitchell et al., 2019, arXiv 1810.03993.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quickstudy.report import words
from quickstudy.report.files import plain
from quickstudy.report.markup import text
from quickstudy.report.metadata import front_matter, last_part, source_name
from quickstudy.report.reading import (
    Report,
    ends,
    main,
    matrix,
    number,
    pairs,
    part,
    records,
    rows,
    task,
    tested,
)
from quickstudy.report.verdict import cautions, headline, on_new

_MOST = 100  # classes that are named, and columns
_WEAK = 5  # classes that it does worst on
_LISTED = 30  # classes whose examples are counted one by one
_FILES = {"image": "photo.jpg", "sound": "recording.wav", "table": "rows.csv"}
_SAYS = {
    "classification": "It tells {n} classes apart: {names}.",
    "multilabel": "It says which of {n} labels an example has: {names}.",
    "regression": "It gives {n} numbers: {names}.",
}
_USE = """```sh
quickstudy predict . {file}
quickstudy explain . {file}
```

```python
import quickstudy

model = quickstudy.load(".")
print(model.predict("{file}"))
```
"""


def card(facts: Mapping[str, Any]) -> str:
    """Return the card of a run that `facts`, as `report.json` holds them, tell of."""
    facts = plain(facts)
    made = (
        f"---\n{front_matter(facts)}---\n",
        f"# {_plain(facts.get('title') or 'A model')}\n",
        f"{_lead(facts)}\n",
        _section("What it knows", _knows(facts)),
        _section("How good it is", _good(facts)),
        _section("Where it is weak", _weak(facts)),
        _section("How far to believe it", _believed(facts)),
        _section("What it learnt from", _learnt_from(facts)),
        _section("How it was learnt", _learnt(facts)),
        _section("Use it", iter([_use(facts)])),
        _section("Limits", _limits(facts)),
        _section("Licence", _licence(facts)),
    )
    return "\n".join(one for one in made if one).replace(words.NBSP, " ")


def _section(title: str, inside: Iterator[str]) -> str:
    lines = [line for line in inside if line]
    return "\n".join([f"## {title}\n", *lines]).strip() + "\n" if lines else ""


def _plain(value: Any) -> str:
    """Return text that no Markdown reader takes for markup.

    >>> _plain("a_b <i>"), _plain("x|y")
    ('a\\\\_b &lt;i&gt;', 'x\\\\|y')
    """
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", text(value))


def _table(head: Sequence[str], body: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def _lead(facts: Report) -> str:
    many = words.noun(facts)
    return f"{headline(facts)}. A model for {many}, made by Quickstudy; all here is from its run."


def _knows(facts: Report) -> Iterator[str]:
    names = [str(name) for name in rows(part(facts, "data"), "classes")]
    if not names:
        return
    listed = ", ".join(map(_plain, names[:_MOST]))
    more = f" and {len(names) - _MOST:,} more, in model.json" if len(names) > _MOST else ""
    said = _SAYS[task(facts)].format(n=f"{len(names):,}", names=listed + more)
    yield said.replace("1 numbers", "one number")
    columns = [
        str(one.get("name"))
        for one in records(part(part(facts, "data"), "sizes"), "columns")
        if one.get("type") != "left out"
    ]
    if columns:
        more = f" and {len(columns) - _MOST:,} more" if len(columns) > _MOST else ""
        listed = ", ".join(map(_plain, columns[:_MOST]))
        yield f"\nA row needs the columns: {listed}{more}."


def _good(facts: Report) -> Iterator[str]:
    test = part(facts, "test")
    if not tested(facts):
        yield "It was not tested: nothing is known of how good it is."
        return
    found = [(name, *one) for name, one in _scores(facts)]
    n = words.examples(facts, test.get("n"))
    yield f"On {n} that it never saw; the test steered nothing.\n"
    yield _table(("score", "value", "95 % interval", "a guess"), found)
    new = on_new(facts)
    if new:
        yield f"{new}."
    rival = part(test, "trees").get("sentence")
    if rival:
        yield f"\n{_plain(rival)}"


def _scores(facts: Report) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Yield the name of each score, and its value, its interval, and what a guess gets."""
    test, found = part(facts, "test"), main(facts)
    base = part(test, "baseline")
    if task(facts) == "regression":
        if found is not None:
            guess = words.fraction(found.guess)
            yield "R²", (words.fraction(found.value), words.fraction_span(found.interval), guess)
        for name, one in part(test, "targets").items():
            mae = part(one, "mae")
            guess = words.plain(part(one, "baseline").get("mae"))
            value = words.plain(mae.get("value")), words.plain_span(mae.get("interval"))
            yield f"{_plain(name)}: off by, on average", (*value, guess)
        return
    if found is not None:
        name = "mean average precision" if task(facts) == "multilabel" else "accuracy"
        value = words.percent(found.value), words.span(found.interval)
        yield name, (*value, words.percent(found.guess))
    names = {"balanced_accuracy": "mean recall over classes", "micro_f1": "micro F1"}
    for key, name in (names | {"macro_f1": "macro F1", "exact": "every label right"}).items():
        one = part(test, key)
        if number(one.get("value")) is not None:
            value = words.percent(one["value"]), words.span(one.get("interval"))
            yield name, (*value, words.percent(base.get(key)))


def _weak(facts: Report) -> Iterator[str]:
    """Yield the classes that it finds least, and what it takes for what."""
    test = part(facts, "test")
    of = part(test, "per_class") or part(test, "per_label")
    found = [
        (recall, name, part(of, name))
        for name in of
        if (recall := number(part(of, name).get("recall"))) is not None
    ]
    found.sort(key=lambda one: (one[0], one[1]))
    if len(found) > 1:
        body = [
            (
                _plain(name),
                words.percent(recall),
                words.span(one.get("recall_interval")),
                words.percent(one.get("precision")),
                words.count(one.get("n")),
            )
            for recall, name, one in found[:_WEAK]
        ]
        head = ("found least", "found", "95 % interval", "right when said", "in the test")
        yield _table(head, body)
    names = [str(name) for name in rows(part(facts, "data"), "classes")]
    mixed = pairs(matrix(test)) if len(matrix(test)) == len(names) else []
    if mixed:
        n, true, said = mixed[0]
        both = f"{_plain(names[true])} taken for {_plain(names[said])}"
        yield f"Most often mistaken: {both}, {n:,} time{'s' * (n > 1)}."


def _believed(facts: Report) -> Iterator[str]:
    told = part(facts, "calibration")
    ece = part(part(told, "reliability"), "ece")
    if number(ece.get("value")) is not None:
        span = words.span(ece.get("interval"))
        yield (
            f"- Its probabilities are off by {words.percent(ece['value'])} on average (expected "
            f"calibration error on the test; 95 % sure: {span})."
        )
    for one in records(part(told, "sets"), "measured"):
        share = part(one, "share")
        if number(share.get("value")) is None:
            continue
        asked, held = words.percent(one.get("promised"), short=True), words.percent(share["value"])
        what = "ranges" if task(facts) == "regression" else "sets of answers"
        of = f" of {_plain(one['name'])}" if one.get("name") else ""
        yield (
            f"- Asked for {what}{of} that hold the truth {asked} of the time "
            f"(`coverage={one.get('promised')}`), they held it {held} of the time on the test "
            f"(95 % sure: {words.span(share.get('interval'))})."
            + ("" if one.get("possible", True) else " Too few were held out: they hold everything.")
        )
    yield from _unknown(facts)


def _unknown(facts: Report) -> Iterator[str]:
    told = part(part(facts, "calibration"), "unknown")
    if told.get("why"):
        yield f"- It cannot say `unknown` of what is unlike all it learnt from: {told['why']}."
    test = part(told, "test")
    refused, answered = part(test, "refused"), part(test, "answered")
    if number(refused.get("value")) is None:
        return
    said = words.percent(refused["value"]), words.span(refused.get("interval"))
    yield (
        "- It says `unknown` of what is like nothing it has learnt from: of the test, which it "
        f"should know, of {said[0]} (95 % sure: {said[1]})."
    )
    if number(answered.get("value")) is not None:
        yield f"- Of the others it answered {words.percent(answered['value'])} correctly."


def _learnt_from(facts: Report) -> Iterator[str]:
    data = part(facts, "data")
    counts, whole = part(data, "counts"), part(data, "examples")
    yield f"From `{source_name(facts).replace('`', ' ')}`, divided into:\n"
    parts = ("train", "val", "test")
    body = [["all", *(words.count(whole.get(name)) for name in parts)]]
    names = [str(name) for name in rows(data, "classes")]
    if task(facts) != "regression" and len(names) <= _LISTED:
        for name in names:
            body.append([_plain(name), *(words.count(part(counts, p).get(name)) for p in parts)])
    yield _table((words.noun(facts), "learnt from", "steered by", "tested on"), body)
    twins = part(data, "duplicates")
    if both := int(number(twins.get("identical")) or 0) + int(number(twins.get("near")) or 0):
        yield f"- {words.examples(facts, both)} are the same as another, or nearly."
    for key, said in (("left_out", "could not be used"), ("remarks", "are odd, but were used")):
        if n := len(rows(data, key)):
            yield f"- {words.examples(facts, n)} {said}."
    if n := sum(one.get("left_out") is True for one in records(data, "suspects")):
        yield f"- {words.examples(facts, n)} were not learnt from: their labels are probably wrong."


def _learnt(facts: Report) -> Iterator[str]:
    recipe, network, machine = (part(facts, key) for key in ("recipe", "network", "hardware"))
    name = last_part(str(network.get("name") or "")) or "unnamed"
    size = words.count(network.get("parameters"))
    yield f"- Network: {_plain(name)}, {size} parameters."
    start = part(recipe, "network.weights").get("value")
    if start and start != "none":
        yield f"- It began with the trained weights `{last_part(str(start))}`."
    else:
        yield "- It began from scratch, without trained weights."
    spent = number(part(facts, "seconds").get("total"))
    budget = f", of {words.clock(facts['budget'])} given" if number(facts.get("budget")) else ""
    if spent is not None:
        yield f"- Time: {words.clock(spent)} in all{budget}."
    if machine:
        cores = words.count(machine.get("cores"))
        on = machine.get("gpu") or machine.get("processor")
        yield f"- Computer: {_plain(on)}, {cores} cores; trained on {machine.get('device')}."
    seed = part(recipe, "seed").get("value")
    made = words.moment(facts.get("made"))
    versions = part(facts, "versions")
    listed = ", ".join(
        f"{one} {versions[one]}" for one in ("quickstudy", "torch") if one in versions
    )
    yield f"- Made {made} with {listed or 'Quickstudy'}; seed {seed}."
    status = str(part(facts, "outcome").get("status"))
    if status in ("interrupted", "stopped"):
        yield f"- The run was {status} before its time was up."


def _use(facts: Report) -> str:
    file = _FILES.get(str(part(facts, "data").get("kind")), "photo.jpg")
    said = _USE.format(file=file)
    if part(part(facts, "calibration"), "sets"):
        said = said.replace(
            f'print(model.predict("{file}"))\n',
            f'print(model.predict("{file}"))\nprint(model.predict("{file}", coverage=0.95))\n',
        )
    script = "As one plain PyTorch file, with the run's folder at hand: `quickstudy script RUN`."
    return f"In this folder:\n\n{said}\n{script}"


def _limits(facts: Report) -> Iterator[str]:
    one = words.noun(facts, 1)
    if task(facts) == "classification":
        yield f"- It answers with one of its classes, also of a {one} of anything else."
    elif task(facts) == "multilabel":
        yield "- It knows its own labels only; it says nothing of any other."
    else:
        yield f"- Shown a {one} of anything else, it gives a number all the same."
    found = main(facts)
    if found is not None and ends(found.interval) is not None:
        n = words.examples(facts, part(facts, "test").get("n"))
        yield f"- How good it is rests on {n}: on others, from elsewhere, it may do worse."
    for line in cautions(facts):
        yield f"- {_plain(line)}"
    leaks = number(part(part(facts, "data"), "duplicates").get("leaks"))
    if leaks:
        n = words.examples(facts, leaks)
        yield f"- {n} of the test are also among those learnt from: the score flatters."


def _licence(facts: Report) -> Iterator[str]:
    yield "None is named here: who made the model names one, as `license` at the top of this file."
    start = part(part(facts, "recipe"), "network.weights").get("value")
    if start and start != "none":
        yield "That of the weights it began with, and of the examples, may bind it."

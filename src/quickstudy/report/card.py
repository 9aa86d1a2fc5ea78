"""The model card: README.md of a model's folder, for people and for model hubs.

Filled from the facts of the run, and from nothing else: of the user's computer it names no folder,
of the examples no file. After Mitchell et al., 2019, arXiv 1810.03993.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quickstudy.report import words
from quickstudy.report.files import plain
from quickstudy.report.markdown import code, plain_text, section, table
from quickstudy.report.metadata import front_matter, last_part, source_name
from quickstudy.report.proven import believed, good, weak
from quickstudy.report.reading import Report, ends, main, number, part, records, rows, task
from quickstudy.report.verdict import cautions, headline

_MOST = 100  # classes that are named, and columns
_LISTED = 30  # classes whose examples are counted one by one
_FILES = {"image": "photo.jpg", "sound": "recording.wav", "table": "rows.csv"}
_SAYS = {
    "classification": "It tells {n} classes apart: {names}.",
    "multilabel": "It says which of {n} labels an example has: {names}.",
    "regression": "It gives {n} numbers: {names}.",
}
_ONE = "It gives one number: {names}."
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
        f"# {plain_text(facts.get('title') or 'A model')}\n",
        f"{_lead(facts)}\n",
        section("What it knows", _knows(facts)),
        section("How good it is", good(facts)),
        section("Where it is weak", weak(facts)),
        section("How far to believe it", believed(facts)),
        section("What it learnt from", _learnt_from(facts)),
        section("How it was learnt", _learnt(facts)),
        section("Use it", iter([_use(facts)])),
        section("Limits", _limits(facts)),
        section("Licence", _licence(facts)),
    )
    return "\n".join(one for one in made if one).replace(words.NBSP, " ")


def _lead(facts: Report) -> str:
    many = words.noun(facts)
    return f"{headline(facts)}. A model for {many}, made by Quickstudy; all here is from its run."


def _knows(facts: Report) -> Iterator[str]:
    names = [str(name) for name in rows(part(facts, "data"), "classes")]
    if not names:
        return
    listed = ", ".join(map(plain_text, names[:_MOST]))
    more = f" and {len(names) - _MOST:,} more, in model.json" if len(names) > _MOST else ""
    said = _ONE if len(names) == 1 and task(facts) == "regression" else _SAYS[task(facts)]
    yield said.format(n=f"{len(names):,}", names=listed + more)
    columns = [
        str(one.get("name"))
        for one in records(part(part(facts, "data"), "sizes"), "columns")
        if one.get("type") != "left out"
    ]
    if columns:
        more = f" and {len(columns) - _MOST:,} more" if len(columns) > _MOST else ""
        listed = ", ".join(map(plain_text, columns[:_MOST]))
        yield f"\nA row needs the columns: {listed}{more}."


def _learnt_from(facts: Report) -> Iterator[str]:
    data = part(facts, "data")
    counts, whole = part(data, "counts"), part(data, "examples")
    yield f"From {code(source_name(facts))}, divided into:\n"
    parts = ("train", "val", "test")
    body = [["all", *(words.count(whole.get(name)) for name in parts)]]
    names = [str(name) for name in rows(data, "classes")]
    if task(facts) != "regression" and len(names) <= _LISTED:
        for name in names:
            body.append(
                [plain_text(name), *(words.count(part(counts, p).get(name)) for p in parts)]
            )
    yield table((words.noun(facts), "learnt from", "steered by", "tested on"), body)
    twins = part(data, "duplicates")
    if both := int(number(twins.get("identical")) or 0) + int(number(twins.get("near")) or 0):
        yield f"- The same as another, or nearly: {words.examples(facts, both)}."
    for key, said in (("left_out", "Could not be used"), ("remarks", "Odd, but used")):
        if n := len(rows(data, key)):
            yield f"- {said}: {words.examples(facts, n)}."
    out = sum(one.get("left_out") is True for one in records(data, "suspects"))  # of 200 at most
    if n := int(number(part(data, "doubts").get("left_out")) or out):
        yield f"- Not learnt from, as the labels are probably wrong: {words.examples(facts, n)}."


def _learnt(facts: Report) -> Iterator[str]:
    recipe, network, machine = (part(facts, key) for key in ("recipe", "network", "hardware"))
    name = last_part(str(network.get("name") or "")) or "unnamed"
    size = words.count(network.get("parameters"))
    yield f"- Network: {code(name)}, {size} parameters."
    start = part(recipe, "network.weights").get("value")
    if start and start != "none":
        yield f"- It began with the trained weights {code(last_part(str(start)))}."
    else:
        yield "- It began from scratch, without trained weights."
    spent = number(part(facts, "seconds").get("total"))
    budget = f", of {words.clock(facts['budget'])} given" if number(facts.get("budget")) else ""
    if spent is not None:
        yield f"- Time: {words.clock(spent)} in all{budget}."
    if machine:
        cores = words.count(machine.get("cores"))
        on = machine.get("gpu") or machine.get("processor")
        yield f"- Computer: {plain_text(on)}, {cores} cores; trained on {machine.get('device')}."
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


def _unlike(facts: Report) -> Report:
    return part(part(facts, "calibration"), "unknown")


def _limits(facts: Report) -> Iterator[str]:
    one = words.noun(facts, 1)
    unless = ", unless it says `unknown`" if part(_unlike(facts), "test") else ""
    if task(facts) == "classification":
        yield f"- It answers with one of its classes, also of a {one} of anything else{unless}."
    elif task(facts) == "multilabel":
        yield "- It knows its own labels only; it says nothing of any other."
    else:
        yield f"- Shown a {one} of anything else, it gives a number all the same{unless}."
    found = main(facts)
    if found is not None and ends(found.interval) is not None:
        n = words.examples(facts, part(facts, "test").get("n"))
        yield f"- How good it is rests on {n}: on others, from elsewhere, it may do worse."
    rival = plain_text(part(part(facts, "test"), "trees").get("sentence"))  # told with the scores
    for line in map(plain_text, cautions(facts)):
        if line.replace("R²", "R2") != rival:
            yield f"- {line}"
    more = part(facts, "data_curve").get("sentence")
    if more:
        yield f"- {plain_text(str(more).replace('R2', 'R²'))}"
    leaks = number(part(part(facts, "data"), "duplicates").get("leaks"))
    if leaks:
        n = words.examples(facts, leaks)
        yield f"- Of the test, {n} also among those learnt from: the score flatters."


def _licence(facts: Report) -> Iterator[str]:
    yield "None is named here: who made the model names one, as `license` at the top of this file."
    start = part(part(facts, "recipe"), "network.weights").get("value")
    if start and start != "none":
        yield "That of the weights it began with, and of the examples, may bind it."

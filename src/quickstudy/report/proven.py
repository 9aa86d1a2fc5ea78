"""What a model card says was measured: scores, weak spots, calibration, what is unknown."""

from __future__ import annotations

from collections.abc import Iterator

from quickstudy.report import words
from quickstudy.report.markdown import plain_text, table
from quickstudy.report.reading import (
    Report,
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
from quickstudy.report.verdict import on_new

_WEAK = 5  # classes that it does worst on


def good(facts: Report) -> Iterator[str]:
    """Yield the scores with their intervals, and what a guess gets."""
    test = part(facts, "test")
    if not tested(facts):
        yield "It was not tested: nothing is known of how good it is."
        return
    found = [(name, *one) for name, one in _scores(facts)]
    n = words.examples(facts, test.get("n"))
    yield f"On {n} that it never saw; the test steered nothing.\n"
    yield table(("score", "value", "95 % interval", "a guess"), found)
    new = on_new(facts)
    if new:
        yield f"{new}.\n"
    rival = part(test, "trees").get("sentence")
    if rival:
        yield plain_text(rival)


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
            yield f"{plain_text(name)}: off by, on average", (*value, guess)
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


def weak(facts: Report) -> Iterator[str]:
    """Yield the classes that it finds least, and what it takes for what."""
    test = part(facts, "test")
    of = part(test, "per_class") or part(test, "per_label")
    found = [
        (recall, name, part(of, name))
        for name in of
        if (recall := number(part(of, name).get("recall"))) is not None
    ]
    found.sort(key=lambda one: (one[0], one[1]))
    if len(found) > _WEAK:
        found = [one for one in found[:_WEAK] if one[0] < 1]
    if len(found) > 1 or (found and found[0][0] < 1):
        body = [
            (
                plain_text(name),
                words.percent(recall),
                words.span(one.get("recall_interval")),
                words.percent(one.get("precision")),
                words.count(one.get("n")),
            )
            for recall, name, one in found
        ]
        head = ("found least", "found", "95 % interval", "right when said", "in the test")
        yield table(head, body)
    names = [str(name) for name in rows(part(facts, "data"), "classes")]
    mixed = pairs(matrix(test)) if len(matrix(test)) == len(names) else []
    if mixed:
        n, true, said = mixed[0]
        both = f"{plain_text(names[true])} taken for {plain_text(names[said])}"
        yield f"Most often mistaken: {both}, {n:,} time{'s' * (n > 1)}."
    yield from _worst_slice(part(part(test, "slices"), "worst"), part(test, "slices"))


def _worst_slice(worst: Report, told: Report) -> Iterator[str]:
    """Yield where it does worse; a group may be a person, and is not named."""
    sentence = str(told.get("sentence") or "")
    if not worst or not sentence:
        return
    if worst.get("by") == "group":
        called = f"group '{worst.get('name')}'"
        sentence = sentence.replace(called, "one of the groups") if called in sentence else ""
    if sentence:
        yield f"\n{plain_text(sentence)}"


def believed(facts: Report) -> Iterator[str]:
    """Yield how far its probabilities, its promises, and its `unknown` hold."""
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
        asked, held = words.percent(one.get("asked"), short=True), words.percent(share["value"])
        what = "ranges" if task(facts) == "regression" else "sets of answers"
        of = f" of {plain_text(one['name'])}" if one.get("name") else ""
        at_least = words.percent(one.get("promised"), short=True)
        more = f" and promising {at_least}" if number(one.get("promised")) is not None else ""
        yield (
            f"- Asked for {what}{of} that hold the truth {asked} of the time "
            f"(`coverage={one.get('asked')}`){more}, they held it {held} of the time on the test "
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
        "- It says `unknown` of what is like nothing it has learnt from. Of the test, which it "
        f"should know, that was {said[0]} (95 % sure: {said[1]})."
    )
    if number(answered.get("value")) is not None:
        yield f"- Of the others it answered {words.percent(answered['value'])} correctly."

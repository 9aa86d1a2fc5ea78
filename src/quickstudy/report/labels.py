"""Several labels at once: the verdict in words, and label by label."""

from __future__ import annotations

from quickstudy.report import words
from quickstudy.report.markup import Html, join, long_table, section, table, tag
from quickstudy.report.reading import Report, ends, main, number, part, rows
from quickstudy.report.scores import bar

_OTHERS = (
    ("exact", "Every label right", "share of the examples without any fault"),
    ("micro_f1", "Micro F1", "precision and recall in balance, every label given or missed alike"),
    ("macro_f1", "Macro F1", "mean of F1 over labels: every label counts the same"),
    ("log_loss", "Log loss", "how far the probabilities are off; 0 is perfect"),
)


def headline(report: Report) -> str:
    """Return the mean average precision, and how sure that is."""
    test, found = part(report, "test"), main(report)
    on = words.examples(report, test.get("n"))
    if found is None:
        return f"No label to be found on {on} it never saw"
    sure = words.sure(found.interval)
    return f"Mean average precision {words.percent(found.value)} on {on} it never saw{sure}"


def sentences(report: Report) -> list[str]:
    """Return how often every label is right, what a guess would score, and the weakest label."""
    test, found, said = part(report, "test"), main(report), []
    exact, f1 = (number(part(test, key).get("value")) for key in ("exact", "micro_f1"))
    if exact is not None:
        also = f"; F1 {words.percent(f1)}" if f1 is not None else ""
        said.append(f"Every label is right on {words.percent(exact)} of them{also}.")
    if found is not None and found.guess is not None:
        score = words.percent(found.guess, short=True)
        said.append(f"Guessing by how common each label is would score {score}.")
    per = part(test, "per_label")
    known = [
        (value, name)
        for name in per
        if (value := number(part(part(per, name), "average_precision").get("value"))) is not None
    ]
    if len(known) > 1 and min(known)[0] < 1:
        value, name = min(known)
        n = words.count(part(per, name).get("n"))
        ap = words.percent(value)
        said.append(f"Weakest label: “{name}”, average precision {ap} (n = {n}).")
    return said


def by_label(report: Report) -> Html:
    """Return the scores of every label, lowest average precision first, and the other scores."""
    test = part(report, "test")
    per = part(test, "per_label")

    def worst(name: str) -> tuple[float, str]:
        ap = number(part(part(per, name), "average_precision").get("value"))
        return (2.0 if ap is None else ap, name)

    body = []
    for name in sorted(per, key=worst):
        one = part(per, name)
        bars = [
            bar(part(one, key).get("value"), part(one, key).get("interval"))
            for key in ("average_precision", "f1")
        ]
        shares = [_share(one, key) for key in ("recall", "precision")]
        guess = words.percent(one.get("baseline"))
        body.append((name, *bars, *shares, guess, words.count(one.get("n"))))
    head = ("Label", "Average precision", "F1", "Recall", "Precision", "Guess", "n")
    lead = (
        "Average precision: how well it puts the examples with this label before those without, "
        "whatever the threshold; a guess scores the share that has the label. F1 balances recall "
        "and precision of the labels it gives. Shaded: 95 % intervals. Worst first."
    )
    listed = long_table("Label by label", head, body, "The other {n} labels", numeric=(3, 4, 5, 6))
    return section(
        "labels",
        "Label by label",
        *((tag("p", lead), listed) if body else ()),
        _others(test),
    )


def _share(one: Report, key: str) -> Html:
    """Return a share with its interval below it."""
    value, interval = words.percent(one.get(key)), one.get(f"{key}_interval")
    if number(one.get(key)) is None or not ends(interval):
        return join([value])
    return join([value, tag("br"), tag("small", words.span(interval), class_="muted")])


def _others(test: Report) -> Html | None:
    """Return the other scores, each beside that of the best constant answer."""
    baseline, body = part(test, "baseline"), []
    for key, title, meaning in _OTHERS:
        one = part(test, key)
        if number(one.get("value")) is None:
            continue
        named = join([title, tag("br"), tag("small", meaning, class_="muted")])
        share = key != "log_loss"
        interval = ends(one.get("interval"))
        said = words.span(interval)
        if not share:
            said = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else words.NONE
        guess = number(baseline.get(key))
        value, constant = (
            words.percent(v) if share else words.NONE if v is None else f"{v:.3f}"
            for v in (number(one.get("value")), guess)
        )
        body.append((named, value, said, constant))
    if not body:
        return None
    given = [str(name) for name in rows(baseline, "labels")]
    names = ", ".join(f"“{name}”" for name in given[:6]) + (" and more" if len(given) > 6 else "")
    note = f"The constant answer that scores best on what it learnt from: {names or 'no label'}."
    head = ("Score", "Value", "95 % interval", "Guess")
    return join(
        [
            table("Other scores", head, body, numeric=(1, 2, 3), class_="wordy"),
            tag("p", note, class_="muted"),
        ]
    )

"""Numbers: the verdict in words, number by number, predicted against true."""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.report import words
from quickstudy.report.markup import Html, join, long_table, section, tag
from quickstudy.report.plots import against, histogram
from quickstudy.report.reading import Report, ends, main, number, part, rows

_DRAWN = 6  # numbers that get a picture


def headline(report: Report) -> str:
    """Return how far off it is, or of several numbers R², and how sure that is."""
    test, found = part(report, "test"), main(report)
    targets, on = part(test, "targets"), words.examples(report, test.get("n"))
    if len(targets) == 1:
        mae = part(part(targets, next(iter(targets))), "mae")
        sure = words.sure(mae.get("interval"), words.plain_span)
        return f"Off by {words.plain(mae.get('value'))} on average on {on} it never saw{sure}"
    if found is None:
        return f"No R² on {on} it never saw"
    over = f" on average over {len(targets):,} numbers," if targets else ""
    sure = words.sure(found.interval, words.fraction_span)
    return f"R²{words.NBSP}{words.fraction(found.value)}{over} on {on} it never saw{sure}"


def sentences(report: Report) -> list[str]:
    """Return R², and how far off the average would be."""
    test, found = part(report, "test"), main(report)
    targets = part(test, "targets")
    said = []
    if found is None:
        said.append("There is no R²: the true numbers of the test never vary.")
    elif len(targets) == 1:
        sure = words.sure(found.interval, words.fraction_span)
        meaning = "1 would be perfect, 0 is what the average scores."
        said.append(f"R²{words.NBSP}{words.fraction(found.value)}{sure}: {meaning}")
    if len(targets) == 1:
        guess = part(part(targets, next(iter(targets))), "baseline").get("mae")
        if number(guess) is not None:
            said.append(f"Guessing the average would be off by {words.plain(guess)}.")
    elif found is not None and found.guess is not None:
        scores = f"R²{words.NBSP}{words.fraction(found.guess)}"
        said.append(f"Guessing the averages would score {scores}; 1 would be perfect.")
    return said


def by_number(report: Report) -> Html:
    """Return the scores of every number, worst R² first, with a picture of the first ones."""
    test = part(report, "test")
    targets = part(test, "targets")

    def worst(name: str) -> tuple[float, str]:
        r2 = number(part(part(targets, name), "r2").get("value"))
        return (2.0 if r2 is None else r2, name)

    names = sorted(targets, key=worst)
    if not names:
        return Html()
    body = [(name, *_scores(part(targets, name))) for name in names]
    head = ("Number", "R²", "Off by, mean", "Median", "RMSE", "Guess off by")
    lead = (
        "Off by: how far the answers are from the truth, without the sign; half of them are "
        "closer than the median. RMSE: large errors count more. Guess: always the average of what "
        "it learnt from. Below each score its 95 % interval."
    )
    pictures = [picture for name in names[:_DRAWN] for picture in _pictures(report, name)]
    rest = f"The {_DRAWN} with the lowest R² are drawn." if len(names) > _DRAWN else None
    listed = long_table(
        "Number by number", head, body, "The other {n} numbers", numeric=range(1, 6)
    )
    title = "Number by number" if len(names) > 1 else "How far off"
    drawn = tag("div", *pictures, class_="charts") if pictures else None
    said = tag("p", rest) if rest and pictures else None
    return section("numbers", title, tag("p", lead), listed, said, drawn)


def _scores(one: Report) -> list[Html]:
    """Return the cells of one number."""

    def cell(key: str, value: str, span: str) -> Html:
        below = [tag("br"), tag("small", span, class_="muted")]
        return join([tag("b", value), *(below if ends(part(one, key).get("interval")) else ())])

    r2 = part(one, "r2")
    between = words.fraction_span(r2.get("interval"))
    cells = [cell("r2", words.fraction(r2.get("value")), between)]
    for key in ("mae", "median", "rmse"):
        found = part(one, key)
        said = words.plain(found.get("value"))
        cells.append(cell(key, said, words.plain_span(found.get("interval"))))
    return [*cells, join([words.plain(part(one, "baseline").get("mae"))])]


def _pictures(report: Report, name: str) -> Sequence[Html]:
    """Return predicted against true, and the errors, as far as the report holds them."""
    test = part(report, "test")
    one = part(part(test, "targets"), name)
    pairs = [pair for found in rows(one, "points") if (pair := ends(found)) is not None]
    n = int(number(test.get("n")) or len(pairs))
    drawn = [against(name, pairs, n, words.noun(report, n))] if pairs else []
    errors = part(one, "errors")
    edges = [value for found in rows(errors, "edges") if (value := number(found)) is not None]
    counts = [value for found in rows(errors, "counts") if (value := number(found)) is not None]
    if counts and len(edges) == len(counts) + 1 and edges[0] < edges[-1]:
        below, above = (int(number(errors.get(key)) or 0) for key in ("below", "above"))
        drawn.append(histogram(name, edges, counts, (below, above)))
    return drawn

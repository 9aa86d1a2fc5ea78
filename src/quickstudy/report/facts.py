"""What went in and what it took: choices, data, time, computer, versions, the command."""

from __future__ import annotations

from typing import Any

from quickstudy.report import words
from quickstudy.report.markup import Html, join, long_table, section, table, tag, text
from quickstudy.report.reading import Report, number, part, records, rows, task

_YOURS = "you set it"
#: Stages in their order -> the colour of each; what makes a model believable shares one.
_STAGES = {
    **{"start": 0, "look": 1, "plan": 2, "decode": 3, "check": 4, "race": 9, "train": 5},
    "doubt": 4,
    **{"know": 4, "evaluate": 6, "data curve": 4, "rehearse": 7, "save": 8},
}
_SAID = {
    "check": "check the data",
    "race": "race recipes",
    "doubt": "doubt the labels",
    "know": "learn what is unknown",
    "data curve": "learn from less data",
}


def choices(report: Report) -> Html:
    """Return every choice with its value and its reason, grouped by the word before the dot."""
    recipe = part(report, "recipe")
    yours = sum(1 for key in recipe if _is_yours(part(recipe, key)))
    rooms: dict[str, list[str]] = {}
    for key in recipe:
        room = key.partition(".")[0] if "." in key else "the run"
        rooms.setdefault(room, []).append(key)
    groups = []
    for prefix, keys in rooms.items():
        body = []
        for key in keys:
            one = part(recipe, key)
            why = text(str(one.get("why") or "").strip())
            if _is_yours(one):
                why = join([tag("b", why[: len(_YOURS)], class_="badge"), Html(why[len(_YOURS) :])])
            value = tag("b", words.setting(one.get("value")))
            body.append((tag("code", key), value, why))
        listed = table(f"Choices: {prefix}", ("Choice", "Value", "Why"), body, class_="choices")
        groups.append(tag("div", tag("h3", prefix), listed))
    lead = f"{len(recipe):,} choices; {yours:,} of them yours, marked “{_YOURS}”."
    if not groups:
        return Html()
    return section("choices", "Every choice and its reason", tag("p", lead), *groups)


def _is_yours(choice: Report) -> bool:
    return str(choice.get("why", "")).strip().lower().startswith(_YOURS)


def data(report: Report) -> Html:
    """Return the examples by class and part, what was found among them, and all left out."""
    facts = part(report, "data")
    if not facts:
        return Html()
    notes = [*_found(report, facts), *(str(note) for note in rows(facts, "notes"))]
    return section(
        "data",
        "The data",
        _counts(report, facts),
        tag("ul", *(tag("li", note) for note in notes)) if notes else None,
        _columns(facts),
        _named(facts, "left_out", "Left out", "Reason") or tag("p", "Nothing was left out."),
        _named(facts, "remarks", "Odd, but used", "What is odd"),
    )


def _named(facts: Report, key: str, title: str, why: str) -> Html | None:
    """Return examples with a word on each; the first stand open, the rest folds away."""
    found = [(str(one.get("name", "")), str(one.get("reason", ""))) for one in records(facts, key)]
    if not found:
        return None
    listed = long_table(title, ("Name", why), found, "The other {n}", class_="names")
    return join([tag("h3", f"{title}: {len(found):,}"), listed])


def _columns(facts: Report) -> Html | None:
    """Return the columns of a table: what each holds, what is missing, what was done about it."""
    found = records(part(facts, "sizes"), "columns")
    if not found:
        return None
    found.sort(key=lambda one: not one.get("note"))  # what is odd must not fold away
    noted = bool(found[0].get("note"))
    body = [
        (
            str(one.get("name", words.NONE)),
            str(one.get("type") or words.NONE),
            words.count(one.get("missing")),
            *([str(one.get("note") or "")] if noted else []),
        )
        for one in found
    ]
    head = ("Column", "It holds", "Missing", "Note")[: 3 + noted]
    more = "The other {n} columns"
    listed = long_table("Columns", head, body, more, numeric=(2,), class_="columns")
    return join([tag("h3", f"Columns: {len(found):,}"), listed])


def _counts(report: Report, facts: Report) -> Html | None:
    """Return the examples by class and part; of several labels an example counts for each."""
    counts, whole = part(facts, "counts"), part(facts, "examples")
    if not counts:
        return None
    if task(report) == "regression":
        return _parts(report, {name: part(counts, name).get("all") for name in counts})
    several = task(report) == "multilabel"
    table_of = {name: part(counts, name) for name in counts}
    classes = [str(name) for name in rows(facts, "classes")] or sorted(
        {str(name) for found in table_of.values() for name in found}
    )

    def line(name: str, numbers: list[int]) -> tuple[str, ...]:
        return (name, *(f"{n:,}" for n in numbers), f"{sum(numbers):,}")

    grid = {c: [int(number(found.get(c)) or 0) for found in table_of.values()] for c in classes}
    body = [line(name, numbers) for name, numbers in grid.items()]
    if several and whole:
        total = [int(number(whole.get(name)) or 0) for name in table_of]
        body.insert(0, line(f"all {words.noun(report)}", total))
    elif not several and len(body) > 1:
        total = [sum(column) for column in zip(*grid.values(), strict=True)]
        body.insert(0, line("all classes", total))
    one, many = ("label", "labels") if several else ("class", "classes")
    head = (one.capitalize(), *(str(name) for name in table_of), "together")
    label, more = f"Examples by {one} and part", f"The other {{n}} {many}"
    return long_table(label, head, body, more, numeric=range(1, len(head)))


def _parts(report: Report, whole: Report) -> Html:
    """Return how many examples there are in each part."""
    parts = ", ".join(f"{name} {words.count(whole[name])}" for name in whole)
    total = sum(int(number(n) or 0) for n in whole.values())
    return tag("p", f"{words.examples(report, total)}: {parts}.")


def _found(report: Report, facts: Report) -> list[str]:
    """Return sentences on duplicates and sizes."""
    twins, sizes, said = part(facts, "duplicates"), part(facts, "sizes"), []
    identical, near, leaks = (number(twins.get(k)) for k in ("identical", "near", "leaks"))
    if identical is not None or near is not None:
        both = f"{words.count(identical or 0)} identical, {words.count(near or 0)} nearly so"
        kept = f"Duplicates: {both}; each family kept on one side of the split."
        said.append(kept if identical or near else "No duplicates were found.")
    if leaks:
        said.append(f"In more than one given part (leaks): {words.examples(report, leaks)}.")
    if sizes.get("width") and sizes.get("height"):
        size = words.shape([words.count(sizes["width"]), words.count(sizes["height"])])
        said.append(f"The median picture is {size} pixels (width × height).")
    lengths = [
        f"{name} {words.length(sizes[key])}"
        for name, key in (("median length", "seconds"), ("longest", "longest"))
        if number(sizes.get(key)) is not None
    ]
    if number(sizes.get("rate")) is not None:
        lengths.append(f"{words.count(sizes['rate'])}{words.NBSP}Hz")
    if lengths:
        said.append(f"The recordings: {', '.join(lengths)}.")
    return [*said, *_of_table(sizes)]


def _of_table(sizes: Report) -> list[str]:
    """Return what the columns of a table hold, and what is odd about them."""
    kinds = [
        f"{words.count(n)} of {name}"
        for name in ("numbers", "categories", "dates")
        if (n := number(sizes.get(name)))
    ]
    said = []
    if kinds:
        features = number(sizes.get("features"))
        become = f"; a row becomes {words.count(features)} features" if features else ""
        said.append(f"The columns learnt from: {', '.join(kinds)}{become}.")
    if number(sizes.get("missing")):
        said.append(f"Of their cells {words.percent(sizes['missing'])} are empty.")
    if number(sizes.get("smallest")) and number(sizes.get("largest")):
        span = words.plain_span([sizes["smallest"], sizes["largest"]])
        said.append(f"The numbers, but for 0 and without their sign, go from {span}.")
    if records(sizes, "columns"):
        return said  # their table has what is odd about each
    return [*said, *(str(one) for one in rows(sizes, "remarks"))]


def time(report: Report) -> Html:
    """Return the seconds of every stage as a stacked bar and as numbers."""
    seconds = part(report, "seconds")
    spent = {k: s for k in seconds if k != "total" and (s := number(seconds[k])) is not None}
    known = {name: spent.pop(name) for name in _STAGES if name in spent} | spent
    total = number(seconds.get("total"))
    if total is not None and known and total - sum(known.values()) > 0.01 * total:
        known["other"] = total - sum(known.values())
    whole = total or sum(known.values())
    if not whole:
        return Html()
    looks = {n: f"t{_STAGES.get(n, 9)}" for n in known}
    stack = (
        tag("span", class_=looks[n], style=f"flex-grow:{s:.3f}", title=n) for n, s in known.items()
    )
    body = [
        (
            tag(
                "span",
                tag("span", class_=f"swatch {looks[name]}", aria_hidden="true"),
                _SAID.get(name, name),
            ),
            words.clock(spent_here),
            words.percent(spent_here / whole),
        )
        for name, spent_here in known.items()
    ]
    lead = f"{words.clock(whole)} in all"
    if number(report.get("budget")):
        lead += f", of the {words.clock(report['budget'])} it was given"
    waited = ""
    if number(report.get("waiting")):
        share = words.percent(report["waiting"])
        waited = f" While learning, the network waited for data {share} of the time."
    return section(
        "time",
        "Where the time went",
        tag("p", f"{lead}.{waited}"),
        tag("div", *stack, class_="stages", aria_hidden="true"),
        table("Time by stage", ("Stage", "Time", "Share"), body, numeric=(1, 2)),
    )


def computer(report: Report) -> Html:
    """Return the hardware, what was measured on it, and the versions of the libraries."""
    hardware, versions = part(report, "hardware"), part(report, "versions")
    memory = words.figure(hardware.get("memory_gb"))
    known: list[tuple[str, Any]] = [
        ("Processor", hardware.get("processor")),
        ("Cores", hardware.get("cores")),
        ("Memory", f"{memory}{words.NBSP}GB" if memory != words.NONE else None),
        ("GPU", hardware.get("gpu") or ("none" if hardware else None)),
        ("Trained on", hardware.get("device")),
        ("Answers computed by", None if report.get("exports") or not hardware else "PyTorch"),
    ]
    pairs = [(title, words.setting(value)) for title, value in known if value is not None]
    measured = [tag("li", str(line)) for line in rows(hardware, "measured")]
    listed = [(name, str(versions[name])) for name in versions]
    return section(
        "computer",
        "The computer",
        _facts(pairs) if pairs else None,
        tag("div", tag("h3", "Measured here"), tag("ul", *measured)) if measured else None,
        tag("div", tag("h3", "Versions"), _facts(listed)) if listed else None,
    )


def _facts(pairs: list[tuple[str, str]]) -> Html:
    lines = (tag("div", tag("dt", title), tag("dd", value)) for title, value in pairs)
    return tag("dl", *lines, class_="facts")

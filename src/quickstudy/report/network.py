"""The network as a stack of functions: what each makes, how much it holds, what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from quickstudy.report import words
from quickstudy.report.markup import Html, section, tag
from quickstudy.report.reading import Report, number, part, records, rows, task

#: A stack this short is shown flat; a longer one is folded into its blocks.
_FLAT = 24


def network(report: Report) -> Html:
    """Return the network drawn from its input at the top to its answer at the bottom."""
    net = part(report, "network")
    if not net:
        return Html()
    layers = records(net, "layers")
    name = tag("b", str(net.get("name", "A network")))
    facts = [
        f"{words.magnitude(net['parameters'])} parameters" if net.get("parameters") else "",
        f"{words.operations(net['flops'])} for one answer" if net.get("flops") else "",
        f"{len(layers):,} functions" if layers else "",
    ]
    lead = tag("p", name, *(f" · {fact}" for fact in facts if fact))
    if not layers:
        return section("network", "The network", lead)
    total = sum(number(one.get("flops")) or 0.0 for one in layers)
    flat = len(layers) <= _FLAT
    answer = _answer(report)
    heads = ("Function", "Makes", "Parameters", "Share of FLOPs")
    return section(
        "network",
        "The network",
        lead,
        tag(
            "p",
            "The functions in the order they run."
            + ("" if flat else " Open a block to see inside."),
        ),
        tag("div", *(tag("span", head) for head in heads), class_="row heads", aria_hidden="true"),
        tag(
            "ol",
            tag("li", f"Input: {_input(report, net)}", class_="end"),
            *_stack(layers, 0, total, flat=flat),
            tag("li", answer, class_="end"),
            class_="stack",
        ),
    )


def _answer(report: Report) -> str:
    """Return what comes out at the bottom."""
    n = len(rows(part(report, "data"), "classes"))
    if not n:
        return "Answer"
    if task(report) == "regression":
        return "Answer: a number" if n == 1 else f"Answer: {n:,} numbers"
    of = "labels, each on its own" if task(report) == "multilabel" else "classes"
    return f"Answer: one score for each of {n:,} {of}"


def _input(report: Report, net: Report) -> str:
    """Return the shape of one input; samples in plain words, with the time that they take."""
    dims = rows(net, "input")
    if part(report, "data").get("kind") == "table" and len(dims) == 1:
        return "a number" if dims[0] == 1 else f"{words.count(dims[0])} numbers of a row"
    if part(report, "data").get("kind") != "sound" or len(dims) != 1:
        return words.shape(net.get("input"))
    recipe = part(report, "recipe")
    window, rate = (
        number(part(recipe, key).get("value")) for key in ("sound.window", "sound.rate")
    )
    said = f"{words.count(dims[0])} samples"
    if window is None or rate is None:
        return said
    return f"{said}: {words.length(window)} at {words.count(rate)}{words.NBSP}Hz"


def _names(layer: Report) -> list[str]:
    return str(layer.get("path", "")).split(".")


def _stack(layers: Sequence[Report], depth: int, total: float, *, flat: bool) -> list[Html]:
    """Return one item a function, or one a block: layers that share the name at `depth`."""
    if flat:
        return [_function(layer, total) for layer in layers]

    def block(layer: Report) -> str:
        names = _names(layer)
        return names[depth] if depth < len(names) else ""

    groups = [list(members) for _, members in groupby(layers, block)]
    if len(groups) == 1 and len(layers) > 1:
        deeper = all(len(_names(layer)) > depth + 1 for layer in layers)
        return _stack(layers, depth + 1, total, flat=not deeper)
    return [
        _function(members[0], total) if len(members) == 1 else _block(members, depth, total)
        for members in groups
    ]


def _block(members: Sequence[Report], depth: int, total: float) -> Html:
    """Return a block that opens: its own row sums up what is inside."""
    path = ".".join(_names(members[0])[: depth + 1])
    inside = tag("span", f"{len(members):,} functions", class_="muted")
    summed = {
        "output": members[-1].get("output"),
        "parameters": sum(number(one.get("parameters")) or 0 for one in members),
        "flops": sum(number(one.get("flops")) or 0 for one in members),
    }
    row = _row(tag("span", tag("b", path), " ", inside), summed, total)
    stack = tag("ol", *_stack(members, depth + 1, total, flat=False), class_="stack")
    return tag("li", tag("details", tag("summary", row), stack), class_="block")


def _function(layer: Report, total: float) -> Html:
    detail = str(layer.get("detail") or "").replace("->", "→")
    title = tag(
        "span",
        tag("b", str(layer.get("function", words.NONE))),
        " ",
        tag("span", detail),
        " ",
        tag("code", str(layer.get("path", "")), class_="muted"),
    )
    return tag("li", _row(title, layer, total), class_="function")


def _row(title: Html, facts: Report, total: float) -> Html:
    """Return the four columns of a function or block. Only spans: it may be inside a summary."""
    share = (number(facts.get("flops")) or 0.0) / (total or 1.0)
    parameters = number(facts.get("parameters")) or 0.0
    held = words.magnitude(parameters) if parameters else ""
    unit = tag("span", " params", class_="narrow") if parameters else None
    bar = tag("span", class_="iv", style=f"--v:{100 * share:.1f};--lo:0;--hi:0", aria_hidden="true")
    cost = tag("span", bar, words.percent(share) if share else "", class_="share")
    return tag(
        "span",
        title,
        tag("span", words.shape(facts.get("output")), class_="makes"),
        tag("span", held, unit, class_="holds"),
        cost,
        class_="row",
    )

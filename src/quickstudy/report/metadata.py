"""The front matter of a model card: what model hubs read, filled from the facts of a run.

As Hugging Face specifies it (hub-docs, modelcard.md). What a run cannot know is left out: a
licence, a language, a data set's name on the hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from quickstudy.report import words
from quickstudy.report.reading import Report, ends, number, part, task

#: Kind -> what a hub calls it.
_KINDS = {"image": "image", "sound": "audio", "table": "tabular"}
#: Tasks that a hub has; for numbers out of pictures and sounds it has none.
_PIPELINES = {
    *("image-classification", "audio-classification"),
    *("tabular-classification", "tabular-regression"),
}
_NAMES = {
    "accuracy": "Accuracy",
    "r_squared": "R²",
    "mae": "Mean absolute error",
    "f1": "Micro F1",
    "mean_average_precision": "Mean average precision",
}
#: Metrics that a hub describes: the others stand in the results alone.
_DESCRIBED = ("accuracy", "f1", "r_squared", "mae")


def front_matter(facts: Mapping[str, Any]) -> str:
    """Return the YAML between the two lines of dashes."""
    what = _task(facts)
    results = list(_results(facts))
    metrics = list(dict.fromkeys(one["type"] for one in results if one["type"] in _DESCRIBED))
    told: dict[str, Any] = {"library_name": "quickstudy"}
    if what in _PIPELINES:
        told["pipeline_tag"] = what
    told["tags"] = ["quickstudy", "pytorch", what, *(["multilabel"] * _several(facts))]
    if metrics:
        told["metrics"] = metrics
    if results:
        told["model-index"] = [_indexed(facts, what, results)]
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=10**6)


def _indexed(facts: Report, what: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    set_of = {"type": "custom", "name": source_name(facts), "split": "test"}
    one = {
        "task": {"type": what, "name": what.replace("-", " ").capitalize()},
        "dataset": set_of,
        "metrics": results,
    }
    return {"name": str(facts.get("title") or "model"), "results": [one]}


def _task(facts: Report) -> str:
    kind = _KINDS.get(str(part(facts, "data").get("kind")), "image")
    return f"{kind}-{'regression' if task(facts) == 'regression' else 'classification'}"


def _several(facts: Report) -> bool:
    return task(facts) == "multilabel"


def source_name(facts: Report) -> str:
    """Return the last part of where the examples came from: no folder of anybody's computer."""
    return last_part(str(facts.get("source") or "")) or "unnamed"


def last_part(name: str) -> str:
    """Return the last part of a path, of whichever system it is, or of an address.

    >>> last_part("/home/ann/cats"), last_part(r"C:\\ann\\cats.csv"), last_part("resnet18")
    ('cats', 'cats.csv', 'resnet18')
    """
    return PureWindowsPath(PurePosixPath(name.split("?")[0]).name).name


def _results(facts: Report) -> Iterator[dict[str, Any]]:
    """Yield each score on the test, its interval in words."""
    test = part(facts, "test")
    if task(facts) == "regression":
        yield from _result(facts, "r_squared", part(test, "r2"))
        targets = part(test, "targets")
        for name in targets:
            yield from _result(facts, "mae", part(part(targets, name), "mae"), f" of {name}")
    elif _several(facts):
        for key, of in (("mean_average_precision",) * 2, ("f1", "micro_f1")):
            yield from _result(facts, key, part(test, of))
    else:
        share = {"value": test.get("accuracy"), "interval": test.get("interval")}
        yield from _result(facts, "accuracy", share)
        yield from _result(facts, "f1", part(test, "macro_f1"), name="Macro F1")


def _result(
    facts: Report, key: str, found: Report, of: str = "", name: str = ""
) -> Iterator[dict[str, Any]]:
    value, interval = number(found.get("value")), ends(found.get("interval"))
    if value is None:
        return
    n = words.examples(facts, part(facts, "test").get("n"))
    sure = ""
    if interval is not None:
        sure = f"95 % interval {words.plain(interval[0], 4)} to {words.plain(interval[1], 4)}, "
    said = f"{name or _NAMES[key]}{of} ({sure}{n})"
    yield {"type": key, "value": float(f"{value:.6g}"), "name": said.replace(words.NBSP, " ")}

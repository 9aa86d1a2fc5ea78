"""The report page for numbers and for several labels at once, and what the docs say of its keys."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickstudy import evaluation
from quickstudy.report import page, verdict, words
from test_report import NASTY, fixture, leaves, picture, prose, read, recordings, suggested

DOCS = Path(__file__).parents[1] / "docs" / "report.md"
COLUMNS = [
    {"name": f"a{NASTY}", "type": "number", "missing": 3, "note": "missing: the median"},
    {"name": "visited", "type": "date", "missing": 0, "note": ""},
]
SIZES = {
    **{"numbers": 3, "categories": 0, "dates": 1, "features": 9, "missing": 0.012},
    **{"smallest": 0.001, "largest": 45_000.0, "left_out": [["id", "each row has its own"]]},
    "remarks": [f"Column 'id{NASTY}' is left out: each row has its own."],
    "columns": COLUMNS,
}


def told(task: str, kind: str, outputs: list[str], test: dict[str, Any]) -> dict[str, Any]:
    """Return the report of a run on some task, with a made-up test."""
    report = fixture(blocks=1, out=2) | {"task": task, "test": test}
    if task == "regression":
        report["calibration"] |= {"reliability": None, "selective": None}
    report["val"] = {"n": 90, "score": 0.47}
    report["outcome"] = {"status": "finished", "notes": []}
    report["data"] |= {"kind": kind, "classes": outputs}
    report["learned"] = [
        {"name": f"beta{NASTY}", "value": 1.1321},
        {"name": "w", "value": [1, -2.5]},
    ]
    report["exports"] = [exported("onnx", True, 14.6), exported("openvino", False, 17.2)]
    return report


def exported(name: str, used: bool, milliseconds: float) -> dict[str, Any]:
    parity = {"n": 100, "largest": 3.2e-5, "same": 1.0}
    size = 4_889_889
    told = {"name": name, "used": used, "milliseconds": milliseconds, "bytes": size}
    return told | {"parity": parity}


def numbers(targets: int = 1, n: int = 300, noise: float = 0.4) -> dict[str, Any]:
    """Return the report of a run on a table that predicts numbers."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(n, targets)) * 10 + 1987
    said = truth + 10 * noise * rng.normal(size=(n, targets))
    names = [f"year{t}{NASTY}" for t in range(targets)]
    scores = evaluation.score_numbers(
        truth, said, targets=names, baseline=truth.mean(axis=0), resamples=50
    )
    test = scores.as_dict() | {
        "mistakes": [
            {
                "name": f"rows{NASTY}.csv:{i}",
                "true": dict(zip(names, truth[i].tolist(), strict=True)),
                "predicted": dict(zip(names, said[i].tolist(), strict=True)),
                "picture": "data:image/svg+xml;base64,PHN2Zy8+",
                "sound": None,
            }
            for i in evaluation.worst(truth, said)
        ],
        "trees": evaluation.rival(truth, said, truth + 9 * rng.normal(size=truth.shape), "R2"),
        "cannot": None,
    }
    report = told("regression", "table", names, test)
    report["data"] |= {
        "counts": {"train": {"all": 1200}, "val": {"all": 90}, "test": {"all": n}},
        "sizes": SIZES,
    }
    report["network"] |= {"input": [9]}
    return report


def labels(n: int = 300) -> dict[str, Any]:
    """Return the report of a run on pictures with several labels each."""
    rng, names = np.random.default_rng(0), ["cat", f"dog{NASTY}", "night", "zebra"]
    rate = np.array([0.4, 0.3, 0.1, 0.0])
    truth = (rng.random((n, 4)) < rate).astype(int)
    p = 1 / (1 + np.exp(1.5 - 2.5 * truth - rng.normal(size=(n, 4))))
    scores = evaluation.score_labels(
        truth, p, labels=names, thresholds=np.full(4, 0.4), baseline=rate, resamples=50
    )

    def named(there: Any) -> list[str]:
        return [name for name, yes in zip(names, there, strict=True) if yes]

    test = scores.as_dict() | {
        "mistakes": [
            {
                "name": f"{i}{NASTY}.jpg",
                "true": named(truth[i]),
                "predicted": named(p[i] >= 0.4),
                "probability": 0.01,
                "picture": picture(i),
                "sound": None,
            }
            for i in evaluation.mistakes_labels(truth, p, 0.5, most=5)
        ]
    }
    report = told("multilabel", "image", names, test)
    counts = dict(zip(names, truth.sum(axis=0).tolist(), strict=True))
    report["data"] |= {
        "counts": dict.fromkeys(("train", "val", "test"), counts),
        "examples": {"train": 1200, "val": 90, "test": n},
    }
    return report


MADE = {
    "one number": numbers(),
    "three numbers": numbers(3),
    "nine numbers": numbers(9, n=60),
    "labels": labels(),
}


@pytest.mark.parametrize("name", MADE)
def test_pages_are_well_formed_safe_and_whole(name: str) -> None:
    report = MADE[name]
    made = page(report)
    reader = read(made)
    assert "<script" not in made and html.escape(NASTY) in made
    assert not re.search(r"(?<!\w)(https?:)?//\w|url\(|@import", made.replace("base64,", ""))
    assert {link[1:] for link in reader.links if link[0] == "#"} <= set(reader.ids)
    assert not reader.tags & {"script", "iframe", "object", "link", "base", "form"}
    said = "".join(reader.said)
    for output in report["data"]["classes"]:
        assert output in said
    for one in report["test"]["mistakes"]:
        assert one["name"] in said
    assert not {"nan", "None", "inf"} & set(prose(report).replace("(", " ").split())
    assert not re.search(r"(width|height)=\"\d{3,}", re.sub(r"<svg.*?</svg>", "", made))


def test_the_verdict_on_one_number() -> None:
    report = numbers()
    said = prose(report)
    one = report["test"]["targets"][report["data"]["classes"][0]]
    mae, r2 = one["mae"], report["test"]["r2"]
    low, high = (words.plain(end) for end in mae["interval"])
    off = f"Off by {words.plain(mae['value'])} on average on 300 rows it never saw"
    assert f"{off} (95 % sure: {low} to {high})" in said
    low, high = (words.fraction(end) for end in r2["interval"])
    assert f"R² {words.fraction(r2['value'])} (95 % sure: {low} to {high}): 1 would be" in said
    assert f"Guessing the average would be off by {words.plain(one['baseline']['mae'])}." in said
    assert "On val, which steered the training: R² 0.47 on 90 rows." in said
    trees = report["test"]["trees"]
    assert f"Gradient-boosted trees score R² {words.fraction(trees['main'])} on" in said
    assert "the same rows: the network is better (difference +0." in said
    assert "correct" not in said.partition("How it learnt")[0]
    assert "1,590 rows: train 1,200, val 90, test 300." in said
    assert "Answer: a number" in said and "Input: 9 numbers of a row" in said
    assert verdict.cautions(report) == []


def test_the_verdict_on_several_numbers() -> None:
    said = prose(MADE["three numbers"])
    assert "R² 0.8" in said and "on average over 3 numbers, on 300 rows it never saw (95 %" in said
    assert "Guessing the averages would score R² 0.00" in said
    assert "Answer: 3 numbers" in said
    assert "The 6 with the lowest R² are drawn." not in said
    assert "The 6 with the lowest R² are drawn." in prose(MADE["nine numbers"])


def test_predicted_is_drawn_against_true() -> None:
    report = numbers(n=900)
    made = page(report)
    drawn = re.findall(r'<g class="points">(.*?)</g>', made)
    assert [group.count("<circle") for group in drawn] == [400]
    assert "400 of 900 rows, drawn at random." in prose(report)
    name = report["data"]["classes"][0]
    report["test"]["targets"][name] |= {"points": [[0.0, 0.0], [10.0, 10.0], [0.0, 10.0]]}
    group = re.findall(r'<g class="points">(.*?)</g>', page(report))[0]
    spots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', group)
    (x0, y0), (x1, y1), (x2, y2) = ((float(x), float(y)) for x, y in spots)
    assert x0 == x2 < x1 and y0 > y1 == y2  # higher is further up
    diagonal = re.findall(
        r'<line x1="(\S+)" y1="(\S+)" x2="(\S+)" y2="(\S+)" class="equal"', page(report)
    )
    ax, ay, bx, by = (float(end) for end in diagonal[0])
    for x, y in ((x0, y0), (x1, y1)):  # what is equal lies on the line
        assert (y - ay) / (by - ay) == pytest.approx((x - ax) / (bx - ax), abs=0.01)


@pytest.mark.parametrize(
    "points", [[[5.0, 5.0]], [[1e9, 1e9 + 1]], [[0.0, 0.0]], [], [[1, None]], "x"]
)
def test_odd_points_still_make_a_page(points: Any) -> None:
    report = numbers()
    report["test"]["targets"][report["data"]["classes"][0]]["points"] = points
    read(page(report))


def test_errors_are_drawn_as_they_are_counted() -> None:
    report = numbers()
    errors = report["test"]["targets"][report["data"]["classes"][0]]["errors"]
    tall = [float(h) for h in re.findall(r'height="([\d.]+)" class="bin"', page(report))]
    most = max(errors["counts"])
    assert len(tall) == 20 and max(tall) > 0
    assert tall == pytest.approx([max(tall) * n / most for n in errors["counts"]], abs=0.06)


def test_errors_of_rows_are_listed_with_their_sign() -> None:
    report = numbers()
    one = report["test"]["mistakes"][0]
    (true,), (said,) = one["true"].values(), one["predicted"].values()
    text = prose(report)
    assert words.plain(true, 6) in text and words.plain(said, 4) in text
    sign = "+" if said > true else "−"
    assert f"{sign}{words.plain(abs(said - true))}" in text
    assert "no picture" not in text and "Its largest errors" in text
    assert "Look at these rows" in text and page(report).count("<img") == 24
    for each in report["test"]["mistakes"]:
        each["picture"] = None
    assert "<img" not in page(report) and "Look at these rows" not in prose(report)


def test_numbers_of_pictures_have_cards() -> None:
    report = numbers(2)
    report["data"]["kind"] = "image"
    for i, one in enumerate(report["test"]["mistakes"]):
        one["picture"] = picture(i)
    made = page(report)
    assert made.count("<img") == 24 and "Worst mistakes" not in made


def test_a_truth_that_never_varies() -> None:
    truth = np.full((20, 1), 3.0)
    scores = evaluation.score_numbers(
        truth, truth + 1, targets=["y"], baseline=np.array([2.0]), resamples=20
    )
    report = numbers() | {"test": scores.as_dict()}
    said = prose(report)
    assert "Off by 1 on average on 20 rows" in said and "There is no R²" in said
    assert "treat the model as untested" not in said


@pytest.mark.parametrize(
    ("r2", "word"),
    [
        ({"value": 0.1, "interval": [-0.1, 0.3]}, "not clearly better than guessing the average"),
        ({"value": -0.4, "interval": [-0.6, -0.2]}, "worse than guessing the average"),
        ({"value": 0.5, "interval": [0.3, 0.7]}, "a range of 0.4 of R²: 300 rows tell no more"),
    ],
)
def test_cautions_on_numbers(r2: dict[str, Any], word: str) -> None:
    report = numbers()
    report["test"]["r2"] = r2
    read(page(report))
    assert word in " ".join(verdict.cautions(report))


def test_a_rival_that_is_better_is_a_caution_and_one_that_is_not_stands_below() -> None:
    report = numbers()
    sentence = report["test"]["trees"]["sentence"].replace("R2", "R²")
    assert sentence not in verdict.cautions(report) and sentence in prose(report)
    report["test"]["trees"]["verdict"] = "better"
    assert sentence in verdict.cautions(report)
    assert prose(report).count(sentence) == 1


@pytest.mark.parametrize("made", [numbers, labels, fixture])
def test_a_network_that_cannot_is_said_first(made: Any) -> None:
    report = made()
    report["test"]["cannot"] = f"This network cannot express the rule{NASTY}."
    assert verdict.cautions(report)[0] == report["test"]["cannot"]
    assert report["test"]["cannot"] in prose(report)


def test_few_examples_make_a_rough_range() -> None:
    report = numbers(n=20, noise=0.01)
    assert "The range rests on 20 rows only" in " ".join(verdict.cautions(report))


def test_the_verdict_on_labels() -> None:
    report = labels()
    said, test = prose(report), report["test"]
    ap = test["mean_average_precision"]
    value, span = (words.percent(ap["value"]), words.span(ap["interval"]))
    sentence = f"Mean average precision {value} on 300 pictures it never saw (95 % sure: {span})"
    assert sentence.replace("\u00a0", " ") in said
    exact, f1 = (words.percent(test[key]["value"]) for key in ("exact", "micro_f1"))
    assert f"Every label is right on {exact} of them; F1 {f1}.".replace("\u00a0", " ") in said
    guess = words.percent(test["baseline"]["mean_average_precision"], short=True)
    assert (
        f"Guessing by how common each label is would score {guess}.".replace("\u00a0", " ") in said
    )
    assert "mean average precision 47.0 % on 90 pictures" in said
    assert "one score for each of 4 labels, each on its own" in said
    assert "all pictures" in said and "all classes" not in said
    assert "Confusion matrix" not in page(report)


def test_labels_come_worst_first_and_those_never_seen_last() -> None:
    report = labels()
    said = prose(report).partition("Label by label")[2].partition("Other scores")[0]
    per = report["test"]["per_label"]
    known = [name for name in per if per[name]["average_precision"]]
    order = sorted(known, key=lambda name: per[name]["average_precision"]["value"])
    places = [said.index(name) for name in [*order, "zebra"]]
    assert places == sorted(places)


def test_mistakes_of_labels_name_all_of_them() -> None:
    report = labels()
    report["test"]["mistakes"][0] |= {"true": ["cat", "night"], "predicted": []}
    said = prose(report)
    assert "said none" in said and "truly cat, night" in said


def test_rows_of_classes_are_listed() -> None:
    report = fixture(blocks=1)
    report["data"]["kind"] = "table"
    report["test"]["mistakes"][1]["picture"] = None
    said = prose(report).partition("Its worst mistakes")[2]
    assert "look at the rows" in said and "no picture" not in said
    assert page(report).count("<img") == 9 and "99.9 %" in said


def test_columns_of_a_table() -> None:
    said = prose(numbers())
    assert "Columns: 2" in said and "missing: the median" in said and f"a{NASTY}" in said
    assert "learnt from: 3 of numbers, 1 of dates; a row becomes 9 features." in said
    assert "Of their cells 1.2 % are empty." in said
    assert "without their sign, go from 0.001 to 45,000." in said
    left_out = f"Column 'id{NASTY}' is left out: each row has its own."
    assert left_out not in said  # the table of the columns says it
    assert left_out in prose(numbers() | {"data": {"sizes": SIZES | {"columns": []}}})
    assert "Columns" not in prose(fixture()) and "learnt from:" not in prose(fixture())


def test_learned_parameters() -> None:
    said = prose(labels())
    assert "Learned parameters" in said and f"beta{NASTY}" in said
    assert "1.1321" in said and "1, −2.5" in said
    assert "Learned parameters" not in prose(labels() | {"learned": []})


def test_what_computes_the_answers() -> None:
    said = prose(labels())
    assert "Answers are computed by onnx: the quickest here" in said
    for word in ("openvino", "14.6", "3.2e-05", "100 %", "4.89"):
        assert word in said.replace("\u00a0", " "), word
    none = [exported("onnx", False, 14.6)]
    assert "Answers are computed by PyTorch" in prose(labels() | {"exports": none})
    assert "What computes" not in prose(labels() | {"exports": []})


def test_the_curve_of_r2_is_not_flattened_by_its_beginning() -> None:
    report = numbers()
    for n, row in enumerate(report["curves"]):
        row["val_score"] = None if row["val_score"] is None else [-40.0, 0.2][n > 10]
    said = prose(report)
    assert "R² on val" in said and "Lower values are cut off at the bottom." in said
    assert "−40" not in said.partition("The same in numbers")[0]
    for row in report["curves"]:
        row["val_score"] = None if row["val_score"] is None else -40.0
    assert "cut off at the bottom" not in prose(report)


@pytest.mark.parametrize("made", [fixture, recordings])
def test_reports_of_schema_1_make_the_same_page(made: Any) -> None:
    report = made() | {"race": None, "search": None}  # later than that
    new = page(report)
    old = json.loads(json.dumps(report).replace('"val_score"', '"val_accuracy"'))
    del old["task"], old["test"]["task"]
    old["val"] = {"n": 200, "accuracy": old["val"]["score"]}
    assert page(old) == new


@pytest.mark.parametrize("made", [numbers, labels])
def test_any_key_may_be_missing_or_null(made: Any) -> None:
    report = made(n=20)
    del report["test"]["mistakes"][2:]  # the other parts are those of every task
    whole = json.dumps({key: report[key] for key in ("task", "data", "test", "val", "learned")})
    for path in leaves(json.loads(whole)):
        for drop in (True, False):
            report = json.loads(whole)
            inside = report
            for key in path[:-1]:
                inside = inside[key]
            if drop:
                del inside[path[-1]]
            else:
                inside[path[-1]] = None
            read(page(report))


@pytest.mark.parametrize(
    "task", ["regression", "multilabel", "classification", "x", 3, ["regression"]]
)
@pytest.mark.parametrize("made", [numbers, labels, fixture])
def test_a_task_that_does_not_fit_still_makes_a_page(made: Any, task: Any) -> None:
    read(page(made() | {"task": task}))


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_without_a_test_the_page_says_so(task: str) -> None:
    said = prose(labels() | {"task": task, "test": None})
    assert "on 90 pictures of val" in said and "There is no test score" in said


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (words.plain(3.204), "3.20"),
        (words.plain(-45_312.0), "−45,300"),
        (words.plain(1987.4321, 6), "1,987.43"),
        (words.plain(-1.5e-7), "−1.5e-07"),
        (words.plain(None), "–"),
        (words.plain_span([2.93, -3.5]), "2.93 to −3.5"),
        (words.fraction(0.874), "0.87"),
        (words.fraction(0.99991), "0.9999"),
        (words.fraction(1), "1"),
        (words.fraction(-0.04), "−0.04"),
        (words.fraction(-0.0004), "0.00"),
        (words.fraction(float("nan")), "–"),
        (words.tick(-120_000.0), "−120 k"),
        (words.tick(1900.0), "1900"),
        (words.tick(-0.5), "−0.5"),
        (words.tick(2_500_000.0), "2.5 M"),
    ],
)
def test_numbers_in_words(made: str, said: str) -> None:
    assert made.replace("\u00a0", " ") == said


def test_the_documentation_explains_every_key() -> None:
    documented = set(re.findall(r"^\| `([^`]+)`", DOCS.read_text("utf-8"), re.M))
    free = {
        ("data", "counts"): "<part>",
        ("search", "board[]", "differs"): "<choice>",
        ("race", "contenders[]", "changes"): "<choice>",
        ("data", "counts", "<part>"): "<class>",
        ("data", "examples"): "<part>",
        ("test", "per_class"): "<class>",
        ("test", "per_label"): "<label>",
        ("test", "targets"): "<number>",
        ("test", "mistakes[]", "true"): "<number>",
        ("test", "mistakes[]", "predicted"): "<number>",
        ("recipe",): "<choice>",
        ("seconds",): "<stage>",
        ("calibration", "unknown", "tried"): "<measure>",
        ("calibration", "unknown", "tried", "<measure>"): "<sort>",
        ("versions",): "<library>",
    }

    def keys(value: Any, at: tuple[str, ...]) -> Iterator[str]:
        if isinstance(value, Mapping):
            for key, inside in value.items():
                here = (*at, key if key == "all" else free.get(at, key))
                yield ".".join(here)
                yield from keys(inside, here)
        elif isinstance(value, list):
            for inside in value:
                yield from keys(inside, (*at[:-1], f"{at[-1].removesuffix('[]')}[]"))

    made = (fixture(), recordings(groups=suggested()), *MADE.values())
    used = {key for report in made for key in keys(report, ())}
    assert used - documented == set()
    assert documented - used == set()

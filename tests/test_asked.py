"""Numbers and several labels, of pictures, sounds and rows: what is asked, learnt and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, r2_score

import quickstudy as qs
from quickstudy.catalog import scan
from quickstudy.errors import ChoiceError, SourceError

pd = pytest.importorskip("pandas")

RATE = {"optimizer.lr": 0.025}
SMALL = {
    "epochs": 20,
    "picture.size": 16,
    "picture.start_size": 16,
    "network.width": 0.25,
    "augment.mirror": False,
    **RATE,
}


def bright(n: int = 120) -> tuple[Any, Any]:
    """Pictures of a bright square; how bright it is, and where it lies."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 40, (n, 16, 16, 3)).astype(np.uint8)
    level, top, left = rng.integers(60, 250, n), rng.integers(0, 2, n), rng.integers(0, 2, n)
    for picture, value, i, j in zip(x, level, top, left, strict=True):
        picture[8 * i + 1 : 8 * i + 7, 8 * j + 1 : 8 * j + 7] = value
    return x, np.stack([level / 100, top, left], 1)


def test_a_number_of_pictures(tmp_path: Path) -> None:
    x, truth = bright()
    run = qs.learn((x, truth[:, 0]), settings=SMALL, out=tmp_path / "run")
    assert run.recipe.task == "regression" and run.recipe.loss.name == "mean_squared_error"
    assert run.test.main.value > 0.8
    model = qs.load(tmp_path / "run" / "model")
    said = [one.value for one in model.predict(list(x[:20]))]
    assert r2_score(truth[:20, 0], said) > 0.7
    told = json.loads((tmp_path / "run" / "report.json").read_text())
    assert told["task"] == "regression" and told["test"]["mistakes"][0]["picture"]
    assert "R2" in (tmp_path / "run" / "report.html").read_text()


def test_several_labels_of_pictures(tmp_path: Path) -> None:
    x, truth = bright()
    labels = [";".join(w for w, yes in zip(("low", "right"), row, strict=True) if yes)
              for row in truth[:, 1:]]  # fmt: skip
    lists = [text.split(";") if text else [] for text in labels]
    pairs = list(zip(x, lists, strict=True))
    run = qs.learn(pairs, settings={**SMALL, "epochs": 45}, out=tmp_path / "run")
    assert run.recipe.task == "multilabel" and run.model.classes == ("low", "right")
    assert run.test.main.value > 0.9
    answers = qs.load(tmp_path / "run" / "model").predict(list(x))
    found = np.array([[one.probabilities[c] for c in ("low", "right")] for one in answers])
    assert average_precision_score(truth[:, 1:], found) > 0.9
    right = [set(one.labels) == set(true) for one, true in zip(answers, lists, strict=True)]
    assert np.mean(right) > 0.8
    assert run.model.evaluate(pairs).main.value == pytest.approx(
        average_precision_score(truth[:, 1:], found), abs=1e-6
    )


def test_a_number_of_sounds(tones: Path, tmp_path: Path) -> None:
    paths = sorted(tones.rglob("*.wav"))
    pitch = {"ann": 3.0, "bob": 4.2, "cleo": 5.4}
    pairs = [(path, pitch[path.stem.split("_")[1]]) for path in paths]
    run = qs.learn(pairs, task="regression", settings={**RATE, "epochs": 15, "network.width": 0.25},
                   out=tmp_path / "run")  # fmt: skip
    assert run.model.kind == "sound" and run.model.task.name == "regression"
    assert run.test.main.value > 0.3 and run.test.beats_baseline
    assert run.model.predict(paths[0]).values is not None


def table(n: int = 240) -> Any:
    """Numbers wild in scale, words, dates, missing cells: two things to be learnt from them."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=n), rng.normal(size=n)
    colour = rng.choice(["red", "green", "blue"], n)
    made = pd.DataFrame(
        {
            "tiny": a * 1e-9,
            "huge": b * 1e12,
            "colour": colour,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, n), "D"),
            "nothing": 1,
        }
    )
    made.loc[::7, "tiny"] = np.nan
    made["price"] = 2 * np.nan_to_num(a) + (colour == "red") * 3 + 0.05 * rng.normal(size=n)
    made["dear"] = np.where(made["price"] > 1, "dear", "cheap")
    return made


def test_rows_of_every_type_of_column(tmp_path: Path) -> None:
    rows = table()
    file = tmp_path / "rows.csv"
    rows.drop(columns="price").to_csv(file, index=False)
    out = tmp_path / "run"
    run = qs.learn(file, target="dear", settings={"epochs": 40}, out=out)
    assert run.recipe.kind == "table" and run.recipe.task == "classification"
    assert run.test.accuracy > 0.8
    told = json.loads((out / "report.json").read_text())
    assert [name for name, _ in told["data"]["sizes"]["left_out"]] == ["nothing"]
    assert told["test"]["trees"]["verdict"] in {"beaten", "equal", "better"}
    model = qs.load(out / "model")
    strange = {"tiny": "", "huge": -1e30, "colour": "purple", "when": "31.12.1999"}
    assert model.predict(strange).label in {"dear", "cheap"}
    turned = rows[["when", "colour", "huge", "tiny"]]  # in another order, without the constant one
    assert [a.label for a in model.predict(turned)] == [a.label for a in model.predict(rows)]
    assert model.predict(file)[3].probabilities == model.predict(rows)[3].probabilities
    assert model.evaluate(file).accuracy > 0.8
    with pytest.raises(SourceError, match="no column 'colour'"):
        model.predict(rows.drop(columns="colour"))


def test_several_columns_are_several_numbers_or_labels(tmp_path: Path) -> None:
    rows = table()
    rows["second"] = rows["price"] * -3
    both = qs.learn(rows.drop(columns="dear"), target=["price", "second"],
                    settings={"epochs": 25, "table.trees": False}, out=tmp_path / "a")  # fmt: skip
    assert both.model.task.name == "regression" and both.model.classes == ("price", "second")
    assert set(both.model.predict(rows)[0].values) == {"price", "second"}
    rows["red"], rows["dear"] = rows["colour"] == "red", rows["dear"] == "dear"
    rows = rows.drop(columns=["price", "second"])
    few = {"epochs": 25, "table.trees": False}
    labels = qs.learn(rows, target="red,dear", settings=few, out=tmp_path / "b")
    assert labels.model.task.name == "multilabel" and labels.model.classes == ("red", "dear")
    assert labels.test.main.value > 0.9


def test_a_model_of_several_numbers_is_tested_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({0: rng.normal(size=80), "a,b": rng.normal(size=80)})
    rows["t"], rows[7] = rows[0] * 2, 1000 * rows["a,b"]
    few = {"epochs": 3, "table.trees": False, "compute.threads": 1, "table.members": 4}
    qs.learn(rows, target=["t", 7], settings=few, out=tmp_path / "run")
    model = qs.load(tmp_path / "run" / "model")
    assert model.classes == ("t", "7")
    learnt = model.evaluate(rows).as_dict()["targets"]
    assert model.evaluate(rows, target="7,t").as_dict()["targets"] == learnt
    assert model.evaluate((rows[[0, "a,b"]], rows[["t", 7]])).as_dict()["targets"] == learnt
    for target in ("t", ["t", 7, 0]):
        with pytest.raises(SourceError, match="is to tell 't', '7', but"):
            model.evaluate(rows, target=target)
    first = {0: rows[0][0], "a,b": rows["a,b"][0]}
    assert model.predict(first).values == pytest.approx(model.predict(rows)[0].values)
    again = qs.learn(rows[[0, "a,b"]], target=["a,b"], settings=few, out=tmp_path / "comma")
    assert again.model.classes == ("a,b",) and again.model.facts["target"] == ("a,b",)
    assert qs.load(tmp_path / "comma" / "model").evaluate(rows) is not None


ASKED: list[tuple[Any, str]] = [
    ([0, 1, 2] * 10, "classification"),
    ([0.0, 1.0] * 15, "classification"),
    (list(np.linspace(0, 1, 30)), "regression"),
    (list(range(30)), "regression"),
    (["a", "b", "c"] * 10, "classification"),
    (["a;b", "b", "a"] * 10, "multilabel"),
    ([True, False] * 15, "classification"),
]


@pytest.mark.parametrize(("column", "task"), ASKED)
def test_what_is_asked_is_found_out(column: list[Any], task: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(len(column)), "y": column})
    found = scan(frame, target="y", cache=tmp_path, learnable=False)
    assert (found.kind, found.task, found.columns) == ("table", task, ("x",))
    assert found.task_why


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.assign(y="same"), "only one class"),
        (lambda f: f.assign(y=1.5), "is the same"),
        (lambda f: f[["y"]], "no column to learn from"),
        (lambda f: f.head(4), "too few"),
        (lambda f: f.rename(columns={"y": "yy"}), "Did you mean 'yy'"),
    ],
)
def test_tables_that_cannot_be_learnt(
    change: Callable[[Any], Any], words: str, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"x": range(40), "y": np.arange(40) / 3})
    with pytest.raises(SourceError, match=words):
        scan(change(frame), target="y", cache=tmp_path)


def test_words_where_numbers_are_asked_for_are_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(40), "y": [*map(str, np.arange(39) / 3), "dear"]})
    found = scan(frame, target="y", task="regression", cache=tmp_path)
    assert len(found) == 39 and found.left_out[0].reason == "'dear' is not a number"
    with pytest.raises(ChoiceError, match="no task 'regresion'"):
        scan(frame, target="y", task="regresion", cache=tmp_path)


def test_a_formula_is_no_network_for_pictures(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(ChoiceError, match="'x\\*2\\+c' is a formula in the columns of a table"):
        qs.learn(shapes, network="x*2+c", settings={"epochs": 1}, out=tmp_path / "run")


def test_a_batch_is_no_larger_than_what_there_is(shapes: Path, tmp_path: Path) -> None:
    settings = {"epochs": 2, "batch": 65_536, "network.width": 0.25, "optimizer.lr": 0.01}
    run = qs.learn(shapes, settings=settings, out=tmp_path / "run")
    counts = run.facts["data"]["counts"]["train"]
    assert run.recipe.batch == sum(counts.values()) and run.facts["steps"] == 2

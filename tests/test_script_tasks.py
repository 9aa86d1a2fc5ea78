"""Scripts of runs on tables, of formulas, of numbers and of several labels, and of expressions."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import quickstudy as qs
import test_script
from quickstudy.errors import ChoiceError
from quickstudy.functions import Function, criterion, parse
from quickstudy.learning import Run
from quickstudy.learning.examples import headings
from quickstudy.script import script_of, write_script
from quickstudy.script.expressions import written
from quickstudy.script.losses import expression_lines
from test_script import HERE, edited, well_made

pandas = pytest.importorskip("pandas")


class Alone(test_script.Alone):
    """What a script says where Quickstudy is not: of the run's weights, and of its own."""

    def __init__(self, run: Run, most: int = 149, *, fresh: bool = False) -> None:
        super().__init__(run, fresh=fresh)
        well_made(self.text, most)

    def same_answers(self, examples: Any) -> None:
        """The run's weights in the script's network answer as the run's model does."""
        model = qs.load(self.run.folder / "model")
        found = []
        for one in model.predict(examples):
            found.append(list((one.values or one.probabilities).values()))
        told = np.array(found).reshape(self.checked.shape)
        assert len(told) == len(self.rows())
        assert np.abs(told - self.checked).max() < 1e-4 * max(1, np.abs(told).max())


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Rows with gaps, words, a word that comes once, dates, and a column of an odd scale."""
    rng, n = np.random.default_rng(0), 300
    a, b = rng.normal(50, 20, n), rng.exponential(3, n)
    hue = rng.choice(["red", "blue", "green"], n)
    hue[7] = "mauve"
    number = 0.05 * a + np.sin(b) + (hue == "red") * 1.5 + rng.normal(0, 0.1, n)
    folder, found = tmp_path_factory.mktemp("rows"), {}
    high = np.where(number > np.quantile(number, 0.7), "high", "low")
    for task, truth in (("number", number.round(3)), ("class", high)):
        found[task] = folder / f"{task}.csv"
        with found[task].open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow(("a", "b", "label", "when", "far", "y"))
            for i in range(n):
                when = f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}"
                words = "" if i % 31 == 0 else hue[i]
                far = f"{1e9 + b[i]:.4f}"
                first = "" if i % 17 == 0 else f"{a[i]:.3f}"
                out.writerow((first, f"{b[i]:.3f}", words, when, far, truth[i]))
    return found


def _of(path: Path, alone: Alone) -> list[dict[str, Any]]:
    """The rows of the test as they stand in the table."""
    with path.open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    return [cells[int(row["name"].split()[1])] for row in alone.rows()]


SMALL = {**HERE, "network.width": 0.25, "table.members": 4, "table.trees": False}


@pytest.mark.parametrize("task", ["number", "class"])
def test_a_table(task: str, rows: dict[str, Path], tmp_path: Path) -> None:
    settings = {**SMALL, "epochs": 10, "test": 0.3}
    settings |= {"balance": 0.5, "network.depth": [3]} if task == "class" else {}
    run = qs.learn(rows[task], target="y", settings=settings, out=tmp_path / "run")
    alone = Alone(run, fresh=task == "class")
    frame = pandas.DataFrame(_of(rows[task], alone)).drop(columns="y")
    alone.same_answers(frame)
    for word in ("SCALES", "LISTS", '" (column)"', "nanquantile"):
        assert word in alone.text
    if task == "class":
        found = re.search(r"(\d+) of (\d+) right", alone.said[1])
        assert found is not None
        low, high = alone.run.test.interval
        assert low - 0.03 <= int(found[1]) / int(found[2]) <= high + 0.03
    else:
        truth = np.array([[float(row["label"])] for row in alone.rows()])
        errors = [np.square(said - truth).mean() for said in (alone.checked, alone.anew)]
        assert errors[1] < 1.6 * errors[0]  # chance alone: another order of rows
        assert errors[1] < 0.6 * truth.var()


def test_what_a_script_knows_of_the_columns(rows: dict[str, Path], tmp_path: Path) -> None:
    """Learning anew finds the same middles, spreads, corners and codes as the run."""
    import runpy

    from safetensors.torch import load_file

    settings = {**SMALL, "epochs": 1}
    run = qs.learn(rows["number"], target="y", settings=settings, out=tmp_path / "run")
    done = runpy.run_path(str(write_script(run.folder)))
    done["look"](done["read"]("train")[0])
    kept = load_file(run.folder / "model" / "weights.safetensors")
    names = {name.split(".")[-1]: name for name in kept if "front" in name or "bedding" in name}
    assert {"centre", "spread", "left", "slope", "had_gaps", "codes2"} <= set(done["KNOWN"])
    for name, found in done["KNOWN"].items():
        assert torch.allclose(found, kept[names[name]], rtol=1e-5, atol=1e-6), name


def test_a_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 80)
    y = 2.5 * x - 1.25 + rng.normal(0, 0.1, 80)
    table = tmp_path / "line.csv"
    table.write_text("x,y\n" + "\n".join(f"{a:.17g},{b:.17g}" for a, b in zip(x, y, strict=True)))
    settings = {**HERE, "optimizer.restarts": 3, "table.trees": False}
    alone = Alone(
        qs.learn(table, target="y", network="m*x + c", settings=settings, out=tmp_path / "run")
    )
    assert "return m * x + c" in alone.text
    assert len(alone.text.splitlines()) < 70
    assert np.abs(alone.anew - alone.checked).max() < 1e-5
    alone.same_answers(_as_frame(alone, ["x"]))
    with (tmp_path / "run" / "examples.csv").open(encoding="utf-8", newline="") as file:
        learnt = [row for row in csv.DictReader(file) if row["part"] != "test"]
    points = (np.array([float(row[name]) for row in learnt]) for name in ("x", "label"))
    slope, offset = np.polyfit(*points, 1)
    assert alone.said[-3:-1] == [f"m = {slope:.6g}", f"c = {offset:.6g}"]


def _as_frame(alone: Alone, columns: list[str]) -> Any:

    return pandas.DataFrame({c: [float(row[c] or "nan") for row in alone.rows()] for c in columns})


def test_a_wave_has_several_bottoms(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(-3, 3, 90)
    x[::9] = np.nan
    y = 1.5 * np.sin(2 * np.nan_to_num(x, nan=0.3) + 0.7) + rng.normal(0, 0.05, 90)
    settings = {**HERE, "optimizer.restarts": 6, "table.trees": False}
    run = qs.learn(
        pandas.DataFrame({"x": x, "label": x, "y": y}),
        target="y",
        network="a * sin(b*x + c)",
        settings=settings,
        out=tmp_path / "run",
    )
    alone = Alone(run)
    assert "def search" in alone.text
    alone.same_answers(_as_frame(alone, ["x", "label (column)"]).set_axis(["x", "label"], axis=1))
    assert np.abs(alone.anew - alone.checked).max() < 0.05


def test_a_formula_tells_two_classes_apart(rows: dict[str, Path], tmp_path: Path) -> None:
    settings = {**HERE, "optimizer.restarts": 3, "table.trees": False, "balance": 0.0}
    alone = Alone(
        qs.learn(
            rows["class"], target="y", network="p*a + c", settings=settings, out=tmp_path / "run"
        )
    )

    alone.same_answers(pandas.DataFrame(_of(rows["class"], alone)).drop(columns="y"))
    assert np.abs(alone.anew - alone.checked).max() < 1e-3


LITTLE = {"picture.size": 24, "picture.start_size": 24, "network.width": 0.25, "epochs": 8}
LITTLE |= {"optimizer.lr": 0.03, "batch": 16}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose brightness is a number, and tells which of two labels are there."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("drawn")
    rng, lines = np.random.default_rng(0), ["path,y,labels"]
    for i in range(70):
        level, blue = rng.integers(20, 200), rng.random() < 0.5
        pixels = rng.integers(0, 40, (24, 24, 3)) + level
        pixels[..., 2] += 50 * blue - 20
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
        labels = ["bright"] * int(level > 110) + ["blue"] * int(blue)
        lines.append(f"{i}.png,{level / 10},{';'.join(labels) or 'none'}")
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


@pytest.mark.parametrize("target", ["y", "labels"])
def test_pictures_of_numbers_and_of_several_labels(
    target: str, drawn: Path, tmp_path: Path
) -> None:
    settings = {**HERE, **LITTLE, "augment.colour": 0.0, "test": 0.3}
    settings |= {"network.activation": "x * sigmoid(b * x), b=learn(1.5)"} if target == "y" else {}
    settings |= {"loss.name": "huber"} if target == "y" else {"loss.name": "mean(-log(p))"}
    run = qs.learn(drawn, label_column=target, settings=settings, out=tmp_path / "run")
    alone = Alone(run, most=155)  # an activation of one's own is a class more
    alone.same_answers([row["path"] for row in alone.rows()])
    assert len(alone.said) == 2
    assert ("R2" if target == "y" else "F1") in alone.said[0]


def test_sounds_of_numbers(tmp_path: Path) -> None:
    import soundfile

    lines = ["path,pitch"]
    for i in range(40):
        seconds = np.arange(2400) / 8000
        pitch = 300 + 20 * i
        soundfile.write(tmp_path / f"{i}.wav", 0.3 * np.sin(2 * np.pi * pitch * seconds), 8000)
        lines.append(f"{i}.wav,{pitch}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    settings = {**HERE, "epochs": 3, "batch": 16, "network.width": 0.25, "rehearsal": 0.0}
    settings |= {"optimizer.lr": 0.02}
    alone = Alone(
        qs.learn(
            tmp_path / "table.csv", label_column="pitch", settings=settings, out=tmp_path / "run"
        )
    )
    alone.same_answers([row["path"] for row in alone.rows()])


STACK = [
    {"conv": {"channels": 8, "kernel": 3, "stride": 2, "bias": False}},
    "norm",
    {"activation": "x * sigmoid(b * x), b=learn(1.0)"},
    {"residual": [{"conv": 16}, {"norm": {"kind": "group", "groups": 4}}, "relu", "gate"]},
    {"pool": {"kind": "max", "size": 2}},
    {"branches": [[{"conv": {"channels": 4, "kernel": 1}}], [{"conv": 4}, "gelu"]]},
    {"repeat": {"times": 2, "of": [{"conv": {"channels": 8, "groups": 2}}, {"norm": "layer"}]}},
    {"pool": "average"},
    {"dropout": 0.1},
    {"dense": "classes"},
]


def test_a_stack(shapes: Path, tmp_path: Path) -> None:
    settings = {**HERE, **LITTLE, "epochs": 2, "network.width": 1.0, "optimizer.lr": 0.005}
    run = qs.learn(shapes, network=STACK, settings=settings, out=tmp_path / "run")
    alone = Alone(run, most=200)  # nearly every sort of layer there is; Residual alone takes 6
    alone.same_answers([row["path"] for row in alone.rows()])
    for word in ("class Residual", "class Branches", "class Gate", "self.b", "groups=2"):
        assert word in alone.text


@pytest.mark.parametrize(
    "text",
    [
        *("x * sigmoid(1.702 * x)", "-x**2", "(-x)**2", "2**-x", "x - (1 - x)", "x / (2 / x)"),
        *("where(x > 0, 1, 0.25) * x", "max(x, 0) - min(1, x)", "clamp(x, -1, 2)", "atan2(x, 2)"),
        *("log(1 + exp(x))", "log(sigmoid(x))", "x*b + exp(b*x), b=learn(0.5)", "-(-x)"),
        *("where(x < b, x, -b), b=learn(0.3)", "maximum(x, b) + min(b, 2*x), b=learn(2)"),
        "x**b**2 * 1e-3, b=2",
        "((x+1)*(x+1) + (x+1)**3)*sin(x+1)/cos(x*x*x+2) + tanh(sin(x+1)/cos(x*x*x+2))*erf(x)",
        *(f"{name}(x)" for name in ("gelu", "silu", "mish", "softplus", "elu", "selu", "erfc")),
    ],
)
def test_expressions_are_written_out(text: str) -> None:
    expression, x = parse(text), torch.linspace(-2, 3, 11)
    code = written(expression, ["x"])
    values: dict[str, Any] = {"torch": torch, "F": F, "x": x}
    values |= {name: torch.tensor(value) for name, value in expression.learned.items()}
    exec("\n".join([*code.lines, f"result = {code.result}"]), values)
    told = Function(expression, ["x"])(x)
    assert torch.allclose(told, values["result"].float(), atol=1e-6, equal_nan=True)
    assert max(map(len, [*code.lines, code.result])) < 100


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("classification", "mean(-(1 - p)**gamma * log(p)), gamma=2"),
        ("classification", "mean((prediction - target)**2)"),
        ("classification", "mean(-log(1 - p) * 0.1 - log(p))"),
        ("multilabel", "mean(-(1 - p)**2 * log(p) - 0.1 * log(1 - p))"),
        ("regression", "mean(log(cosh(prediction - target)))"),
    ],
)
@pytest.mark.parametrize("balanced", [False, True])
def test_losses_as_expressions_are_written_out(task: str, text: str, balanced: bool) -> None:
    torch.manual_seed(0)
    scores, target = torch.randn(6, 3), torch.eye(3).repeat(2, 1)
    share = torch.tensor([0.5, 1.0, 1.5]) if balanced and task == "classification" else None
    lines = expression_lines(text, task, share is not None)
    values: dict[str, Any] = {"torch": torch, "F": F, "scores": scores, "target": target}
    exec("\n".join(lines), {**values, "share": share}, values)
    told = criterion(text, task=task, class_weights=share)(scores, target)
    assert values["loss"].item() == pytest.approx(told.item(), rel=1e-5)


def test_headings_are_told_apart() -> None:
    found = headings(["size", "label", "label (column)", "size"])
    assert found == ["size", "label (column)", "label (column) (column)", "size (column)"]


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("loss.name", "python:mine", "put your own in its place"),
        ("loss.name", "mean(-a * log(p)), a=learn(1.0)", "learn without that"),
        ("network.name", "some.onnx", "learn without that"),
    ],
)
def test_what_to_do_instead(
    rows: dict[str, Path], tmp_path: Path, key: str, value: Any, hint: str
) -> None:
    settings = {**SMALL, "epochs": 0.2}
    run = qs.learn(rows["class"], target="y", settings=settings, out=tmp_path / "run")
    folder = edited(run, tmp_path / "r", **{key: value})
    with pytest.raises(ChoiceError, match=re.escape(f"{key} = {value}")) as caught:
        script_of(folder)
    assert hint in str(caught.value.hint)


def test_a_table_that_was_not_kept_is_refused(
    rows: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quickstudy.learning.examples.MOST_CELLS", 100)
    settings = {**SMALL, "epochs": 0.2}
    run = qs.learn(rows["class"], target="y", settings=settings, out=tmp_path / "run")
    with pytest.raises(ChoiceError, match="too large to keep"):
        script_of(run.folder)

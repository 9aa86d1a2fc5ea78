"""What is unknown to a model: made unlike, learnt in a run, kept, and said by `predict`."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from quickstudy import cli, learn, load
from quickstudy.calibration import Calibration, ClassSets, Detector, Energy
from quickstudy.commands import telling
from quickstudy.errors import ExampleError, ModelError
from quickstudy.kinds.image.unlike import unlike as unlike_pictures
from quickstudy.kinds.sound.unlike import unlike as unlike_sounds
from quickstudy.kinds.table.columns import Column
from quickstudy.kinds.table.unlike import unlike as unlike_rows
from quickstudy.learning import knowing
from quickstudy.learning.run import Run
from quickstudy.model import Model, untrained
from quickstudy.network.seen import beside, last_layer, seen_by
from quickstudy.network.tabular import Tabular
from quickstudy.prediction import NONE_OF_THESE, UNLIKE, Prediction, Segment
from quickstudy.report.believed import believed

pytestmark = pytest.mark.usefixtures("one_thread")


# Made to be unlike -------------------------------------------------------------------------------


def test_pictures_made_unlike_keep_what_they_say_they_keep() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    picture = np.stack([4 * y, 4 * x, 2 * (x + y)], -1).astype(np.uint8)[None]
    found = unlike_pictures([picture, 255 - picture], rng)
    for sort, made in found.items():
        assert len(made) == 2
        for one, was in zip(made, (picture, 255 - picture), strict=True):
            assert one.shape == was.shape and one.dtype == np.uint8
            assert np.abs(one.astype(float) - was).mean() > 4, sort

    def colours(one: NDArray[Any]) -> list[Any]:
        return sorted(map(tuple, one.reshape(-1, 3).tolist()))

    for sort in ("pixels shuffled", "patches shuffled"):
        assert colours(found[sort][0]) == colours(picture)
    patches = found["patches shuffled"][0][0].reshape(4, 12, 4, 12, 3).swapaxes(1, 2)
    whole = picture[0].reshape(4, 12, 4, 12, 3).swapaxes(1, 2).reshape(16, 12, 12, 3)
    assert all((whole == one).all((1, 2, 3)).any() for one in patches.reshape(16, 12, 12, 3))
    grey = rng.normal(128, 15, (48, 48, 1)).repeat(3, -1).astype(np.uint8)
    again = unlike_pictures([grey[None]], rng)["phases scrambled"][0][0]
    before, after = (np.abs(np.fft.fft2(one[..., 0].astype(float))) for one in (grey, again))
    assert np.corrcoef(before[1:].ravel(), after[1:].ravel())[0, 1] > 0.99
    fine = np.abs(np.diff(found["strongly blurred"][0][0].astype(float), n=2, axis=0)).max()
    assert fine < np.abs(np.diff(found["pixels shuffled"][0][0].astype(float), n=2, axis=0)).max()


def test_sounds_made_unlike_keep_what_they_say_they_keep() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(4001) / 8000
    chirp = (np.sin(2 * np.pi * (300 + 900 * t) * t) * t).astype(np.float16)
    found = unlike_sounds([chirp, chirp[:7]], 8000, rng)
    for made in found.values():
        assert [len(one) for one in made] == [4001, 7] and made[0].dtype == np.float16
        assert not np.array_equal(made[0], chirp)
    assert np.array_equal(found["backwards"][0][::-1], chirp)
    for sort in ("samples shuffled", "pieces of 50 ms shuffled"):
        assert np.array_equal(np.sort(found[sort][0]), np.sort(chirp))
    before, after = (
        np.abs(np.fft.rfft(one.astype(float))) for one in (chirp, found["phases scrambled"][0])
    )
    assert np.allclose(before[:-1], after[:-1], atol=0.02 * before.max())
    steps = [
        np.abs(np.diff(one.astype(float))).mean()
        for one in (
            chirp,
            *(found[sort][0] for sort in ("pieces of 50 ms shuffled", "samples shuffled")),
        )
    ]
    assert steps[0] < steps[1] < 0.5 * steps[2]  # within a piece the wave is whole


def test_rows_made_unlike() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(40, 3)).astype(np.float32)
    rows[:, 2] = rng.integers(0, 3, 40)
    rows[::7, 0] = np.nan
    columns = [Column("a", "number"), Column("b", "number"), Column("c", "category", ("x", "y"))]
    found = unlike_rows([row[None] for row in rows], columns, rng)
    mixed = np.concatenate(found["cells of different rows"])
    assert np.array_equal(np.sort(mixed, 0), np.sort(rows, 0), equal_nan=True)
    assert not np.array_equal(mixed, rows, equal_nan=True)
    far = np.concatenate(found["numbers far outside"])
    assert np.array_equal(far[:, 2], rows[:, 2])
    assert (np.abs(far[:, :2]) > 1.5 * np.nanmax(np.abs(rows[:, :2]), 0)).all()
    words = unlike_rows([row[None, 2:] for row in rows], columns[2:], rng)
    assert list(words) == ["cells of different rows"]  # there is no word far outside


# What the last layer sees ------------------------------------------------------------------------


def test_what_goes_into_the_last_layer() -> None:
    model = untrained(("a", "b", "c"), size=32)
    assert last_layer(model.network, "head") == "head"
    x = torch.rand(5, 3, 32, 32)
    head = model.network.get_submodule("head")
    with torch.inference_mode():
        with seen_by(model.network.eval(), "head") as seen:
            given = model.network(x)
        assert torch.allclose(head(seen[0]), given, atol=1e-6)
        whole = beside(model.network, "head", lambda s: s.softmax(-1), x)
        assert torch.allclose(whole, torch.cat([given.softmax(-1), seen[0], given], 1), atol=1e-6)
        assert torch.allclose(beside(model.network, "", lambda s: 2 * s, x), 2 * given, atol=1e-6)
    with pytest.raises(ModelError, match="no layer 'tail'"), seen_by(model.network, "tail"):
        pass


def test_members_of_an_ensemble_count_as_their_mean() -> None:
    module = Tabular([0, 0], [False, False], 3, width=8, members=4).eval()
    module.fit_statistics(np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32))
    assert last_layer(module, "") == "head" and last_layer(torch.nn.ReLU(), "") == ""
    x = torch.randn(6, 2)
    with torch.inference_mode():
        told = beside(module, "head", lambda s: s.softmax(-1).mean(1), x)
        inside = module.body(module.columns(x))
    assert told.shape == (6, 3 + 8 + 3)
    assert torch.allclose(told[:, 3:11], inside.mean(0), atol=1e-6)
    assert torch.allclose(told[:, 11:], module(x).mean(1), atol=1e-6)


# In a run ----------------------------------------------------------------------------------------


SMALL = {
    "epochs": 1,
    "optimizer.lr": 0.025,
    "compute.threads": 1,
    "picture.size": 16,
    "network.width": 0.25,
    "data_curve": "never",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Eight of ten handwritten digits, learnt for so long that they are told apart."""
    digits = load_digits()
    met = np.flatnonzero(digits.target < 8)[:1000]
    pictures = (digits.images[met] * 15.9).astype(np.uint8)
    settings = {**SMALL, "epochs": 8}
    out = tmp_path_factory.mktemp("unknown") / "run"
    return learn((pictures, digits.target[met]), out=out, settings=settings, seed=0)


def test_a_run_learns_what_is_unknown(run: Run) -> None:
    told = run.facts["calibration"]["unknown"]
    assert told["why"] is None and told["n"] >= 90 and told["learnt"] == 400
    tried = told["tried"][told["measure"]]
    assert set(tried) >= {"pixels shuffled", "classes left out"} and min(tried.values()) > 0.7
    low, _ = told["test"]["refused"]["interval"]
    assert low <= 0.05
    answered, rest = told["test"]["answered"], told["test"]["rest"]
    assert answered["value"] >= run.test.accuracy
    n, share = told["test"]["n"], told["test"]["refused"]["value"]
    right = answered["value"] * n * (1 - share) + (rest["value"] * n * share if rest else 0)
    assert right == pytest.approx(run.test.accuracy * n)
    assert run.facts["seconds"]["know"] > 0


def test_the_model_refuses_what_it_has_not_met(run: Run) -> None:
    model = load(run.folder / "model")
    rng = np.random.default_rng(3)
    noise = list(rng.integers(0, 256, (30, 8, 8)).astype(np.uint8))
    found = model.predict(noise)
    assert np.mean([one.unknown for one in found]) > 0.8
    digits = load_digits()
    new = (digits.images[digits.target >= 8][:100] * 15.9).astype(np.uint8)
    met = (digits.images[digits.target < 8][:100] * 15.9).astype(np.uint8)
    refused = [np.mean([one.unknown for one in model.predict(list(x))]) for x in (met, new)]
    assert refused[0] < 0.12 and refused[1] > refused[0] + 0.2
    assert [one.as_dict() for one in run.model.predict(noise)] == [one.as_dict() for one in found]


def test_only_files_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    """Nothing is left to look for the unknown in: the reasons are told, as ever."""
    model = load(run.folder / "model")
    assert model.calibration.detector is not None
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(ExampleError, match="not a picture"):
        model.predict(broken)
    found = model.predict([broken, b"nothing either"], coverage=0.9)
    assert [one.error for one in found] == ["not a picture"] * 2
    assert all(one.label is None and one.unknown is None for one in found)


def test_the_report_says_what_is_refused(run: Run) -> None:
    page = believed(run.facts)
    share = run.facts["calibration"]["unknown"]["test"]["refused"]["value"]
    assert "It says “none of these”" in page and f"{100 * share:.1f}" in page
    assert "classes left out" in page and "nearest examples" in page
    why = {"unknown": {"why": "the budget left no time to learn it"}}
    page = believed({"calibration": why, "data": {"kind": "image"}})
    assert "cannot say “none of these”" in page and "no time to learn it" in page


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_every_task_learns_it(task: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 4))
    truth: Any = x @ [1.0, -2.0, 0.5, 0.0]
    if task == "multilabel":
        truth = [[name for name, at in zip("ab", row, strict=False) if at > 0] for row in x]
    names = {f"c{i}": column for i, column in enumerate(x.T)}
    lines = [",".join([*names, "what"])]
    for row, one in zip(x, truth, strict=True):
        said = ";".join(one) if task == "multilabel" else f"{one:.4f}"
        lines.append(",".join([*(f"{v:.4f}" for v in row), said]))
    (tmp_path / "t.csv").write_text("\n".join(lines))
    settings = {"epochs": 3, "compute.threads": 1, "data_curve": "never", "table.trees": False}
    made = learn(
        tmp_path / "t.csv", target="what", task=task, out=tmp_path / "run", settings=settings
    )
    told = made.facts["calibration"]["unknown"]
    assert told["why"] is None and "energy" not in told["tried"]
    assert told["test"]["answered"] is None
    far = load(made.folder / "model").predict(dict.fromkeys(names, 40.0), coverage=0.9)
    assert far.unknown is True and UNLIKE in far.said() and "90 % sure" in far.said()


def test_too_few_to_tell(tmp_path: Path) -> None:
    pictures = np.random.default_rng(5).integers(0, 256, (60, 8, 8)).astype(np.uint8)
    pictures[30:] //= 4
    made = learn((pictures, np.repeat([0, 1], 30)), out=tmp_path / "run", settings=SMALL)
    assert "19 are needed" in made.facts["calibration"]["unknown"]["why"]
    assert made.model.predict(pictures[0]).unknown is None


# In words ----------------------------------------------------------------------------------------

SHARES = {"cat": 0.62, "dog": 0.38}
CAT = Prediction("a.jpg", "cat", 0.62, SHARES)


def test_words() -> None:
    assert repr(CAT) == "Prediction('cat', 0.62)" and "unknown" not in CAT.as_dict()
    strange = replace(CAT, unknown=True)
    assert repr(strange) == "Prediction('none of these', likeliest='cat')"
    assert strange.as_dict()["unknown"] is True and strange.as_dict()["label"] == "cat"
    assert NONE_OF_THESE in strange._repr_html_() and "62.0 %" in strange._repr_html_()
    sure = replace(CAT, coverage=0.9, labels_set=("cat", "dog"), unknown=False)
    assert "coverage=0.9" in repr(sure) and "90 % sure: cat or dog" in sure._repr_html_()
    number = Prediction(
        "row 0", None, 0.0, {}, values={"y": 2.0}, coverage=0.9, ranges={"y": (1.0, 3.5)}
    )
    assert number.said() == "y 2 (90 % sure: 1 to 3.5)"
    labels = Prediction("a.jpg", None, 0.0, SHARES, labels=("cat",), coverage=0.9, labels_set=())
    assert labels.said() == "cat 62 %  (90 % sure: no others than none)"


def test_csv(capsys: pytest.CaptureFixture[str]) -> None:
    strange = replace(CAT, unknown=True, coverage=0.9, labels_set=("cat", "dog"))
    long = replace(CAT, unknown=False, timeline=(Segment(0.0, 1.0, "cat", 0.9),))
    bad = Prediction("b.jpg", None, 0.0, {}, "cut short")
    told = [strange, long, bad]
    telling.as_csv(told, "classification", ("cat", "dog"), timeline=True, coverage=0.9)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["unknown"] for row in rows] == ["yes", "no", ""]
    assert rows[0]["set"] == "cat;dog" and rows[0]["label"] == "cat" and rows[2]["error"]
    number = Prediction(
        "row 0", None, 0.0, {}, values={"y": 2.0}, unknown=False, ranges={"y": (1.0, 3.5)}
    )
    telling.as_csv([number, bad], "regression", ("y",), timeline=False, coverage=0.9)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (rows[0]["y from"], rows[0]["y to"], rows[0]["unknown"]) == ("1", "3.5", "no")
    assert rows[1]["y from"] == "" and rows[1]["error"] == "cut short"
    telling.as_words([strange, long], ["a.jpg", "a.jpg"])
    assert capsys.readouterr().out.startswith("a.jpg  none of these")


def strict(threshold: float) -> Model:
    model = untrained(("cat", "dog"), size=16)
    held = np.linspace(0.3, 0.7, 40)
    sets = ClassSets.calibrated(np.arange(40) % 2, np.stack([held, 1 - held], 1))
    return replace(model, calibration=Calibration(sets, Detector(Energy(), threshold, "head")))


@pytest.mark.parametrize("threshold", [-1e9, 1e9])
def test_predict_says_none_of_these(
    threshold: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    folder = strict(threshold).save(tmp_path / "m")
    Image.new("RGB", (9, 7), "red").save(tmp_path / "a.png")
    words = ["predict", str(folder), str(tmp_path / "a.png")]
    assert cli.main([*words, "--coverage", "0.9"]) == 0
    said = capsys.readouterr().out
    assert (NONE_OF_THESE in said) == (threshold < 0)
    assert "90 % sure" in said
    assert cli.main([*words, "--json", "--coverage", "0.9"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["unknown"] == (threshold < 0) and one["coverage"] == 0.9 and one["labels_set"]
    assert cli.main([*words, "--csv", "--coverage", "90"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "between 0 and 1" in err


@pytest.mark.parametrize(("left", "made"), [(100.0, 64), (30.0, 25), (-5.0, None)])
def test_a_late_run_looks_at_fewer_and_a_spent_one_at_none(left: float, made: int | None) -> None:
    """Of 1,000 s 3 % are for it, what is kept for the test and the rest aside; 1 % if late."""
    lesson = SimpleNamespace(
        val=np.arange(10),
        decoded=SimpleNamespace(views=lambda rows, most: len(rows)),
        test_seconds=lambda: 0.1,
        reserve_taught=lambda: 25.0,
        seen=(),
    )
    clock = SimpleNamespace(left=lambda: left)
    job = SimpleNamespace(fixed_length=False, budget=1000.0, clock=clock)
    looks = knowing._looks(SimpleNamespace(lesson=lesson, job=job))  # type: ignore[arg-type]
    assert looks == (None if made is None else knowing._Looks(0, made))

"""Explanations: maps lie where the class is told and change with the network; shares add up."""

from __future__ import annotations

import base64
import csv
import functools
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from quickstudy import tasks
from quickstudy.calibration import Calibration, Detector
from quickstudy.calibration.unknown import Energy
from quickstudy.cli import main
from quickstudy.errors import ChoiceError, ExampleError, SourceError
from quickstudy.explanation import explain, wording
from quickstudy.explanation.columns import Share, shapley
from quickstudy.explanation.features import features
from quickstudy.explanation.heard import middles, part_heard
from quickstudy.explanation.maps import evidence_for, looked
from quickstudy.explanation.neighbours import NAME, made_of
from quickstudy.explanation.page import page, write
from quickstudy.kinds import restored
from quickstudy.kinds.table.columns import Column, described
from quickstudy.model import Model
from quickstudy.network import Spec, build
from quickstudy.prediction import Prediction
from quickstudy.report import page as report_page

SIDE, PATCH = 32, 8
CLASSES = ("flat", "upright")
PICTURE = {
    **{"decode_size": SIDE, "size": SIDE, "fit": "squash", "mean": (0.5,) * 3, "std": (0.25,) * 3},
    "mirror": False,
}
Box = tuple[int, int]

pytestmark = pytest.mark.usefixtures("one_thread")


def striped(number: int) -> tuple[np.ndarray, int, Box]:
    """Noise with a patch of stripes somewhere: flat or upright ones tell the class."""
    rng = np.random.default_rng([7, number])
    pixels = rng.integers(60, 150, (SIDE, SIDE, 3))
    y, x = (int(v) for v in rng.integers(0, SIDE - PATCH + 1, 2))
    stripes = np.where(np.arange(PATCH) // 2 % 2, 250, 10)
    patch = stripes[:, None] if number % 2 == 0 else stripes[None]
    pixels[y : y + PATCH, x : x + PATCH] = np.broadcast_to(patch, (PATCH, PATCH))[..., None]
    return pixels.astype(np.uint8), number % 2, (y, x)


def fit(network: nn.Module, x: Tensor, y: Tensor, steps: int, lr: float = 3e-3) -> nn.Module:
    """Train in plain torch."""
    network.train()
    solver = torch.optim.Adam(network.parameters(), lr)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        some = torch.randint(len(x), (32,), generator=generator)
        found = network(x[some])
        wanted = y[some]
        if found.ndim == 3:
            found, wanted = found.flatten(0, 1), wanted.repeat_interleave(found.shape[1])
        solver.zero_grad()
        nn.functional.cross_entropy(found, wanted).backward()
        solver.step()
    return network.eval()


CONVOLUTIONS: list[Any] = [
    {"conv": 12}, "norm", "relu", {"conv": {"channels": 16, "stride": 2}}, "norm", "relu",
    {"conv": {"channels": 24, "stride": 2}}, "relu", {"pool": "average"}, {"dense": "classes"},
]  # fmt: skip


@functools.cache
def taught() -> Model:
    """A stack that tells flat stripes from upright ones."""
    torch.manual_seed(0)
    how = restored("image", PICTURE)
    spec = Spec("stack", 2, SIDE, stack=CONVOLUTIONS)
    module = build(spec).module
    seen = [striped(number) for number in range(400)]
    x = how.prepare(torch.from_numpy(np.stack([one[0] for one in seen])))
    fit(module, x, torch.tensor([one[1] for one in seen]), 100)
    return Model(module, spec, tasks.Classification(CLASSES), how)


def inside(where: np.ndarray, box: Box, margin: int = 4) -> float:
    """Share of a map within a box and a margin: a layer's cells are coarse."""
    y, x = box
    low, left = max(0, y - margin), max(0, x - margin)
    return float(where[low : y + PATCH + margin, left : x + PATCH + margin].sum())


def located(model: Model, numbers: range) -> tuple[float, float, float]:
    """Accuracy, mean share of the map about the patch, and how often its peak is there."""
    right, mass, peak = [], [], []
    for number in numbers:
        pixels, label, box = striped(number)
        told = explain(model, pixels)
        right.append(told.prediction.label == CLASSES[label])
        mass.append(inside(told.where, box))
        top = np.zeros_like(told.where)
        top[np.unravel_index(told.where.argmax(), told.where.shape)] = 1
        peak.append(inside(top, box))
    return float(np.mean(right)), float(np.mean(mass)), float(np.mean(peak))


def test_the_map_lies_where_the_class_is_told() -> None:
    """By chance a map would have (16 / 32)^2 = 25 % there at the most."""
    right, mass, peak = located(taught(), range(1000, 1024))
    assert right >= 0.95
    assert mass >= 0.7
    assert peak >= 0.95


def alike(one: np.ndarray, other: np.ndarray) -> float:
    if not one.any() or not other.any():  # a map of nothing is like no other
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_a_network_that_knows_nothing_has_another_map() -> None:
    """Adebayo et al., 2018: a map that stays when the weights are random explains the picture."""
    model = taught()
    found = []
    for number in range(1000, 1010):
        told = explain(model, striped(number)[0])
        torch.manual_seed(number)
        random = replace(model, network=build(model.spec).module)
        other = explain(random, striped(number)[0], of=told.of)
        found.append(alike(told.where, other.where))
    again = explain(model, striped(1000)[0])
    assert np.array_equal(again.where, explain(model, striped(1000)[0]).where)
    assert np.mean(found) < 0.5


def test_grad_cam_is_captums() -> None:
    attr = pytest.importorskip("captum.attr")
    model = taught()
    x = model.preparation.prepare(torch.from_numpy(striped(1000)[0][None]))
    layer = [m for m in model.network.modules() if isinstance(m, nn.ReLU)][-1]
    evidence = evidence_for("classification", 0)

    def asked(inputs: Tensor) -> Tensor:
        return evidence(model.network(inputs))

    theirs = attr.LayerGradCam(asked, layer).attribute(x, relu_attributions=True)
    theirs = nn.functional.interpolate(theirs, x.shape[2:], mode="bilinear")[:, 0]
    ours = looked(model.network, x, evidence)
    assert ours.method == "Grad-CAM" and ours.cells == (8, 8)
    torch.testing.assert_close(ours.values, theirs.detach())


def test_with_averaging_before_a_linear_layer_the_map_is_the_class_activation_map() -> None:
    """Zhou et al., 2016: the weights of the class on the last layer's channels."""
    torch.manual_seed(1)
    body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
    head = nn.Linear(6, 3)

    class Whole(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return head(body(x).mean((2, 3)))

    network, x = Whole(), torch.randn(2, 3, 8, 8)
    network.add_module("a", body)
    found = looked(network, x, evidence_for("multilabel", 2))
    wanted = torch.einsum("c,nchw->nhw", head.weight[2], body(x)).relu() / 64
    torch.testing.assert_close(found.values, wanted.detach())
    both = looked(network, x, evidence_for("regression", 2), both_ways=True)
    wanted = torch.einsum("c,nchw->nhw", head.weight[2], body(x)).abs() / 64
    torch.testing.assert_close(both.values, wanted.detach())


def test_what_is_joined_between_modules_is_seen() -> None:
    """Two convolutions joined without a module, as an ONNX file does it: both count."""
    one, two = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 2, 3, padding=1)
    with torch.no_grad():
        for conv in (one, two):
            conv.weight.zero_()
            conv.bias.zero_()
        one.weight[:, :, 1, 1] = 1

    class Joined(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([one(x), two(x)], 1).amax((2, 3))

    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 2, 5] = 1
    network = Joined()
    found = looked(network, x, evidence_for("multilabel", 0)).values[0]
    assert found.sum() > 0 and found[2, 5] == found.sum()


def test_a_transformers_tokens_are_places() -> None:
    """Only the patch at row 1, column 2 of 4 x 4 can move the class token."""

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(1, 4, 4, 4)
            self.before, self.after = nn.LayerNorm(4), nn.LayerNorm(4)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            tokens = self.before(torch.cat([torch.zeros(len(x), 1, 4), tokens], 1))
            first = tokens[:, :1] + 3 * tokens[:, 1 + 6 : 2 + 6]
            return self.after(torch.cat([first, tokens[:, 1:]], 1))[:, 0, :2]

    torch.manual_seed(0)
    found = looked(
        Attending(), torch.randn(1, 1, 16, 16), evidence_for("multilabel", 0), both_ways=True
    )
    assert found.method == "Grad-CAM" and found.cells == (4, 4)


def test_a_network_without_places_is_asked_for_slopes() -> None:
    """Of a linear network the slope times the input is exact: a 1 counts where it lies."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2, bias=False))
    with torch.no_grad():
        network[1].weight.fill_(1.0)
        network[1].weight[1].neg_()
    x = torch.zeros(1, 3, 16, 16)
    x[0, :, 4, 11] = 2.0
    found = looked(network, x, evidence_for("multilabel", 0))
    assert found.method == "SmoothGrad" and found.cells == (16, 16)
    assert found.values[0, 4, 11] == pytest.approx(6.0) and found.values.sum() == pytest.approx(6.0)


def test_named_networks_have_maps() -> None:
    how = restored("image", {**PICTURE, "size": 64, "decode_size": 64, "mirror": True})
    for name, cells in (("compact", (4, 4)), ("resnet18", (4, 4)), ("squeezenet1_1", (7, 7))):
        torch.manual_seed(0)
        spec = Spec(name, 2, 64, width=0.25 if name == "compact" else 1.0)
        model = Model(build(spec).module, spec, tasks.Classification(CLASSES), how)
        told = explain(model, striped(3)[0])
        assert (told.method, told.where.shape) == ("Grad-CAM", (64, 64)), name
        assert told.cells == cells or name == "squeezenet1_1", told.cells
        assert told.where.sum() == pytest.approx(1) or not told.where.any()


def test_the_mirrored_answer_has_the_mirrored_map() -> None:
    model = taught()
    both = replace(model, preparation=restored("image", {**PICTURE, "mirror": True}))
    pixels = striped(1001)[0]
    one, other = explain(both, pixels).where, explain(both, pixels[:, ::-1].copy()).where
    np.testing.assert_allclose(one, other[:, ::-1], rtol=1e-4, atol=1e-9)


# Tables


def test_shares_are_the_values_of_shapley() -> None:
    """Of a sum the summands; of a product of two, half for each; of the like, the same."""
    rng = np.random.default_rng(0)
    for n in (3, 10, 14):
        w = rng.normal(size=n)
        np.testing.assert_allclose(shapley(n, lambda there, w=w: there @ w + 2.0), w, atol=1e-12)

    def joint(there: np.ndarray) -> np.ndarray:
        return 6.0 * (there[:, 0] & there[:, 1]) + 1.0 * there[:, 2]

    np.testing.assert_allclose(shapley(4, joint), [3, 3, 1, 0], atol=1e-12)


def rows_model() -> Model:
    """A formula, 3 a - 2 b + 10, of rows whose usual a is 1 and usual b is -1; c says nothing."""
    columns = [Column("a", "number"), Column("b", "number"), Column("c", "number")]
    how = restored("table", {"columns": [column.as_dict() for column in columns]})
    table = {**described(columns), "members": 1, "bins": 2}
    spec = Spec("m*a + n*b + k", 1, 1, table=table)
    module = build(spec).module
    module.fit_statistics(np.array([[1, -1, 5]], np.float32))
    with torch.no_grad():
        for name, value in (("m", 3.0), ("n", -2.0), ("k", 10.0)):
            dict(module.function.named_parameters())[name].fill_(value)
    return Model(module, spec, tasks.Regression(("y",)), how)


def test_the_columns_of_a_line_count_for_their_slopes() -> None:
    told = explain(rows_model(), {"a": 2.0, "b": 3.0, "c": 7.0})
    share = {one.column: one.share for one in told.columns}
    assert told.prediction.value == pytest.approx(10.0) and told.usual == pytest.approx(15.0)
    assert share == pytest.approx({"a": 3.0, "b": -8.0, "c": 0.0})
    assert told.columns[0].column == "b" and told.columns[0].usual == "-1"
    assert told.sentence.startswith("It says y 10, where the most usual row gets 15, above all")
    assert "b is 3 (usual: -1; −8)" in told.sentence
    assert "Adds to y" in page(told) and told.neighbours == ()


# ONNX, sound and TabM below build their networks as a loaded model does


def test_tabm_weighs_the_one_column_that_tells() -> None:
    columns = [
        *(Column(name, "number", unit=2.0) for name in "abc"),
        Column("word", "category", words=("up", "down")),
    ]
    how = restored("table", {"columns": [column.as_dict() for column in columns]})
    spec = Spec("tabm", 2, 1, width=0.125, table={**described(columns), "members": 4, "bins": 4})
    torch.manual_seed(0)
    module = build(spec).module
    rng = np.random.default_rng(0)
    rows = np.c_[rng.normal(size=(300, 3)), rng.integers(0, 2, 300)].astype(np.float32)
    module.fit_statistics(rows)
    fit(
        module,
        torch.from_numpy(rows),
        torch.from_numpy((rows[:, 1] > 0).astype(np.int64)),
        60,
        0.02,
    )
    model = Model(module, spec, tasks.Classification(("less", "more")), how)
    told = explain(model, {"a": 1.0, "b": 4.0, "c": -1.0, "word": "down"})
    share = {one.column: one.share for one in told.columns}
    assert told.prediction.label == "more" and told.columns[0].column == "b"
    assert share["b"] > 4 * max(abs(share["a"]), abs(share["c"]), abs(share["word"]))
    wanted = told.prediction.probability - told.usual
    assert sum(share.values()) == pytest.approx(wanted, abs=1e-6)
    assert {one.column: one.usual for one in told.columns}["word"] == "up"
    assert made_of(model, iter([rows[:1], rows[1:2]]), 2).shape == (2, 16)


# Sound


RATE, WINDOW = 8000, 8000
SPECTRA = {"rate": RATE, "fft": 256, "hop": 80, "mels": 32, "low": 50.0, "high": 4000.0}


def listening() -> Model:
    """A network that says "tone" for what is loud in the bands about 1 kHz, at any time."""
    how = restored("sound", {"rate": RATE, "size": WINDOW, "span": WINDOW, "long": 10 * WINDOW})
    spec = Spec("stack", 2, WINDOW, sound=SPECTRA, stack=[
        {"conv": {"channels": 2, "kernel": 3}}, "relu", {"pool": "average"}, {"dense": 2},
    ])  # fmt: skip
    module = build(spec).module
    convolution = next(m for m in module.modules() if isinstance(m, nn.Conv2d))
    linear = next(m for m in module.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        for tensor in (*convolution.parameters(), *linear.parameters()):
            tensor.zero_()
        convolution.weight[0, 0, 1, 1] = 1.0
        linear.weight[0, 0] = 5.0
    return Model(module.eval(), spec, tasks.Classification(("tone", "silence")), how)


def beep(at: float, hertz: float, seconds: float = 1.0, lasts: float = 0.15) -> np.ndarray:
    """A tone in silence: where it is, is known."""
    t = np.arange(round(RATE * seconds)) / RATE
    wave = np.sin(2 * np.pi * hertz * t) * ((t >= at) & (t < at + lasts))
    return wave.astype(np.float32)


@pytest.mark.parametrize(("at", "seconds"), [(0.6, 1.0), (0.3, 0.8), (2.2, 3.0)])
def test_the_map_lies_on_the_tone_and_its_part_is_heard(at: float, seconds: float) -> None:
    """Also of a recording shorter than the window, and of a longer one."""
    told = explain(listening(), (beep(at, 1000.0, seconds), RATE), of="tone")
    frames, bands = told.where.sum(0), told.where[::-1].sum(1)
    assert told.method == "Grad-CAM" and told.picture.shape[:2] == told.where.shape
    assert told.heard.end - told.heard.start == pytest.approx(min(seconds, 1.0), abs=0.01)
    when = told.heard.start + np.arange(len(frames)) * 0.01
    assert frames[(when >= at - 0.03) & (when <= at + 0.18)].sum() > 0.8
    near = (told.heard.bands > 750) & (told.heard.bands < 1300)
    assert bands[near].sum() > 0.6
    part, rate = soundfile.read(io.BytesIO(base64.b64decode(told.heard.part.split(",")[1])))
    moments = told.heard.start + np.arange(len(part)) / rate
    loud = (moments >= at + 0.02) & (moments < at + 0.13)
    assert np.abs(part[loud]).max() > 0.3
    assert f"listened mostly from {at:.1f}"[:-1] in told.sentence
    assert "audio" in page(told)


def test_a_network_that_never_heard_anything_listens_elsewhere() -> None:
    """The check of Adebayo et al. for sound; for rows the shares change as well."""
    model, waves = listening(), [(beep(at, 1000.0), RATE) for at in (0.1, 0.4, 0.7)]
    found = []
    for seed, wave in enumerate(waves):
        torch.manual_seed(seed)
        random = replace(model, network=build(model.spec).module.eval())
        one, other = (explain(m, wave, of="tone").where for m in (model, random))
        found.append(alike(one, other))
    assert np.mean(found) < 0.5
    known = rows_model()
    row = {"a": 2.0, "b": 3.0, "c": 7.0}
    with torch.no_grad():
        before = {c.column: c.share for c in explain(known, row).columns}
        for parameter in known.network.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    after = {c.column: c.share for c in explain(known, row).columns}
    assert abs(after["b"] - before["b"]) > 1 and before["c"] == after["c"] == 0


def test_what_does_not_count_is_turned_down_by_30_db() -> None:
    """A tone at 500 Hz that the map leaves out, one at 2 kHz that it keeps."""
    model = listening()
    spectra = model.network.spectra
    t = torch.arange(WINDOW) / RATE
    low, high = torch.sin(2 * math.pi * 500 * t), torch.sin(2 * math.pi * 2000 * t)
    bands = middles(SPECTRA)
    where = (bands > 1500).float()[:, None].expand(-1, 101)
    heard = part_heard(spectra, low + high, where, bands, RATE)
    for tone, kept in ((low, 0.03), (high, 1.0)):
        share = (heard * tone).mean() / tone.square().mean()
        assert float(share) == pytest.approx(kept, abs=0.02)
    everywhere = part_heard(spectra, low + high, torch.ones(32, 101), bands, RATE)
    torch.testing.assert_close(everywhere[200:-200], (low + high)[200:-200], atol=1e-3, rtol=0)


# Neighbours, pages, the command


def run_folder(folder: Path, model: Model, numbers: range) -> Path:
    """A run's folder as `learn` leaves it: pictures, and which of them were learnt from."""
    from PIL import Image

    model.save(folder / "model")
    with (folder / "examples.csv").open("w", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["name", "path", "label", "part"])
        for number in numbers:
            pixels, label, _ = striped(number)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            part = "test" if number % 5 == 4 else "train"
            name = f"{number}.png"
            lines.writerow([name, (folder / name).absolute(), CLASSES[label], part])
    return folder


def test_the_nearest_are_the_like(tmp_path: Path) -> None:
    model = taught()
    run = run_folder(tmp_path / "run", model, range(2000, 2030))
    told = explain(model, run / "2003.png", run=run)
    assert told.compared == 24 and len(told.neighbours) == 5
    assert "2003.png" in [one.name for one in told.neighbours]
    assert told.neighbours[0].alike == pytest.approx(1, abs=1e-3)
    assert [one.label for one in told.neighbours] == ["upright"] * 5
    assert all(int(Path(one.name).stem) % 5 != 4 for one in told.neighbours)  # none of the test
    before = (run / NAME).stat().st_mtime_ns
    (run / "2000.png").unlink()  # what was kept is enough
    again = explain(model, run / "2004.png", run=run)
    assert again.compared == 24 and (run / NAME).stat().st_mtime_ns == before
    (run / NAME).write_bytes(b"cut short")
    assert explain(model, run / "2004.png", run=run).compared == 23
    other = replace(model, network=build(model.spec).module)
    assert explain(other, run / "2004.png", run=run).compared == 23
    assert (run / NAME).stat().st_mtime_ns != before  # another network: looked at again


def test_a_run_that_cannot_be_written_to_still_has_neighbours(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", taught(), range(2000, 2005))
    (run / NAME).mkdir()
    for _ in range(2):
        assert explain(taught(), run / "2003.png", run=run).compared == 4


def test_features_are_what_the_last_layer_is_given() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    x = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(features(network, x), network[:3](x).detach())
    assert features(nn.Flatten(), x) is None


def test_the_command_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path / "run", taught(), range(2000, 2010))
    words = ["explain", str(run / "model"), str(run / "2001.png")]
    assert main([*words, "--out", str(tmp_path / "why.html")]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("It says upright (") and "labelled" not in said.out
    assert "nearest of 8 training pictures" in said.err
    assert main(["explain", str(run), *words[2:], "--out", str(tmp_path / "new" / "why.html")]) == 0
    assert "nearest of 8 training pictures" in capsys.readouterr().err  # a run is a model as well
    html = (tmp_path / "why.html").read_text()
    assert html.count("data:image/png") >= 2 and "<script" not in html and "Grad-CAM" in html
    assert main([*words, "--out", str(tmp_path / "why.png"), "--json", "--of", "flat"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["of"] == "flat" and told["answer"]["label"] == "upright"
    assert np.sum(told["map"]) == pytest.approx(1, abs=1e-3) or np.sum(told["map"]) == 0
    assert (tmp_path / "why.png").read_bytes()[:4] == b"\x89PNG"


def test_a_model_alone_has_no_neighbours(tmp_path: Path) -> None:
    model = taught()
    told = explain(model, striped(5)[0], run=tmp_path)
    assert (told.neighbours, told.compared) == ((), 0)
    assert "a model alone does not keep them" in page(told)


def test_mistakes_are_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = taught()
    with pytest.raises(ChoiceError, match="does not answer 'uprigth'"):
        explain(model, striped(1)[0], of="uprigth")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ExampleError):
        explain(model, tmp_path / "bad.png")
    with pytest.raises(SourceError, match="no row 7"):
        explain(rows_model(), {"a": 1.0, "b": 1.0, "c": 1.0}, row=7)
    with pytest.raises(ChoiceError, match=r"end in \.html or \.png"):
        write(explain(model, striped(1)[0]), tmp_path / "why.txt")
    assert main(["explain", str(tmp_path), str(tmp_path / "none.png")]) == 2
    assert "There is no file" in capsys.readouterr().err
    run = run_folder(tmp_path / "run", model, range(2000, 2003))
    one = str(run / "2001.png")
    for words, fault, mend in (
        ([str(run / "model"), str(run)], "is a folder", "one file in it"),
        ([str(run / "model"), one, "--out", str(tmp_path / "why.txt")], "no page", ".png"),
        ([str(run / "model"), one, "--run", str(tmp_path)], "is no run", "examples.csv"),
        ([str(tmp_path), one], "not a Quickstudy model", "RUN/model"),
    ):
        assert main(["explain", *words]) == 2
        said = capsys.readouterr().err
        assert fault in said and mend in said, said


def test_the_page_escapes_names() -> None:
    model = replace(taught(), task=tasks.Classification(("<script>", "b")))
    told = explain(model, striped(1)[0])
    assert "<script" not in page(told)


def test_a_map_in_words() -> None:
    where = np.zeros((10, 10))
    assert "no part of it" in wording.of_picture("It says cat (97 %) and", where)
    where[0:2, 8:10] = 0.25
    assert "at the top right: half of what counted lies in 2 %" in wording.of_picture(
        "It says cat and", where
    )
    assert "all over the picture" in wording.of_picture("It says cat and", np.full((10, 10), 0.01))
    shares = [Share("age", "71", "40", 0.25), Share("sex", "f", "m", -0.1)]
    said = wording.of_row("It says ill (90 %), where", shares, 0.3, numbers=False)
    assert said == (
        "It says ill (90 %), where the most usual row gets 30 %, above all because age is 71 "
        "(usual: 40; +25.0 points)."
    )
    shares = [Share("s", "5", "9", -15.4), Share("bp", "114", "93", 15.3), Share("t", "1", "2", -9)]
    assert wording.of_row("It says y 130, where", shares, 140, numbers=True) == (
        "It says y 130, where the most usual row gets 140, above all because s is 5 (usual: 9; "
        "−15.4) and t is 1 (usual: 2; −9); against that, bp is 114 (usual: 93; +15.3)."
    )


def test_the_neighbours_in_words() -> None:
    cat = Prediction("a", "cat", 0.9, {"cat": 0.9, "dog": 0.1})

    def said(*labels: str, of: str = "cat", answer: Prediction = cat) -> str:
        return wording.agreed(labels, answer, of, 289, "pictures").removeprefix(
            f"The {len(labels)} nearest of 289 training pictures"
        )

    assert said("cat", "cat") == " are all labelled cat."
    assert said("dog", "dog") == " are all labelled dog, not cat."
    assert said("cat", "dog", "dog") == " are labelled dog (2 times) and cat."
    assert said("fox", "dog", "dog") == " are labelled dog (2 times) and fox, none cat."
    both = Prediction("a", "cat", 0.9, {"cat": 0.9, "dog": 0.1}, labels=("cat",))
    assert said("cat;dog", "dog", "", answer=both).endswith(" 1 has the label cat.")
    assert said("dog", "", answer=both).endswith(" none has the label cat.")
    number = Prediction("a", None, 0.0, {}, values={"y": 3.0})
    assert said("2", "3.5", answer=number) == ", as the network sees them, were 2 and 3.5."
    assert "not at hand" in wording.agreed((), cat, "cat", 0, "pictures")
    # A label that is likeliest and still not given.
    none = replace(both, labels=())
    assert wording.begun(none, "cat") == "It gives cat 90 %, too little to name it, and"
    assert wording.begun(cat, "cat") == wording.begun(both, "cat") == "It says cat (90 %) and"
    assert wording.begun(cat, "dog") == "It says cat (90 %); for dog (10 %) it"
    assert wording.begun(number, "y", row=True) == "It says y 3, where"


def test_many_columns_are_asked_about_in_parts() -> None:
    weights, largest = np.random.default_rng(0).normal(size=3000), 0

    def worth(there: np.ndarray) -> np.ndarray:
        nonlocal largest
        largest = max(largest, there.size)
        return there @ weights

    np.testing.assert_allclose(shapley(3000, worth), weights, atol=1e-9)
    assert largest < 2**22 + 3000


def test_predict_and_the_report_say_how_to_ask_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path / "a run", taught(), range(2000, 2003))
    one, model = str(run / "2001.png"), str(run / "model")
    assert main(["predict", model, one]) == 0
    said = capsys.readouterr()
    assert said.err == f"Why: quickstudy explain '{model}' '{one}'\n" and "Why" not in said.out
    assert main(["predict", model, one, str(run / "2002.png")]) == 0
    assert main(["predict", model, one, "--json"]) == 0
    assert "Why" not in capsys.readouterr().err
    (run / "2001.png").write_bytes(b"no picture")
    assert main(["predict", model, one]) == 1
    assert "Why" not in capsys.readouterr().err
    mistakes = {"test": {"n": 2, "accuracy": 0.5, "mistakes": [{"name": "a", "true": "b"}]}}
    assert report_page(mistakes).count("quickstudy explain MODEL FILE") == 1


def test_what_is_unknown_is_said_first(tmp_path: Path) -> None:
    model = taught()
    layer = next(name for name, m in model.network.named_modules() if isinstance(m, nn.Linear))
    pixels = striped(1000)[0]
    for threshold, unknown in ((-1e9, True), (1e9, False)):
        kept = Calibration(None, Detector(Energy(), threshold, layer))
        told = explain(replace(model, calibration=kept), pixels)
        assert told.prediction.unknown is unknown
        assert ("like nothing it has learnt from" in told.sentence) is unknown
        assert ("like nothing it has learnt from" in page(told)) is unknown
        assert told.as_dict()["answer"]["unknown"] is unknown
        assert told.prediction == replace(model, calibration=kept).predict(pixels)
    assert explain(model, pixels).prediction.unknown is None

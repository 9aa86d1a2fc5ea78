"""Integers in place of floats: what is kept, what goes back, and when nothing is kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import quickstudy
from quickstudy.errors import ChoiceError, ModelError
from quickstudy.evaluation import Estimate
from quickstudy.export import export
from quickstudy.export.integers import layers_of, opened, quantised, ranges_of
from quickstudy.export.judging import _there, labelled, score
from quickstudy.export.quantising import holds, quantise
from quickstudy.runtimes.exported import Exported
from quickstudy.runtimes.sessions import open_session


@pytest.fixture(scope="module")
def run(exported_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(exported_digits, tmp_path_factory.mktemp("int8") / "run"))


@pytest.fixture(scope="module")
def plain(run: Path) -> Exported:
    return Exported.open(run / "model/exports/onnx")


def test_it_is_kept_beside_and_says_what_it_lost(run: Path) -> None:
    told = json.loads((run / "model/exports/onnx-int8/export.json").read_text())
    lost = told["int8"]
    assert told["to"] == "onnx" and told["parity"]["passed"] is True
    assert lost["max_loss"] == 2 and lost["val"]["n"] == lost["test"]["n"] == 200
    before, after = (lost["val"][key]["value"] for key in ("before", "after"))
    assert before > 0.9 and 100 * (before - after) < 2
    low, high = lost["test"]["after"]["interval"]
    assert low < lost["test"]["after"]["value"] < high
    sizes = [(run / "model/exports" / name / "model.onnx").stat().st_size
             for name in ("onnx", "onnx-int8")]  # fmt: skip
    assert lost["size"] == sizes and sizes[1] < 0.5 * sizes[0]


def test_what_is_promised_is_what_the_file_does(run: Path) -> None:
    lost = json.loads((run / "model/exports/onnx-int8/export.json").read_text())["int8"]
    made = Exported.open(run / "model/exports/onnx-int8")
    assert score(made, labelled(made, run, "val")).value == lost["val"]["after"]["value"]
    assert score(made, labelled(made, run, "test")).value == lost["test"]["after"]["value"]


def test_nothing_takes_it_unasked(run: Path) -> None:
    told = run / "model/exports/onnx-int8/export.json"
    kept = told.read_text()
    quick = json.loads(kept)
    quick["measured"]["milliseconds"] = 1e-6
    told.write_text(json.dumps(quick))
    try:
        assert quickstudy.load(run / "model").runtime == "onnx"
        assert quickstudy.load(run / "model", runtime="onnx-int8").runtime == "onnx-int8"
        assert quickstudy.load(told.parent).runtime == "onnx-int8"
        assert quickstudy.load(told.parent, runtime="onnx-int8").runtime == "onnx-int8"
    finally:
        told.write_text(kept)


def test_only_the_network_is_integers_and_not_its_last_layer(run: Path, plain: Exported) -> None:
    made = opened(run / "model/exports/onnx-int8/model.onnx")
    layers = layers_of(opened(plain.file))
    assert len(layers) > 5 and layers[-1].name == "head"
    floats = {one.name for one in made.graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
    integers = [one for one in made.graph.initializer if one.data_type == onnx.TensorProto.INT8]
    heavy = [numpy_helper.to_array(one) for one in integers if len(one.dims) > 1]
    assert len(heavy) == len(layers) - 1
    assert max(np.abs(one.astype(int)).max() for one in heavy) <= 64  # seven bits: no saturation
    assert any("head" in name for name in floats)
    reading = {
        name
        for node in made.graph.node
        if node.op_type == "QuantizeLinear"
        for name in node.input[:1]
    }
    outside = {
        name
        for node in opened(plain.file).graph.node
        if all("'answering.network'" not in one.value for one in node.metadata_props)
        for name in node.output
    }
    assert len(reading) > 5
    assert len(reading & outside) == 1  # what goes into the network, and nothing before or behind


def altered(plain: Exported, folder: Path) -> Exported:
    """The model with huge weights in its first layer, which cancel: the pictures are grey.

    Floating point computes nearly the same; of integers nothing is left for the other weights.
    """
    model = opened(plain.file)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    weight = next(one for one in model.graph.initializer if one.name == first.input[1])
    value = numpy_helper.to_array(weight).copy()
    value[:, 0] += 100
    value[:, 1] -= 100
    weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    file = folder / "model.onnx"
    onnx.save(model, str(file))
    return replace(plain, file=file, session=open_session("onnx", file, 1))


def test_a_layer_that_cannot_bear_it_goes_back(run: Path, plain: Exported, tmp_path: Path) -> None:
    hard = altered(plain, tmp_path)
    val = labelled(plain, run, "val")
    before = score(plain, val).value
    assert score(hard, val).value == pytest.approx(before, abs=0.006)
    said: list[str] = []
    lost = quantise(hard, run, tmp_path / "out.onnx", max_loss=1, tell=said.append)
    model = opened(hard.file)
    layers = layers_of(model)
    assert any("layers that lose most" in line for line in said)
    assert lost.floating == (layers[0].name, layers[-1].name)  # the last one always is
    assert lost.val.loss < 1 and len(lost.floating) < lost.layers
    learnt = [hard.given(piece) for piece in labelled(plain, run, "train", 32).pieces]
    every = quantised(model, ranges_of(model, learnt, 1).within(1), layers[:-1])
    (tmp_path / "all.onnx").write_bytes(every.SerializeToString())
    ruined = replace(hard, session=open_session("onnx", tmp_path / "all.onnx", 1))
    assert score(ruined, val).value < before - 0.2


def test_where_nothing_holds_nothing_is_kept(
    run: Path, plain: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse(asked: Exported, examples: Any) -> Estimate:
        value = 0.95 if asked.file == plain.file else 0.9
        return Estimate(value, (value - 0.05, value + 0.04))

    monkeypatch.setattr("quickstudy.export.quantising.score", worse)
    with pytest.raises(ModelError, match="no choice of layers"):
        quantise(plain, run, tmp_path / "out.onnx", tell=lambda _: None)
    assert not (tmp_path / "out.onnx").exists()


def test_without_the_runs_examples_it_says_so(plain: Exported, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its val is not there"):
        quantise(plain, tmp_path, tmp_path / "out.onnx", tell=lambda _: None)


@pytest.mark.parametrize(("to", "points"), [("pt2", 0.5), ("onnx", -1.0), ("onnx", float("nan"))])
def test_what_makes_no_sense_is_refused_at_once(run: Path, to: str, points: float) -> None:
    with pytest.raises(ChoiceError):
        export(run / "model", to, int8=True, max_loss=points)


@pytest.mark.parametrize(
    ("before", "after", "points", "fine"),
    [(0.9, 0.896, 0.5, True), (0.9, 0.894, 0.5, False), (0.9, 0.9, 0, True), (0.9, 0.91, 0, True)],
)
def test_holds(before: float, after: float, points: float, fine: bool) -> None:
    first, second = (Estimate(value, (0, 1)) for value in (before, after))
    assert holds(first, second, points) is fine


def test_labels_are_read_as_they_were_written() -> None:
    assert _there("", ("a", "b")) == [False, False]
    assert _there("a;c", ("a", "b", "c")) == [True, False, True]
    assert _there("x;y", ("x;y", "z")) == [True, False]

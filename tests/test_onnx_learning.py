"""`quickstudy learn PICTURES --network FILE.onnx`, from the command to a model without the file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("onnx")

import quickstudy as qs
from onnx_files import FRAMEWORKS, numbers, write
from quickstudy.cli import main
from quickstudy.errors import ChoiceError, WeightsError
from quickstudy.learning.graphs import graph_of, offer_of_graph
from quickstudy.network.onnx import HEAD, read_graph, weights_of

FILES = ["caffe2", "gluon", "keras", "keras_gated", "mxnet"]
CONVOLUTION = ("Conv", "x,k", "c", {"pads": [1, 1, 1, 1]})
END = [("GlobalAveragePool", "c", "p", None), ("Flatten", "p", "f", None), ("Gemm", "f,w", "y", {})]
TENSORS = {"k": numbers(4, 3, 3, 3), "w": numbers(4, 2)}


def learn(source: Path, out: Path, **more: Any) -> qs.Run:
    settings = {"epochs": 1, "optimizer.lr": 3e-4, **more.pop("settings", {})}
    return qs.learn(source, out=out, budget=60, settings=settings, **more)


def body(path: Path) -> dict[str, torch.Tensor]:
    return {k: v for k, v in weights_of(*read_graph(path)).items() if not k.startswith(HEAD)}


@pytest.mark.parametrize("name", FILES)
def test_a_frameworks_file_learns(shapes: Path, tmp_path: Path, name: str) -> None:
    run = learn(shapes, tmp_path / "run", network=FRAMEWORKS / f"{name}.onnx")
    why = {key: choice.why for key, choice in run.recipe.choices().items()}
    assert run.recipe.method == "finetune" and run.recipe.size in (28, 32)
    assert why["network.weights"] == "the weights in your file"
    assert "an ONNX file does not say" in why["picture.mean"]
    told = json.loads((tmp_path / "run" / "report.json").read_text())
    assert told["outcome"]["status"] == "finished" and (tmp_path / "run" / "report.html").is_file()
    assert run.model.predict(shapes / "disc" / "00.png").label in ("cross", "disc", "square")
    learnt = run.model.network.state_dict()
    assert learnt[f"{HEAD}.weight"].shape[0] == 3  # the file's own has 4 to 10
    assert {k: v.shape for k, v in body(FRAMEWORKS / f"{name}.onnx").items()} == {
        k: v.shape for k, v in learnt.items() if not k.startswith(HEAD)
    }


def test_the_files_weights_are_the_start(shapes: Path, tmp_path: Path) -> None:
    """With the method `head` the body stays what the file brought; `none` starts afresh."""
    path = FRAMEWORKS / "keras.onnx"
    run = learn(shapes, tmp_path / "kept", network=path, settings={"method": "head"})
    kept, theirs = run.model.network.state_dict(), body(path)
    assert len(theirs) > 10 and all(torch.equal(kept[name], theirs[name]) for name in theirs)
    run = learn(shapes, tmp_path / "fresh", network=path, weights="none")
    assert run.recipe.method == "scratch" and run.recipe.network.weights == "none"
    assert run.recipe.picture.size == 32 and run.recipe.picture.start_size == 32
    fresh = run.model.network.state_dict()
    far = [k for k, v in theirs.items() if "conv" in k and v.ndim == 4]
    assert far and all((fresh[k] - theirs[k]).abs().max() > 0.1 for k in far)


def test_the_command_and_a_process_without_onnx(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copy(FRAMEWORKS / "mxnet.onnx", tmp_path / "net.onnx")
    words = ["learn", str(shapes), "--network", str(path), "--budget", "60s", "--json"]
    words += ["--out", str(tmp_path / "run"), "--set", "epochs=1"]
    assert main(words) == 0
    path.unlink()
    capsys.readouterr()
    asked = [str(tmp_path / "run" / "model"), str(shapes / "disc" / "01.png")]
    code = (
        "import sys, quickstudy\n"
        "sys.modules['onnx'] = sys.modules['google.protobuf'] = None\n"
        f"print(quickstudy.load({asked[0]!r}, device='cpu').predict({asked[1]!r}).probabilities)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    here = qs.load(asked[0], device="cpu").predict(asked[1]).probabilities
    there = {k: float(v) for k, v in shown(done.stdout).items()}
    assert there == pytest.approx(dict(here), abs=1e-5)


def shown(printed: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(printed.replace("'", '"'))
    return found


def test_a_run_goes_on(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off between decoding and the first step, it ends as an unbroken one does."""
    from quickstudy import learning

    path = shutil.copy(FRAMEWORKS / "gluon.onnx", tmp_path / "net.onnx")
    whole = learn(shapes, tmp_path / "whole", network=path)

    def cut(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(learning, "teach", cut)
        learn(shapes, tmp_path / "cut", network=path)
    qs.learn(resume=tmp_path / "cut")
    ours, theirs = (
        load_file(run / "model" / "weights.safetensors") for run in (tmp_path / "cut", whole.folder)
    )
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in theirs)


# What a file says of its pictures


def test_oblong_pictures(tmp_path: Path) -> None:
    """A network that averages over positions takes squares too; one that flattens does not."""
    free = write(tmp_path / "p.onnx", [CONVOLUTION, *END], TENSORS, shape=("n", 3, 24, 40))
    assert offer_of_graph(str(free)).size == 40
    flat = [("Flatten", "x", "f", None), ("Gemm", "f,w", "y", None)]
    path = write(tmp_path / "o.onnx", flat, {"w": numbers(90, 2)}, shape=("n", 3, 5, 6))
    with pytest.raises(ChoiceError, match="pictures of 5 x 6 only; here pictures are squares"):
        offer_of_graph(str(path))
    wide = write(tmp_path / "w.onnx", [CONVOLUTION, *END], TENSORS, shape=("n", 3, "h", 40))
    assert offer_of_graph(str(wide)).size == 40


@pytest.mark.parametrize(
    ("op", "value", "highest"),
    [
        ("Div", np.float32(255), 255),
        ("Mul", np.float32(1 / 127.5), 255),
        ("Sub", np.float32([123.7, 116.3, 103.5]).reshape(1, 3, 1, 1), 255),
        ("Sub", np.float32([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1), 1),
        ("Mul", np.float32(2), 1),
    ],
)
def test_a_file_that_scales_pictures_itself(
    tmp_path: Path, op: str, value: np.ndarray[Any, Any], highest: float
) -> None:
    steps = [(op, "x,s", "z", None), ("Conv", "z,k", "c", None), *END]
    path = write(tmp_path / "s.onnx", steps, {**TENSORS, "s": value})
    offer = offer_of_graph(str(path))
    assert (offer.mean, offer.std) == ((0.0,) * 3, (1 / highest,) * 3)
    assert f"numbers from 0 to {highest}" in offer.scaling


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "n.onnx", [CONVOLUTION, *END], TENSORS)
    first = graph_of(str(path))[1]
    assert graph_of(str(path))[1] is first
    write(path, [CONVOLUTION, *END], {**TENSORS, "w": numbers(4, 2, seed=1)})
    os.utime(path, ns=(1, 1))
    assert not torch.equal(torch.cat([v.flatten() for v in graph_of(str(path))[1].values()]),
                           torch.cat([v.flatten() for v in first.values()]))  # fmt: skip
    path.unlink()
    with pytest.raises(WeightsError, match="There is no file"):
        graph_of(str(path))


# What cannot be asked of it


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"network.width": 0.5}, "taken as it is: network.width would change nothing"),
        ({"network.activation": "gelu"}, "network.activation would change nothing"),
        ({"network.channels": 1}, "takes 3 channels, not 1"),
        ({"picture.size": 64, "picture.start_size": 64}, "does not take pictures of 64 x 64"),
    ],
)
def test_what_the_file_cannot_be(
    shapes: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ChoiceError, match=words) as caught:
        learn(shapes, tmp_path / "run", network=FRAMEWORKS / "keras.onnx", settings=settings)
    assert caught.value.hint and not (tmp_path / "run").exists()


def test_rows_and_other_weights(shapes: Path, tmp_path: Path) -> None:
    path, table = FRAMEWORKS / "keras.onnx", tmp_path / "t.csv"
    table.write_text("a,b,y\n" + "".join(f"{i},{i * i},{i % 2}\n" for i in range(40)))
    with pytest.raises(ChoiceError, match="not the rows of a table"):
        learn(table, tmp_path / "run", network=path, target="y")
    with pytest.raises(WeightsError, match="no weights file"):
        learn(shapes, tmp_path / "run", network=path, weights=tmp_path / "gone.safetensors")
    made = learn(shapes, tmp_path / "made", network=path, settings={"method": "head"})
    file = made.folder / "model" / "weights.safetensors"
    again = learn(shapes, tmp_path / "again", network=path, weights=file)
    assert again.recipe.choices()["network.weights"].value == str(file)

"""OpenVINO and LiteRT. Oracle: the same module in torch, in sessions that have answered nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quickstudy import tasks
from quickstudy.calibration import Calibration, Detector, Energy, Neighbours
from quickstudy.errors import ModelError
from quickstudy.export.contract import Making
from quickstudy.export.fixed import Fitting, fixed
from quickstudy.export.litert import LiteRt
from quickstudy.export.openvino import OpenVino
from quickstudy.export.parity import Asked, compared
from quickstudy.export.whole import Whole, whole
from quickstudy.folders import cache_folder
from quickstudy.kinds import restored
from quickstudy.kinds.sound.preparation import Preparation
from quickstudy.kinds.table.columns import Column, described
from quickstudy.model import Model
from quickstudy.network import Spec, build
from quickstudy.runtimes.sessions import open_session

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 24
TOOLS = cache_folder() / "tools" / "litert"  # the tests have a cache of their own


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    """Pictures ``N H W 3`` of slopes, so that resizing leaves something to tell them apart by."""
    rng = np.random.default_rng(seed)
    n, high, wide, _ = shape
    at = np.linspace(0, 1, high)[:, None, None] * rng.uniform(-1, 1, (n, 1, 1, 3))
    at = at + np.linspace(0, 1, wide)[:, None] * rng.uniform(-1, 1, (n, 1, 1, 3))
    noise = rng.uniform(-0.2, 0.2, shape)
    return ((at + noise - at.min()) / np.ptp(at) * 255).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures() -> Model:
    """Convolutions, answers far from each other, and neighbours to be unlike of."""
    torch.manual_seed(0)
    stack = [{"conv": 32}, "silu", {"conv": 32}, "silu", {"pool": "average"}, {"dense": "classes"}]
    spec = Spec("stack", 3, SIDE, stack=stack)
    built = build(spec)
    task = tasks.Classification(("a", "b", "c"), 0.7)
    how = {"decode_size": SIDE, "size": SIDE, "fit": "squash", "mean": [0.5] * 3, "std": [0.25] * 3}
    how |= {"mirror": False, "max_pixels": 1_000_000, "channels": 3}
    pieces = [pixels(1, SIDE, SIDE, 3, seed=seed)[0] for seed in range(30)]
    with torch.no_grad():  # the statistics of batches, then heads far apart
        built.module.train()
        for _ in range(30):
            built.module(torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2) / 64 - 2)
        last = dict(built.module.named_modules())[built.head]
        last.weight.mul_(20)
    built.module.eval()
    model = Model(built.module, spec, task, restored("image", how))
    seen = model.looked([one[None] for one in pieces], built.head)[1]
    kept = Neighbours.fitted(seen, np.arange(len(seen)) % 3)
    return replace(model, calibration=Calibration(None, Detector(kept, 0.1, built.head)))


@pytest.fixture(scope="module")
def making(pictures: Model) -> Making:
    return Making(pictures, Path(), whole(pictures))


def in_torch(making: Making, *given: np.ndarray) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        found = making.whole.module(*map(torch.from_numpy, given))
    return {name: one.numpy() for name, one in zip(making.whole.outputs, found, strict=True)}


def apart(first: Any, second: Any) -> float:
    assert set(first) == set(second)
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def test_the_pictures_of_these_tests_are_told_apart(making: Making) -> None:
    given = np.concatenate([pixels(1, SIDE, SIDE, 3, seed=seed) for seed in range(50, 90)])
    found = in_torch(making, given)
    assert found["answers"].std(0).max() > 0.1 and np.ptp(found["unlike"]) > 0.01


def test_how_unlike_an_example_is_belongs_to_the_answer(making: Making) -> None:
    """Also where it makes nothing known or unknown: a threshold set anew would."""

    class Session:
        def __init__(self, share: float) -> None:
            self.share = share

        def run(self, given: Any) -> dict[str, np.ndarray]:
            found = in_torch(making, given["pictures"])
            return found | {"unlike": self.share * found["unlike"]}

    given = [{"pictures": pixels(1, SIDE, SIDE, 3, seed=seed)} for seed in range(50, 60)]
    right = [in_torch(making, one["pictures"]) for one in given]
    unlike = np.concatenate([one["unlike"] for one in right])
    limit = 2 * float(unlike.max())  # far from all: none becomes known or unknown
    kept = replace(making.model.calibration.detector, threshold=limit)
    model = replace(making.model, calibration=Calibration(None, kept))
    answers = np.concatenate([one["answers"] for one in right])
    examples = Asked(given, answers, [False] * len(given), unlike)
    told = compared(model, examples, Session(1.0))
    assert told.passed and told.unlike == 0
    told = compared(model, examples, Session(0.9))
    assert told.largest == told.unknown_changed == 0 and not told.passed
    with pytest.raises(ModelError, match="how unlike"):
        told.demand("onnx")
    told = compared(model, examples, Session(float("nan")))
    assert told.largest == float("inf") and not told.passed


# OpenVINO

GROWING = ((1, SIDE, SIDE), (1, 31, 57), (8, 48, 40), (8, SIDE, SIDE), (40, 64, 70))


@pytest.fixture(scope="module")
def xml(making: Making, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("openvino")
    folder = tmp_path_factory.mktemp("openvino")
    OpenVino().write(making, folder)
    return folder / OpenVino.file


def test_openvino_is_right_from_the_first_answer_on(making: Making, xml: Path) -> None:
    """And about each input that needs more memory than any before."""
    asked = [pixels(*shape, 3, seed=seed) for seed, shape in enumerate(GROWING)]
    expected = [in_torch(making, given) for given in asked]
    for _ in range(3):
        session = open_session("openvino", xml, 1)
        for given, right in zip(asked, expected, strict=True):
            assert apart(session.run({"pictures": given}), right) < 1e-4


def test_openvino_takes_what_lies_apart_and_may_not_be_written(making: Making, xml: Path) -> None:
    wide = pixels(2, 50, 60, 3)
    given = wide[:, ::2, 5:][..., ::-1]
    given.flags.writeable = False
    found = open_session("openvino", xml, 1).run({"pictures": given})
    assert apart(found, in_torch(making, np.ascontiguousarray(given))) < 1e-4


class Branching(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,))
        return found


def test_openvino_is_given_no_branches(making: Making, tmp_path: Path) -> None:
    """A convolution after one is wrong in 2026.4.1, whenever memory has to grow."""
    pytest.importorskip("openvino")
    branching = Whole(Branching(), (torch.zeros(2, 3),), ("x",), ("y",), ({0: "n"},))
    with pytest.raises(ModelError, match="has branches"):
        OpenVino().write(replace(making, whole=branching), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_openvino_names_the_answers_of_a_formula(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    columns = (Column("a", "number", gaps=True), Column("b", "number", origin=5.0, unit=2.0))
    spec = Spec("m*a + exp(-a*a)", 1, 1, table=described(columns))
    built = build(spec)
    built.module.eval()
    x = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    x[::7, 0] = np.nan
    built.module.fit_statistics(x)
    how = restored("table", {"columns": [column.as_dict() for column in columns]})
    model = Model(built.module, spec, tasks.Regression(("u",)), how)
    OpenVino().write(Making(model, Path(), whole(model)), tmp_path)
    found = open_session("openvino", tmp_path / OpenVino.file, 1).run({"rows": x})
    assert apart(found, {"answers": model.looked([row[None] for row in x])[0]}) < 1e-5


# Fixed shapes, and LiteRT


class Here:
    """A session of the module itself, which takes one example alone."""

    def __init__(self, making: Making) -> None:
        self.making = making

    def run(self, inputs: Any) -> dict[str, np.ndarray]:
        (name,) = self.making.whole.inputs
        given = inputs[name]
        assert given.shape == tuple(self.making.whole.examples[0].shape)
        return in_torch(self.making, np.ascontiguousarray(given))


def test_a_host_prepares_pictures_for_a_graph_of_fixed_shapes(making: Making) -> None:
    still = replace(making, whole=fixed(making.whole, making.model))
    host = Fitting(still.whole, Here(still))
    for shape in GROWING[:3]:
        given = pixels(*shape, 3)
        expected = in_torch(making, given)
        given.flags.writeable = False
        assert apart(host.run({"pictures": given}), expected) < 1e-5


@pytest.fixture(scope="module")
def heard() -> Making:
    torch.manual_seed(0)
    spectra = {"rate": 8_000, "fft": 256, "hop": 100, "mels": 16, "low": 20.0, "high": 4_000.0}
    stack = [{"conv": 4}, "relu", {"pool": "average"}, {"dense": "classes"}]
    spec = Spec("stack", 3, 2_000, sound=spectra, stack=stack)
    built = build(spec)
    built.module.eval()
    how = restored("sound", Preparation(8_000, 2_000, 1_000, 4_000).as_dict())
    model = Model(built.module, spec, tasks.Classification(("a", "b", "c")), how)
    kept = Calibration(None, Detector(Energy(), 0.0, built.head))
    model = replace(model, calibration=kept)
    return Making(model, Path(), whole(model))


def test_a_host_cuts_recordings_for_a_graph_of_fixed_shapes(heard: Making) -> None:
    still = replace(heard, whole=fixed(heard.whole, heard.model))
    host, how = Fitting(still.whole, Here(still)), heard.model.preparation
    given = []
    for seconds, rate, windows in ((0.2, 8_000, 1), (0.25, 44_100, 1), (0.9, 16_000, 7)):
        noise = np.random.default_rng(rate).standard_normal((int(seconds * rate), 2)) / 10
        given.append({"samples": noise.astype(np.float32)[None], "rate": np.array(rate)})
        values = how.values((noise.astype(np.float32), rate))
        right = in_torch(heard, *given[-1].values())
        found = host.run(given[-1])
        assert len(how.starts(len(values))) == windows
        assert apart(found, right if windows == 1 else {"answers": right["answers"]}) < 1e-5
    answers = np.concatenate([in_torch(heard, *one.values())["answers"] for one in given])
    told = compared(heard.model, Asked(given, answers, [True, True, False]), host)
    assert told.unknown_changed == 2  # not of what no one tells
    told = compared(heard.model, Asked(given, answers, [False, False, True]), host)
    assert told.passed and told.unknown_changed == 0


@pytest.mark.parametrize("kind", ["pictures", "sound"])
def test_litert_answers_the_same(
    kind: str, making: Making, heard: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert")
    if not (TOOLS / "installed").is_file():
        pytest.skip(f"litert-torch is not installed in {TOOLS}: quickstudy export --install-tools")
    monkeypatch.setenv("QUICKSTUDY_CACHE", str(TOOLS.parent.parent))
    of = {"pictures": making, "sound": heard}[kind]
    litert = LiteRt()
    still = litert.shaped(of)
    litert.write(still, tmp_path)
    host = litert.asking(still, open_session("litert", tmp_path / litert.file, 1))
    if kind == "pictures":
        for shape in GROWING[:3]:
            given = pixels(*shape, 3)
            assert apart(host.run({"pictures": given}), in_torch(of, given)) < 1e-4
        return
    noise = np.random.default_rng(0).standard_normal((1, 1_500, 1)).astype(np.float32) / 10
    asked = {"samples": noise, "rate": np.array(8_000)}
    assert apart(host.run(asked), in_torch(of, *asked.values())) < 1e-4

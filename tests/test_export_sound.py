"""Oracles: the model itself, and the host's own preparation of recordings in NumPy."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy import tasks
from quickstudy.calibration import Calibration, Detector, Energy, Mahalanobis
from quickstudy.export.contract import Making
from quickstudy.export.onnx import traced
from quickstudy.export.sounds import Mono, Resampled, Spectra, Windows
from quickstudy.export.whole import whole
from quickstudy.functions.operations import FUNCTIONS
from quickstudy.kinds import restored
from quickstudy.kinds.sound.frontend import LogMel
from quickstudy.kinds.sound.mono import Heard
from quickstudy.kinds.sound.preparation import Preparation
from quickstudy.kinds.sound.resampling import Resampler, steps_of
from quickstudy.kinds.table.columns import Column, described
from quickstudy.model import Model
from quickstudy.network import Spec, build
from quickstudy.runtimes.sessions import open_session

pytestmark = pytest.mark.usefixtures("one_thread")

RATE, SIZE = 8_000, 2_000
HOW = Preparation(RATE, SIZE, SIZE // 2, 2 * SIZE)
USUAL = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)


def noise(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal((samples, channels))).astype(np.float32)


def on_host(samples: np.ndarray, rate: int) -> np.ndarray:
    """The windows ``V size`` that a model is shown."""
    values = HOW.values((samples, rate))
    starts = HOW.starts(len(values)).tolist()
    return np.stack([HOW.view(values, start) for start in starts]).astype(np.float32)


# What stands before the network


@given(st.integers(2_000, 768_000), st.sampled_from([8_000, 16_000, 22_050, 44_100]))
@settings(deadline=None, max_examples=300)
def test_the_ratio_is_that_of_the_host(rate: int, wanted: int) -> None:
    down, up = Resampled(wanted).ratio(torch.tensor(rate))
    assert (int(down), int(up)) == steps_of(rate, wanted)


@pytest.mark.parametrize("rate", [*USUAL, 2_000, 15_280, 16_004, 44_056, 192_000, 768_000])
@pytest.mark.parametrize("wanted", [8_000, 16_000])
def test_resampling_is_that_of_the_host(rate: int, wanted: int) -> None:
    x = noise(rate // 3 + 7)[:, 0]
    host = Resampler(rate, wanted)
    expected = np.concatenate([host.push(x), host.rest()])
    made, n = Resampled(wanted)(torch.from_numpy(x)[None], torch.tensor(rate))
    found = made[0, :n].numpy()
    assert found.shape == expected.shape
    assert (made[0, n:] == 0).all()
    assert np.abs(found - expected).max() < 3e-7
    if host.same:
        assert (found == x).all()


@pytest.mark.parametrize("seconds", [0.02, 0.25, 0.3, 1.7, 6.02])
@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_windows_are_those_of_the_host(seconds: float, rate: int) -> None:
    x = noise(math.ceil(seconds * rate), 2)
    expected = on_host(x, rate)
    found = Windows(RATE, SIZE)(torch.from_numpy(x)[None], torch.tensor(rate))[0].numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 3e-4  # a last bit of float16, here and there
    assert (found != expected).mean() < (0.003 if rate != RATE else 1e-9)


def test_channels_that_cancel_are_not_mixed_and_each_block_decides() -> None:
    x = noise(300_000, 3)
    x[:, 1] = -x[:, 0] * 1.1
    x[:, 2] = 0
    x[270_000:, 1] = x[270_000:, 0]
    heard = Heard()
    size = 2**18
    expected = np.concatenate([heard.mono(x[:size].copy()), heard.mono(x[size:].copy())])
    found = Mono()(torch.from_numpy(x)[None])[0].numpy()
    assert np.allclose(found, expected, atol=1e-7)
    assert (found[:1000] == x[:1000, 1]).all()


def test_whole_numbers_that_were_not_scaled_are_brought_down() -> None:
    x = noise(3_000) * 32_768
    found = Windows(RATE, SIZE)(torch.from_numpy(x)[None], torch.tensor(RATE))[0].numpy()
    assert np.abs(found - on_host(x, RATE)).max() < 1e-3
    assert np.abs(found).max() == 1


def test_spectra_without_a_fourier_transform_are_the_same() -> None:
    for rate, fft, hop, mels in ((8_000, 256, 80, 48), (16_000, 512, 160, 64)):
        spectra = LogMel(rate, fft=fft, hop=hop, mels=mels, low=20.0, high=rate / 2)
        x = torch.from_numpy(noise(rate, 3).T.copy()) * torch.linspace(0, 1, rate) ** 4
        assert torch.allclose(Spectra(spectra)(x), spectra(x), atol=2e-3)
        assert (Spectra(spectra)(x) - spectra(x)).abs().mean() < 1e-5


# The whole graph


def asked(making: Making, folder: Path) -> Any:
    traced(making).save(str(folder / "model.onnx"))
    return open_session("onnx", folder / "model.onnx", 1)


def apart(found: dict[str, np.ndarray], model: Model, pieces: list[np.ndarray]) -> float:
    """The largest difference of an answer, or as a share of how unlike an example is."""
    answers, features, scores = model.looked(pieces)
    assert found["answers"].dtype == np.float32
    largest = float(np.abs(found["answers"] - answers).max())
    if model.calibration.detector is None:
        assert set(found) == {"answers"}
        return largest
    unlike = model.calibration.detector.measure.unlike(features, scores)
    return max(largest, float(np.abs(found["unlike"] / unlike - 1).max()))


@pytest.fixture(scope="module")
def sound() -> Model:
    torch.manual_seed(0)
    spectra = {"rate": RATE, "fft": 256, "hop": 100, "mels": 16, "low": 20.0, "high": 4_000.0}
    stack = [{"conv": 4}, "relu", {"pool": "average"}, {"dense": "classes"}]
    spec = Spec("stack", 3, SIZE, sound=spectra, stack=stack)
    built = build(spec)
    built.module.eval()
    task = tasks.Multilabel(("a", "b", "c"), 0.7)
    kept = Calibration(None, Detector(Energy(), 0.0, built.head))
    return Model(built.module, spec, task, restored("sound", HOW.as_dict()), calibration=kept)


@pytest.fixture(scope="module")
def heard(sound: Model) -> Making:
    return Making(sound, Path(), whole(sound))


@pytest.fixture(scope="module")
def session(heard: Making, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return asked(heard, tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize(
    ("samples", "channels", "rate"),
    [
        *(
            (n, c, r)
            for n, c, r in zip((1_000, 3_001) * 5, (1, 2, 3) * 3 + (1,), USUAL, strict=True)
        ),
        *[(80, 1, 8_000), (2_000, 1, 8_000), (2_001, 1, 8_000), (500_000, 2, 44_056)],
    ],
)
def test_a_recording_of_any_length_rate_and_channels(
    session: Any, heard: Making, samples: int, channels: int, rate: int
) -> None:
    x = noise(samples, channels)
    given = {"samples": x[None], "rate": np.array(rate)}
    model = heard.model
    assert apart(session.run(given), model, [model.preparation.values((x, rate))]) < 1e-4


def test_recordings_of_one_length_are_answered_together(session: Any, heard: Making) -> None:
    x = np.stack([noise(9_000, 2, seed) for seed in range(3)])
    model = heard.model
    pieces = [model.preparation.values((one, 16_000)) for one in x]
    assert apart(session.run({"samples": x, "rate": np.array(16_000)}), model, pieces) < 1e-4


def test_the_traced_program_takes_one_recording_of_one_channel(heard: Making) -> None:
    x = noise(700)
    with torch.no_grad():
        found = heard.program.module()(torch.from_numpy(x)[None], torch.tensor(22_050))
    told = dict(zip(heard.whole.outputs, (one.numpy() for one in found), strict=True))
    model = heard.model
    assert apart(told, model, [model.preparation.values((x, 22_050))]) < 1e-4


def test_the_model_itself_is_left_as_it_was(sound: Model, heard: Making) -> None:
    assert isinstance(sound.network.spectra, LogMel)
    assert not isinstance(heard.whole.module.answering.network.spectra, LogMel)


# Tables

COLUMNS = (
    Column("a", "number", gaps=True),
    Column("b", "number", origin=5.0, unit=2.0),
    Column("c", "category", words=("x", "y", "z"), gaps=True),
)


def rows(n: int = 200) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 3)) * [1, 1e4, 1]
    x[:, 2] = rng.integers(0, 4, n)
    x[rng.random((n, 3)) < 0.15] = np.nan
    return x.astype(np.float32)


def of_table(name: str, task: Any, **more: Any) -> Model:
    torch.manual_seed(0)
    table = {**described(COLUMNS), "members": 3, "bins": 4}
    spec = Spec(name, len(task.outputs), 1, width=0.125, table=table, **more)
    built = build(spec)
    built.module.eval()
    built.module.fit_statistics(rows())
    for parameter in built.module.parameters():  # some begin at 0: nothing would depend on them
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    columns = {"columns": [column.as_dict() for column in COLUMNS]}
    model = Model(built.module, spec, task, restored("table", columns))
    layer = "head" if name == "tabm" else built.head
    if not layer:
        return model
    seen = model.looked([row[None] for row in rows()], layer)[1]
    measure = Mahalanobis.fitted(seen, np.arange(len(seen)) % 2)
    return replace(model, calibration=Calibration(None, Detector(measure, 1.0, layer)))


CLASSES = tasks.Classification(("p", "q", "r"), 1.7)
LABELS = tasks.Multilabel(("p", "q"), 0.8, 0.4)
NUMBERS = tasks.Regression(("u", "v"), (10.0, 2.0), (3.0, 0.1))
NUMBER = tasks.Regression(("u",))
STACK = [{"dense": 8}, "gelu", {"dense": "classes"}]
FORMULA = (
    "m*a + exp(-k*a*a)*log(1 + b*b) + atan(a) + erf(b/1e4) + sinh(a) + softplus(a) + acosh(2 + a*a)"
)
ROWS = {
    "classes": lambda: of_table("tabm", CLASSES),
    "labels": lambda: of_table("stack", LABELS, stack=STACK),
    "numbers": lambda: of_table("tabm", NUMBERS),
    "formula": lambda: of_table(FORMULA, NUMBER),
}


@pytest.mark.parametrize("what", ROWS)
def test_rows_are_answered_as_by_the_model(what: str, tmp_path: Path) -> None:
    model = ROWS[what]()
    making = Making(model, Path(), whole(model))
    session, x = asked(making, tmp_path), rows()
    assert apart(session.run({"rows": x}), model, [row[None] for row in x]) < 1e-5
    assert session.run({"rows": x[:1]})["answers"].shape == (1, len(model.classes))


def test_a_formula_computes_in_double_precision_but_for_a_few_functions() -> None:
    """Large numbers that nearly cancel: in single precision nothing would be left."""
    model = of_table("(1e6 + a) - (1e6 - a) + 0*m", NUMBER)
    with torch.no_grad():
        found = whole(model).module(torch.from_numpy(rows()))[0].numpy()
    exact = model.looked([row[None] for row in rows()])[0]
    assert np.abs(found - exact).max() < 1e-6


def test_every_function_that_is_computed_in_single_precision_is_one() -> None:
    from quickstudy.export.tables import _SINGLE

    known = {operation.compute for operation in FUNCTIONS.values()}
    assert known >= _SINGLE

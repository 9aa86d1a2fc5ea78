"""Oracles: all paths tried one by one, and recordings spliced from tones at known times."""

from __future__ import annotations

import io
import itertools
import math
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from quickstudy.errors import ExampleError
from quickstudy.kinds import restored
from quickstudy.kinds.sound.timeline import _SWITCH, cells, path, quiet, segments
from quickstudy.model import Model
from quickstudy.network import Spec
from quickstudy.prediction import Prediction, Segment
from quickstudy.tasks import Classification

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = ("low", "middle", "high")
TONES = {"low": 440.0, "middle": 1_000.0, "high": 2_200.0}
RATE, SPAN, LONG = 8_000, 2_001, 8_000
HOP = SPAN / 3 / RATE  # seconds


# Windows -> hops -> labels


@given(
    windows=st.integers(1, 12),
    classes=st.integers(1, 4),
    across=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_cells_are_the_weighted_mean_of_the_windows_over_them(
    windows: int, classes: int, across: int, seed: int
) -> None:
    answers = np.random.default_rng(seed).dirichlet(np.ones(classes), windows)
    found = cells(answers, across)
    assert found.shape == (windows + across - 1, classes)
    for hop, mean in enumerate(found):
        over = [w for w in range(windows) if w <= hop < w + across]
        weights = [math.sin(math.pi * (hop - w + 0.5) / across) for w in over]
        np.testing.assert_allclose(mean, np.average(answers[over], axis=0, weights=weights))
    np.testing.assert_allclose(found.sum(1), 1)


def value(labels: Any, probabilities: np.ndarray, switch: float) -> float:
    """Return what Viterbi's algorithm maximises."""
    logs = np.log(np.maximum(probabilities, 1e-4))
    said = sum(logs[hop, label] for hop, label in enumerate(labels))
    return float(said) - switch * sum(a != b for a, b in itertools.pairwise(labels))


@given(
    hops=st.integers(1, 6),
    classes=st.integers(1, 3),
    switch=st.floats(0.05, 6),
    sure=st.sampled_from([0.05, 0.3, 1.0, 5.0]),
    seed=st.integers(0, 999),
)
def test_the_path_is_the_best_of_all(
    hops: int, classes: int, switch: float, sure: float, seed: int
) -> None:
    """`sure` below 1 makes answers that are nearly certain, and zeros among them."""
    answers = np.random.default_rng(seed).dirichlet(np.full(classes, sure), hops)
    found = path(answers, switch)
    assert found.shape == (hops,) and found.dtype.kind == "i"
    every = itertools.product(range(classes), repeat=hops)
    best = max(value(labels, answers, switch) for labels in every)
    assert value(found.tolist(), answers, switch) == pytest.approx(best, abs=1e-9)


def test_a_change_costs_as_much_as_three_to_one() -> None:
    def middle(odds: float) -> int:
        share = odds / (1 + odds)
        answers = np.array([[0.99, 0.01]] * 4 + [[1 - share, share]] * 2 + [[0.99, 0.01]] * 4)
        return int(path(answers)[4])

    assert math.exp(_SWITCH) == pytest.approx(3)
    assert middle(2.9) == 0 and middle(3.1) == 1  # two hops and two changes: as likely at 3


def test_hops_are_quiet_beside_the_loudest_or_by_themselves() -> None:
    assert quiet(np.array([1.0, 0.0032, 0.0031, 0.0])).tolist() == [False, False, True, True]
    assert quiet(np.array([1.1e-4, 0.9e-4])).tolist() == [False, True]
    assert quiet(np.array([0.01, 1.1e-4, 0.9e-4])).tolist() == [False, False, True]
    assert quiet(np.zeros(3)).all()


# Labels -> segments


def windows_of(labels: list[int], across: int, classes: int = 3) -> np.ndarray:
    """Return answers of windows that hear each class as much as it is there."""
    hops = np.eye(classes)[labels]
    heard = np.stack([hops[w : w + across].mean(0) for w in range(len(labels) - across + 1)])
    return 0.94 * heard + 0.02


def told(
    labels: list[int], *, across: int = 4, hop: float = 0.1, levels: Any = None
) -> tuple[Segment, ...]:
    return segments(
        windows_of(labels, across),
        np.ones(len(labels)) if levels is None else np.asarray(levels),
        CLASSES,
        across=across,
        hop=hop,
        seconds=len(labels) * hop,
    )


@pytest.mark.parametrize("across", [4, 8])
def test_what_lasts_one_and_a_half_windows_is_told_and_a_quarter_is_not(across: int) -> None:
    """Between two stretches of one class, where it is hardest."""
    told_ = told([0] * 20 + [1] * (across * 3 // 2) + [0] * 20, across=across)
    assert [one.label for one in told_] == ["low", "middle", "low"]
    short = told([0] * 20 + [1] * (across // 4) + [0] * 20, across=across)
    assert [one.label for one in short] == ["low"]


@given(
    runs=st.lists(st.tuples(st.integers(0, 2), st.integers(5, 15)), min_size=1, max_size=6),
    across=st.sampled_from([2, 4, 6]),
)
def test_boundaries_are_found_within_one_hop(runs: list[tuple[int, int]], across: int) -> None:
    runs = [(label, n + across) for label, n in runs]
    merged = [
        (label, sum(n for _, n in group))
        for label, group in itertools.groupby(runs, lambda run: run[0])
    ]
    found = told([label for label, n in merged for _ in range(n)], across=across)
    assert [one.label for one in found] == [CLASSES[label] for label, _ in merged]
    ends = np.cumsum([n for _, n in merged]) * 0.1
    assert np.abs(np.array([one.end for one in found]) - ends).max() <= 0.1 + 1e-9
    assert all(0.5 < one.probability <= 1 for one in found)


def test_the_probability_is_the_mean_over_the_stretch() -> None:
    labels = [0] * 20 + [2] * 20
    first, last = told(labels)
    each = cells(windows_of(labels, 4), 4)
    cut = round(first.end / 0.1)
    assert first.probability == pytest.approx(each[:cut, 0].mean())
    assert last.probability == pytest.approx(each[cut:, 2].mean())


@pytest.mark.parametrize("across", [2, 4])
def test_a_single_window_that_errs_is_smoothed_away(across: int) -> None:
    right = windows_of([1] * 30, across)
    for place in (across, 10, len(right) - across - 1):  # the ends are heard by one window alone
        windows = right.copy()
        windows[place] = [0.97, 0.015, 0.015]
        found = segments(windows, np.ones(30), CLASSES, across=across, hop=0.1, seconds=3.0)
        assert [one.label for one in found] == ["middle"]


def test_silence_has_no_label() -> None:
    levels = np.ones(30)
    levels[:4] = levels[12:15] = 1e-6
    found = told([0] * 15 + [2] * 15, levels=levels)
    assert [(one.start, one.end, one.label) for one in found] == [
        (0.0, 0.4, None),
        (0.4, 1.2, "low"),
        (1.2, 1.5, None),
        (1.5, 3.0, "high"),
    ]
    assert [one.probability for one in found if one.label is None] == [0, 0]
    assert found[0].as_dict() == {"from": 0.0, "to": 0.4, "label": None, "probability": None}
    (nothing,) = told([0] * 10, levels=np.zeros(10))
    assert (nothing.start, nothing.end, nothing.label) == (0.0, 1.0, None)


def check_tiles(found: tuple[Segment, ...], seconds: float) -> None:
    assert found[0].start == 0 and found[-1].end == round(seconds, 3)
    for one in found:
        assert one.start < one.end and 0 <= one.probability <= 1
        assert one.label is None or one.label in CLASSES
    for one, two in itertools.pairwise(found):
        assert one.end == two.start
        assert one.label != two.label


@given(
    hops=st.integers(4, 40),
    over=st.floats(0.06, 1.0),
    hop=st.sampled_from([0.025, 0.0375, 0.1, 0.31]),
    silent=st.floats(0, 0.6),
    seed=st.integers(0, 999),
)
def test_segments_tile_the_recording(
    hops: int, over: float, hop: float, silent: float, seed: int
) -> None:
    """Whatever the answers; the last hop is there by a part `over`."""
    rng = np.random.default_rng(seed)
    answers = rng.dirichlet(np.full(3, 0.2), hops - 3)
    levels = np.where(rng.random(hops) < silent, 0.0, rng.random(hops) + 0.01)
    seconds = (hops - 1 + over) * hop
    found = segments(answers, levels, CLASSES, across=4, hop=hop, seconds=seconds)
    check_tiles(found, seconds)


# Files


class Ear(torch.nn.Module):
    """Tells pure tones apart by the power about their frequencies; has learnt nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(x * torch.hann_window(x.shape[1])).abs().square()
        at = [round(hertz * x.shape[1] / RATE) for hertz in TONES.values()]
        heard = torch.stack([power[:, k - 4 : k + 5].sum(1) for k in at], 1)
        return self.sharpness * (heard + 1e-6 * power.sum(1, keepdim=True) + 1e-9).log()


def model(size: int = SPAN, span: int = SPAN) -> Model:
    how = restored("sound", {"rate": RATE, "size": size, "span": span, "long": LONG})
    spectra = {"rate": RATE, "fft": 256, "hop": 80, "mels": 40, "low": 20.0, "high": 4_000.0}
    return Model(Ear(), Spec("compact", 3, size, sound=spectra), Classification(CLASSES), how)


SCENE: list[tuple[str | None, float]] = [
    ("low", 1.3), ("high", 0.5), (None, 0.8), ("middle", 3.0), ("low", 0.72), ("high", 2.06),
    ("middle", 0.6),
]  # fmt: skip


def spliced(scene: list[tuple[str | None, float]], rate: int) -> np.ndarray:
    """Return tones one after the other, each at another level, and silence for None."""
    edges = np.round(np.cumsum([0, *[seconds for _, seconds in scene]]) * rate).astype(int)
    wave = np.zeros(edges[-1])
    for number, (label, first, last) in enumerate(
        zip([label for label, _ in scene], edges[:-1], edges[1:], strict=True)
    ):
        if label:
            turns = TONES[label] * np.arange(last - first) / rate
            wave[first:last] = (0.3 + 0.1 * (number % 3)) * np.sin(2 * np.pi * turns + number)
    return wave


def check(found: tuple[Segment, ...], scene: list[tuple[str | None, float]]) -> None:
    """Every stretch is there with its label, and begins and ends within one hop of the truth."""
    ends = np.cumsum([seconds for _, seconds in scene])
    check_tiles(found, float(ends[-1]))
    assert [one.label for one in found] == [label for label, _ in scene]
    off = np.abs(np.array([one.end for one in found]) - ends)
    assert off.max() <= HOP + 1e-3, off


def coded(wave: np.ndarray, rate: int, format_: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=format_)
    return file.getvalue()


def test_a_spliced_file_is_told_apart() -> None:
    answer = model().predict(coded(spliced(SCENE, RATE), RATE))
    check(answer.timeline, SCENE)
    assert all(one.probability > 0.6 for one in answer.timeline if one.label)
    told_ = answer.as_dict()["timeline"]
    assert [one["label"] for one in told_] == [label for label, _ in SCENE]
    assert told_[0]["from"] == 0 and told_[-1]["to"] == pytest.approx(8.98)


@given(seed=st.integers(0, 999))
def test_any_scene_is_told_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene: list[tuple[str | None, float]] = []
    for _ in range(rng.integers(2, 7)):
        left = [label for label in CLASSES if not scene or label != scene[-1][0]]
        scene.append((left[rng.integers(len(left))], round(rng.uniform(0.5, 3), 3)))
    if sum(seconds for _, seconds in scene) > LONG / RATE:
        check(model().predict((spliced(scene, RATE), RATE)).timeline, scene)


def test_another_rate_format_and_two_channels(tmp_path: Path) -> None:
    wave = spliced(SCENE, 44_100)
    file = tmp_path / "scene.flac"
    soundfile.write(file, np.stack([wave, 0.5 * wave], 1), 44_100)
    check(model().predict(file).timeline, SCENE)
    check(model().predict(str(file)).timeline, SCENE)
    ((name, found),) = [(one.name, one.timeline) for one in model().predict(tmp_path)]
    assert name == str(file)
    check(found, SCENE)


def test_a_file_its_bytes_and_its_samples_tell_the_same(tmp_path: Path) -> None:
    file = tmp_path / "scene.wav"
    file.write_bytes(coded(spliced(SCENE, RATE), RATE))
    samples, rate = soundfile.read(file, dtype="int16")
    first = model().predict(file)
    for what in (file.read_bytes(), (samples, rate), (samples.astype(np.float32) / 32768, rate)):
        again = model().predict(what)
        assert again.timeline == first.timeline and again.probabilities == first.probabilities
    both = model().predict([file, (samples, rate)])
    assert [one.timeline for one in both] == [first.timeline] * 2


@pytest.mark.parametrize("rate", [np.int64(RATE), np.float64(RATE), float(RATE)], ids=repr)
def test_a_rate_may_be_any_number(rate: Any) -> None:
    answer = model().predict((spliced(SCENE, RATE), rate))
    assert isinstance(answer, Prediction)
    check(answer.timeline, SCENE)


def test_the_span_may_be_shorter_than_the_window() -> None:
    """Windows of half a second, steps that listen to half of one."""
    check(model(size=2 * SPAN).predict((spliced(SCENE, RATE), RATE)).timeline, SCENE)


def test_the_whole_answer_is_the_mean_over_windows() -> None:
    answer = model().predict((spliced([("low", 3.0), ("high", 1.0)], RATE), RATE))
    assert answer.label == "low"
    assert answer.probabilities["low"] == pytest.approx(0.75, abs=0.05)
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_a_short_recording_has_no_timeline() -> None:
    for seconds in (0.05, 0.5, LONG / RATE):
        answer = model().predict((spliced([("high", seconds)], RATE), RATE))
        assert answer.label == "high" and answer.timeline == ()
    longer = model().predict((spliced([("high", LONG / RATE + 0.2)], RATE), RATE))
    assert [one.label for one in longer.timeline] == ["high"]


def test_what_cannot_be_read_stands_between_what_can() -> None:
    good = coded(spliced(SCENE, RATE), RATE)
    first, bad, last = model().predict([good, b"no sound", good])
    check(first.timeline, SCENE)
    assert bad.error == "not a sound" and bad.timeline == () and bad.label is None
    assert last.timeline == first.timeline
    with pytest.raises(ExampleError, match="not a sound"):
        model().predict(b"no sound")


def test_the_end_of_a_recording_is_told_whatever_its_length() -> None:
    """The last hop may be a few samples; the last window is then mostly padding."""
    for extra in (0, 8, 100, 500, 999):
        wave = spliced([("low", 1.5), ("middle", 1.5)], RATE)
        wave = np.r_[wave, 0.4 * np.cos(2 * np.pi * 1_000 / RATE * np.arange(extra))]
        found = model().predict((wave, RATE)).timeline
        assert [one.label for one in found] == ["low", "middle"]
        assert found[-1].end == round(len(wave) / RATE, 3)


def test_the_end_of_a_recording_is_no_silence_where_its_wave_crosses_zero() -> None:
    whole = 24 * round(SPAN / 3)
    wave = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(whole + 1) / RATE)
    assert abs(wave[whole]) < 1e-9  # all that the last hop has of its own
    found = model().predict((wave, RATE)).timeline
    assert [one.label for one in found] == ["middle"]


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="reads memory from /proc")
def test_ten_minutes_are_told_in_little_memory(tmp_path: Path) -> None:
    """At 44.1 kHz they are 106 MB of float32; at the model's rate 10 MB, which it may keep."""
    minutes = 10
    scene: list[tuple[str | None, float]] = [("low", 3.0), ("high", 2.0), ("middle", 5.0)]
    wave = spliced(scene, 44_100)
    file = tmp_path / "long.wav"
    with soundfile.SoundFile(file, "w", 44_100, 1, "PCM_16") as out:
        for _ in range(6 * minutes):
            out.write(wave)
    listener = model()
    listener.predict((wave, 44_100))  # whatever is allocated once
    before, most, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, resident() - before)
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answer = listener.predict(file)
    finally:
        done.set()
        watcher.join()
    check(answer.timeline, scene * 6 * minutes)
    assert most < 80e6

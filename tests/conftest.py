"""What every test stands on: a cache of its own, small pictures, and the shared data if there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import settings
from PIL import Image

from quickstudy import hardware

if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    # A core each: what counts cores then sees one, and threads do not wait for those of others.
    _cores = sorted(os.sched_getaffinity(0))
    _number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    os.sched_setaffinity(0, {_cores[_number % len(_cores)]})
    torch.set_num_threads(1)

# Machines are shared: time proves nothing. The same inputs every time: what a change breaks is
# found by whoever makes it, not by the next.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

#: What takes longest, first: else at the end one process would wait for another.
LONGEST = (
    *("estimators", "learning", "script", "resume", "bench", "search_on_ray", "compiling"),
    *("search", "asked", "suspects", "sound_learning", "script_tasks", "onnx_learning", "export"),
    *("cluster", "own", "compare", "serving_page", "published", "examples", "ensemble"),
    *("tracking", "data_curve"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, or waits for a hub."""
    monkeypatch.setenv("QUICKSTUDY_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.getbasetemp() / "torch"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is not waited for until the disk has it: in all tests together a minute."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


_MEASURED: dict[str, hardware.Hardware] = {}


@pytest.fixture(autouse=True)
def measured_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor's speed is measured by the first test that learns, not by each: a second."""
    measure = hardware.quicken
    if request.module.__name__ == "test_hardware":
        return

    def quicken(machine: hardware.Hardware) -> hardware.Hardware:
        if machine.device not in _MEASURED:
            _MEASURED[machine.device] = measure(machine)
        found = _MEASURED[machine.device]
        told = {"gigaflops": found.gigaflops, "memory_kept": found.memory_kept}
        return replace(machine, measured=found.measured, **told)

    monkeypatch.setattr(hardware, "quicken", quicken)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real photographs and weights; the test skips where they are absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the shared data folder beside the checkout, which is absent")
    return SHARED


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small sums in many threads wait for each other where other processes want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(label: str, number: int, side: int = 24) -> Image.Image:
    """A coloured disc, square or cross on noise: told apart by shape alone."""
    rng = np.random.default_rng([number, len(label)])
    pixels = rng.integers(0, 90, (side, side, 3))
    y, x = np.mgrid[:side, :side] - side // 2 + rng.integers(-3, 4, (2, 1, 1))
    shapes = {
        "disc": x**2 + y**2 < (side // 4) ** 2,
        "square": np.maximum(abs(x), abs(y)) < side // 5,
        "cross": (np.minimum(abs(x), abs(y)) < 2) & (np.maximum(abs(x), abs(y)) < side // 3),
    }
    pixels[shapes[label]] = rng.integers(120, 256, 3)
    return Image.fromarray(pixels.astype(np.uint8))


Shapes = Callable[..., Path]


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes, 40 pictures each. Copy it before changing anything."""
    root = tmp_path_factory.mktemp("shapes")
    for label in ("cross", "disc", "square"):
        (root / label).mkdir()
        for number in range(40):
            draw(label, number).save(root / label / f"{number:02d}.png")
    return root


def tone(label: str, speaker: int, number: int, seconds: float = 0.3) -> np.ndarray:
    """A rising, a falling or a trembling tone at 8 kHz, in a pitch of its speaker's own."""
    rng = np.random.default_rng([number, speaker, len(label)])
    t = np.arange(round(8000 * seconds * rng.uniform(0.8, 1.2))) / 8000
    base = (300, 420, 540)[speaker] * rng.uniform(0.95, 1.05)
    turns = {
        "rise": base * (t + 1.5 * t**2),
        "fall": base * (2 * t - 1.5 * t**2),
        "tremble": base * t + 4 * np.sin(2 * np.pi * 14 * t),
    }
    wave = np.sin(2 * np.pi * turns[label]) * np.sin(np.pi * t / t[-1]).clip(0) ** 0.3
    level = 10 ** rng.uniform(-1.2, -0.1)
    return (level * (wave + 0.03 * rng.standard_normal(len(t))) / 1.2).astype(np.float32)


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes by three speakers, 14 recordings each, named class_who_number."""
    root = tmp_path_factory.mktemp("tones")
    for label in ("fall", "rise", "tremble"):
        (root / label).mkdir()
        for speaker, who in enumerate(("ann", "bob", "cleo")):
            for number in range(14):
                path = root / label / f"{label}_{who}_{number}.wav"
                soundfile.write(path, tone(label, speaker, number), 8000)
    return root


@pytest.fixture(scope="session")
def exported_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its exports, made once for all processes. Copy it before changing anything."""
    from exports import digits_run

    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported_digits"
    done = place.with_suffix(".done")
    try:
        place.mkdir()
    except FileExistsError:  # another process is making it
        for _ in range(600):
            if done.exists():
                return place
            time.sleep(0.2)
        pytest.fail("the process that makes the exports has not ended in two minutes")
    digits_run(place)
    done.touch()
    return place

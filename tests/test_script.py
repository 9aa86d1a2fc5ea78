"""The script of a run: it repeats the run in plain PyTorch, where Quickstudy cannot be imported."""

from __future__ import annotations

import csv
import json
import math
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from safetensors.torch import save_file

import quickstudy as qs
from conftest import draw, tone
from processes import Process, script
from quickstudy.errors import ChoiceError, RunError
from quickstudy.kinds.image.augment import augment
from quickstudy.kinds.sound.augment import augment as augment_sound
from quickstudy.learning import Run
from quickstudy.script import script_of, write_script
from quickstudy.script.writing import filled, imports_of
from quickstudy.training.muon import Muon

#: Nothing depends on how quick the machine is.
HERE: dict[str, Any] = {"compute.precision": "float32", "compute.threads": 1}
PLAIN = {"augment.mixup": 0.0, "augment.cutmix": 0.0, "augment.colour": 0.0, "augment.mirror": True}


def _alone(path: Path) -> str:
    return Process(path.with_suffix(".said"), script, str(path)).end(500)


def _afresh(path: Path) -> str:
    """As `_alone`, in a process that has imported nothing but what the script does."""
    code = f"import sys; sys.path.append({str(Path(__file__).parent)!r})\n"
    code += "from processes import script; script(sys.argv[1])"
    command = [sys.executable, "-I", "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Alone:
    """What a script says where Quickstudy is not."""

    def __init__(self, run: Run, out: Path | None = None, *, fresh: bool = False) -> None:
        self.run = run
        self.path = write_script(run.folder, out)
        self.text = self.path.read_text(encoding="utf-8")
        printed = (_afresh if fresh else _alone)(self.path).splitlines()
        self.said = printed[:-1]
        self.checked, self.anew = map(np.array, json.loads(printed[-1]))

    def rows(self, part: str = "test") -> list[dict[str, str]]:
        with (self.run.folder / "examples.csv").open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if row["part"] == part]

    def same_answers(self) -> None:
        """The run's weights in the script's network answer as the run's model does."""
        model = qs.load(self.run.folder / "model")
        answers = model.predict([row["path"] for row in self.rows()])
        told = np.array([[one.probabilities[c] for c in model.classes] for one in answers])
        # not 1e-4: of a large JPEG a fraction is learnt from, and all of it answered about
        assert np.abs(told - self.checked).max() < 5e-4

    def as_good(self) -> None:
        """What it learns anew is within the run's own 95 % interval."""
        found = re.search(r"(\d+) of (\d+) right", self.said[1])
        assert found is not None
        assert int(found[2]) == self.run.test.n
        low, high = self.run.test.interval
        assert low - 1e-9 <= int(found[1]) / int(found[2]) <= high + 1e-9


def well_made(text: str, most: int = 149) -> None:
    """Short, narrow, compiling, of known names only, and without Quickstudy."""
    lines = text.splitlines()
    assert len(lines) <= most
    paths = ("    source = ", "RUN = ")  # as long as they are
    assert max(len(line) for line in lines if not line.startswith(paths)) <= 100
    compile(text, "train.py", "exec")
    assert not re.search(r"^\s*(import|from) quickstudy", text, re.MULTILINE)
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("needs ruff, which is not installed")
    command = [ruff, "check", "--isolated", "--select=E4,E7,E9,F,B,UP", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def pictures(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    chosen = {"picture.size": 24, "picture.start_size": 16, "network.width": 0.25}
    chosen |= {"epochs": 14, "balance": 0.5, "optimizer.lr": 0.05}
    out = tmp_path_factory.mktemp("pictures") / "run"
    return Alone(qs.learn(shapes, settings={**HERE, **chosen}, out=out), fresh=True)


@pytest.fixture(scope="module")
def sounds(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    settings = {**HERE, "epochs": 12, "batch": 16, "network.width": 0.25, "rehearsal": 0.0}
    settings["optimizer.lr"] = 0.05
    out = tmp_path_factory.mktemp("sounds") / "run"
    return Alone(qs.learn(tones, settings=settings, out=out), fresh=True)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blue and red noise: told apart by any network at once."""
    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for label, channel in (("blue", 2), ("red", 0)):
        (root / label).mkdir()
        for number in range(40):
            pixels = rng.integers(0, 120, (32, 32, 3))
            pixels[..., channel] += 120
            Image.fromarray(pixels.astype(np.uint8)).save(root / label / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of networks that have learnt nothing: their features still tell colours."""
    import torchvision

    folder, found = tmp_path_factory.mktemp("weights"), {}
    torch.manual_seed(3)
    squeezenet = torchvision.models.squeezenet1_1().state_dict()
    found["squeezenet1_1"] = folder / "squeezenet1_1.safetensors"
    save_file(squeezenet, found["squeezenet1_1"])
    found["resnet18"] = folder / "resnet18.pth"
    trained = {f"module.{k}": v for k, v in torchvision.models.resnet18().state_dict().items()}
    torch.save({"state_dict": trained}, found["resnet18"])
    return found


def test_the_compact_network_on_pictures(pictures: Alone) -> None:
    well_made(pictures.text)
    pictures.same_answers()
    pictures.as_good()
    assert pictures.run.lines[0][:20] in pictures.text
    assert f"torch {torch.__version__.split('+')[0]}" in pictures.text


def test_the_compact_network_on_sound(sounds: Alone) -> None:
    well_made(sounds.text)
    sounds.same_answers()
    sounds.as_good()


def test_only_what_was_used_is_written(pictures: Alone, sounds: Alone) -> None:
    for word in ("CutMix", "tilt", "Image.", "size = min("):
        assert word in pictures.text
        assert word not in sounds.text
    for word in ("stft", "soundfile", "noise"):
        assert word in sounds.text
        assert word not in pictures.text
    for word in ("exif_transpose", "draft", "fit_head", "autocast", "clear", "memmap"):
        assert word not in pictures.text


def test_a_torchvision_network_from_scratch(colours: Path, tmp_path: Path) -> None:
    settings = {**HERE, **PLAIN, "epochs": 5, "picture.size": 32, "picture.start_size": 32}
    settings |= {"optimizer.name": "sgd", "optimizer.lr": 0.02, "averaging": 0.0, "batch": 8}
    settings |= {"loss.name": "focal", "schedule.shape": "linear", "network.dropout": 0.1}
    run = qs.learn(colours, network="resnet18", settings=settings, out=tmp_path / "run")
    alone = Alone(run, tmp_path / "elsewhere" / "mine.py")
    well_made(alone.text)
    assert "torch.optim.SGD" in alone.text
    assert "def blend" not in alone.text
    alone.same_answers()
    alone.as_good()


def test_a_last_layer_on_given_weights(
    colours: Path, weights: dict[str, Path], tmp_path: Path
) -> None:
    settings = {**HERE, "method": "head", "picture.size": 48, "picture.start_size": 48, "epochs": 1}
    run = qs.learn(
        colours, weights=weights["squeezenet1_1"], settings=settings, out=tmp_path / "run"
    )
    alone = Alone(run)
    well_made(alone.text)
    assert "def train" not in alone.text
    alone.same_answers()
    assert np.abs(alone.anew - alone.checked).max() < 0.02  # nothing is left to chance in this


def test_fine_tuning_on_given_weights(
    colours: Path, weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**HERE, "picture.size": 32, "picture.start_size": 32, "epochs": 2, "batch": 8}
    settings |= {"optimizer.lr": 1e-4, "balance": 0.5}
    run = qs.learn(colours, weights=weights["resnet18"], settings=settings, out=tmp_path / "run")
    report = json.loads((run.folder / "report.json").read_text())
    for one in report["candidates"]:  # whichever shipped: here the script is to fine-tune
        one["chosen"] = one["name"] == "fine-tuned"
    (run.folder / "report.json").write_text(json.dumps(report))
    alone = Alone(run)
    well_made(alone.text)
    for word in ("fit_head(*read(", "train(*read(", "torch.optim.AdamW", '["state_dict"]'):
        assert word in alone.text
    alone.same_answers()
    alone.as_good()


def test_real_weights(shared: Path, tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "d" / label).mkdir(parents=True)
        for file in sorted((shared / "data" / "cats_dogs" / "train" / label).iterdir())[:30]:
            shutil.copy(file, tmp_path / "d" / label / file.name)
    settings = {**HERE, "method": "head", "epochs": 1, "picture.size": 96, "picture.start_size": 96}
    file = shared / "weights" / "squeezenet1_0.safetensors"
    run = qs.learn(tmp_path / "d", weights=file, settings=settings, out=tmp_path / "run")
    alone = Alone(run)
    well_made(alone.text)
    alone.same_answers()
    assert np.abs(alone.anew - alone.checked).max() < 0.02


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_odd_pictures_are_read_as_the_run_read_them(fit: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for label in ("a", "b"):
        (tmp_path / "d" / label).mkdir(parents=True)
        for number in range(12):
            high, wide = rng.integers(40, 90, 2).tolist()
            pixels = rng.integers(0, 255, (high, wide, 4)).astype(np.uint8)
            picture = Image.fromarray(pixels[..., :3]).resize((wide * 3, high * 3))
            name = tmp_path / "d" / label / f"{number},\u2028\n.x"
            if number % 4 == 0:
                exif = Image.Exif()
                exif[0x0112] = 6
                picture.save(name.with_suffix(".jpg"), exif=exif)
            elif number % 4 == 1:
                Image.fromarray(pixels).save(name.with_suffix(".png"))
            elif number % 4 == 2:
                deep = rng.integers(0, 65535, (high, wide)).astype(np.uint16)
                Image.fromarray(deep).save(name.with_suffix(".png"))
            else:
                picture.convert("P").save(name.with_suffix(".gif"))
    settings = {**HERE, "epochs": 0.3, "network.width": 0.25, "picture.fit": fit, "test": 0.5}
    settings |= {"picture.size": 32, "picture.start_size": 24, "augment.crop": 0.5}
    settings |= {"optimizer.lr": 0.02, "augment.mirror": False, "network.dropout": 0.1}
    alone = Alone(qs.learn(tmp_path / "d", settings=settings, out=tmp_path / "run"))
    alone.same_answers()
    assert "exif_transpose" in alone.text
    assert "F.interpolate" in alone.text  # kept larger than seen, because it crops


def test_odd_recordings_are_read_as_the_run_read_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for label in ("fall", "rise"):
        (tmp_path / "d" / label).mkdir(parents=True)
        for number in range(14):
            path = tmp_path / "d" / label / f"{number}.wav"
            samples = tone(label, number % 3, number, 2.0 if number == 3 else 0.3)
            rate = 11_025 if number % 4 == 0 else 8000
            both = np.stack([samples, -samples if number % 3 else 0.3 * samples], 1)
            soundfile.write(path, both if rng.random() < 0.7 else samples, rate)
    settings = {**HERE, "epochs": 0.3, "network.width": 0.25, "sound.window": 0.3, "test": 0.5}
    settings |= {"optimizer.lr": 0.02, "rehearsal": 0.0, "sound.rate": 8000}
    alone = Alone(qs.learn(tmp_path / "d", settings=settings, out=tmp_path / "run"))
    alone.same_answers()
    for word in ("def resample", "energy", "def windows", "first :"):
        assert word in alone.text


def test_arrays_are_kept_beside_the_run(tmp_path: Path) -> None:
    labels = ["disc", "cross"] * 15
    x = np.stack([np.array(draw(label, i)) for i, label in enumerate(labels)])
    settings = {**HERE, "epochs": 0.3, "network.width": 0.25, "optimizer.lr": 0.02}
    settings |= {"picture.size": 24, "picture.start_size": 24}
    alone = Alone(qs.learn((x, np.array(labels)), settings=settings, out=tmp_path / "run"))
    well_made(alone.text)
    tested = [int(row["name"].split()[1]) for row in alone.rows()]
    answers = qs.load(tmp_path / "run" / "model").predict(list(x[tested]))
    told = np.array([[one.probabilities[c] for c in ("cross", "disc")] for one in answers])
    assert np.abs(told - alone.checked).max() < 1e-4
    (tmp_path / "run" / "examples.npz").unlink()
    with pytest.raises(ChoiceError, match="too large to keep"):
        script_of(tmp_path / "run")


def test_pictures_are_varied_as_the_run_varies_them(pictures: Alone) -> None:
    done = runpy.run_path(str(pictures.path))
    how = pictures.run.recipe
    assert how.picture is not None
    picture = torch.randint(0, 256, (1, 24, 24, 3), dtype=torch.uint8)
    for seed in range(5):
        torch.manual_seed(seed)
        found = done["vary"](picture, 16)
        generator = torch.Generator().manual_seed(seed)
        mean, std = how.picture.mean, how.picture.std
        told = augment(picture, 16, mean, std, how.augment, generator)  # type: ignore[arg-type]
        assert torch.allclose(found, told, atol=1e-3)


def test_sounds_are_varied_as_the_run_varies_them(sounds: Alone) -> None:
    done, how = runpy.run_path(str(sounds.path)), sounds.run.recipe
    sound = torch.randn(2000)
    heard = 0
    for seed in range(12):
        torch.manual_seed(seed)
        found = done["vary"](sound)
        generator = torch.Generator().manual_seed(seed)
        one, length = sound[None], torch.tensor([2000])
        told = augment_sound(one, length, how.size, how.augment, generator)[0]  # type: ignore[arg-type]
        quiet = told.abs() == 0
        if quiet.any() and not found[quiet].any():  # no noise in either: that is drawn otherwise
            heard += 1
            assert torch.allclose(found, told, atol=2e-3)
    assert heard >= 2


def test_muon_moves_as_the_runs_does(pictures: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quickstudy.training.muon.bfloat16_is_quick", lambda _: False)
    move = runpy.run_path(str(pictures.path))["move"]
    torch.manual_seed(0)
    for shape in ((8, 3, 3, 3), (40, 6)):
        mine, momentum = torch.randn(shape), torch.zeros(shape)
        theirs = mine.clone().requires_grad_()
        optimizer = Muon([theirs], [], lr=0.02, momentum=0.9, weight_decay=0.05)
        for _ in range(3):
            theirs.grad = torch.randn(shape)
            mine.grad = theirs.grad.clone()
            optimizer.step()
            move(mine, momentum, 0.02)
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_blending_keeps_what_targets_add_up_to(pictures: Alone) -> None:
    blend = runpy.run_path(str(pictures.path))["blend"]
    torch.manual_seed(0)
    target = torch.eye(3).repeat(4, 1)
    x = target.argmax(1).float()[:, None, None, None].expand(-1, 3, 8, 8)
    cut = 0
    for _ in range(40):
        mixed, wanted = blend(x, target)
        assert torch.allclose(wanted.sum(1), torch.ones(12), atol=1e-6)
        # each picture is its class number everywhere: its mean tells the shares of the mixture
        assert torch.allclose(mixed.mean((1, 2, 3)), wanted @ torch.arange(3.0), atol=1e-5)
        cut += len(mixed.unique()) <= 3
    assert 3 < cut < 30


def edited(run: Run, folder: Path, **recipe: Any) -> Path:
    shutil.copytree(run.folder, folder)
    kept = json.loads((folder / "run.json").read_text())
    kept["recipe"] |= {key: [value, "you set it"] for key, value in recipe.items()}
    (folder / "run.json").write_text(json.dumps(kept))
    return folder


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loss.name", "SmoothL1Loss"),
        ("optimizer.name", "lion"),
        ("network.stem", "small"),
        ("network.name", "python:Mine"),
        ("network.stack", [{"dense": "classes"}]),
        ("patience", 3),
        ("some.thing_new", "on"),
    ],
)
def test_what_cannot_be_said_is_refused(
    pictures: Alone, tmp_path: Path, key: str, value: Any
) -> None:
    folder = edited(pictures.run, tmp_path / "r", **{key: value})
    with pytest.raises(ChoiceError, match=re.escape(f"{key} = {value}")):
        write_script(folder)
    assert (folder / "train.py").read_text() == pictures.text  # as it was copied


@pytest.mark.parametrize(("ships", "how"), [("ensemble", "--ensemble"), ("distilled", "--distil")])
def test_what_several_networks_made_is_refused(
    pictures: Alone, tmp_path: Path, ships: str, how: str
) -> None:
    folder = edited(pictures.run, tmp_path / "r")
    told = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(
        json.dumps(told | {"search": {"ensemble": {"ships": ships}}})
    )
    with pytest.raises(ChoiceError, match=how):
        write_script(folder)


def test_losses_are_written_out(pictures: Alone, tmp_path: Path) -> None:
    from quickstudy.functions import criterion

    scores, target = torch.randn(6, 3), torch.eye(3).repeat(2, 1)
    share = torch.tensor([0.5, 1.0, 1.5])
    for name in ("cross_entropy", "focal", "binary_cross_entropy", "mean_squared_error"):
        text = script_of(edited(pictures.run, tmp_path / name, **{"loss.name": name}))
        lines = text.partition("x, target = blend(x, target)\n")[2].partition("network.zero_grad")
        values = {"network": lambda x: x, "x": scores, "target": target, "share": share}
        exec("\n".join(map(str.strip, lines[0].splitlines())), {**_names(), **values}, values)
        loss = criterion(name, task="classification", smoothing=0.1, class_weights=share)
        told = loss(scores, target)
        assert values["loss"].item() == pytest.approx(told.item())


def _names() -> dict[str, Any]:
    from torch.nn import functional

    return {"F": functional, "torch": torch}


@pytest.mark.parametrize("shape", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.3, 0.7])
def test_the_rate_moves_as_the_runs_does(
    pictures: Alone, tmp_path: Path, shape: str, warmup: float
) -> None:
    choices = {"schedule.shape": shape, "schedule.warmup": warmup, "optimizer.lr": 0.0123}
    text = script_of(edited(pictures.run, tmp_path / "r", **choices))
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("rate = ")]
    for done in np.linspace(0, 0.999, 37):
        values = {"done": done, "math": math}
        exec("\n".join(lines), values)
        after = (done - warmup) / max(1e-9, 1 - warmup)
        falls = {"cosine": 0.5 * (1 + math.cos(math.pi * after)), "linear": 1 - after}
        told = max(0.01, done / warmup) if done < warmup else falls.get(shape, 1.0)
        assert values["rate"] == pytest.approx(0.0123 * told, abs=1e-6)


def test_a_run_that_lacks_something_says_what(pictures: Alone, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run\.json is missing"):
        script_of(tmp_path)
    folder = edited(pictures.run, tmp_path / "old")
    (folder / "examples.csv").unlink()
    with pytest.raises(RunError, match="which examples it learnt from"):
        script_of(folder)
    folder = edited(pictures.run, tmp_path / "moved")
    text = (folder / "examples.csv").read_text().replace("/disc/", "/gone/")
    (folder / "examples.csv").write_text(text)
    with pytest.raises(RunError, match="examples have gone"):
        script_of(folder)


def test_names_from_outside_stay_words(pictures: Alone, tmp_path: Path) -> None:
    folder = edited(pictures.run, tmp_path / "r")
    report = json.loads((folder / "report.json").read_text())
    report["title"] = 'x"""\nimport os\n"""\\'
    (folder / "report.json").write_text(json.dumps(report))
    text = script_of(folder)
    compile(text, "train.py", "exec")
    assert "\nimport os" not in text


def test_classes_too_many_for_a_line_come_from_the_model(pictures: Alone, tmp_path: Path) -> None:
    folder = edited(pictures.run, tmp_path / "r")
    model = json.loads((folder / "model" / "model.json").read_text())
    told = model.get("task", model)
    told["outputs" if "task" in model else "classes"] = [f"class {i:030d}" for i in range(3)]
    (folder / "model" / "model.json").write_text(json.dumps(model))
    text = script_of(folder)
    (folder / "train.py").write_text(text)
    assert "import json" in text
    done = runpy.run_path(str(folder / "train.py"))
    assert done["CLASSES"] == [f"class {i:030d}" for i in range(3)]


def test_templates() -> None:
    text = "a = $a\n#: if b and not c\nb = 1\n#: end\n#: if c\nc = 1\n#: end\nd"
    assert filled(text, {"b": True, "c": False}, a=1) == "a = 1\nb = 1\nd"
    assert filled(text, {"b": True, "c": True}, a=1) == "a = 1\nc = 1\nd"
    with pytest.raises(KeyError):
        filled("#: if unknown\n#: end", {})
    code = 'x = np.zeros(3)  # Image.open\ny = "csv.reader"\nz = nn.Linear(math.pi)'
    assert imports_of(code) == "import math\n\nimport numpy as np\nfrom torch import nn"

"""Exported ONNX against its model: 12 networks, 100 real photographs or recordings of odd sizes.

python benchmarks/exports.py [NAME ...] [--sound MODEL]    # without a name, all; MODEL: a folder

Networks for pictures are seeded and untrained, squeezenet1_0 apart. The statistics of their batch
norms are moved towards those of photographs, a little or all the way, whichever leaves torch's own
answers in 32 and in 64 bits most alike: GoogLeNet's are constant but for rounding at first, and an
untrained ResNet-152 moved all the way is chaotic. Their last layer is scaled, so that answers
differ; the column "answers" counts the classes that were the likeliest of some example.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import measuring
from quickstudy.export.contract import Making
from quickstudy.export.onnx import Onnx
from quickstudy.export.parity import compared
from quickstudy.export.whole import whole
from quickstudy.kinds import restored
from quickstudy.model import Model, load
from quickstudy.network import Spec, build, weights
from quickstudy.network.stack import read_stack
from quickstudy.runtimes.choosing import folder_of
from quickstudy.runtimes.sessions import open_session
from quickstudy.tasks import Classification

CLASSES = tuple(f"class {number}" for number in range(10))
PHOTOGRAPHS = measuring.SHARED / "data" / "cats_dogs"
WEIGHTS = measuring.SHARED / "weights" / "squeezenet1_0.safetensors"
STACKS = Path(__file__).resolve().parents[1] / "examples" / "stacks"
SIZES = {"compact": 64, "small.yaml": 64, "inception.yaml": 96}
NAMES = (
    *("resnet18", "resnet152", "googlenet", "squeezenet1_0", "mobilenet_v3_small"),
    *("efficientnet_b0", "convnext_tiny", "vit_tiny_patch16_224", "compact"),
    *("small.yaml", "inception.yaml", "sound"),
)
#: Standard deviation of a class's scores over photographs.
_SPREAD = 2.0
_PASSES = 3


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    asked.add_argument("--sound", type=Path, help="a model's folder in its run's")
    told = asked.parse_args()
    if wrong := set(told.names) - set(NAMES):
        raise SystemExit(f"There is no '{min(wrong)}'. Names: {', '.join(NAMES)}.")
    names = told.names or [name for name in NAMES if name != "sound" or told.sound]
    rows = []
    for name in names:
        rows.append(row(name, told.sound))
        print(rows[-1], file=sys.stderr, flush=True)
    title = "Exported ONNX against its model, 100 real examples of odd sizes"
    measuring.keep("-".join(["exports", *told.names]), title, rows)


def row(name: str, sound: Path | None) -> dict[str, Any]:
    """Return how alike a network and its export answer, and how long exporting took."""
    if name == "sound" and sound is None:
        raise SystemExit("Say which: --sound MODEL")
    with tempfile.TemporaryDirectory() as place:
        if name == "sound":
            model, folder, some = load(folder_of(sound), "cpu"), folder_of(sound), None
            rounding = float("nan")
        else:
            some, folder = photographs(Path(place) / "some"), Path(place)
            model, rounding = warmed(untaught(name), sorted(some.iterdir())[:24])
        made = Making(model, folder, whole(model), examples=some)
        real = made.real
        began = time.perf_counter()
        Onnx().write(made, Path(place))
        took = time.perf_counter() - began
        found = compared(model, real, open_session("onnx", Path(place) / Onnx.file))
        size = (Path(place) / Onnx.file).stat().st_size
    return {
        "network": name,
        "examples": found.n,
        "largest difference": f"{found.largest:.1e}",
        "torch, 32 and 64 bits": f"{rounding:.1e}" if rounding == rounding else "-",
        "same answer": f"{100 * found.same:.4g} %",
        "answers": len(set(real.answers.argmax(1).tolist())),
        "likeliest, mean": f"{real.answers.max(1).mean():.2f}",
        "seconds to export": f"{took:.0f}",
        "MB": f"{size / 1e6:.1f}",
        "under 1e-4": "yes" if found.passed and found.largest < 1e-4 else "NO",
    }


def photographs(folder: Path) -> Path:
    """Fill a folder with 100 photographs, evenly from all; their sizes are as they were taken."""
    paths = sorted((PHOTOGRAPHS / "test").rglob("*.jpg"))
    folder.mkdir()
    for path in paths[:: len(paths) // 100][:100]:
        shutil.copy(path, folder / f"{path.parent.name}-{path.name}")
    return folder


def untaught(name: str) -> Model:
    """Return a seeded network that has learnt nothing, or SqueezeNet with its published weights."""
    torch.manual_seed(0)
    size = SIZES.get(name, 224)
    spec = Spec(name, len(CLASSES), size)
    if name.endswith(".yaml"):
        spec = Spec("stack", len(CLASSES), size, stack=read_stack(STACKS / name))
    built = build(spec)
    if name == "squeezenet1_0":
        weights.put(built, weights.read(WEIGHTS), name)
    how = {"decode_size": size * 8 // 7, "size": size, "fit": "squash", "mirror": False}
    form = restored("image", {**how, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)})
    return Model(built.module.eval(), spec, Classification(CLASSES), form)


def warmed(model: Model, paths: Sequence[Path]) -> tuple[Model, float]:
    """Return the same with statistics of photographs, its scores of each apart and around 0.

    And of a probability how far torch in 32 bits is from torch in 64.
    """
    how, network = model.preparation, model.network
    x = how.prepare(torch.from_numpy(np.concatenate([how.values(path) for path in paths])))
    found = []
    with torch.no_grad():
        for number in range(_PASSES + 1):
            if number == _PASSES:
                for norm in (one for one in network.modules() if isinstance(one, nn.BatchNorm2d)):
                    norm.reset_running_stats()
                    norm.momentum = None  # the mean of what is seen, nothing of the start
            network.train()
            for part in torch.split(x, 8):
                network(part)
            network.eval()
            scores = network(x)
            wider, middle = _SPREAD / scores.std(0).mean(), scores.mean(0)
            exact = copy.deepcopy(network).double()(x[:8].double())
            both = [(wider * (one - middle)).softmax(1) for one in (exact, scores[:8])]
            rounding = float((both[0] - both[1]).abs().max())
            found.append((rounding, copy.deepcopy(network.state_dict()), wider, middle))
        rounding, state, wider, middle = min(found, key=lambda one: one[0])
        network.load_state_dict(state)
        last = [one for one in network.modules() if isinstance(one, nn.Linear | nn.Conv2d)][-1]
        if last.bias is None or len(last.bias) != len(CLASSES):
            raise SystemExit("The last layer is not the one that scores.")
        last.weight *= wider
        last.bias.copy_((last.bias - middle) * wider)
    return model, rounding


if __name__ == "__main__":
    main()

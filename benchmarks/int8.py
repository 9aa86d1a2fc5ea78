"""8-bit integers against floating point in the same runtime: speed, and what it costs.

python benchmarks/int8.py RUN [ROUNDS]

RUN is a run's folder with a model of pictures and its examples (one on photographs, by
squeezenet1_0 at 224 px). Beside it ResNet-18 with seeded weights: its speed says something, its
accuracy nothing, so that agreement with floating point is told instead.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import measuring
from quickstudy.export import export
from quickstudy.export.integers import layers_of, opened, quantised, ranges_of
from quickstudy.export.judging import labelled
from quickstudy.export.quantising import quantise
from quickstudy.hardware import usable_cores
from quickstudy.kinds import restored
from quickstudy.model import Model
from quickstudy.network import Spec, build
from quickstudy.runtimes.exported import Exported
from quickstudy.runtimes.sessions import open_session
from quickstudy.runtimes.timing import busy, interleaved
from quickstudy.tasks import Classification

SIZE = 224


def rows_of(
    name: str, plain: Exported, whole: Exported, pictures: Any, told: tuple[str, str], rounds: int
) -> list[dict[str, Any]]:
    """Both in turn, at batch 1 and 32: A B A B."""
    asked = {"float32": plain, "int8": whole}
    many = np.resize(pictures, (32, *pictures.shape[1:]))
    found = {}
    for n, times in ((1, rounds), (32, max(3, rounds // 8))):
        given = plain.given(many[:n])
        calls = {key: partial(one.session.run, given) for key, one in asked.items()}
        found[n] = interleaved(calls, times)
    return [
        {
            "network": name,
            "onnxruntime": key,
            "batch 1, ms": f"{found[1][key].median:.2f}",
            "times as fast": f"{found[1]['float32'].median / found[1][key].median:.2f}",
            "batch 32, ms": f"{found[32][key].median:.1f}",
            "times as fast, 32": f"{found[32]['float32'].median / found[32][key].median:.2f}",
            "test": said,
            "MB": f"{one.file.stat().st_size / 1e6:.2f}",
        }
        for (key, one), said in zip(asked.items(), told, strict=True)
    ]


def trained(run: Path, folder: Path, rounds: int) -> list[dict[str, Any]]:
    export(run / "model", "onnx", out=folder)
    plain = Exported.open(folder / "onnx")
    described = json.loads((run / "model" / "model.json").read_text())
    named = f"{described['network']['name']}, trained"
    file = folder / "int8.onnx"
    lost = quantise(plain, run, file, tell=lambda line: print(line, file=sys.stderr))
    made = replace(plain, file=file, session=open_session("onnx", file))
    pictures = np.stack(
        [plain.preparation.view(p, 0) for p in labelled(plain, run, "val", 32).pieces]
    )
    change = lost.test or lost.val
    told = tuple(
        f"{100 * one.value:.1f} % ({100 * one.interval[0]:.1f} to {100 * one.interval[1]:.1f})"
        for one in (change.before, change.after)
    )
    return rows_of(named, plain, made, pictures, told, rounds)


def seeded(run: Path, folder: Path, rounds: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    how = {"decode_size": SIZE, "size": SIZE, "fit": "squash", "mean": (0.5,) * 3}
    seen = restored("image", {**how, "std": (0.25,) * 3, "mirror": False})
    spec = Spec("resnet18", 10, SIZE)
    names = tuple(str(number) for number in range(10))
    model = Model(build(spec).module, spec, Classification(names), seen)
    model.save(folder / "resnet18")
    source = next(Path(one.path) for one in _examples(run)).parent
    export(folder / "resnet18", "onnx", out=folder / "out", examples=source)
    plain = Exported.open(folder / "out" / "onnx")
    pieces = [seen.values(Path(one.path)) for one in _examples(run)[:64]]
    pictures = np.stack([seen.view(piece, 0) for piece in pieces])
    graph = opened(plain.file)
    ranges = ranges_of(graph, [plain.given(one[None]) for one in pictures[:32]], usable_cores())
    file = folder / "resnet18.onnx"
    graph = quantised(graph, ranges.within(1), layers_of(graph)[:-1])
    file.write_bytes(graph.SerializeToString())
    made = replace(plain, file=file, session=open_session("onnx", file))
    first, second = (one.answers(pieces[32:]).argmax(1) for one in (plain, made))
    told = ("-", f"agrees on {100 * (first == second).mean():.0f} %")
    return rows_of("resnet18, seeded", plain, made, pictures, told, rounds)


def _examples(run: Path) -> list[Any]:
    from quickstudy.model.examples import examples_in

    return examples_in(run, "train")


def main() -> None:
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    run, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60
    if warning := busy():
        print(warning, file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        rows = trained(run, Path(name), rounds) + seeded(run, Path(name), rounds)
    measuring.keep("int8", "8-bit integers against float32 in onnxruntime", rows)


if __name__ == "__main__":
    main()

"""What a run hands over: weights, labels and preprocessing, in one folder that is safe to open.

What is scored is what is shipped: the test of a run goes through `Model.probabilities`, the same
code that `predict` uses. A folder holds safetensors, JSON and text; loading runs no code from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from quickstudy import evaluation
from quickstudy.catalog import scan
from quickstudy.errors import ChoiceError, ExampleError, ModelError, SourceError
from quickstudy.folders import cache_folder, disk_errors, write_whole
from quickstudy.hardware import usable_cores
from quickstudy.kinds.image.augment import prepare
from quickstudy.kinds.image.decode import SUFFIXES, fit, open_picture
from quickstudy.network import Spec, build, scores
from quickstudy.prediction import Prediction

FORMAT = 1
_BATCH = 32


@dataclass(frozen=True)
class Preparation:
    """How a file becomes what the network takes."""

    decode_size: int
    """Pixels, side of the square that files are decoded to."""
    size: int
    """Pixels, side of the square the network sees."""
    fit: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirror: bool
    """Average the answers for the picture and its mirror image."""
    max_pixels: int
    temperature: float = 1.0
    """Scores are divided by this, found on `val`, so that a probability means what it says."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network that takes pictures as they are."""

    network: nn.Module
    spec: Spec
    classes: tuple[str, ...]
    preparation: Preparation
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the run knew when it saved: accuracy, versions, date."""

    def predict(self, what: Any) -> Any:
        """Return a `Prediction` for a path, PIL picture or array ``H W C``; a list for many.

        A folder gives a list over its pictures, as does an array ``N H W C``. In a list, a file
        that cannot be read becomes a `Prediction` whose `error` says why; a single one raises
        `ExampleError`.

        >>> import numpy as np
        >>> model = untrained(("dark", "light"), size=32)
        >>> model.predict(np.zeros((8, 8, 3), np.uint8)).label in ("dark", "light")
        True
        """
        if isinstance(what, str | Path) and Path(what).is_dir():
            files = [p for p in sorted(Path(what).rglob("*")) if p.suffix.lower() in SUFFIXES]
            return list(self.predictions(files))
        if isinstance(what, np.ndarray) and what.ndim == 4:
            return list(self.predictions(list(what)))
        if isinstance(what, list | tuple):
            return list(self.predictions(what))
        (answer,) = self.predictions([what])
        if answer.error:
            raise ExampleError(f"{answer.name}: {answer.error}", "Give a picture file.")
        return answer

    def predictions(self, what: Sequence[Any]) -> Iterator[Prediction]:
        """Yield a `Prediction` for each of `what`, in order, reading ahead on all cores."""
        with ThreadPoolExecutor(usable_cores()) as pool:
            for start in range(0, len(what), _BATCH):
                part = what[start : start + _BATCH]
                opened = list(pool.map(self._open, part))
                fine = [pixels for pixels in opened if not isinstance(pixels, str)]
                rows = iter(self.probabilities([np.stack(fine)]) if fine else ())
                for one, pixels in zip(part, opened, strict=True):
                    name = str(one) if isinstance(one, str | Path) else type(one).__name__
                    if isinstance(pixels, str):
                        yield Prediction(name, None, 0.0, {}, pixels)
                    else:
                        yield self._answer(name, next(rows))

    def _answer(self, name: str, row: NDArray[np.float32]) -> Prediction:
        best = int(row.argmax())
        all_of_them = {c: float(p) for c, p in zip(self.classes, row, strict=True)}
        return Prediction(name, self.classes[best], float(row[best]), all_of_them, None)

    def _open(self, one: Any) -> NDArray[np.uint8] | str:
        raw = Path(one) if isinstance(one, str) else one
        if not isinstance(raw, Path | Image.Image | np.ndarray | bytes):
            return f"a {type(one).__name__} is not a path, a picture or an array"
        how = self.preparation
        try:
            picture = open_picture(raw, size=how.decode_size, max_pixels=how.max_pixels)
            return fit(picture, how.decode_size, how.fit)
        except ExampleError as problem:
            return problem.message

    def probabilities(self, decoded: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return ``N classes`` for batches ``n D D 3``, decoded as `preparation` says."""
        how = self.preparation
        device = next(self.network.parameters()).device
        self.network.eval()
        found = [np.empty((0, len(self.classes)), np.float32)]
        with torch.inference_mode():
            for pixels in decoded:
                x = prepare(torch.from_numpy(pixels).to(device), how.size, how.mean, how.std)
                x = x.contiguous(memory_format=torch.channels_last)
                found.append(self._shares(x).cpu().numpy())
        return np.concatenate(found)

    def _shares(self, x: Tensor) -> Tensor:
        how = self.preparation
        shares = (scores(self.network, x).float() / how.temperature).softmax(1)
        if how.mirror:
            other = (scores(self.network, x.flip(-1)).float() / how.temperature).softmax(1)
            shares = (shares + other) / 2
        return shares

    def evaluate(self, source: Any, **columns: str | None) -> evaluation.Scores:
        """Return the scores on a labelled source: all that `learn` takes, same columns.

        Raises `SourceError` for a source that cannot be used or has none of the model's classes.
        """
        catalog = scan(source, cache=cache_folder(), learnable=False, **columns)
        number = {name: i for i, name in enumerate(self.classes)}
        left_out = [(one.name, one.reason) for one in catalog.left_out]
        truths, rows = [], []
        for start in range(0, len(catalog), _BATCH):
            part = range(start, min(start + _BATCH, len(catalog)))
            answers = self.predictions([catalog.read(i) for i in part])
            for i, answer in zip(part, answers, strict=True):
                label = catalog.classes[catalog.labels[i]]
                if answer.error is not None or label not in number:
                    left_out.append((catalog.names[i], answer.error or f"unknown class {label!r}"))
                    continue
                truths.append(number[label])
                rows.append([answer.probabilities[c] for c in self.classes])
        if not truths:
            raise SourceError(
                f"{catalog.source} has no readable picture of the model's classes.",
                "The model knows: " + ", ".join(self.classes[:20]) + ".",
            )
        labels = np.array(truths, np.int64)
        scores_ = evaluation.score(
            labels,
            np.array(rows),
            classes=self.classes,
            baseline_class=int(np.bincount(labels).argmax()),
        )
        return replace(scores_, left_out=tuple(left_out))

    def save(self, folder: str | Path) -> Path:
        """Write the model's folder. Raises `RunError` on a full disk or a missing permission."""
        folder = Path(folder)
        with disk_errors("the model"):
            folder.mkdir(parents=True, exist_ok=True)
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        described = {
            "format": FORMAT,
            "kind": "image",
            "classes": list(self.classes),
            "network": self.spec.as_dict(),
            "preparation": asdict(self.preparation),
            "facts": dict(self.facts),
        }
        files: dict[str, bytes] = {
            "weights.safetensors": save_tensors(tensors),
            "model.json": json.dumps(described, indent=2).encode(),
            "README.md": _card(self).encode("utf-8", "replace"),
        }
        sums = "".join(
            f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()
        )
        for name, content in files.items():
            write_whole(folder / name, content)
        write_whole(folder / "checksums.sha256", sums)
        return folder


def _card(model: Model) -> str:
    facts = model.facts
    score = f"\n{facts['result']}\n" if facts.get("result") else ""
    listed = "\n".join(f"- {name}" for name in model.classes[:1000])
    return (
        f"# A Quickstudy model: {model.spec.name}\n{score}\n"
        "Use it: `quickstudy predict THIS_FOLDER photo.jpg`, or in Python\n"
        '`quickstudy.load("THIS_FOLDER").predict("photo.jpg")`.\n\n'
        f"It tells apart:\n\n{listed}\n"
    )


def load(folder: str | Path, device: str | None = None) -> Model:
    """Return the model of a folder, checked against its checksums; runs no code from it.

    Raises `ModelError` for a folder that is no model, was altered or cut short, or is of a newer
    format.
    """
    folder = Path(folder)
    files = _checked(folder)
    described = json.loads(files["model.json"])
    if described["format"] > FORMAT:
        raise ModelError(
            f"{folder} was made by a newer Quickstudy (format {described['format']}).",
            "Update: pip install --upgrade quickstudy",
        )
    spec = Spec.from_dict(described["network"])
    kept = described["preparation"]
    preparation = Preparation(**{**kept, "mean": tuple(kept["mean"]), "std": tuple(kept["std"])})
    network = build(spec).module
    try:
        network.load_state_dict(load_tensors(files["weights.safetensors"]))
    except (SafetensorError, RuntimeError) as problem:
        raise ModelError(
            f"The weights in {folder} do not fit: {problem}.", "Train anew."
        ) from problem
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        network.to(where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    except (RuntimeError, AssertionError) as problem:
        raise ChoiceError(
            f"The device '{where}' cannot be used here: {str(problem).splitlines()[0]}.",
            "Leave it out, or use cpu.",
        ) from problem
    return Model(network, spec, tuple(described["classes"]), preparation, described["facts"])


def _checked(folder: Path) -> dict[str, bytes]:
    """Return the folder's files, each as its checksum says."""
    sums = folder / "checksums.sha256"
    if not sums.is_file():
        inner = folder / "model"
        hint = f"Did you mean {inner}?" if (inner / sums.name).is_file() else "Give RUN/model."
        raise ModelError(f"{folder} is not a Quickstudy model.", hint)
    lines = (line.partition("  ") for line in sums.read_text().splitlines())
    expected = {name: digest for digest, _, name in lines}
    found: dict[str, bytes] = {}
    for name in ("weights.safetensors", "model.json"):
        path = folder / name
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != expected.get(name):
            raise ModelError(
                f"{path} is not what was saved: it was altered, cut short, or is missing.",
                "Copy the model's folder again from where it was made.",
            )
        found[name] = content
    return found


def untrained(classes: tuple[str, ...], *, size: int = 64) -> Model:
    """Return a compact network that has learnt nothing: for trying things out."""
    spec = Spec("compact", len(classes), size)
    how = Preparation(size, size, "squash", (0.5,) * 3, (0.25,) * 3, False, 200_000_000)
    return Model(build(spec).module, spec, classes, how)

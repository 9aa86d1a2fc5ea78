"""An ONNX export in 8-bit integers: kept only where it answers nearly as well as in floating point.

Read `quantise` first. The most sensitive layers go back to floating point, as few as will do. It is
judged by `val`; `test` is looked at once, when all is chosen.

Why onnxruntime's own tools: what nncf 3.4 adds for `onnx` is 223 MB. Why ranges from the least to
the largest value: to leave out the outer 1 % or 10 % of examples changed nothing that we measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ChoiceError, ModelError
from quickstudy.evaluation import Estimate
from quickstudy.export.integers import Layer, Ranges, layers_of, opened, quantised, ranges_of
from quickstudy.export.judging import Labelled, labelled, score
from quickstudy.hardware import usable_cores
from quickstudy.runtimes.exported import Exported
from quickstudy.runtimes.sessions import open_session

_CALIBRATING = 128  # real training examples
_COMPARED = 32  # examples that say how much a layer's integers change the answers
_BLOCKS = 32  # parts of a network that are measured on their own
_EPSILON = 1e-7

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Change:
    """A score before and after, with its 95 % intervals."""

    n: int
    before: Estimate
    after: Estimate

    @property
    def loss(self) -> float:
        """Points by which it fell."""
        return 100 * (self.before.value - self.after.value)

    def sentence(self, name: str, part: str) -> str:
        """Return e.g. ``accuracy on val: 97.3 % (95.7 to 98.4) -> 97.1 % (95.4 to 98.2)``."""
        return f"{name} on {part} ({self.n:,}): {_said(self.before)} -> {_said(self.after)}"


@dataclass(frozen=True)
class Int8:
    """What quantising did to a model."""

    score: str
    max_loss: float
    layers: int
    floating: tuple[str, ...]
    """Layers that stayed in floating point."""
    calibrated: int
    """Training examples that the ranges are of."""
    val: Change
    test: Change | None
    """None where the run has no test any more."""
    size: tuple[int, int]
    """Bytes before and after."""
    milliseconds: tuple[float, float]
    """For one example before and after, here, measured in turn."""

    def as_dict(self) -> dict[str, Any]:
        """Return what ``export.json`` keeps."""
        return asdict(self)

    def sentences(self) -> list[str]:
        """Return before and after, for people."""
        (small, large), (quick, slow) = self.size[::-1], self.milliseconds[::-1]
        lines = [self.val.sentence(self.score, "val")]
        if self.test is not None:
            lines.append(self.test.sentence(self.score, "test"))
        times = f"{slow / quick:.2f} times as fast"
        lines.append(f"size: {large / 1e6:.2f} MB -> {small / 1e6:.2f} MB")
        lines.append(f"one example here: {slow:.2f} ms -> {quick:.2f} ms ({times})")
        names = ", ".join(self.floating) or "none"
        lines.append(f"in floating point still: {names} (of {self.layers} layers)")
        return lines


def quantise(
    plain: Exported, run: Path | None, out: Path, *, max_loss: float = 0.5, tell: Tell = print
) -> Int8:
    """Write an ONNX export in 8-bit integers to a file; return what it lost and won.

    Kept where the task's score on the run's `val` falls by less than `max_loss` points. Raises
    `ModelError`, and writes nothing, where no choice of layers does, where the network has none,
    or where the run's examples are not there; `MissingExtra` without onnx.
    """
    tell("reading the run's held-out examples")
    val, learnt = (labelled(plain, run, part, n) for part, n in _PARTS)
    model = opened(plain.file)
    layers = layers_of(model)
    last, layers = layers[-1:], layers[:-1]  # its few products are no time, and all depends on it
    if not layers:
        raise ModelError(
            "There is nothing to quantise: the network has no convolutions or matrix products but "
            "its last.",
            "Use the export in floating point.",
        )
    tell("looking how large its values get")
    given = [_given(plain, piece) for piece in learnt.pieces]
    ranges = ranges_of(model, given, usable_cores())
    before = score(plain, val)
    with tempfile.TemporaryDirectory() as folder:
        search = _Search(plain, model, ranges, layers, Path(folder) / "model.onnx")
        after, floating = search.found(val, before, max_loss, given[:_COMPARED], tell)
        kept = [one for one in layers if one not in floating]
        made = search.asking(kept)
        test = _tested(plain, made, run)
        milliseconds = in_turn(plain, made, given[0])
        whole = made.file.read_bytes()
    out.write_bytes(whole)
    names = tuple(one.name for one in (*floating, *last))
    return Int8(
        plain.task.score_name,
        max_loss,
        len(layers) + 1,
        names,
        len(given),
        Change(len(val.pieces), before, after),
        test,
        (plain.file.stat().st_size, len(whole)),
        milliseconds,
    )


_PARTS = (("val", 1000), ("train", _CALIBRATING))


@dataclass(frozen=True, eq=False)
class _Search:
    """Looks for the layers that may be integers."""

    plain: Exported
    model: Any
    ranges: Ranges
    layers: Sequence[Layer]
    file: Path

    def asking(self, layers: Sequence[Layer]) -> Exported:
        """Return the model with these layers in integers."""
        made = quantised(self.model, self.ranges.within(1), layers)
        self.file.write_bytes(made.SerializeToString())
        return replace(self.plain, file=self.file, session=open_session("onnx", self.file))

    def found(
        self,
        val: Labelled,
        before: Estimate,
        max_loss: float,
        given: Sequence[Mapping[str, NDArray[Any]]],
        tell: Tell,
    ) -> tuple[Estimate, list[Layer]]:
        """Return the score, and which layers stay in floating point: as few as will do."""
        tell(f"quantising {len(self.layers)} layers")
        after = score(self.asking(self.layers), val)
        if holds(before, after, max_loss):
            return after, []
        tell(f"{_said(before)} -> {_said(after)} on val: finding the layers that lose most")
        order = self.sensitive(given)
        fails, best = 0, (len(order), before)
        while best[0] - fails > 1:
            middle = (fails + best[0]) // 2
            back = [one for block in order[:middle] for one in block]
            tried = score(self.asking([one for one in self.layers if one not in back]), val)
            tell(f"with {len(back)} layers in floating point: {_said(tried)} on val")
            if holds(before, tried, max_loss):
                best = middle, tried
            else:
                fails = middle
        if best[0] == len(order):
            raise ModelError(
                f"In 8-bit integers the model's {self.plain.task.score_name} on val falls from "
                f"{_said(before)} to {_said(after)}, and no choice of layers brings it within "
                f"{max_loss:g} points; nothing was kept.",
                "Allow more (--max-loss), or use the export in floating point.",
            )
        back = [one for block in order[: best[0]] for one in block]
        return best[1], [one for one in self.layers if one in back]

    def sensitive(self, given: Sequence[Mapping[str, NDArray[Any]]]) -> list[list[Layer]]:
        """Return the layers, those first that change the answers most when they alone are integers.

        In blocks of neighbours, where there are many.
        """
        size = -(-len(self.layers) // _BLOCKS)
        blocks = [list(self.layers[i : i + size]) for i in range(0, len(self.layers), size)]
        wanted = _answers(self.plain, given)
        effects = []
        for block in blocks:
            found = _answers(self.asking(block), given)
            effects.append(float(np.square(found - wanted).mean()))
        order = np.argsort(-np.nan_to_num(effects, nan=np.inf), kind="stable")
        return [blocks[i] for i in order]


def check_int8(formats: Sequence[str], points: float) -> None:
    """Raise `ChoiceError` where integers are asked of other formats, or points are no points."""
    if "onnx" not in formats:
        raise ChoiceError("8-bit integers are of the format onnx.", "Say: --to onnx --int8")
    if not 0 <= points <= 100:
        raise ChoiceError(f"--max-loss is {points:g}.", "Give points from 0 to 100, as 0.5.")


def holds(before: Estimate, after: Estimate, max_loss: float) -> bool:
    """Whether a score falls by less than `max_loss` points, or not at all."""
    lost = 100 * (before.value - after.value)
    return lost < max_loss or lost <= 0


def in_turn(
    first: Exported, second: Exported, given: Mapping[str, NDArray[Any]], rounds: int = 15
) -> tuple[float, float]:
    """Return the medians of two, in milliseconds for one example, asked in turn: A B A B."""
    from quickstudy.runtimes.timing import interleaved

    asked = {"a": lambda: first.session.run(given), "b": lambda: second.session.run(given)}
    found = interleaved(asked, rounds)
    return found["a"].median, found["b"].median


def _answers(asked: Exported, given: Sequence[Mapping[str, NDArray[Any]]]) -> NDArray[np.float64]:
    """Return answers as the network scores them: a probability's logarithm tells more than it."""
    found: NDArray[np.float64] = np.concatenate(
        [asked.session.run(one)["answers"] for one in given]
    ).astype(np.float64)
    if asked.task.name == "regression":
        scale = np.array(getattr(asked.task, "std", ()) or [1.0], np.float64)
        return found / scale
    return np.asarray(np.log(found.clip(_EPSILON, 1)))


def _given(plain: Exported, piece: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the first view of an example as the graph takes it."""
    return plain.given(plain.preparation.view(piece, 0)[None])


def _tested(plain: Exported, made: Exported, run: Path | None) -> Change | None:
    try:
        test = labelled(plain, run, "test")
    except ModelError:
        return None  # the run was given none, or it lies somewhere else now
    return Change(len(test.pieces), score(plain, test), score(made, test))


def _said(found: Estimate) -> str:
    low, high = (100 * end for end in found.interval)
    return f"{100 * found.value:.1f} % ({low:.1f} to {high:.1f})"

"""An exported file, opened by what runs it: arrays in by name, arrays out by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quickstudy.errors import ChoiceError, ModelError, QuickstudyError, did_you_mean
from quickstudy.hardware import usable_cores
from quickstudy.runtimes.quiet import installed, quietly

if TYPE_CHECKING:
    from collections.abc import Iterator

Arrays = Mapping[str, NDArray[Any]]

#: Format -> the library that runs it, the quickest to start first.
LIBRARIES = {
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "litert": "ai_edge_litert",
    "pt2": "torch",
    "native": "torch",
}
#: Formats whose reading may run code that is in the file: pickles, a compiled library.
CODE = frozenset({"pt2", "native"})


class Session(Protocol):
    """An opened file. May be asked from several threads."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""


def runs_here(to: str) -> bool:
    """Whether what runs a format is installed."""
    return to in LIBRARIES and installed(LIBRARIES[to])


def open_session(to: str, file: Path, threads: int | None = None) -> Session:
    """Return a file of a format opened, to compute in `threads` (those that are usable).

    Raises `ChoiceError` for a format that nothing here runs, `MissingExtra` where its library is
    not installed, `ModelError` for a file that is damaged. Files of `CODE` formats may hold code:
    open only your own.
    """
    opened: dict[str, Callable[[Path, int], Session]] = {
        **{"onnx": Onnx, "openvino": _OpenVino, "litert": _LiteRt},
        **{"pt2": _Program, "native": _Compiled},
    }
    if to not in opened:
        hint = did_you_mean(to, opened) or f"Formats: {', '.join(opened)}."
        raise ChoiceError(f"Nothing here runs files of the format '{to[:40]}'.", hint)
    if not file.is_file():
        raise ModelError(f"{file} is missing.", "Export the model again.")
    with _opening(file):
        return opened[to](file, threads or usable_cores())


@contextmanager
def _opening(file: Path) -> Iterator[None]:
    """Turn whatever a runtime raises of a file that it cannot open into a `ModelError`."""
    try:
        yield
    except QuickstudyError:
        raise
    except Exception as problem:  # each runtime has a family of its own, outside any other
        what = next(iter(str(problem).strip().splitlines()), "") or type(problem).__name__
        raise ModelError(
            f"{file} cannot be opened: {what[:300]}", "Export the model again."
        ) from problem


class Onnx:
    """onnxruntime on the processor, without custom operators.

    External data that lies outside the file's folder is refused by onnxruntime.
    """

    def __init__(self, file: Path, threads: int) -> None:
        runtime = quietly("onnxruntime")
        how = runtime.SessionOptions()
        how.intra_op_num_threads, how.inter_op_num_threads = threads, 1
        how.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        how.enable_mem_pattern = False  # one kept for each size of batch: 1 GB for 32 of them
        how.log_severity_level = 4  # what fails is raised, and told once
        how.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = runtime.InferenceSession(str(file), how, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_outputs()]

    def metadata(self) -> tuple[dict[str, str], dict[str, Sequence[Any]]]:
        """Return the properties that the file has by name, and the shape of each input."""
        kept = self._session.get_modelmeta().custom_metadata_map
        return dict(kept), {one.name: tuple(one.shape) for one in self._session.get_inputs()}

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        found = self._session.run(self._names, dict(inputs))
        return dict(zip(self._names, found, strict=True))


class _OpenVino:
    """OpenVINO on the processor, in float32: its bfloat16 answers differ in the third digit."""

    def __init__(self, file: Path, threads: int) -> None:
        core = quietly("openvino").Core()
        how = {
            **{"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"},
            **{"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1},
        }
        model = core.read_model(file)
        self._names = [port.any_name for port in model.outputs]  # compiled, it may have others
        self._request = core.compile_model(model, "CPU", how).create_infer_request()
        self._one_at_a_time = threading.Lock()

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        with self._one_at_a_time:
            found = self._request.infer(dict(inputs), share_inputs=True)
            return {name: np.array(found[i]) for i, name in enumerate(self._names)}


class _LiteRt:
    """LiteRT on the processor; the file has one signature."""

    def __init__(self, file: Path, threads: int) -> None:
        interpreter = quietly("ai_edge_litert.interpreter").Interpreter
        self._model = interpreter(model_path=str(file), num_threads=threads)
        (self._signature,) = self._model.get_signature_list()
        self._runner = self._model.get_signature_runner(self._signature)
        self._one_at_a_time = threading.Lock()

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        with self._one_at_a_time:
            return {name: np.array(value) for name, value in self._runner(**inputs).items()}


class _Torch:
    """A module of torch that takes and gives what an exported graph does, in its order."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by name: ``answers``, and ``unlike`` where there are two."""
        import torch

        given = [torch.from_numpy(np.require(one, None, ["C", "W"])) for one in inputs.values()]
        with torch.inference_mode():
            found = self._module(*given)
        if not isinstance(found, Mapping):
            outputs = found if isinstance(found, tuple | list) else [found]
            found = dict(zip(("answers", "unlike"), outputs, strict=False))
        return {name: one.cpu().numpy() for name, one in found.items()}


class _Program(_Torch):
    """A program of torch.export. Its reading unpickles: open only your own."""

    def __init__(self, file: Path, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        super().__init__(torch.export.load(str(file)).module())


class _Compiled(_Torch):
    """A program that AOTInductor compiled: a library of machine code. Open only your own."""

    def __init__(self, file: Path, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        super().__init__(torch._inductor.aoti_load_package(str(file)))

"""Core ML: what Apple's devices run; only they compute it, so only there is it written.

It is a folder and no file, and nothing of Quickstudy's answers from it: an application does.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from quickstudy.errors import MissingExtra, ModelError
from quickstudy.export.contract import Making
from quickstudy.export.fixed import Fitting, fixed
from quickstudy.export.parity import compared


class CoreMl:
    """``model.mlpackage`` in float32 for one example, which the host has prepared.

    Pictures are float32 levels ``1 S S 3``, 0 to 255, for Core ML takes no uint8 arrays.
    """

    name: ClassVar[str] = "coreml"
    file: ClassVar[str] = "model.mlpackage"

    def write(self, made: Making, folder: Path) -> None:
        """Convert; raises `ModelError` where nothing could compute it, `MissingExtra`."""
        if sys.platform != "darwin":
            raise ModelError(
                "Core ML computes on Apple's systems only, so its answers cannot be compared here.",
                "Export on a Mac, from this model's folder; or take onnx, which runs there too.",
            )
        made.real  # noqa: B018 # before the minutes that converting takes: without any, an error
        converted(_still(made)).save(str(folder / self.file))

    def check(self, made: Making, folder: Path) -> None:
        """Compare, computing on the processor; raises `ModelError` where the answers differ."""
        still = _still(made)
        session = Fitting(still.whole, _Session(folder / self.file))
        parity = compared(made.model, made.real, session)
        parity.demand(self.name)
        made.tell(parity.sentence())


def converted(made: Making) -> Any:
    """Return a `Making` of fixed shapes as a model of coremltools; raises `MissingExtra`."""
    tools = _tools()
    with torch.inference_mode(False), torch.no_grad():
        program = made.program.run_decompositions({})
    found = tools.convert(
        program,
        convert_to="mlprogram",
        compute_precision=tools.precision.FLOAT32,
        minimum_deployment_target=tools.target.iOS16,
        outputs=[tools.TensorType(name=name) for name in made.whole.outputs],
        skip_model_load=True,
    )
    spec = found.get_spec()
    for one, name in zip(spec.description.input, made.whole.inputs, strict=True):
        if one.name != name:  # it is named as the module names it
            tools.utils.rename_feature(spec, one.name, name)
    told = tools.models.MLModel(spec, weights_dir=found.weights_dir, skip_model_load=True)
    told.user_defined_metadata.update(made.metadata)
    return told


def _still(made: Making) -> Making:
    whole = fixed(made.whole, made.model)
    return replace(
        made, whole=replace(whole, examples=tuple(one.float() for one in whole.examples))
    )


def _tools() -> Any:
    try:
        return importlib.import_module("coremltools")
    except ImportError as problem:
        raise MissingExtra("Exporting to Core ML", "coreml") from problem


class _Session:
    def __init__(self, file: Path) -> None:
        tools = _tools()
        self._model = tools.models.MLModel(str(file), compute_units=tools.ComputeUnit.CPU_ONLY)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        found = self._model.predict({k: v.astype(np.float32) for k, v in inputs.items()})
        return {name: np.asarray(value) for name, value in found.items()}

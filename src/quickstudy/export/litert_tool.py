"""Runs where litert-torch is installed and Quickstudy is not: GRAPH INPUTS OUTPUTS FILE.

Turns a program of torch.export into ``FILE.tflite``, what it takes and gives named.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import torch


class Named(torch.nn.Module):
    """A module whose outputs have names."""

    def __init__(self, module: Any, names: list[str]) -> None:
        super().__init__()
        self.module, self.names = module, names

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the outputs by name."""
        return dict(zip(self.names, self.module(*inputs.values()), strict=True))


def convert(graph: str, inputs: list[str], outputs: list[str], file: str) -> None:
    """Write a graph as a LiteRT file."""
    program = torch.export.load(graph)
    assert program.example_inputs is not None
    given = dict(zip(inputs, program.example_inputs[0], strict=True))
    module = Named(program.module(), outputs)
    module.training = False
    with torch.no_grad():
        found = importlib.import_module("litert_torch").convert(
            module, sample_kwargs=given, strict_export=False
        )
    found.export(file)


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(","), sys.argv[4])

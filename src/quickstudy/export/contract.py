"""What every format offers: one contract, which one test runs over all formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch.fx.experimental._config import patch as any_size  # or 1 would be no size

from quickstudy.errors import ModelError
from quickstudy.export.whole import Whole
from quickstudy.model import Model


@dataclass(frozen=True, eq=False)
class Making:
    """What is being exported: the model, and as one graph that takes what the user has."""

    model: Model
    folder: Path
    """The model's own."""
    whole: Whole
    described: Mapping[str, Any] = field(default_factory=dict)
    """What a file says of itself."""

    @cached_property
    def program(self) -> torch.export.ExportedProgram:
        """The graph as torch.export traces it, any number and size of examples.

        Raises `ModelError` for a network that cannot be traced.
        """
        free = tuple(
            dict.fromkeys(sides, torch.export.Dim.DYNAMIC) or None for sides in self.whole.free
        )
        try:
            with torch.inference_mode(False), torch.no_grad(), any_size(backed_size_oblivious=True):
                return torch.export.export(
                    self.whole.module, self.whole.examples, dynamic_shapes=free, strict=False
                )
        except Exception as problem:  # whatever somebody's own network makes of being traced
            first = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
            raise ModelError(
                f"The network {self.model.spec.name} cannot be traced: {first[:300]}",
                "Its forward must not decide by values; see torch.export's documentation.",
            ) from problem


class Format(Protocol):
    """A format that a model can be written in, and a runtime answers from."""

    name: ClassVar[str]
    file: ClassVar[str]
    """The file's name: ``model.`` and what the format's files end in."""

    def write(self, made: Making, folder: Path) -> None:
        """Write `file`, and what it needs beside it, into a new folder.

        Raises `MissingExtra` where its library is not installed.
        """

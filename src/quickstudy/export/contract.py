"""What every format offers: one contract, which one test runs over all formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch.fx.experimental import _config as tracing

from quickstudy.errors import ModelError
from quickstudy.export.parity import Asked, asked
from quickstudy.export.whole import Whole
from quickstudy.model import Model
from quickstudy.runtimes.sessions import Session


@dataclass(frozen=True, eq=False)
class Making:
    """What is being exported: the model, and as one graph that takes what the user has."""

    model: Model
    folder: Path
    """The model's own."""
    whole: Whole
    described: Mapping[str, Any] = field(default_factory=dict)
    """What a file says of itself."""
    tell: Callable[[str], None] = lambda _: None
    """Hears what takes long."""
    install_tools: bool = False
    """Whether tools that need an environment of their own may be installed there."""
    examples: Path | None = None
    """Real ones to compare on; None: those that the run tested on."""
    _made: dict[str, Any] = field(default_factory=dict, init=False)

    @property
    def run(self) -> Path | None:
        """The run's folder, where the model still lies in it."""
        return self.folder.parent if self.folder.name == "model" else None

    @cached_property
    def real(self) -> Asked:
        """Real examples and the model's answers about them; raises what `asked` does."""
        self.tell("asking the model about real examples")
        return asked(self.model, self.run, self.examples)

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what was made under a name before, or make it."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    @property
    def metadata(self) -> dict[str, str]:
        """What a format's own metadata holds: names and JSON."""
        told = {"quickstudy": self.described, "labels": list(self.model.classes)}
        return {name: json.dumps(value) for name, value in told.items()}

    @cached_property
    def program(self) -> torch.export.ExportedProgram:
        """The graph as torch.export traces it, any number and size of examples.

        Raises `ModelError` for a network that cannot be traced.
        """
        free = tuple(
            dict.fromkeys(sides, torch.export.Dim.DYNAMIC) or None for sides in self.whole.free
        )
        how: Any = tracing  # its switches are typed away; without this one no side may be 1
        oblivious = how.patch(backed_size_oblivious=True)
        # of weights that lie channels last it would trace how a batch lies, which tells 1 from more
        module = self.whole.module.to(memory_format=torch.contiguous_format)
        try:
            with torch.inference_mode(False), torch.no_grad(), oblivious:
                return torch.export.export(
                    module, self.whole.examples, dynamic_shapes=free, strict=False
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


@runtime_checkable
class Prepared(Protocol):
    """What a format offers besides, whose runtime takes only what the host has prepared."""

    def shaped(self, made: Making) -> Making:
        """Return the same with a graph of fixed shapes."""

    def asking(self, made: Making, session: Session) -> Session:
        """Return a session that prepares what the user has, as hosts do, and then asks."""


@runtime_checkable
class Folder(Protocol):
    """What no runtime answers from: a script, or a folder for somebody else's tools."""

    name: ClassVar[str]
    file: ClassVar[str]
    """The file to begin with."""

    def write(self, made: Making, folder: Path) -> None:
        """Write everything into a new folder."""

    def check(self, made: Making, folder: Path) -> None:
        """Try what was written; raises `ModelError` where it does not do what it should."""

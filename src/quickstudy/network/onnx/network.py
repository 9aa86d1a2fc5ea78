"""The network that runs the description of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.errors import ChoiceError, WeightsError
from quickstudy.network.onnx import layers
from quickstudy.network.onnx.node import MOST_CELLS, Node, Value, number
from quickstudy.network.onnx.operators import OPERATORS

#: Tried in turn where the file says nothing of the picture's size.
_SIZES = (224, 299, 64, 32)


class GraphNetwork(nn.Module):
    """A graph of operators as a network that trains: ``N C H W`` -> its output.

    `classes` and `dropout` are for the last layer, where `ending.headed` put one.
    """

    def __init__(
        self, description: Mapping[str, Any], classes: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        plan = layers.planned(description)
        shapes = {name: kept["shape"] for name, kept in description["tensors"].items()}
        self._hosts = {name: number(v) for name, v in description["constants"].items()}
        self._output, self._turned = (
            description["output"],
            description["input"].get("turned", False),
        )
        self.layers = nn.ModuleDict(
            {
                name: layers.made(plan.nodes[at], shapes, self._hosts, classes, dropout)
                for at, name in plan.layer.items()
            }
        )
        self.weights = nn.ParameterDict(
            {key: torch.zeros(shapes[name]) for key, name in plan.learnt.items()}
        )
        for key, name in plan.fixed.items():
            kind = torch.float32 if description["tensors"][name]["float"] else torch.int64
            self.register_buffer(key, torch.zeros(shapes[name], dtype=kind))
        self._steps = [
            (
                node,
                plan.layer.get(at, ""),
                [plan.loose.get((at, i), "") for i, _ in enumerate(node.inputs)],
            )
            for at, node in enumerate(plan.nodes)
        ]
        self._done = _last_uses(plan.nodes, self._output)

    def forward(self, x: Tensor) -> Tensor:
        """Compute; raises `ChoiceError` where a fixed shape in the file mixes up the batch."""
        values: dict[str, Value] = {"x": x.permute(0, 2, 3, 1) if self._turned else x}
        for at in range(len(self._steps)):
            self.step(at, values)
        found = values[self._output]
        if not isinstance(found, Tensor) or found.ndim == 0 or found.shape[0] != x.shape[0]:
            raise ChoiceError(
                f"The network does not take pictures of the shape {tuple(x.shape[1:])}.",
                "Use the size that its file was made for.",
            )
        return found

    def step(self, at: int, values: dict[str, Value]) -> None:
        """Run one node on `values`, and forget what no later one needs."""
        node, layer, loose = self._steps[at]
        if layer:
            found = self.layers[layer](values[node.inputs[0]])
        else:
            found = OPERATORS[node.op](
                node, *(self._value(*pair, values) for pair in zip(node.inputs, loose, strict=True))
            )
        outputs = found if isinstance(found, tuple) else (found,)
        for name, value in zip(node.outputs, outputs, strict=True):
            values[name] = value
        for name in self._done[at]:
            values.pop(name, None)

    def _value(self, name: str, loose: str, values: Mapping[str, Value]) -> Value:
        if loose:
            return self.weights[loose] if loose in self.weights else self.get_buffer(loose)
        if name in values:
            return values[name]
        return self._hosts[name] if name else None


def _last_uses(nodes: list[Node], output: str) -> list[list[str]]:
    """Return for each node what is not needed after it."""
    seen, done = {output}, []
    for node in reversed(nodes):
        names = {*node.inputs, *node.outputs} - seen
        done.append(sorted(names))
        seen |= names
    return done[::-1]


def state(
    description: Mapping[str, Any], tensors: Mapping[str, Tensor], *, head: bool = True
) -> dict[str, Tensor]:
    """Return the state dict of a `GraphNetwork`: each tensor of the file where it belongs."""
    plan, found = layers.planned(description), {}
    for at, name in plan.layer.items():
        if head or name != "head":
            for key, tensor in layers.filled(plan.nodes[at], tensors).items():
                found[f"layers.{name}.{key}"] = tensor
    found |= {f"weights.{key}": tensors[name] for key, name in plan.learnt.items()}
    return found | {key: tensors[name] for key, name in plan.fixed.items()}


def sizes(description: Mapping[str, Any]) -> list[list[int]]:
    """Return the shapes of one input to try a network with, the likeliest first."""
    from quickstudy.network.onnx.pictures import graph_input

    channels, high, wide, layout = graph_input(description)
    tried = [(high or wide or size, wide or high or size) for size in _SIZES]
    turn = layout == "NHWC" and not description["input"].get("turned", False)
    return [[h, w, channels] if turn else [channels, h, w] for h, w in dict.fromkeys(tried)]


def tried(
    description: Mapping[str, Any],
    classes: int | None,
    batch: int,
    shape: Sequence[int] | None = None,
) -> tuple[tuple[int, ...], list[int]]:
    """Return the shape of the answer to a batch, and of one picture; nothing is computed.

    Tried with pictures of a `shape`, else with what the file says. Raises `ChoiceError` naming the
    node that cannot take what it is given.
    """
    _check_tensors(description)
    with torch.device("meta"):
        network = GraphNetwork(description, classes).eval()
        *likely, last = [list(shape)] if shape is not None else sizes(description)
        for size in likely:
            with suppress(ChoiceError):
                return _run(network, torch.empty(batch, *size)), size
        return _run(network, torch.empty(batch, *last)), last


def _run(network: GraphNetwork, x: Tensor) -> tuple[int, ...]:
    values: dict[str, Value] = {"x": x.permute(0, 2, 3, 1) if network._turned else x}
    with torch.no_grad():
        for at, (node, _, _) in enumerate(network._steps):
            with refusing(node):
                network.step(at, values)
            for name in node.outputs:
                made = values.get(name)
                if isinstance(made, Tensor) and made.numel() > MOST_CELLS:
                    node.refuse(f"makes a tensor of the shape {tuple(made.shape)}")
    found = values[network._output]
    return tuple(found.shape) if isinstance(found, Tensor) else ()


class refusing:  # noqa: N801 - read as a word: with refusing(node)
    """Turn whatever torch raises inside into a `ChoiceError` that names the node."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, problem: BaseException | None, _: Any) -> None:
        if isinstance(problem, Exception) and not isinstance(problem, ChoiceError):
            first = next(iter(str(problem).splitlines()), "") or type(problem).__name__
            raise ChoiceError(
                f"The network's {self.node.title} cannot be computed: {first[:200]}.",
                "The file may be damaged, or for pictures of another shape.",
            ) from problem


def _check_tensors(description: Mapping[str, Any]) -> None:
    total = 0
    for kept in description["tensors"].values():
        cells = 1
        for size in kept["shape"]:
            cells *= max(int(size), 0)
        total += cells
    if total > MOST_CELLS:
        raise WeightsError(f"The network declares {total} numbers.", "Give a smaller one.")

"""The two ends of a graph: what it takes, and its last layer, to be learnt anew here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from quickstudy.errors import ChoiceError
from quickstudy.network.onnx.layers import features
from quickstudy.network.onnx.network import GraphNetwork, state, tried
from quickstudy.network.onnx.node import Node, needed
from quickstudy.network.onnx.pictures import graph_input, whole

HEAD = "layers.head"
"""Where the last layer of a built network is."""

#: After the last layer; none of them is part of the scores.
_AFTER = frozenset(
    {"ArgMax", "Cast", "Dropout", "Flatten", "LogSoftmax", "Relu", "Reshape", "Sigmoid", "Softmax"}
    | {"Squeeze", "Transpose", "Unsqueeze"}
)
#: After a convolution that decides at every position.
_POOLS = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMax", "ReduceMean"})


def build_graph(
    description: Mapping[str, Any],
    classes: int,
    dropout: float = 0.0,
    shape: tuple[int, ...] | None = None,
) -> tuple[nn.Module, str]:
    """Return the network of a graph with fresh weights, and the dotted path of its last layer.

    It takes ``N C H W`` and gives scores ``N classes``; `shape` is the ``C H W`` that it will see.
    Raises `ChoiceError` where it cannot, where the last layer is not found or a node cannot be
    computed, `WeightsError` for a description that is damaged.
    """
    with whole():
        changed, outputs = headed(description)
        own, _ = tried(description, None, 2)
        if own[:1] != (2,):
            raise ChoiceError(
                f"The network answers a batch of 2 pictures with the shape {own}.",
                "Export it with a batch size that is left free.",
            )
        if math.prod(own[1:]) not in (1, outputs):
            raise ChoiceError(
                f"The network answers each picture with the shape {own[1:]}, not with one score a "
                "class.",
                "Give a network that classifies pictures.",
            )
        found, _ = tried(changed, classes, 2)
        if found != (2, classes):
            raise ChoiceError(
                f"With {classes} classes the network would answer with the shape {found}.",
                "Name a network: quickstudy networks.",
            )
        if shape is not None:
            _check_takes(changed, classes, shape)
        return GraphNetwork(changed, classes, dropout), HEAD


def _check_takes(changed: Mapping[str, Any], classes: int, shape: tuple[int, ...]) -> None:
    channels, high, wide, _ = graph_input(changed)
    if channels != shape[0]:
        raise ChoiceError(
            f"The network of the file takes {channels} channels, not {shape[0]}.",
            "Leave network.channels out.",
        )
    try:
        found, _ = tried(changed, classes, 2, shape)
    except ChoiceError as problem:
        own = f" It was made for {high} x {wide}." if high and wide else ""
        raise ChoiceError(
            f"The network of the file does not take pictures of {shape[1]} x {shape[2]}.{own} "
            f"{problem.message}",
            "Leave picture.size out, or export it with height and width left free.",
        ) from problem
    if found != (2, classes):
        raise ChoiceError(
            f"The network of the file answers pictures of {shape[1]} x {shape[2]} with the shape "
            f"{found}.",
            "Leave picture.size out.",
        )


def weights_of(
    description: Mapping[str, Any], tensors: Mapping[str, Tensor], *, keep_head: bool = False
) -> dict[str, Tensor]:
    """Return the file's tensors under the names that `build_graph`'s network has for them.

    With `keep_head` also those of the last layer; in a SqueezeNet they are near the best, but the
    scores are not the file's: its ReLU after them is gone.
    """
    with whole():
        return state(headed(description)[0], tensors, head=keep_head)


def as_it_is(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> GraphNetwork:
    """Return the file's own network with its weights, its last layer and what comes after it."""
    with whole():
        tried(description, None, (description["input"]["shape"][0] or 2))
        network = GraphNetwork(description)
        network.load_state_dict(state(description, tensors))
        return network.eval()


def outputs_of(description: Mapping[str, Any]) -> int:
    """Return how many scores the file's own last layer gives."""
    with whole():
        return headed(description)[1]


def headed(description: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the description with a new last layer in place of the old, and the old one's outputs.

    A softmax and the like after it are dropped. Where a 1 x 1 convolution decides at every
    position and its scores are averaged, the features are averaged first: the same without the
    ReLU between, which would forbid negative scores.
    """
    nodes: list[dict[str, Any]] = description["nodes"]
    makers = {name: at for at, node in enumerate(nodes) for name in node["outputs"]}
    at, pooled = _last_layer(description, makers)
    node, fed = nodes[at], nodes[at]["inputs"][0]
    before = nodes[: at + 1]
    if (source := makers.get(fed)) is not None and nodes[source]["op"] == "Dropout":
        fed = nodes[source]["inputs"][0]  # the new layer brings its own
    shape = description["tensors"][node["inputs"][1]]["shape"]
    _, outputs = features(Node.of(node, description["opset"]), shape)
    attributes = dict(node["attributes"])
    new: list[dict[str, Any]] = []
    if node["op"] == "Conv":
        attributes = {"transB": 1}
        pool = "GlobalMaxPool" if pooled in ("GlobalMaxPool", "ReduceMax") else "GlobalAveragePool"
        new.append(_node(pool, [fed], "pooled", {}))
        fed = "pooled"
        new.append(_node("Flatten", [fed], "flat", {"axis": 1}))
        fed = "flat"
    new.append(_node("Head", [fed, *node["inputs"][1:]], "scores", attributes))
    if node["op"] == "Linear":
        new.append(_node("Flatten", ["scores"], "flat", {"axis": 1}))
    kept = needed([*before[:-1], *new], new[-1]["outputs"][0])
    turned = graph_input(description)[3] == "NHWC"
    return {
        **description,
        "input": {**description["input"], "turned": turned},
        "output": new[-1]["outputs"][0],
        "nodes": kept,
    }, outputs


def _node(op: str, inputs: list[str], output: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {"op": op, "inputs": inputs, "outputs": [output], "attributes": attributes, "name": ""}


def _last_layer(description: Mapping[str, Any], makers: Mapping[str, int]) -> tuple[int, str]:
    """Return the number of the last layer's node, and the pooling after it, if any."""
    nodes, tensors = description["nodes"], description["tensors"]
    name, pooled = description["output"], ""
    while name in makers:
        node = nodes[at := makers[name]]
        op, inputs = node["op"], node["inputs"]
        if op == "Linear" and not pooled:
            return at, ""
        if op == "Conv" and inputs[1] in tensors and _is_dense(node, tensors[inputs[1]]["shape"]):
            return at, pooled
        if op == "Add" and any(i in tensors for i in inputs):  # a bias of its own
            name = next(i for i in inputs if i not in tensors)
        elif op in _AFTER or (op in _POOLS and not pooled):
            name, pooled = inputs[0], op if op in _POOLS else pooled
        else:
            break
    raise ChoiceError(
        "The network's last layer cannot be found: before softmax and the like there must be a "
        "linear layer, or a 1 x 1 convolution.",
        "Name a network: quickstudy networks.",
    )


def _is_dense(node: Mapping[str, Any], shape: list[int]) -> bool:
    attributes = node["attributes"]
    return (
        shape[2:] == [1, 1]
        and attributes.get("group", 1) == 1
        and not any(attributes.get("pads") or [])
    )

"""ONNX files as networks that train: the same answers as onnxruntime and the frameworks gave."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

pytest.importorskip("onnx")

import onnx
from onnx import numpy_helper

from onnx_files import (
    FRAMEWORKS,
    answers,
    close,
    export,
    lively,
    numbers,
    torchvision_network,
    write,
)
from quickstudy.errors import ChoiceError, MissingExtra, QuickstudyError, WeightsError
from quickstudy.network import Built, body_only
from quickstudy.network.drawing import draw, flops
from quickstudy.network.onnx import (
    HEAD,
    OPERATORS,
    as_it_is,
    build_graph,
    graph_input,
    outputs_of,
    read_graph,
    rewriting,
    weights_of,
)
from quickstudy.network.standard import Head

Read = tuple[dict[str, Any], dict[str, Tensor]]


def ask(path: Path, x: np.ndarray[Any, Any]) -> Tensor:
    """The file's own answers here, by way of JSON."""
    description, tensors = read_graph(path)
    network = as_it_is(json.loads(json.dumps(description, allow_nan=False)), tensors)
    with torch.no_grad():
        return network(torch.from_numpy(x))


def pictures(read: Read, count: int = 2, side: int = 64) -> Tensor:
    channels, high, wide, _ = graph_input(read[0])
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, channels, high or side, wide or side, generator=generator)


def ready(read: Read, classes: int, *, keep_head: bool = False) -> nn.Module:
    """The network for training, with the file's weights in its body."""
    module, head = build_graph(read[0], classes)
    found = module.load_state_dict(weights_of(*read, keep_head=keep_head), strict=False)
    fresh = [] if keep_head else [f"{head}.weight", f"{head}.bias"]
    assert (found.missing_keys, found.unexpected_keys) == (fresh, [])
    return module


# Files that the frameworks themselves made


OUTPUTS = {"caffe2": 5, "gluon": 7, "keras": 10, "keras_gated": 4, "keras_opset9": 10, "mxnet": 6}


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_frameworks_own_files(name: str) -> None:
    path, kept = FRAMEWORKS / f"{name}.onnx", np.load(FRAMEWORKS / f"{name}.npz")
    assert np.ptp(kept["y"], axis=0).max() > 1e-3  # the answer depends on the picture
    close(ask(path, kept["x"]), kept["y"])
    close(ask(path, kept["x"]), answers(path, kept["x"]))
    read = read_graph(path)
    assert outputs_of(read[0]) == OUTPUTS[name]
    x = torch.from_numpy(kept["x"])
    lies = "NHWC" if "keras" in name else "NCHW"
    assert graph_input(read[0]) == (3, *x.shape[2 if lies == "NCHW" else 1 :][:2], lies)
    x = x.permute(0, 3, 1, 2) if lies == "NHWC" else x  # what trains here takes N C H W
    module = ready(read, OUTPUTS[name], keep_head=True).eval()
    found = module(x)
    whole = np.allclose(kept["y"].sum(1), 1, atol=1e-4)
    close(found.softmax(1) if whole else found, kept["y"])


def test_there_are_softmaxes_among_them() -> None:
    ends = {p.stem: onnx.load(p).graph.node[-1].op_type for p in FRAMEWORKS.glob("*.onnx")}
    assert set(ends) == set(OUTPUTS)
    assert [name for name, op in ends.items() if op == "Softmax"] != []


@pytest.mark.parametrize("name", OUTPUTS)
def test_they_train(name: str) -> None:
    read = read_graph(FRAMEWORKS / f"{name}.onnx")
    torch.manual_seed(0)
    module = ready(read, 3).train()
    y = torch.arange(24) % 3
    x = pictures(read, 24) + 2 * (y - 1).reshape(-1, 1, 1, 1)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    step = torch.optim.Adam(module.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(module(x), y)
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.8 * losses[0]
    after = module.state_dict()
    moved = {k for k in after if not torch.equal(after[k], before[k])}
    learnt = {k for k, _ in module.named_parameters()}
    assert f"{HEAD}.weight" in learnt <= moved
    norms = [k for k, layer in module.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert bool(norms) == (name in ("caffe2", "gluon", "mxnet"))  # Keras folded its own
    assert {f"{k}.running_mean" for k in norms} | {f"{k}.running_var" for k in norms} <= moved


def test_a_saved_network_needs_no_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_graph(FRAMEWORKS / "keras_gated.onnx")
    module = ready(read, 3).eval()
    x = pictures(read)
    save_file(
        {k: v.contiguous() for k, v in module.state_dict().items()}, tmp_path / "w.safetensors"
    )
    (tmp_path / "d.json").write_text(json.dumps(read[0], allow_nan=False))
    monkeypatch.setitem(sys.modules, "onnx", None)
    again, head = build_graph(json.loads((tmp_path / "d.json").read_text()), 3)
    again.load_state_dict(load_file(tmp_path / "w.safetensors"))
    assert torch.equal(again.eval()(x), module(x))
    assert head == HEAD
    with pytest.raises(MissingExtra, match="library"):
        read_graph(FRAMEWORKS / "keras.onnx")


# torch's two exporters


EXPORTS = [
    ("resnet18", False), ("resnet18", True), ("googlenet", False), ("squeezenet1_0", False),
    ("squeezenet1_0", True), ("mobilenet_v2", False), ("mobilenet_v3_small", False),
]  # fmt: skip


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def get(name: str, dynamo: bool, free: bool = True) -> tuple[Path, nn.Module]:
        key = f"{name}-{dynamo}-{free}"
        if key not in made:
            network = torchvision_network(name)
            made[key] = export(network, folder / f"{key}.onnx", dynamo=dynamo, free=free), network
        return made[key]

    return get


@pytest.mark.parametrize(("name", "dynamo"), EXPORTS)
def test_torchvisions_networks(exported: Any, name: str, dynamo: bool) -> None:
    path, network = exported(name, dynamo)
    read = read_graph(path)
    x = pictures(read)
    with torch.no_grad():
        expected = network(x)
    close(ask(path, x.numpy()), expected)
    close(ask(path, x.numpy()), answers(path, x.numpy()))
    assert (outputs_of(read[0]), graph_input(read[0])) == (10, (3, 64, 64, "NCHW"))
    module = ready(read, 10, keep_head=True).eval()
    if name.startswith("squeezenet"):  # as network/standard.py: without the last ReLU
        del network.classifier[2]  # type: ignore[union-attr]
        with torch.no_grad():
            expected = network(x)
        network.classifier.insert(2, nn.ReLU())  # type: ignore[union-attr,operator]
        assert expected.min() < 0
    close(module(x), expected)
    fused = sum(p.numel() for p in network.parameters())
    norms = sum(
        p.numel()
        for m in network.modules()
        if isinstance(m, nn.BatchNorm2d)
        for p in m.parameters()
    )
    biases = norms // 2  # a folded normalisation leaves a bias
    assert sum(p.numel() for p in module.parameters()) == fused - norms + biases


def test_the_network_is_made_of_torchs_layers(exported: Any) -> None:
    read = read_graph(exported("resnet18", False)[0])
    module, head = build_graph(read[0], 4, 0.3)
    last = module.get_submodule(head)
    assert isinstance(last, Head)
    assert (last.in_features, last.out_features, last.dropout) == (512, 4, 0.3)
    assert sum(isinstance(m, nn.Conv2d) for m in module.modules()) == 20
    x = pictures(read)
    with body_only(Built(module, head)) as body:
        assert body(x).shape == (2, 512)
    assert module(torch.randn(2, 3, 96, 80)).shape == (2, 4)  # any size, as the original
    assert [row["function"] for row in draw(module, x[:1])].count("Conv") == 20
    own = exported("resnet18", False)[1]
    own.fc = nn.Linear(512, 4)
    assert flops(module, x[:1]) == flops(own, x[:1])


def test_a_batch_fixed_at_one_is_freed(exported: Any) -> None:
    path, network = exported("mobilenet_v3_small", False, free=False)
    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    read = read_graph(path)
    x = pictures(read, 3)
    with torch.no_grad():
        close(as_it_is(*read)(x), network(x))
    assert ready(read, 5)(x).shape == (3, 5)


def test_out_again_with_a_free_batch() -> None:
    read = read_graph(FRAMEWORKS / "mxnet.onnx")  # it computes shapes of shapes
    module, x = ready(read, 3).eval(), pictures(read, 3)
    free = ({0: torch.export.Dim("n")},)
    program = torch.export.export(module, (x,), dynamic_shapes=free)
    y = torch.cat([x, x])
    close(program.module()(y), module(y))


# Every operator against onnxruntime


P = numbers(2, 4, 7, 9)  # what every one is given


def one(op: str, more: dict[str, Any] | None = None, ins: str = "x", **tensors: Any) -> Any:
    kept = {k: np.asarray(v) for k, v in tensors.items()}
    return [(op, ",".join([ins, *kept]), "y", more)], kept


SIMPLE = "Abs Erf Exp HardSwish Mish Neg Reciprocal Relu Sigmoid Softplus Softsign Tanh"
INTS = np.int64
F32 = np.float32
SAME = {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}
#: A last window that would begin in the padding: there is none.
BEYOND = {"kernel_shape": [2, 2], "strides": [4, 4], "pads": [0, 0, 1, 1], "ceil_mode": 1}
CASES: dict[str, Any] = {
    **{op.lower(): one(op) for op in SIMPLE.split()},
    "identity": ([("Identity", "x", "a", None), ("Relu", "a", "y", None)], {}),
    "leaky": one("LeakyRelu", {"alpha": 0.2}),
    "elu": one("Elu", {"alpha": 0.7}),
    "celu": one("Celu", {"alpha": 0.7}),
    "selu": one("Selu"),
    "selu2": one("Selu", {"alpha": 1.2, "gamma": 1.1}),
    "hardsigmoid": one("HardSigmoid"),
    "hardsigmoid6": one("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "prelu": one("PRelu", slope=numbers(4, 1, 1)),
    "clip": one("Clip", low=F32(-0.5), high=F32(0.5)),
    "clip-low": one("Clip", low=F32(0)),
    "sqrt": ([("Abs", "x", "a", None), ("Sqrt", "a", "b", None), ("Log", "b", "y", None)], {}),
    "pow": ([("Abs", "x", "a", None), ("Pow", "a,e", "y", None)], {"e": F32(1.5)}),
    "add": one("Add", b=numbers(4, 1, 1)),
    "sub-from": ([("Sub", "one,x", "y", None)], {"one": F32(1)}),
    "mul": one("Mul", b=F32([2.5])),
    "div": one("Div", b=numbers(9, low=1)),
    "div-by": ([("Div", "one,x", "y", None)], {"one": F32(1)}),
    "min": one("Min", a=F32(0.3), b=numbers(7, 9)),
    "max": one("Max", a=F32(0.3), b=numbers(7, 9)),
    "sum": ([("Sum", "x,x,x", "y", None)], {}),
    "mean": ([("Relu", "x", "a", None), ("Mean", "x,a", "y", None)], {}),
    "maxpool": one("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 0]}),
    "maxpool-uneven": one("MaxPool", {"kernel_shape": [2, 2], "pads": [0, 1, 1, 0]}),
    "maxpool-ceil": one("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "maxpool-gaps": one("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    "maxpool-same": one("MaxPool", SAME),
    "maxpool-lower": one(
        "MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}
    ),
    "maxpool-ceil-beyond": one("MaxPool", BEYOND),
    "avgpool-ceil-beyond": one("AveragePool", BEYOND),
    "avgpool": one(
        "AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    ),
    "avgpool-pad": one(
        "AveragePool",
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    "avgpool-ceil": one("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "avgpool-uneven": one("AveragePool", {"kernel_shape": [3, 3], "pads": [0, 1, 2, 0]}),
    "avgpool-uneven-pad": one(
        "AveragePool", {"kernel_shape": [3, 3], "pads": [0, 1, 2, 0], "count_include_pad": 1}
    ),
    "avgpool-same": one("AveragePool", SAME),
    "avgpool-valid": one(
        "AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "VALID"}
    ),
    "gap": one("GlobalAveragePool"),
    "gmp": one("GlobalMaxPool"),
    "lrn": one("LRN", {"size": 3, "alpha": 0.5, "beta": 0.6, "bias": 1.5}),
    "conv": one(
        "Conv", {"pads": [1, 2, 0, 1], "strides": [2, 1]}, w=numbers(6, 4, 3, 3), b=numbers(6)
    ),
    "conv-groups": one("Conv", {"group": 2, "dilations": [2, 1]}, w=numbers(6, 2, 3, 3)),
    "conv-same": one("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, w=numbers(6, 4, 4, 3)),
    "conv-lower": one("Conv", {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, w=numbers(6, 4, 4, 3)),
    "norm": one(
        "BatchNormalization",
        {"epsilon": 1e-3},
        s=numbers(4),
        b=numbers(4, seed=1),
        m=numbers(4),
        v=numbers(4, low=0.5),
    ),
    "instance": one("InstanceNormalization", {"epsilon": 1e-3}, s=numbers(4), b=numbers(4, seed=1)),
    "layer": one("LayerNormalization", {"axis": -2}, s=numbers(7, 9), b=numbers(7, 9, seed=1)),
    "softmax": one("Softmax", {"axis": 1}),
    "logsoftmax": one("LogSoftmax"),
    "rmean": one("ReduceMean", {"axes": [2, -1], "keepdims": 0}),
    "rmax": one("ReduceMax", {"axes": [1]}),
    "rmin": one("ReduceMin", {"axes": [1, 2]}),
    "rsum": one("ReduceSum", {"keepdims": 0}, axes=INTS([2, 3])),
    "rprod": one("ReduceProd", {"axes": [2, 3]}),
    "concat": ([("Relu", "x", "a", None), ("Concat", "x,a", "y", {"axis": -1})], {}),
    "split": (
        [("Split", "x,s", "a,b", {"axis": 1}), ("Concat", "b,a", "y", {"axis": 1})],
        {"s": INTS([1, 3])},
    ),
    "split-equal": ([("Split", "x", "a,b", {"axis": 1}), ("Sub", "b,a", "y", None)], {}),
    "slice": one("Slice", s=INTS([1, -8]), e=INTS([2**62, -1]), a=INTS([1, 3]), t=INTS([1, 2])),
    "slice-back": one("Slice", s=INTS([-1]), e=INTS([-(2**62)]), a=INTS([1]), t=INTS([-1])),
    "gather": one("Gather", {"axis": 1}, i=INTS([[2, -1], [0, 0]])),
    "gather-one": one("Gather", {"axis": 2}, i=INTS(-2)),
    "flatten": one("Flatten"),
    "flatten-back": one("Flatten", {"axis": -3}),
    "reshape": one("Reshape", s=INTS([0, 2, -1])),
    "squeeze": (
        [("GlobalMaxPool", "x", "a", None), ("Squeeze", "a,d", "y", None)],
        {"d": INTS([3, -2])},
    ),
    "unsqueeze": one("Unsqueeze", d=INTS([-1, 1])),
    "transpose": one("Transpose", {"perm": [0, 2, 3, 1]}),
    "pad": one("Pad", p=INTS([0, 1, 2, 0, 0, 0, 1, -2]), v=F32(0.5)),
    "pad-reflect": one("Pad", {"mode": "reflect"}, p=INTS([0, 0, 2, 1, 0, 0, 1, 3])),
    "pad-edge": one("Pad", {"mode": "edge"}, p=INTS([0, 0, 2, 1, 0, 0, 1, 3])),
    "dropout": one("Dropout", r=F32(0.4)),
    "cast": ([("Cast", "x", "a", {"to": 7}), ("Cast", "a", "y", {"to": 1})], {}),
    "expand": (
        [("ReduceMean", "x", "a", {"axes": [1]}), ("Expand", "a,s", "y", None)],
        {"s": INTS([3, 1, 1])},
    ),
    "matmul": one("MatMul", w=numbers(9, 5)),
    "matmul-add": (
        [("MatMul", "x,w", "a", None), ("Add", "b,a", "y", None)],
        {"w": numbers(9, 5), "b": numbers(5)},
    ),
    "gemm": (
        [("Flatten", "x", "a", None), ("Gemm", "a,w,b", "y", {"alpha": 0.5, "beta": 2.0})],
        {"w": numbers(252, 3), "b": numbers(3)},
    ),
    "gemm-row": (
        [("Flatten", "x", "a", None), ("Gemm", "a,w,b", "y", {"transB": 1})],
        {"w": numbers(3, 252), "b": numbers(1, 3)},
    ),
    "where": (
        [("Equal", "s,z", "c", None), ("Where", "c,o,s", "d", None), ("Expand", "x,d", "y", None)],
        {"s": INTS([2, 4, 7, -1]), "z": INTS([-1, -1, -1, -1]), "o": INTS([1, 1, 1, 1])},
    ),
    "shape-chain": (
        [
            ("Shape", "x", "s", None),
            ("Gather", "s,i", "n", {"axis": 0}),
            ("Unsqueeze", "n,z", "u", None),
            ("Concat", "u,r", "t", {"axis": 0}),
            ("Reshape", "x,t", "y", None),
        ],
        {"i": INTS(0), "z": INTS([0]), "r": INTS([-1, 9])},
    ),
    "filled": (
        [("Shape", "x", "s", None), ("ConstantOfShape", "s", "f", None), ("Add", "x,f", "y", None)],
        {},
    ),
    "argmax": ([("ArgMax", "x", "a", {"axis": 1}), ("Cast", "a", "y", {"to": 1})], {}),
}
OTHER_OPSETS: dict[str, tuple[int, Any]] = {
    "groupnorm": (21, one("GroupNormalization", {"num_groups": 2}, s=numbers(4), b=numbers(4))),
    "gelu": (20, one("Gelu")),
    "gelu-tanh": (20, one("Gelu", {"approximate": "tanh"})),
    "rmean-18": (18, one("ReduceMean", a=INTS([1, 2]))),
    "split-18": (
        18,
        (
            [
                ("Split", "x", "a,b", {"axis": 3, "num_outputs": 2}),
                ("Concat", "b,a", "y", {"axis": 3}),
            ],
            {},
        ),
    ),
    "softmax-11": (11, one("Softmax", {"axis": 2})),
    "logsoftmax-9": (9, one("LogSoftmax")),
    "clip-6": (9, one("Clip", {"min": 0.0, "max": 1.0})),
    "pad-2": (9, one("Pad", {"pads": [0, 0, 1, 2, 0, 0, 0, 1], "value": 0.7})),
    "slice-1": (9, one("Slice", {"starts": [1], "ends": [-1], "axes": [3]})),
    "squeeze-1": (
        9,
        ([("GlobalMaxPool", "x", "a", None), ("Squeeze", "a", "y", {"axes": [2, 3]})], {}),
    ),
    "unsqueeze-1": (9, one("Unsqueeze", {"axes": [2]})),
    "dropout-7": (9, one("Dropout", {"ratio": 0.4})),
    "split-2": (
        9,
        (
            [
                ("Split", "x", "a,b", {"axis": 1, "split": [3, 1]}),
                ("Concat", "b,a", "y", {"axis": 1}),
            ],
            {},
        ),
    ),
    "shape-15": (
        17,
        (
            [
                ("Shape", "x", "s", {"start": 1, "end": -1}),
                ("Concat", "z,s,r", "t", {"axis": 0}),
                ("Reshape", "x,t", "y", None),
            ],
            {"z": INTS([0]), "r": INTS([-1])},
        ),
    ),
}


@pytest.mark.parametrize("name", [*CASES, *OTHER_OPSETS])
def test_an_operator_is_onnxruntimes(tmp_path: Path, name: str) -> None:
    opset, (steps, tensors) = OTHER_OPSETS.get(name) or (17 if name != "mish" else 18, CASES[name])
    path = write(tmp_path / "one.onnx", steps, tensors, opset=opset, shape=("n", 4, 7, 9))
    close(ask(path, P), answers(path, P).astype(F32), 2e-6 if name != "rprod" else 1e-4)


def test_local_response_over_an_even_number_of_channels(tmp_path: Path) -> None:
    """As the specification says it; onnxruntime refuses it, onnx's reference counts wrongly."""
    steps = [("LRN", "x", "y", {"size": 4, "alpha": 0.5, "beta": 0.75, "bias": 1.0})]
    path = write(tmp_path / "l.onnx", steps, shape=("n", 4, 7, 9))
    squares = np.stack([(P[:, max(0, c - 1) : c + 3] ** 2).sum(1) for c in range(4)], 1)
    close(ask(path, P), P / (1 + 0.5 / 4 * squares) ** 0.75, 2e-6)


def test_group_normalisation_had_a_weight_a_group(tmp_path: Path) -> None:
    """Opset 18, which onnxruntime does not run."""
    scale, shift = numbers(2), numbers(2, seed=1)
    steps = [("GroupNormalization", "x,s,b", "y", {"num_groups": 2})]
    path = write(
        tmp_path / "g.onnx", steps, {"s": scale, "b": shift}, opset=18, shape=("n", 4, 7, 9)
    )
    parts = P.reshape(2, 2, -1)
    parts = (parts - parts.mean(2, keepdims=True)) / np.sqrt(parts.var(2, keepdims=True) + 1e-5)
    close(ask(path, P), (parts * scale[:, None] + shift[:, None]).reshape(P.shape), 2e-6)


def test_every_operator_is_tried() -> None:
    tried = {s[0] for steps, _ in CASES.values() for s in steps}
    tried |= {s[0] for _, (steps, _) in OTHER_OPSETS.values() for s in steps}
    untried = {"CastLike", "Linear", "Swish"}  # of exporters above; our own; opset 24
    assert set(OPERATORS) - tried == untried


# Dialects written by hand, where no exporter that still installs writes them


def test_the_oldest_opset(tmp_path: Path) -> None:
    """Caffe2's first exporter: opset 1 to 6, attributes where inputs are now, `consumed_inputs`."""
    w, b = numbers(5, 3, 3, 3), numbers(5)
    scale, shift, mean, var = (
        numbers(5, seed=1),
        numbers(5, seed=2),
        numbers(5),
        numbers(5, low=0.5),
    )
    fc, bias = numbers(6, 80, seed=3), numbers(6, seed=4)
    steps = [
        ("Conv", "x,w", "c", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("Add", "c,b", "d", {"broadcast": 1, "axis": 1, "consumed_inputs": [0, 0]}),
        ("BatchNormalization", "d,s,h,m,v", "e",
         {"is_test": 1, "spatial": 1, "momentum": 0.9, "consumed_inputs": [0, 0, 0, 1, 1]}),
        ("PRelu", "e,p", "f", None),
        ("Reshape", "f", "g", {"shape": [1, -1]}),
        ("Dropout", "g", "i", {"is_test": 1, "ratio": 0.5}),
        ("Gemm", "i,fc,fb", "j", {"broadcast": 1, "transB": 1}),
        ("Softmax", "j", "y", {"axis": 1}),
    ]  # fmt: skip
    tensors = {"w": w, "b": b, "s": scale, "h": shift, "m": mean, "v": var, "p": shift}
    path = write(
        tmp_path / "old.onnx", steps, {**tensors, "fc": fc, "fb": bias}, opset=1,
        shape=(1, 3, 8, 8), listed=True,
    )  # fmt: skip
    x = torch.from_numpy(numbers(3, 3, 8, 8))
    t = {k: torch.from_numpy(v) for k, v in {**tensors, "fc": fc, "fb": bias}.items()}
    h = nn.functional.conv2d(x, t["w"], t["b"], 2, 1)
    h = nn.functional.batch_norm(h, t["m"], t["v"], t["s"], t["h"])
    h = nn.functional.prelu(h, t["p"]).flatten(1) @ t["fc"].T + t["fb"]
    close(ask(path, x.numpy()), h.softmax(1))
    read = read_graph(path)
    module = ready(read, 6, keep_head=True)
    close(module.eval()(x), h)
    assert not torch.equal(module.train()(x), module(x[:]) * 0)
    kinds = [type(m).__name__ for m in module.layers.values()]  # type: ignore[union-attr,operator]
    assert kinds == ["Conv", "Norm", "Head"]  # the dropout before the head is the head's own now


def test_mxnets_older_files(tmp_path: Path) -> None:
    """Opset 8: `fix_gamma`, pooling that counts padding, LRN, FullyConnected, softmax."""
    tensors = {
        "g": np.ones(3, F32), "h": numbers(3), "m": numbers(3, seed=1), "v": numbers(3, low=0.5),
        "w": numbers(4, 3, 3, 3), "fc": numbers(5, 64), "fb": numbers(5),
    }  # fmt: skip
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    steps = [
        ("BatchNormalization", "x,g,h,m,v", "a", {"epsilon": 2e-5, "momentum": 0.9, "spatial": 1}),
        ("Conv", "a,w", "b", {"pads": [1, 1, 1, 1]}),
        ("LRN", "b", "c", {"size": 5, "alpha": 1e-2, "beta": 0.75, "bias": 2.0}),
        ("AveragePool", "c", "d", pool),
        ("Flatten", "d", "e", None),
        ("Dropout", "e", "f", {"ratio": 0.5}),
        ("Gemm", "f,fc,fb", "z", {"transB": 1}),
        ("Softmax", "z", "y", None),
    ]
    path = write(tmp_path / "m.onnx", steps, tensors, opset=8, shape=(1, 3, 8, 8), listed=True)
    x = numbers(3, 3, 8, 8)
    close(ask(path, x), answers(path, x))
    assert outputs_of(read_graph(path)[0]) == 5


def test_tensorflows_padding_and_layout(tmp_path: Path) -> None:
    """N H W C, SAME_UPPER, ReLU6 by Clip, MatMul and Add, ReduceMean and Squeeze."""
    tensors = {
        "w": numbers(6, 3, 3, 3), "k": numbers(6, 1, 3, 3), "scale": numbers(1, 6, 1, 1, low=0.5),
        "lo": F32(0), "hi": F32(6), "fc": numbers(6, 4), "fb": numbers(4), "mean": numbers(3),
    }  # fmt: skip
    same = {"strides": [2, 2], "auto_pad": "SAME_UPPER"}
    steps = [
        ("Sub", "x,mean", "p", None),
        ("Transpose", "p", "a", {"perm": [0, 3, 1, 2]}),
        ("Conv", "a,w", "b", same),
        ("Clip", "b,lo,hi", "c", None),
        ("Conv", "c,k", "d", {**same, "group": 6}),
        ("Mul", "d,scale", "e", None),
        ("ReduceMean", "e", "f", {"axes": [2, 3]}),
        ("Squeeze", "f,ax", "g", None),
        ("MatMul", "g,fc", "h", None),
        ("Add", "h,fb", "y", None),
    ]
    tensors["ax"] = INTS([2, 3])
    path = write(tmp_path / "t.onnx", steps, tensors, shape=("n", None, None, 3))
    x = numbers(2, 9, 12, 3)
    close(ask(path, x), answers(path, x))
    read = read_graph(path)
    assert graph_input(read[0]) == (3, None, None, "NHWC")
    module = ready(read, 4, keep_head=True)
    close(module.eval()(torch.from_numpy(x).permute(0, 3, 1, 2)), answers(path, x))
    learnt, kept = dict(module.named_parameters()), dict(module.named_buffers())
    assert learnt["weights.mul_1"].shape == (1, 6, 1, 1)  # a normalisation that was folded
    assert [tuple(v.shape) for v in kept.values()] == [(3,)]  # what prepares pictures is not learnt


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("pool", ["AveragePool", "GlobalAveragePool", "GlobalMaxPool"])
def test_a_convolution_that_decides(tmp_path: Path, pool: str, relu: bool) -> None:
    """As in SqueezeNet and Network in Network."""
    tensors = {"w": numbers(4, 3, 3, 3), "k": numbers(5, 4, 1, 1), "b": numbers(5)}
    more = {"kernel_shape": [6, 6], "strides": [6, 6]} if pool == "AveragePool" else None
    steps = [
        ("Conv", "x,w", "a", None),
        ("Conv", "a,k,b", "c", None),
        ("Relu" if relu else "Identity", "c", "d", None),
        (pool, "d", "e", more),
        ("Flatten", "e", "f", None),
        ("Softmax", "f", "y", None),
    ]
    read = read_graph(write(tmp_path / "s.onnx", steps, tensors))
    module = ready(read, 5, keep_head=True).eval()
    x = torch.from_numpy(numbers(3, 3, 8, 8))
    h = nn.functional.conv2d(x, torch.from_numpy(tensors["w"]))
    h = h.amax((2, 3)) if pool == "GlobalMaxPool" else h.mean((2, 3))
    expected = h @ torch.from_numpy(tensors["k"]).flatten(1).T + torch.from_numpy(tensors["b"])
    close(module(x), expected)
    assert expected.min() < 0


# What is learnt, and what is shared


def two_ways(path: Path) -> Path:
    """One convolution used twice, and one bias that an exporter merged."""
    steps = [
        ("Conv", "x,w,b", "a", {"pads": [1, 1, 1, 1]}),
        ("Relu", "a", "r", None),
        ("Conv", "r,w,b", "c", {"pads": [1, 1, 1, 1]}),
        ("GlobalAveragePool", "c", "d", None),
        ("Flatten", "d", "e", None),
        ("Gemm", "e,fc", "y", None),
    ]
    return write(path, steps, {"w": numbers(3, 3, 3, 3), "b": numbers(3), "fc": numbers(3, 4)})


def test_shared_weights_are_one_and_merged_vectors_are_not(tmp_path: Path) -> None:
    path = two_ways(tmp_path / "two.onnx")
    read = read_graph(path)
    x = torch.from_numpy(numbers(2, 3, 8, 8))
    close(ask(path, x.numpy()), answers(path, x.numpy()))
    module = ready(read, 4, keep_head=True)
    shapes = sorted(tuple(p.shape) for k, p in module.named_parameters() if HEAD not in k)
    assert shapes == [(3,), (3,), (3, 3, 3, 3)]
    module(x).sum().backward()
    w = torch.from_numpy(numbers(3, 3, 3, 3)).requires_grad_()
    b, fc = torch.from_numpy(numbers(3)), torch.from_numpy(numbers(3, 4))
    h = nn.functional.conv2d(x, w, b, padding=1).relu()
    (nn.functional.conv2d(h, w, b, padding=1).mean((2, 3)) @ fc).sum().backward()
    found = next(p.grad for k, p in module.named_parameters() if p.ndim == 4)
    close(found, w.grad)
    save_file(module.state_dict(), tmp_path / "w.safetensors")  # refuses tensors that share memory


def test_normalisation_learns_as_torchs_does(tmp_path: Path) -> None:
    network = lively(
        nn.Sequential(nn.BatchNorm2d(3, momentum=0.2), nn.Flatten(), nn.Linear(192, 2))
    )
    norm, last = network[0], network[2]
    tensors = {k: v.numpy() for k, v in norm.state_dict().items() if v.ndim}
    tensors |= {"fc": last.weight.detach().numpy(), "fb": last.bias.detach().numpy()}
    steps = [
        ("BatchNormalization", "x,weight,bias,running_mean,running_var", "a", {"momentum": 0.8}),
        ("Flatten", "a", "b", None),
        ("Gemm", "b,fc,fb", "y", {"transB": 1}),
    ]
    read = read_graph(write(tmp_path / "n.onnx", steps, tensors))
    module, x = ready(read, 2, keep_head=True).train(), torch.from_numpy(numbers(5, 3, 8, 8))
    close(module(x), network.train()(x))
    for key in ("running_mean", "running_var"):
        close(module.state_dict()[f"layers.norm1.{key}"], norm.state_dict()[key])


def test_a_dropout_drops_in_training(tmp_path: Path) -> None:
    steps = [
        ("Flatten", "x", "a", None),
        ("Gemm", "a,w", "b", None),
        ("Dropout", "b,r,t", "c,mask", None),
        ("Relu", "c", "d", None),
        ("Gemm", "d,v", "y", None),
    ]
    tensors = {"w": numbers(192, 64), "v": numbers(64, 2), "r": F32(0.25), "t": np.bool_(False)}
    read = read_graph(write(tmp_path / "d.onnx", steps, tensors))
    module, x = ready(read, 2), torch.from_numpy(numbers(2, 3, 8, 8))
    assert module.get_submodule("layers.dropout1").p == 0.25  # type: ignore[comparison-overlap]
    assert torch.equal(module.eval()(x), module(x))
    assert not torch.equal(module.train()(x), module(x))


# Files that are refused, with the reason


LINEAR = [("Flatten", "x", "f", None), ("Gemm", "f,w", "y", None)]
W = {"w": numbers(192, 2)}


def refused(path: Path, kind: type[QuickstudyError], words: str) -> QuickstudyError:
    with pytest.raises(kind, match=words) as caught:
        build_graph(read_graph(path)[0], 2)
    assert caught.value.hint
    return caught.value


def test_all_unknown_operators_are_named_at_once(tmp_path: Path) -> None:
    steps = [
        ("Resize", "x,,s", "a", None),
        ("Resize", "a,,s", "b", None),
        ("NonMaxSuppression", "x,x", "unused", None),
        ("LSTM", "b,b,b", "c", {"hidden_size": 4}),
        ("Fused", "c", "d", {"domain": "com.example"}),
        ("Flatten", "d", "f", None),
        ("Gemm", "f,w", "y", None),
    ]
    path = write(tmp_path / "u.onnx", steps, {**W, "s": F32([1, 1, 2, 2])})
    error = refused(path, ChoiceError, "not supported: LSTM, Resize \\(2\\), com.example::Fused\\.")
    assert "NonMax" not in error.message  # nothing needs its answer


def test_more_than_one_input_or_output(tmp_path: Path) -> None:
    steps = [*LINEAR, ("Add", "y,x2", "z", None)]
    path = write(tmp_path / "i.onnx", steps, W, inputs=("x", "x2"), outputs=("z",))
    refused(path, ChoiceError, "one input, the picture; it has 2: 'x', 'x2'")
    path = write(tmp_path / "o.onnx", LINEAR, W, outputs=("f", "y"))
    refused(path, ChoiceError, "one output, the scores; it has 2: 'f', 'y'")
    refused(
        write(tmp_path / "s.onnx", LINEAR, W, shape=("n", 192)), ChoiceError, "not batches of pict"
    )


def test_without_a_last_layer(tmp_path: Path) -> None:
    features = [("GlobalAveragePool", "x", "a", None), ("Flatten", "a", "y", None)]
    refused(write(tmp_path / "f.onnx", features), ChoiceError, "last layer cannot be found")
    dense = [("Conv", "x,w", "y", None)]  # a class for every position
    refused(
        write(tmp_path / "d.onnx", dense, {"w": numbers(2, 3, 1, 1)}),
        ChoiceError,
        "not with one score",
    )
    nothing = [("Identity", "w", "y", None)]
    refused(write(tmp_path / "n.onnx", nothing, W), ChoiceError, "does not depend on the picture")


def test_a_batch_that_cannot_be_freed(tmp_path: Path) -> None:
    steps = [
        ("Reshape", "x,s", "a", None),
        ("Softmax", "a", "b", {"axis": 0}),
        ("Reshape", "b,t", "c", None),
        ("Gemm", "c,w", "y", None),
    ]
    tensors = {**W, "s": INTS([-1]), "t": INTS([1, -1])}
    path = write(tmp_path / "b.onnx", steps, tensors, shape=(1, 3, 8, 8))
    refused(path, ChoiceError, "fixes the batch at 1")


def test_shapes_that_do_not_fit_name_the_node(tmp_path: Path) -> None:
    path = write(tmp_path / "w.onnx", LINEAR, {"w": numbers(100, 2)})
    refused(path, ChoiceError, "Linear 'Gemm_1' cannot be computed")
    path = write(tmp_path / "v.onnx", LINEAR, W)
    module, _ = build_graph(read_graph(path)[0], 2)
    mixed = [("Reshape", "x,s", "f", None), LINEAR[1]]
    path = write(tmp_path / "m.onnx", mixed, {**W, "s": INTS([-1, 192])})
    module, _ = build_graph(read_graph(path)[0], 2)
    with pytest.raises(ChoiceError, match="does not take pictures of the shape"):
        module(torch.zeros(2, 3, 16, 16))  # eight rows for two pictures


@pytest.mark.parametrize("side", ["location", "outside", "link", "short", "absent"])
def test_external_data_lies_beside_the_file(tmp_path: Path, side: str) -> None:
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in" / "e.onnx", LINEAR, W)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (tmp_path / "in" / "w.bin").stat().st_size >= W["w"].nbytes
    close(ask(path, numbers(2, 3, 8, 8)), answers(path, numbers(2, 3, 8, 8)))
    model = onnx.load(path, load_external_data=False)
    place = next(e for e in model.graph.initializer[0].external_data if e.key == "location")
    place.value = {"location": str(tmp_path / "w.bin"), "outside": "../w.bin"}.get(side, "w.bin")
    (tmp_path / "in" / "w.bin").rename(tmp_path / "w.bin")
    if side == "link":
        (tmp_path / "in" / "w.bin").symlink_to(tmp_path / "w.bin")
    elif side == "short":
        (tmp_path / "in" / "w.bin").write_bytes(bytes(100))
    path.write_bytes(model.SerializeToString())
    words = {"short": "which has 100", "absent": "is not beside"}.get(
        side, "outside the file's own"
    )
    refused(path, WeightsError, words)


def test_hostile_sizes_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    path = write(tmp_path / "h.onnx", LINEAR, W)
    model = onnx.load(path)
    model.graph.initializer[0].dims[:] = [2**40, 2**20]
    path.write_bytes(model.SerializeToString())
    refused(path, WeightsError, "declares 1152921504606846976 cells and holds 384")
    model.graph.initializer[0].dims[:] = [-1, 2]
    path.write_bytes(model.SerializeToString())
    refused(path, WeightsError, "declares the shape")
    huge = [("ConstantOfShape", "s", "c", None), *LINEAR[:1], ("Gemm", "f,c", "y", None)]
    path = write(tmp_path / "c.onnx", huge, {"s": INTS([192, 2**40])})
    refused(path, ChoiceError, "makes a tensor of 192 x 1099511627776")
    outer = [("Mul", "a,b", "c", None), ("Add", "x,c", "y", None)]
    path = write(tmp_path / "o.onnx", outer, {"a": numbers(10**5, 1), "b": numbers(10**5)})
    refused(path, ChoiceError, "makes a constant of the shape \\(100000, 100000\\)")


def test_all_constants_together_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "_MOST_FOLDED", 1000)
    steps = [("Exp", "w", f"c{i}", None) for i in range(4)]
    names = ",".join(["w", *(f"c{i}" for i in range(4))])
    steps += [("Sum", names, "s", None), ("Flatten", "x", "f", None), ("Gemm", "f,s", "y", None)]
    path = write(tmp_path / "a.onnx", steps, W)  # 384 cells each
    refused(path, ChoiceError, "Exp 'Exp_2' is the last of constants with 1152 cells")


@pytest.mark.parametrize("start", ["x", "w"])
def test_a_graph_that_doubles_itself(tmp_path: Path, start: str) -> None:
    steps = [("Concat", f"{start},{start}", "a0", {"axis": 1})]
    steps += [("Concat", f"a{i},a{i}", f"a{i + 1}", {"axis": 1}) for i in range(60)]
    last = [("ReduceMean", "a60", "m", {"axes": [1, 2, 3]}), ("Add", "x,m", "y", None)]
    path = write(tmp_path / "b.onnx", [*steps, *last], {"w": numbers(1, 3, 8, 8)})
    refused(path, ChoiceError, "Concat '.*' (makes a|is the last of constants)")


def test_graphs_that_make_no_sense(tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    loop = [("Add", "x,b", "a", None), ("Relu", "a", "b", None), ("Flatten", "b", "y", None)]
    refused(write(path, loop), WeightsError, "needs 'b', which nothing before it makes")
    refused(write(path, LINEAR), WeightsError, "needs 'w', which nothing")
    twice = [*LINEAR, ("Relu", "x", "w", None), ("Gemm", "f,w", "z", None)]
    refused(write(path, twice, W, outputs=("z",)), WeightsError, "makes 'w' twice")
    refused(write(path, LINEAR, W, outputs=("q",)), WeightsError, "holds no|nothing makes")
    bare = [("Flatten", "", "f", None), LINEAR[1]]
    refused(write(path, bare, W), QuickstudyError, "Flatten")
    wrong = [("Flatten", "x", "f", {"axis": "one"}), LINEAR[1]]
    refused(write(path, wrong, W), QuickstudyError, "Flatten")
    empty = [("Reshape", "x,s", "f", {"allowzero": 1}), LINEAR[1]]
    refused(write(path, empty, {**W, "s": INTS([0, 192])}), ChoiceError, "makes an empty tensor")


@pytest.mark.parametrize(
    "name", ["__class__", "../../w", "training", "a.b.c", "w\x00", "x" * 9999, "layers"]
)
def test_names_are_only_names(tmp_path: Path, name: str) -> None:
    steps = [
        ("Flatten", "x", "f", None),
        ("Gemm", f"f,{name}", "z", None),
        ("Add", f"z,{name}b", "y", None),
    ]
    path = write(tmp_path / "n.onnx", steps, {name: W["w"], f"{name}b": numbers(2)})
    read = read_graph(path)
    keys = set(ready(read, 2, keep_head=True).state_dict())
    assert keys == {f"{HEAD}.weight", f"{HEAD}.bias", "weights.add_1"} - {"weights.add_1"}
    assert all(len(k) < 20 and k.isalnum() for k in read[1])


def test_what_is_no_onnx_file(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", LINEAR, W)
    assert (
        "Did you mean 'net.onnx'?" in refused(tmp_path / "nte.onnx", WeightsError, "no file").hint
    )
    model = onnx.load(path)
    model.opset_import[0].version = 99
    (tmp_path / "new.onnx").write_bytes(model.SerializeToString())
    assert "--upgrade" in refused(tmp_path / "new.onnx", WeightsError, "opset 99").hint
    for content in (b"", b"PK\x03\x04", b"\x00" * 99, b'{"a": 1}', os.urandom(999)):
        (tmp_path / "no.onnx").write_bytes(content)
        refused(tmp_path / "no.onnx", WeightsError, "not an ONNX file|holds no network")


def test_damaged_files_never_do_worse_than_refuse(tmp_path: Path) -> None:
    """Cut at 60 places, and 240 times with some bytes changed: an answer or a `QuickstudyError`."""
    whole = (FRAMEWORKS / "keras_gated.onnx").read_bytes()
    rng, path, failed = np.random.default_rng(0), tmp_path / "bad.onnx", 0
    weights = whole.find(
        numpy_helper.to_array(
            onnx.load(FRAMEWORKS / "keras_gated.onnx").graph.initializer[0]
        ).tobytes()
    )
    assert weights > 0
    for turn in range(300):
        content = bytearray(whole)
        if turn < 60:
            content = content[: len(whole) * turn // 60]
        else:
            for at in rng.integers(0, len(whole), 1 + turn % 7):
                content[at] = rng.integers(0, 256)
        path.write_bytes(bytes(content))
        try:
            build_graph(read_graph(path)[0], 3)
        except QuickstudyError as problem:
            failed += 1
            assert problem.hint
    assert failed > 60


@pytest.mark.parametrize("part", ["nodes", "tensors", "constants", "input", "output", "opset"])
def test_a_damaged_description(part: str) -> None:
    whole, _ = read_graph(FRAMEWORKS / "mxnet.onnx")
    for damage in (
        {k: v for k, v in whole.items() if k != part},
        {**whole, part: None},
        {**whole, part: "x"},
    ):
        if part == "opset" and damage.get(part) == "x":
            continue
        with pytest.raises(QuickstudyError):
            build_graph(damage, 2)
    huge = json.loads(json.dumps(whole))
    next(iter(huge["tensors"].values()))["shape"] = [2**40]
    with pytest.raises(WeightsError, match="declares"):
        build_graph(huge, 2)
    huge["nodes"][0]["op"] = "__import__"
    with pytest.raises(QuickstudyError):
        build_graph(huge, 2)


# Gluon's weights by way of timm


def gluon_names() -> tuple[list[str], list[str]]:
    """Timm's names of Gluon's weights: networks that torchvision has too, and the others."""
    timm = pytest.importorskip("timm")
    from quickstudy.network import standard

    found = timm.list_pretrained("*.gluon_in1k")
    both = [name for name in found if name.split(".")[0] in standard.torchvision_names()]
    return both, [name for name in found if name not in both]


def offered(names: list[str]) -> None:
    import timm

    from quickstudy.network import hub, standard

    for name in names:
        assert standard.known(name) == "timm", name
        assert hub.published(name), name
        assert hub.described(name).size == timm.get_pretrained_cfg(name).input_size[-1]


def test_gluons_imagenet_weights_are_offered_through_timm() -> None:
    both, others = gluon_names()
    assert {"resnet18.gluon_in1k", "resnet152.gluon_in1k"} <= set(both)
    assert {"resnet50d.gluon_in1k", "senet154.gluon_in1k"} <= set(others)
    offered(others)


def test_gluons_weights_of_networks_that_torchvision_has_too() -> None:
    offered(gluon_names()[0])

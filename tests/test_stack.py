"""Stacks against torch's and torchvision's networks with the same weights; what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.convnext import LayerNorm2d

from quickstudy.errors import ChoiceError
from quickstudy.network.stack import build_stack, building, read_stack, same_weights
from quickstudy.network.standard import Head

STACKS = Path(__file__).resolve().parents[1] / "examples" / "stacks"
PICTURE, TABLE = (3, 32, 32), (13,)


def same(network: nn.Module, oracle: nn.Module) -> None:
    """Give the network the oracle's weights, in the order they run."""
    ours, theirs = network.state_dict(), oracle.state_dict()
    assert [t.shape for t in ours.values()] == [t.shape for t in theirs.values()]
    network.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))


def run(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return output, and the gradients of input and weights, under one seed."""
    x = x.clone().requires_grad_()
    torch.manual_seed(3)
    out = network(x)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad, [p.grad for p in network.parameters() if p.grad is not None]


def assert_same(network: nn.Module, oracle: nn.Module, *shape: int, train: bool = True) -> None:
    """Compare in eval mode and in training, gradients and running averages too."""
    torch.manual_seed(1)
    same(network, oracle)
    x = torch.randn(2, *shape)
    for mode in (False, True) if train else (False,):
        network.train(mode), oracle.train(mode)
        ours, theirs = run(network, x), run(oracle, x)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
        network.zero_grad(), oracle.zero_grad()
    torch.testing.assert_close([*network.buffers()], [*oracle.buffers()])


def built(layers: Any, shape: tuple[int, ...] = PICTURE, classes: int = 4) -> nn.Module:
    return build_stack(layers, shape, classes)[0]


def shuffled(module: nn.Module) -> nn.Module:
    """Give every weight and average a random value: norms start at 1 and 0 otherwise."""
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5) if tensor.ndim == 1 else tensor.normal_(0, 0.1)
    return module


# Known networks


def test_resnet18_is_torchvisions() -> None:
    network, last = build_stack(STACKS / "resnet18.yaml", (3, 64, 64), 1000)
    oracle = shuffled(torchvision.models.resnet18())
    assert_same(network, oracle, 3, 64, 64)
    assert torch.equal(network.get_submodule(last).weight, oracle.fc.weight)


def test_the_inception_block_is_googlenets() -> None:
    network, last = build_stack(STACKS / "inception.yaml", (3, 64, 64), 10)
    net = torchvision.models.googlenet(init_weights=False)
    stem = (net.conv1, net.maxpool1, net.conv2, net.conv3, net.maxpool2)
    end = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(256, 10))
    oracle = shuffled(nn.Sequential(*stem, net.inception3a, *end))
    assert_same(network, oracle, 3, 64, 64)
    head = network.get_submodule(last)
    assert isinstance(head, Head) and head.dropout == 0.2


class Recorder(TorchDispatchMode):
    """Notes what torch is asked to compute."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append(str(func))
        return func(*args, **(kwargs or {}))


def test_a_training_step_computes_what_torchvisions_does() -> None:
    """The same operations in the same order, forwards and backwards: so it costs the same."""
    calls = []
    for network in (built(STACKS / "resnet18.yaml", PICTURE), torchvision.models.resnet18()):
        x = torch.randn(2, *PICTURE)
        with Recorder() as recorder:
            network(x).sum().backward()
        calls.append([call for call in recorder.calls if "detach" not in call])
    assert len(calls[0]) > 100 and calls[0] == calls[1]


def unit(channels: int | None, kernel: int = 1, *, act: str = "relu", **norm: Any) -> list[Any]:
    """Convolution, norm, activation."""
    options = {"channels": channels, "kernel": kernel, "bias": False}
    more = {k: norm.pop(k) for k in ("stride", "depthwise", "groups") if k in norm}
    return [{"conv": options | more}, {"norm": norm}, *([act] if act else [])]


def googlenet() -> list[Any]:
    down = {"pool": {"kind": "max", "size": 3, "stride": 2, "ceil": True}}
    even = {"pool": {"kind": "max", "size": 3, "stride": 1, "padding": 1, "ceil": True}}

    def cell(a: int, b: int, c: int, d: int, e: int, f: int) -> dict[str, Any]:
        u = [unit(n, k, eps=1e-3) for n, k in ((a, 1), (b, 1), (c, 3), (d, 1), (e, 3), (f, 1))]
        return {"branches": [u[0], u[1] + u[2], u[3] + u[4], [even, *u[5]]]}

    stem = [*unit(64, 7, stride=2, eps=1e-3), down, *unit(64, eps=1e-3), *unit(192, 3, eps=1e-3)]
    three = [cell(64, 96, 128, 16, 32, 32), cell(128, 128, 192, 32, 96, 64)]
    four = [(192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)]
    four += [(112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128)]
    five = [cell(256, 160, 320, 32, 128, 128), cell(384, 192, 384, 48, 128, 128)]
    small = {"pool": {"kind": "max", "size": 2, "ceil": True}}
    body = [*stem, down, *three, down, *(cell(*c) for c in four), small, *five]
    return [*body, {"pool": "average"}, {"dense": {"units": "classes", "dropout": 0.2}}]


def resnet(blocks: tuple[int, ...]) -> list[Any]:
    layers = [
        *unit(64, 7, stride=2),
        {"pool": {"kind": "max", "size": 3, "stride": 2, "padding": 1}},
    ]
    for stage, times in enumerate(blocks):
        wide = 64 * 2**stage
        for number in range(times):
            middle = unit(wide, 3, stride=1 if number or not stage else 2)
            layers += [{"residual": unit(wide) + middle + unit(4 * wide, act="")}, "relu"]
    return [*layers, {"pool": "average"}, {"dense": "classes"}]


def mobilenet_v2() -> list[Any]:
    layers, ins = unit(32, 3, stride=2, act="relu6"), 32
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
    for times, outs, number, stride in [*rows, (6, 160, 3, 2), (6, 320, 1, 1)]:
        for turn in range(number):
            step = stride if turn == 0 else 1
            wide = unit(ins * times, act="relu6") if times > 1 else []
            deep = unit(None, 3, depthwise=True, stride=step, act="relu6")
            block = [*wide, *deep, *unit(outs, act="")]
            layers += [{"residual": block}] if step == 1 and ins == outs else block
            ins = outs
    head = {"dense": {"units": "classes", "dropout": 0.2}}
    return [*layers, *unit(1280, act="relu6"), {"pool": "average"}, head]


def densenet121() -> list[Any]:
    layers = [
        *unit(64, 7, stride=2),
        {"pool": {"kind": "max", "size": 3, "stride": 2, "padding": 1}},
    ]
    channels = 64
    for stage, times in enumerate((6, 12, 24, 16)):
        squeeze = [{"conv": {"channels": 128, "kernel": 1, "bias": False}}, "norm", "relu"]
        new = ["norm", "relu", *squeeze, {"conv": {"channels": 32, "bias": False}}]
        layers.append({"repeat": {"times": times, "of": [{"branches": [[], new]}]}})
        channels = channels + 32 * times
        layers += ["norm", "relu"]
        if stage < 3:
            channels //= 2
            layers.append({"conv": {"channels": channels, "kernel": 1, "bias": False}})
            layers.append({"pool": {"kind": "average", "size": 2}})
    return [*layers, {"pool": "average"}, {"dense": "classes"}]


@pytest.mark.parametrize("name", ["googlenet", "resnet50", "mobilenet_v2", "densenet121"])
def test_other_networks_can_be_written(name: str) -> None:
    layers = {"googlenet": googlenet, "mobilenet_v2": mobilenet_v2, "densenet121": densenet121}
    stack = resnet((3, 4, 6, 3)) if name == "resnet50" else layers[name]()
    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    oracle = shuffled(torchvision.models.get_model(name, weights=None, num_classes=5, **options))
    with torch.no_grad():
        network = built(stack, (3, 64, 64), 5)
        same(network.eval(), oracle.eval())
        x = torch.randn(1, 3, 64, 64)
        torch.testing.assert_close(network(x), oracle(x), rtol=1e-4, atol=1e-5)


def test_resnet152_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        network = built(resnet((3, 8, 36, 3)), (3, 224, 224), 1000)
    assert sum(p.numel() for p in network.parameters()) == 60_192_808


@pytest.mark.parametrize(("name", "shape"), [("small", (3, 13, 18)), ("mlp", TABLE)])
def test_every_example_learns(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network, last = build_stack(STACKS / f"{name}.yaml", shape, 3)
    x, y = torch.randn(12, *shape), torch.arange(12) % 3
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(25):
        loss = nn.functional.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.5 < math.log(3)
    head = network.get_submodule(last)
    assert isinstance(head, nn.Linear) and head.out_features == 3


# Every layer

LAYERS: list[tuple[Any, tuple[int, ...], nn.Module]] = [
    ({"conv": 8}, (3, 9, 7), nn.Conv2d(3, 8, 3, padding=1)),
    ({"conv": {"channels": 8, "kernel": 5, "stride": 2}}, (3, 9, 7), nn.Conv2d(3, 8, 5, 2, 2)),
    ({"conv": {"channels": 8, "kernel": 2, "stride": 2}}, (3, 8, 8), nn.Conv2d(3, 8, 2, 2)),
    (
        {"conv": {"channels": 8, "kernel": [1, 7], "padding": [0, 2], "stride": [2, 1]}},
        (3, 9, 7),
        nn.Conv2d(3, 8, (1, 7), (2, 1), (0, 2)),
    ),
    (
        {"conv": {"channels": 8, "dilation": 2, "groups": 2, "bias": False}},
        (4, 9, 7),
        nn.Conv2d(4, 8, 3, 1, 2, 2, 2, bias=False),
    ),
    ({"conv": {"depthwise": True}}, (4, 9, 7), nn.Conv2d(4, 4, 3, 1, 1, groups=4)),
    ({"conv": {"depthwise": True, "channels": 8}}, (4, 9, 7), nn.Conv2d(4, 8, 3, 1, 1, groups=4)),
    ("norm", (4, 5, 6), nn.BatchNorm2d(4)),
    ({"norm": {"eps": 0.1, "momentum": 0.3}}, (4, 5, 6), nn.BatchNorm2d(4, 0.1, 0.3)),
    ({"norm": "layer"}, (4, 5, 6), LayerNorm2d(4, eps=1e-5)),
    ({"norm": {"kind": "group", "groups": 2}}, (4, 5, 6), nn.GroupNorm(2, 4)),
    ({"norm": "group"}, (64, 2, 2), nn.GroupNorm(32, 64)),
    ({"norm": "instance"}, (4, 5, 6), nn.InstanceNorm2d(4, affine=True)),
    ("norm", TABLE, nn.BatchNorm1d(13)),
    ({"norm": "layer"}, TABLE, nn.LayerNorm(13)),
    ("relu", (4, 5, 6), nn.ReLU()),
    ({"activation": "gelu"}, TABLE, nn.GELU()),
    ("x * tanh(softplus(x))", TABLE, nn.Mish()),
    ({"pool": "max"}, (4, 5, 6), nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())),
    ({"pool": {"kind": "max", "size": 2}}, (4, 5, 6), nn.MaxPool2d(2)),
    (
        {"pool": {"kind": "average", "size": [3, 2], "stride": 2, "padding": 1, "ceil": True}},
        (4, 5, 6),
        nn.AvgPool2d((3, 2), 2, 1, ceil_mode=True),
    ),
    ({"pad": [1, 2]}, (4, 5, 6), nn.ZeroPad2d((2, 2, 1, 1))),
    ({"pad": {"size": 2, "kind": "reflect"}}, (4, 5, 6), nn.ReflectionPad2d(2)),
    ({"pad": {"size": 2, "kind": "replicate"}}, (4, 5, 6), nn.ReplicationPad2d(2)),
    ("flatten", (4, 5, 6), nn.Flatten()),
    ({"dense": 7}, TABLE, nn.Linear(13, 7)),
    ({"dense": {"units": 7, "bias": False}}, TABLE, nn.Linear(13, 7, bias=False)),
    ({"dense": {"units": 7, "dropout": 0.5}}, TABLE, nn.Sequential(nn.Dropout(), nn.Linear(13, 7))),
    ({"dropout": 0.3}, (4, 5, 6), nn.Dropout(0.3)),
]


@pytest.mark.parametrize(("layer", "shape", "oracle"), LAYERS, ids=lambda v: str(v)[:60])
def test_each_layer_is_torchs(layer: Any, shape: tuple[int, ...], oracle: nn.Module) -> None:
    network = built([layer, "flatten", {"dense": "classes"}], shape)
    assert_same(network[0], oracle, *shape)


def test_a_gate_is_squeeze_and_excitation() -> None:
    gate = built(["gate", "flatten", {"dense": "classes"}], (64, 5, 6))[0]
    oracle = torchvision.ops.SqueezeExcitation(64, 8)
    oracle.fc1.weight.data = gate.squeeze.weight.data[:, :, None, None]
    oracle.fc2.weight.data = gate.excite.weight.data[:, :, None, None]
    oracle.fc1.bias, oracle.fc2.bias = gate.squeeze.bias, gate.excite.bias
    x = torch.randn(2, 64, 5, 6)
    torch.testing.assert_close(gate(x), oracle(x))


def test_branches_are_joined_as_asked() -> None:
    x = torch.randn(2, 3, 8, 8)
    for join in ("concat", "add", "multiply"):
        of = [[{"conv": 3}], ["tanh"], []]
        layers = [{"branches": {"of": of, "join": join}}, {"pool": "max"}, {"dense": "classes"}]
        branches = built(layers)[0]
        made = [branches.branch0(x), x.tanh(), x]
        expected = {"concat": torch.cat(made, 1), "add": sum(made), "multiply": math.prod(made)}
        torch.testing.assert_close(branches(x), expected[join])


def test_a_residual_adds_its_input_or_a_projection_of_it() -> None:
    x, end = torch.randn(2, 3, 8, 8), ["flatten", {"dense": "classes"}]
    plain = built([{"residual": [{"conv": 3}]}, *end], (3, 8, 8))[0]
    assert plain.shortcut is None
    torch.testing.assert_close(plain(x), x + plain.of(x))
    body = [{"conv": {"channels": 5, "stride": [2, 1]}}, {"conv": {"channels": 5, "stride": 2}}]
    projected = built([{"residual": body}, *end], (3, 8, 8))[0]
    convolution = projected.shortcut[0]
    assert convolution.stride == (4, 2) and convolution.bias is None
    torch.testing.assert_close(projected(x), projected.of(x) + projected.shortcut(x))
    table = built([{"residual": [{"dense": 5}]}, {"dense": "classes"}], TABLE)[0]
    row = torch.randn(2, 13)
    torch.testing.assert_close(table(row), table.of(row) + row @ table.shortcut[0].weight.T)
    told = {"of": [{"conv": 5}], "shortcut": [{"conv": {"channels": 5, "kernel": 1}}, "tanh"]}
    given = built([{"residual": told}, *end], (3, 8, 8))[0]
    expected = given.of(x) + given.shortcut.conv0(x).tanh()
    torch.testing.assert_close(given(x), expected)


def test_the_shortcuts_stride_holds_for_other_sizes() -> None:
    """At 1 x 1 a stride changes no shape; at other sizes the same network must still add up."""
    body = [{"conv": {"channels": 3, "stride": 2}}]
    network = built([{"residual": body}, {"pool": "average"}, {"dense": "classes"}], (3, 1, 1))
    assert network(torch.randn(2, 3, 9, 9)).shape == (2, 4)


def test_a_repeat_is_its_layers_written_out() -> None:
    block = [{"conv": 6}, "norm", "relu"]
    end = [{"pool": "average"}, {"dense": "classes"}]
    repeated = built([{"repeat": {"times": 3, "of": block}}, *end])
    assert_same(repeated, shuffled(built([*block * 3, *end])), *PICTURE)
    assert "repeat0.turn2.conv0.weight" in repeated.state_dict()


def test_every_place_learns_its_own_parameters() -> None:
    swish = "x * sigmoid(beta * x), beta=learn(1.5)"
    network = built([swish, {"repeat": {"times": 2, "of": [swish]}}, {"dense": "classes"}], TABLE)
    learned = {n: p.item() for n, p in network.named_parameters() if n.endswith("beta")}
    names = ["activation0.beta", "repeat1.turn0.activation0.beta", "repeat1.turn1.activation0.beta"]
    assert learned == dict.fromkeys(names, 1.5)


CHAINS: list[list[Any]] = [
    ["relu", "relu"],
    [{"conv": 4}, "relu", "silu", "norm", "silu", "relu"],
    [{"residual": ["relu", {"conv": 3}]}, "relu", {"residual": [{"conv": 3}, "silu"]}, "silu"],
    [{"residual": [{"residual": [{"conv": 3}]}]}, {"repeat": {"times": 2, "of": ["relu"]}}],
    [{"branches": [[], ["silu"], ["relu"]]}, "relu", {"branches": {"of": [[], []], "join": "add"}}],
    [{"branches": {"of": [[], ["norm", "relu"]], "join": "multiply"}}, "silu", "gate", "relu"],
    [{"residual": [{"dropout": 0.5}]}, "relu", {"residual": ["norm", {"dropout": 0.5}]}, "silu"],
    ["norm", {"pool": {"kind": "max", "size": 2}}, "relu", "gate", {"residual": ["gate"]}],
    [{"norm": "layer"}, "relu", {"norm": "instance"}, "silu", {"residual": [{"norm": "layer"}]}],
]  # fmt: skip


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_overwriting_in_place_changes_nothing(chain: list[Any]) -> None:
    """The same stack with nothing overwritten has the same outputs and gradients."""
    layers = [*chain, "flatten", {"dense": "classes"}]
    plain = shuffled(built(layers, (3, 6, 6)))
    for module in plain.modules():
        for name in ("inplace", "in_place"):
            if hasattr(module, name):
                setattr(module, name, False)
    assert_same(built(layers, (3, 6, 6)), plain, 3, 6, 6)


def test_what_can_be_overwritten_is() -> None:
    network = built(STACKS / "resnet18.yaml", (3, 64, 64))
    assert all(m.inplace for m in network.modules() if isinstance(m, nn.ReLU))
    assert all(m.in_place for m in network.modules() if hasattr(m, "in_place"))


# Weights


def test_weights_begin_as_he_and_others_have_it() -> None:
    torch.manual_seed(0)
    layers = [
        {"conv": 128},
        {"conv": {"depthwise": True}},
        {"pool": "average"},
        {"dense": "classes"},
    ]
    network = built(layers)
    assert network[0].weight.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.05)
    assert network[1].weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    assert not network[0].bias.any()


def test_the_kept_data_builds_the_same_network_again() -> None:
    for name, shape in (("small", PICTURE), ("mlp", TABLE), ("inception", PICTURE)):
        first = read_stack(STACKS / f"{name}.yaml")
        kept = json.loads(json.dumps(first))
        assert kept == first == read_stack(first)
        torch.manual_seed(5)
        ours = built(STACKS / f"{name}.yaml", shape)
        torch.manual_seed(5)
        again = built(kept, shape)
        assert [*ours.state_dict()] == [*again.state_dict()]
        x = torch.randn(2, *shape)
        assert torch.equal(ours.eval()(x), again.eval()(x))


def test_every_option_is_written_out() -> None:
    assert read_stack("[conv: 8, norm, pool: max, {dense: classes}]") == [
        {
            "conv": {
                **{"channels": 8, "kernel": 3, "stride": 1, "padding": 1, "dilation": 1},
                **{"groups": 1, "depthwise": False, "bias": True},
            }
        },
        {"norm": {"kind": "batch", "groups": None, "eps": 1e-5, "momentum": 0.1}},
        {"pool": {"kind": "max", "size": None, "stride": None, "padding": 0, "ceil": False}},
        {"dense": {"units": "classes", "bias": True, "dropout": 0.0}},
    ]


def test_a_stack_is_read_from_files_text_and_data(tmp_path: Path) -> None:
    text = "stack:\n- dense: 4\n- relu\n- dense: classes\n"
    (tmp_path / "net.yaml").write_text(text)
    data = {"stack": [{"dense": 4}, "relu", {"dense": "classes"}]}
    sources = [tmp_path / "net.yaml", str(tmp_path / "net.yaml"), text, data, data["stack"]]
    assert len({json.dumps(read_stack(source)) for source in sources}) == 1


def test_a_network_without_flatten_takes_any_size() -> None:
    assert same_weights(STACKS / "resnet18.yaml", (3, 64, 64), (3, 96, 80))
    assert not same_weights("[conv: 4, flatten, dense: classes]", (3, 8, 8), (3, 9, 8))
    assert not same_weights(STACKS / "small.yaml", (3, 64, 64), (1, 64, 64))
    tight = "[conv: {channels: 4, kernel: 7, padding: 0}, pool: average, dense: classes]"
    assert not same_weights(tight, (3, 8, 8), (3, 5, 5))


def test_a_stack_exports_as_plain_operators() -> None:
    network = built(STACKS / "small.yaml").eval()
    x = torch.randn(2, *PICTURE)
    exported = torch.export.export(network, (x,))
    torch.testing.assert_close(exported.module()(x), network(x))
    assert {n.target.namespace for n in exported.graph.nodes if n.op == "call_function"} == {"aten"}


# What is refused


def refused(layers: Any, shape: tuple[int, ...] = (3, 9, 9)) -> str:
    with pytest.raises(ChoiceError) as caught:
        build_stack(layers, shape, 2)
    return str(caught.value)


MISREAD = [
    ("- norm\n- residual:\n  - conv: 3\n  - convv: 3", "stack[1].residual[1] (line 4)", "'conv'"),
    ("- conv: {channels: 3, kernal: 5}", "stack[0] (conv, line 1)", "Did you mean 'kernel'"),
    ("- branches: [[nrom], [relu]]", "stack[0].branches[0][0] (activation, line 1)", "'norm'"),
    ("- repeat: {times: 2, of: [gatte]}", "stack[0].repeat[0]", "'gate'"),
    ("- x * sigmoid(y)", "stack[0] (activation, line 1)", "neither an input nor a parameter"),
    ("- conv: {channels: 1.5}", "channels is 1.5, and not a whole number from 1 to 65,536", ""),
    ("- conv: {channels: true}", "channels is True", ""),
    ("- conv: {channels: 8, kernel: [3]}", "kernel is [3], and not", "[height, width]"),
    ("- conv", "channels is missing", "conv: {channels: 64}"),
    ("- conv: {channels: 8, groups: 2, depthwise: true}", "depthwise or groups", ""),
    ("- conv:\n  channels: 8", "'channels' beside conv in one item", "options stand deeper"),
    ("- norm: bach", "kind is 'bach'", "batch, layer, group, instance"),
    ("- norm: {groups: 4}", "groups is for kind: group", ""),
    ("- norm: {eps: 0}", "eps is 0, and not a number above 0 to 1", ""),
    ("- norm: {eps: .nan}", "eps is nan", ""),
    ("- pool", "kind is missing: one of average, max", ""),
    ("- pool: {kind: max, stride: 2}", "size is missing", "whole picture"),
    ("- pool: {kind: max, size: 3, padding: 2}", "half of size", ""),
    ("- dropout: 1", "rate is 1, and not a number from 0 to below 1", ""),
    ("- residual", "of is missing", ""),
    ("- residual: []", "stack[0].residual is empty", ""),
    ("- repeat: {times: 0, of: [relu]}", "times is 0", "1 to 1,000"),
    ("- repeat: [relu]", "takes no ['relu']", "times, of"),
    ("- branches: [[relu]]", "has 1 branches", "two or more"),
    ("- branches: [relu, relu]", "stack[0].branches[0] is 'relu'", ""),
    ("- flatten: 3", "takes no 3", "- flatten"),
    ("- [relu]", "stack[0] (line 1) is ['relu'], and not a layer", ""),
    ("-", "stack[0] (line 1) is None", ""),
    ("- 3: 4", "there is no layer 3", ""),
    ("- softmax", "stack[0] (activation, line 1)", "Leave it out"),
    ("stack: 3", "stack is 3", ""),
    ("network: []", "'stack', not 'network'", ""),
    ("{}", "not none", ""),
    ("", "stack is None", ""),
    ("- conv: {channels: 8, channels: 9}", "'channels' stands there twice (line 1", ""),
    ("- conv: &a {channels: 8}\n- conv: {<<: *a}", "merge keys (<<) are not taken", "line 2"),
    ("- conv: [", "is not YAML", "line"),
    ("- !!python/object/apply:os.system [ls]", "is not YAML", "python/object"),
    ("- !!bool maybe", "is not what its tag says", ""),
    ("- conv: 2020-13-45", "is not what its tag says", ""),
    ("- conv: 0x" + "f" * 9_000, "channels is a number of thousands of digits", ""),
    ("- &a [*a]", "stack[0] (line 1) is [[[[...]]]]", "") ,
    ("- residual: &a [residual: *a]", "more than 30 deep", ""),
    ("[" * 5_000, "nested too deeply", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fault", "also"), MISREAD, ids=lambda v: v[:40])
def test_a_fault_is_named_and_mended(text: str, fault: str, also: str) -> None:
    told = refused(text)
    assert fault in told and also in told
    assert len(told) < 800


def test_all_faults_are_told_at_once() -> None:
    told = refused("- conv: 0\n- norm: x\n- reluu\n- dense: classes").splitlines()
    assert [line[:10] for line in told[1:]] == ["- stack[0]", "- stack[1]", "- stack[2]"]
    assert "Did you mean 'relu'?" in told[3]


MISFITS: list[tuple[Any, tuple[int, ...], tuple[str, ...]]] = [
    ("[conv: 4, dense: classes]", (3, 9, 9), ("stack[1] (dense)", "N 4 9 9", "'pool: average'")),
    ("[conv: 4, dense: classes]", TABLE, ("stack[0] (conv)", "N C H W", "N 13")),
    ("[flatten, gate, dense: classes]", (3, 2, 2), ("stack[1] (gate)", "N 12")),
    ("[conv: {channels: 4, groups: 2}, flatten, dense: classes]", (3, 9, 9), ("in (3)", "N 3 9 9")),
    ("[norm: {kind: group, groups: 2}, dense: classes]", TABLE, ("2 groups divide", "N 13")),
    ("[norm: {kind: group, groups: 13}, dense: classes]", TABLE, ("more than one number", "N 13")),
    ("[norm: instance, flatten, dense: classes]", (3, 1, 1), ("more than one pixel", "N 3 1 1")),
    (
        "[repeat: {times: 3, of: [conv: {channels: 4, kernel: 5, padding: 0}]}, flatten, dense: 2]",
        (3, 9, 9),
        ("stack[0].repeat[0] (conv)", "at least 5 pixels", "N 4 1 1"),
    ),
    ("[pool: {kind: max, size: 11}, flatten, dense: 2]", (3, 9, 9), ("11 pixels", "N 3 9 9")),
    ("[pad: {size: 9, kind: reflect}, flatten, dense: 2]", (3, 9, 9), ("(pad)", "N 3 9 9")),
    (
        "[residual: [conv: {channels: 4, padding: 0}], flatten, dense: 2]",
        (3, 9, 9),
        ("stack[0].residual", "N 4 7 7 of N 3 9 9", "shortcut makes N 4 9 9"),
    ),
    ("[residual: [flatten], dense: 2]", (3, 9, 9), ("stack[0].residual", "N 243", "N 3 9 9")),
    (
        "[residual: {of: [conv: 4], shortcut: [norm]}, flatten, dense: 2]",
        (3, 9, 9),
        ("shortcut makes N 3 9 9",),
    ),
    (
        "[branches: [[conv: 4], [pool: {kind: max, size: 2}]], flatten, dense: 2]",
        (3, 9, 9),
        ("stack[0].branches", "N 4 9 9 and N 3 4 4", "concat"),
    ),
    ("[branches: {of: [[], [dense: 4]], join: add}, dense: 2]", TABLE, ("N 13 and N 4", "add")),
    ("[branches: [[flatten], []], flatten, dense: 2]", (3, 2, 2), ("N 12 and N 3 2 2",)),
    ("[flatten, dense: 65536, dense: 2]", (3, 224, 224), ("9,865,068,544 parameters",)),
    ("[pad: 1024, conv: 65536, flatten, dense: 2]", (3, 9, 9), ("stack[1] (conv)", "numbers")),
    ("[dense: 3]", TABLE, ("stack[0] (dense)", "3 numbers, not 2", "dense: classes")),
    ("[dense: classes, sigmoid]", TABLE, ("stack[1] (sigmoid)", "Leave it out")),
    ("[dense: classes, dropout: 0.5]", TABLE, ("stack[1] (dropout)", "End the stack with")),
    ("[dense: {units: classes, bias: false}]", TABLE, ("needs its bias",)),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "shape", "parts"), MISFITS, ids=lambda v: str(v)[:50])
def test_a_misfit_names_layer_and_shapes(
    layers: str, shape: tuple[int, ...], parts: tuple[str, ...]
) -> None:
    told = refused(layers, shape)
    assert [part for part in parts if part not in told] == []


def merge_bomb(levels: int) -> str:
    """Return a text that PyYAML's safe loader would make 10 ** levels pairs of."""
    lines = ["a0: &a0 {k: 1}"]
    for n in range(1, levels):
        lines.append(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}")
    return "\n".join(lines)


def test_bombs_are_refused_quickly(tmp_path: Path) -> None:
    began = time.perf_counter()
    assert "merge keys" in refused(merge_bomb(12))
    nested: Any = ["relu"]
    for _ in range(12):
        nested = [{"branches": [nested] * 10}]
    assert "more than 10,000 layers" in refused(nested)
    repeated: Any = ["relu"]
    for _ in range(9):
        repeated = [{"repeat": {"times": 1000, "of": repeated}}]
    assert "more than 10,000 layers" in refused(repeated)
    aliased = "- &a0 {branches: [[relu], []]}\n"
    aliased += "".join(f"- &a{n} {{branches: [[*a{n - 1}], [*a{n - 1}]]}}\n" for n in range(1, 29))
    assert "more than 10,000 layers" in refused(aliased)
    assert "more than 100,000 characters" in refused("- relu\n" * 15_000)
    (tmp_path / "long.yaml").write_text("- relu\n" * 15_000)
    assert "more than 100,000 characters" in refused(tmp_path / "long.yaml")
    assert time.perf_counter() - began < 60  # each of them would take hours


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "none.yaml", tmp_path / "bytes.yaml", Path("/dev/zero")):
        assert str(path) in refused(path)
    assert "none.yaml" in refused("none.yaml")


def test_tags_run_nothing(tmp_path: Path) -> None:
    for tag in ("object/apply:os.mkdir", "object/new:os.mkdir", "name:os.mkdir"):
        refused(f"- !!python/{tag} ['{tmp_path}/made']")
    assert [*tmp_path.iterdir()] == []


def test_nothing_is_allocated_for_a_network_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    make = building.LAYERS["dense"].make
    assert make is not None

    def spied(options: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
        module = make(options, shape)
        seen.append(str(next(module.parameters()).device))
        return module

    spy = dataclasses.replace(building.LAYERS["dense"], make=spied)
    monkeypatch.setitem(building.LAYERS, "dense", spy)
    refused("[dense: 65536, dense: 65536, dense: classes]", (65_536,))
    assert seen == ["meta"]
    seen.clear()
    built("[dense: 5, dense: classes]", TABLE)
    assert seen == ["meta", "meta", "cpu", "cpu"]
    seen.clear()
    built([{"repeat": {"times": 20, "of": [{"dense": 13}]}}, {"dense": "classes"}], TABLE)
    assert seen == ["meta"] * 2 + ["cpu"] * 21

"""Tweaks of standard networks: against torchvision's own, timm's own, and patched activations."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from quickstudy.errors import ChoiceError
from quickstudy.network import Built, activations, googlenets, resnets, standard, weights
from quickstudy.network.compact import Block, scaled
from quickstudy.network.standard import Head, drop_auxiliary, main_and_auxiliary
from quickstudy.network.tweaks import Tweaks, adapt_first, build, keeps_weights

QUICK_GELU = "x * sigmoid(1.702 * x)"
LEARNED = "x * sigmoid(beta * x), beta=learn(1.0)"
#: Functions that networks use between their layers; hard sigmoids and sigmoids only gate.
OLD = ("relu", "relu6", "gelu", "silu", "hardswish", "hardtanh", "leaky_relu", "elu", "mish")


def small(name: str, tweaks: Tweaks | None = None, classes: int = 5, **options: int) -> nn.Module:
    torch.manual_seed(0)
    return build(name, classes, tweaks or Tweaks(), **options)[0]


def shapes_only(name: str, tweaks: Tweaks | None = None, classes: int = 5) -> nn.Module:
    with torch.device("meta"):
        return small(name, tweaks, classes)


def torchvisions(name: str, classes: int = 5, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    found: nn.Module = torchvision.models.get_model(name, num_classes=classes, **options)
    return found


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def sizes(network: nn.Module, *layers: str, x: Tensor) -> list[int]:
    """Return the side of what each layer gives."""
    found: dict[str, int] = {}

    def note(path: str) -> Callable[..., None]:
        return lambda _, __, out: found.__setitem__(path, out.shape[-1])

    for path in layers:
        network.get_submodule(path).register_forward_hook(note(path))
    network.eval()(x)
    return [found[path] for path in layers]


# The networks as torchvision has them

AUX = {"aux_logits": True, "init_weights": True}


@pytest.mark.parametrize(
    ("name", "explicit", "options"),
    [
        ("resnet18", Tweaks(depth=(2, 2, 2, 2)), {}),
        ("googlenet", Tweaks(depth=(2, 5, 2)), AUX),
    ],
)
def test_our_builders_make_torchvisions_networks(
    name: str, explicit: Tweaks, options: dict[str, Any]
) -> None:
    theirs = torchvisions(name, **options)
    for tweaks in (Tweaks(), explicit):
        ours = small(name, tweaks)
        assert list(shapes(ours).items()) == list(shapes(theirs).items())
        own = ours.state_dict()
        body = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
        assert all(torch.equal(own[k], v) for k, v in body.items())  # the same seed
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(2, 3, 32, 32)
        for training in (True, False):
            states = copy.deepcopy(ours).train(training), copy.deepcopy(theirs).train(training)
            answers = []
            for network in states:
                torch.manual_seed(1)  # of the dropout
                main, auxiliary = main_and_auxiliary(network(x))
                answers.append([main, *auxiliary])
            assert len(answers[0]) == (3 if name == "googlenet" and training else 1)
            assert all(torch.equal(a, b) for a, b in zip(*answers, strict=True))


@pytest.mark.parametrize("name", ["vgg11", "densenet121", "mobilenet_v2", "resnet50"])
def test_no_tweaks_no_change(name: str) -> None:
    with torch.device("meta"):
        assert shapes(small(name)) == shapes(torchvisions(name))


def test_every_resnet_of_torchvision_is_ours_to_shape() -> None:
    assert len(resnets.names()) == 10
    assert {"resnet18", "resnet152", "resnext101_64x4d", "wide_resnet101_2"} < set(resnets.names())


# Depth, width, stem


def test_resnet18_as_deep_as_resnet34_is_resnet34() -> None:
    with torch.device("meta"):
        expected = shapes(torchvisions("resnet34"))
    assert shapes(shapes_only("resnet18", Tweaks(depth=(3, 4, 6, 3)))) == expected


@pytest.mark.parametrize(
    ("name", "depth", "other"),
    [
        ("resnet50", (3, 4, 23, 3), "resnet101"),
        ("resnext50_32x4d", (3, 4, 6, 3), "resnext50_32x4d"),
        ("wide_resnet101_2", (3, 4, 6, 3), "wide_resnet50_2"),
    ],
)
def test_a_bottleneck_network_of_anothers_depth_is_that_one(
    name: str, depth: tuple[int, ...], other: str
) -> None:
    with torch.device("meta"):
        expected = shapes(torchvisions(other))
    assert shapes(shapes_only(name, Tweaks(depth=depth))) == expected


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "googlenet"]
)
def test_twice_the_width_doubles_every_side_but_the_ends(name: str) -> None:
    usual = shapes(shapes_only(name))
    outs = ("fc.", "aux1.fc2.", "aux2.fc2.")
    expected = {}
    for key, shape in usual.items():
        first = shape[:1] if key.startswith(outs) else tuple(2 * s for s in shape[:1])
        second = shape[1:2] if shape[1:2] == (3,) else tuple(2 * s for s in shape[1:2])
        expected[key] = (*first, *second, *shape[2:])
    wide = shapes_only(name, Tweaks(width=2.0))
    assert shapes(wide) == expected
    main, _ = main_and_auxiliary(wide(torch.empty(2, 3, 64, 64, device="meta")))
    assert main.shape == (2, 5)


@pytest.mark.parametrize("name", ["resnet50", "resnext50_32x4d", "googlenet", "compact"])
@pytest.mark.parametrize("width", [0.05, 0.3, 1.1])
def test_any_width_gives_multiples_of_eight(name: str, width: float) -> None:
    network = shapes_only(name, Tweaks(width=width))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.out_channels % 8 == 0
            assert layer.out_channels >= 8
    main, _ = main_and_auxiliary(network(torch.empty(2, 3, 64, 64, device="meta")))
    assert main.shape == (2, 5)


def test_scaled_channels_are_rounded() -> None:
    assert [scaled(64, w) for w in (0.01, 0.5, 0.7, 1, 1.5)] == [8, 32, 48, 64, 96]


def test_the_small_stem_shrinks_nothing_before_the_first_stage() -> None:
    x = torch.empty(1, 3, 32, 32, device="meta")
    resnet = shapes_only("resnet18", Tweaks(stem="small"))
    assert sizes(resnet, "conv1", "layer1", "layer4", x=x) == [32, 32, 4]
    usual = shapes_only("resnet18")
    assert sizes(usual, "conv1", "layer1", "layer4", x=x) == [16, 8, 1]
    google = shapes_only("googlenet", Tweaks(stem="small"))
    assert sizes(google, "inception3a", "inception5b", x=x) == [32, 8]
    compact = shapes_only("compact", Tweaks(stem="small"))
    assert sizes(compact, "stem", "blocks", x=x) == [32, 4]
    assert sizes(shapes_only("compact"), "stem", "blocks", x=x) == [16, 2]


@pytest.mark.parametrize("depth", [(1, 1, 1), (1, 2, 1), (3, 7, 4)])
def test_googlenet_of_any_depth_learns_with_its_auxiliary_classifiers(
    depth: tuple[int, ...],
) -> None:
    network = shapes_only("googlenet", Tweaks(depth=depth, width=0.5, stem="small"))
    inceptions = [m for m in network.modules() if isinstance(m, googlenets.Inception)]
    assert len(inceptions) == sum(depth)
    x = torch.empty(2, 3, 32, 32, device="meta")
    main, auxiliary = main_and_auxiliary(network(x))
    assert [s.shape for s in (main, *auxiliary)] == [(2, 5)] * (3 if depth[1] > 2 else 2)
    drop_auxiliary(network)
    assert main_and_auxiliary(network(x))[1] == []


def test_googlenets_further_blocks_repeat_the_last() -> None:
    deep = shapes(shapes_only("googlenet", Tweaks(depth=(2, 6, 2))))
    assert deep["inception4f.branch1.conv.weight"] == (256, 832, 1, 1)
    assert deep["inception4e.branch1.conv.weight"] == (256, 528, 1, 1)
    assert deep["aux2.conv.conv.weight"] == (128, 832, 1, 1)  # after 4e, the last but one


def test_the_compact_network_of_any_depth() -> None:
    blocks = shapes_only("compact", Tweaks(depth=(2, 1, 3, 1))).blocks
    assert [b.conv1.stride[0] for b in blocks if isinstance(b, Block)] == [1, 1, 2, 2, 1, 1, 2]
    assert [b.conv2.out_channels for b in blocks] == [32, 32, 64, 128, 128, 128, 256]
    assert [type(b.short) is nn.Identity for b in blocks] == [1, 1, 0, 0, 1, 1, 0]
    assert shapes(shapes_only("compact", Tweaks(depth=(1,) * 4))) == shapes(shapes_only("compact"))


# Activation


class QuickGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


@torch.no_grad()
def test_an_expression_is_the_function_put_in_by_hand() -> None:
    by_hand = torchvisions("resnet18")
    for holder in list(by_hand.modules()):
        if hasattr(holder, "relu"):
            holder.relu = QuickGELU()
    ours = small("resnet18", Tweaks(activation=QUICK_GELU))
    ours.load_state_dict(by_hand.state_dict())
    x = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(ours(x), by_hand(x))
    assert len(activations.replaced(ours)) == 9  # the stem's and one of each block, used twice


def sine(x: Tensor, *_: object, **__: object) -> Tensor:
    return torch.sin(x)


@contextmanager
def patched() -> Iterator[None]:
    """Let torch's own functions be the sine, as an oracle for every network's `forward`."""
    with ExitStack() as stack:
        for name in OLD:
            stack.enter_context(mock.patch.object(F, name, sine))
        stack.enter_context(mock.patch.object(torch, "tanh", sine))
        yield


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *(("resnet18", 32), ("squeezenet1_1", 32), ("densenet121", 32), ("mobilenet_v2", 32)),
        *(("mobilenet_v3_small", 32), ("shufflenet_v2_x0_5", 32), ("mnasnet0_5", 32)),
        *(("efficientnet_b0", 32), ("regnet_y_400mf", 32), ("googlenet", 32)),
        *(("inception_v3", 75), ("convnext_tiny", 32), ("compact", 32)),
        *(("test_resnet", 32), ("test_vit", 160), ("test_convnext", 32), ("test_byobnet", 32)),
        *(("mobilevitv2_050", 32), ("regnety_002", 32)),
    ],
)
@torch.no_grad()
def test_the_activation_is_another_in_every_place(name: str, side: int) -> None:
    if name in standard.timm_names() or name.startswith("test_"):
        pytest.importorskip("timm")
    network = small(name)
    if name == "inception_v3":
        drop_auxiliary(network)  # it needs 299 pixels, and has no activation of another kind
    for parameter in network.parameters():  # what begins as nothing would hide what it scales
        if parameter.abs().max() < 1e-3:
            parameter.fill_(0.5)
    fresh = copy.deepcopy(network)
    x = torch.randn(4, 3, side, side)

    def answers(of: nn.Module) -> list[Tensor]:
        torch.manual_seed(1)  # of dropout: all learn, for the auxiliary classifiers' sake
        main, auxiliary = main_and_auxiliary(of(x))
        return [main, *auxiliary]

    before = answers(copy.deepcopy(network))
    with patched():
        expected = answers(network)
    count = activations.replace(fresh, "sin(x)", name)
    assert count == len(activations.replaced(fresh)) > 0
    changed = answers(copy.deepcopy(fresh))
    for ours, theirs, usual in zip(changed, expected, before, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
        assert not torch.allclose(ours, usual, rtol=1e-2)
    assert list(fresh.state_dict()) == list(network.state_dict())


class Watch(TorchFunctionMode):
    """Notes which functions are called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "vgg11", "vit_b_16", "swin_t", "maxvit_t", "wide_resnet50_2"),
        *("dm_nfnet_f0", "test_efficientnet", "poolformerv2_s12"),
    ],
)
def test_no_old_activation_runs_in_a_large_network(name: str) -> None:
    if name in standard.timm_names():
        pytest.importorskip("timm")
    network = shapes_only(name, Tweaks(activation="softsign")).eval()
    side = 160 if name.startswith("test_") else 224
    with Watch() as watch, torch.device("meta"):
        network(torch.empty(1, 3, side, side))
    assert not {*OLD, "tanh", "square", "relu_"} & set(watch.seen)
    assert watch.seen.count("softsign") >= len(activations.replaced(network)) > 4


def test_gates_and_the_kernels_of_attention_stay() -> None:
    gates = shapes_only("mobilenet_v3_small", Tweaks(activation="gelu"))
    assert sum(isinstance(m, nn.Hardsigmoid) for m in gates.modules()) == 9
    compact = shapes_only("compact", Tweaks(activation="gelu"))
    assert [type(b.gate.active) for b in compact.blocks] == [nn.GELU] * 4
    pytest.importorskip("timm")
    linear = shapes_only("efficientvit_b0", Tweaks(activation="gelu"))
    kernels = [m for p, m in linear.named_modules() if p.endswith("kernel_func")]
    assert kernels
    assert all(isinstance(m, nn.ReLU) for m in kernels)
    assert not any(isinstance(m, nn.Hardswish) for m in linear.modules())


@pytest.mark.parametrize("name", ["googlenet", "densenet121", "resnet18"])
def test_each_place_learns_its_own(name: str) -> None:
    network = shapes_only(name, Tweaks(activation=LEARNED))
    usual = set(shapes(shapes_only(name)))
    added = [k for k in network.state_dict() if k not in usual]
    assert len(added) == len(activations.replaced(network)) > 8
    assert all(k.endswith(".beta") for k in added)
    assert {k.rpartition(".")[0] for k in added} == set(activations.replaced(network))
    assert len({id(network.get_parameter(k)) for k in added}) == len(added)
    assert usual < set(network.state_dict())


def test_a_learned_activation_learns() -> None:
    network = small("googlenet", Tweaks(activation=LEARNED, width=0.25, stem="small"))
    main, auxiliary = main_and_auxiliary(network(torch.randn(2, 3, 32, 32)))
    sum((s.square().sum() for s in auxiliary), main.square().sum()).backward()
    moved = [p.grad for k, p in network.named_parameters() if k.endswith(".beta")]
    assert len(moved) == 61  # 59 convolutions and the two auxiliary hidden layers
    assert all(g is not None and g != 0 for g in moved)


def test_a_layer_that_two_share_is_replaced_once() -> None:
    inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    network = nn.Sequential(inner, inner, nn.ReLU())
    assert activations.replace(network, "tanh", "mine") == 2
    assert [type(m) for m in network.modules()][-2:] == [nn.Tanh, nn.Tanh]


def test_what_cannot_be_replaced_is_said() -> None:
    with pytest.raises(ChoiceError, match="'line' has no activation"):
        activations.replace(nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()), "gelu", "line")
    network = nn.Sequential(nn.ReLU())
    with pytest.raises(ChoiceError):
        activations.replace(network, "gellu", "mine")
    assert type(network[0]) is nn.ReLU
    pytest.importorskip("timm")
    with pytest.raises(ChoiceError, match="normalises and activates in one formula, EvoNorm"):
        shapes_only("test_efficientnet_evos", Tweaks(activation="gelu"))


# Dropout


@pytest.mark.parametrize(
    ("name", "own"),
    [("vgg11", [0.5, 0.5]), ("alexnet", [0.5, 0.5]), ("googlenet", [0.2]), ("resnet18", [])],
)
def test_one_dropout_before_the_last_layer(name: str, own: list[float]) -> None:
    def shares(tweaks: Tweaks) -> tuple[list[float], float]:
        network = shapes_only(name, tweaks)
        head = next(m for m in network.modules() if isinstance(m, Head))
        auxiliary = [m for p, m in network.named_modules() if p.startswith("aux")]
        drops = [m for m in network.modules() if isinstance(m, nn.Dropout) and m not in auxiliary]
        return [m.p for m in drops], head.dropout

    assert shares(Tweaks()) == (own, 0.0)
    assert shares(Tweaks(dropout=0.3)) == ([0.3] * len(own), 0.0 if own else 0.3)
    if name in ("resnet18", "googlenet"):
        narrow = Tweaks(dropout=0.3, width=0.5)
        assert shares(narrow) == ([0.3] * len(own), 0.0 if own else 0.3)


def test_timms_own_dropout_is_set_not_doubled() -> None:
    pytest.importorskip("timm")
    for dropout, expected in ((0.0, 0.2), (0.3, 0.3)):
        network = shapes_only("ghostnet_050", Tweaks(dropout=dropout))
        assert (network.drop_rate, network.classifier.dropout) == (expected, 0.0)


def test_the_compact_networks_dropout_is_the_heads() -> None:
    assert shapes_only("compact", Tweaks(dropout=0.4)).head.dropout == 0.4


# Channels

FAMILIES = (
    *("compact", "alexnet", "vgg11", "squeezenet1_1", "densenet121", "mobilenet_v2", "mnasnet0_5"),
    *("mobilenet_v3_small", "shufflenet_v2_x0_5", "efficientnet_b0", "convnext_tiny", "vit_b_16"),
    *("swin_t", "maxvit_t", "resnet18", "googlenet", "inception_v3"),
    *("test_resnet", "test_vit", "test_efficientnet", "mobilevitv2_050"),
)


@pytest.mark.parametrize(("number", "name"), [*enumerate(FAMILIES)])
def test_other_channels_go_in(number: int, name: str) -> None:
    if name not in standard.torchvision_names() and name != "compact":
        pytest.importorskip("timm")
    side = {"inception_v3": 96, "vit_b_16": 224, "swin_t": 64, "maxvit_t": 224}
    channels = (1, 5)[number % 2]
    network = shapes_only(name, Tweaks(channels=channels)).eval()
    x = torch.empty(2, channels, *[side.get(name, 160 if "test" in name else 64)] * 2)
    assert main_and_auxiliary(network(x.to("meta")))[0].shape == (2, 5)
    first = network.get_submodule(standard.first_layer(network))
    assert first.in_channels == first.weight.shape[1] == channels


def test_regnet_takes_other_channels() -> None:
    network = small("regnet_y_400mf", Tweaks(channels=2)).eval()  # it cannot be built on `meta`
    assert network(torch.zeros(1, 2, 32, 32)).shape == (1, 5)


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "shufflenet_v2_x0_5"])
@pytest.mark.parametrize("channels", [1, 12])
def test_a_fresh_first_layer_passes_on_as_much_as_the_usual(name: str, channels: int) -> None:
    usual, changed = small(name), small(name, Tweaks(channels=channels))
    path = standard.first_layer(usual)
    assert standard.first_layer(changed) == path
    given = [
        n.get_submodule(path)(torch.randn(16, c, 32, 32)).std().item()
        for n, c in ((usual, 3), (changed, channels))
    ]
    assert given[1] == pytest.approx(given[0], rel=0.1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9])
def test_trained_weights_are_adapted_as_timm_does(channels: int) -> None:
    manipulate = pytest.importorskip("timm.models")
    weight = torch.randn(8, 3, 7, 7)
    expected = manipulate.adapt_input_conv(channels, weight)
    torch.testing.assert_close(adapt_first(weight, channels), expected)


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 6])
def test_adapted_weights_see_grey_as_they_saw_it(channels: int) -> None:
    theirs = torchvisions("resnet18").eval()
    ours = Built(small("resnet18", Tweaks(channels=channels)).eval(), "fc")
    weights.put(ours, theirs.state_dict(), "resnet18")
    ours.last.load_state_dict(theirs.fc.state_dict())  # type: ignore[union-attr]
    grey = torch.rand(2, 1, 32, 32)
    expected = theirs(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(
        ours.module(grey.expand(-1, channels, -1, -1)), expected, rtol=1e-3, atol=1e-4
    )


# What is asked for


def test_tweaks_come_back_from_json() -> None:
    tweaks = Tweaks(LEARNED, 0.5, (2, 1, 1, 1), "small", 0.2, 1)
    assert Tweaks(**json.loads(json.dumps(dataclasses.asdict(tweaks)))) == tweaks


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 0.0}, "width = 0.0 cannot be"),
        ({"width": float("nan")}, "width = nan cannot be"),
        ({"depth": (1, 0)}, r"depth = \[1, 0\] cannot be"),
        ({"depth": (201,)}, r"depth = \[201\] cannot be"),
        ({"dropout": 1.0}, "dropout = 1.0 cannot be"),
        ({"channels": 0}, "channels = 0 cannot be"),
        ({"stem": "smal"}, "Did you mean 'small'"),
    ],
)
def test_impossible_tweaks_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        Tweaks(**wrong)


@pytest.mark.parametrize(
    ("name", "tweaks", "said"),
    [
        ("vgg11", Tweaks(width=2.0, stem="small"), "another network.width and network.stem"),
        ("test_resnet", Tweaks(depth=(1, 1, 1, 1)), "another network.depth"),
        ("resnet18", Tweaks(depth=(1, 1, 1)), "it has 4 stages"),
        ("compact", Tweaks(depth=(1, 1)), "it has 4 stages"),
        ("googlenet", Tweaks(depth=(1, 27, 1)), "3 stages of at most 26 blocks"),
        ("resnet180", Tweaks(width=2.0), "no network 'resnet180'"),
        ("csatv2", Tweaks(channels=1), "takes 3 channels only, not 1"),
        ("gemma4_vit_167m_enc", Tweaks(), "not a plain linear one"),
    ],
)
def test_what_a_network_does_not_take_is_said(name: str, tweaks: Tweaks, said: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(ChoiceError, match=said) as caught:
        shapes_only(name, tweaks)
    assert caught.value.hint
    if "another" in said:
        assert "compact network" in caught.value.hint
        assert "GoogLeNet" in caught.value.hint


def test_which_tweaks_keep_trained_weights() -> None:
    assert keeps_weights(Tweaks(dropout=0.3)) == (True, "")
    for tweaks in (Tweaks(width=2.0), Tweaks(depth=(1,) * 4), Tweaks(stem="small")):
        assert not keeps_weights(tweaks)[0]
    fits, said = keeps_weights(Tweaks(activation="gelu", channels=1))
    assert fits
    assert "another activation" in said
    assert "adapted to 1" in said

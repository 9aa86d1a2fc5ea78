"""Networks by name against their papers' counts; trained weights; drawings."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from quickstudy.errors import ChoiceError, WeightsError
from quickstudy.learning import building
from quickstudy.network import (
    Built,
    Spec,
    body_only,
    build,
    drop_auxiliary,
    hub,
    known,
    main_and_auxiliary,
    names,
    parameters,
    scores,
    weights,
)
from quickstudy.network.drawing import draw, flops
from quickstudy.network.standard import Head


def paper(name: str, classes: int = 1000, *, auxiliary: bool = False) -> Built:
    """Build without memory for the weights: shapes only."""
    with torch.device("meta"):
        return build(Spec(name, classes, 224, auxiliary=auxiliary))


def small(name: str = "compact", classes: int = 3, **options: float) -> Built:
    torch.manual_seed(0)
    return build(Spec(name, classes, 32, **options))  # type: ignore[arg-type]


# Building


@pytest.mark.parametrize(
    ("name", "auxiliary", "expected"),
    [
        ("resnet152", False, 60_192_808),
        ("googlenet", True, 13_004_888),
        ("googlenet", False, 6_624_904),
        ("resnet18", False, 11_689_512),
        ("squeezenet1_0", False, 1_248_424),
    ],
)
def test_parameters_are_those_of_the_paper(name: str, auxiliary: bool, expected: int) -> None:
    assert parameters(paper(name, auxiliary=auxiliary).module) == expected


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("compact", 256),
        ("squeezenet1_0", 512),
        ("resnet152", 2048),
        ("googlenet", 1024),
        ("inception_v3", 2048),
        ("mobilenet_v3_large", 1280),
        ("convnext_tiny", 768),
        ("vit_b_16", 768),
        ("densenet121", 1024),
        ("vgg11", 4096),
        ("swin_t", 768),
    ],
)
def test_the_last_layer_is_found(name: str, features: int) -> None:
    network = paper(name, classes=7, auxiliary=True)
    assert isinstance(network.last, Head)
    assert (network.last.in_features, network.last.out_features) == (features, 7)
    size = 299 if name == "inception_v3" else 224
    network.module.eval()
    x = torch.empty(2, 3, size, size, device="meta")
    assert scores(network.module, x).shape == (2, 7)
    with body_only(network) as body:
        assert scores(body, x).shape == (2, features)


def test_googlenets_auxiliary_classifiers_are_for_training_only() -> None:
    network = paper("googlenet", classes=5, auxiliary=True)
    x = torch.empty(2, 3, 224, 224, device="meta")
    main, auxiliary = main_and_auxiliary(network.module(x))
    assert [tuple(s.shape) for s in (main, *auxiliary)] == [(2, 5)] * 3
    assert scores(network.module.eval(), x).shape == (2, 5)
    drop_auxiliary(network.module)
    assert main_and_auxiliary(network.module.train()(x))[1] == []
    assert not [k for k in network.module.state_dict() if k.startswith("aux")]


def test_squeezenet_may_say_no() -> None:
    network = small("squeezenet1_0")
    x = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        network.last.bias.fill_(-5)
        assert (scores(network.module.eval(), x) < 0).all()


def test_the_body_is_lent_and_given_back() -> None:
    network = small()
    last = network.last
    with body_only(network) as body:
        assert sum(p.numel() for p in body.parameters()) < parameters(small().module)
    assert network.last is last
    with pytest.raises(ZeroDivisionError), body_only(network):
        raise ZeroDivisionError
    assert network.last is last


def test_body_then_head_is_the_whole() -> None:
    network = small("squeezenet1_0")
    network.module.eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        whole = scores(network.module, x)
        with body_only(network) as body:
            features = body(x)
        torch.testing.assert_close(network.last(features), whole)


def test_dropout_drops_in_training_only() -> None:
    head = Head(1000, 2, 0.5)
    nn.init.ones_(head.weight)
    x = torch.ones(1, 1000)
    assert torch.equal(head.eval()(x), nn.functional.linear(x, head.weight, head.bias))
    assert not torch.equal(head.train()(x), head(x))


@pytest.mark.parametrize("size", [8, 16, 31, 32, 49, 65])
def test_the_compact_network_takes_any_size(size: int) -> None:
    module = build(Spec("compact", 4, size)).module.eval()
    assert scores(module, torch.zeros(1, 3, size, size)).shape == (1, 4)


def test_width_multiplies_the_channels() -> None:
    assert paper("compact").last.in_features == 256
    with torch.device("meta"):
        assert build(Spec("compact", 2, 64, width=2.0)).last.in_features == 512
        assert build(Spec("compact", 2, 64, width=0.05)).last.in_features >= 8


def test_a_block_begins_as_its_short_cut() -> None:
    block = small().module.blocks[0].eval()  # type: ignore[union-attr,index]
    x = torch.randn(1, 32, 4, 4)
    torch.testing.assert_close(block(x), nn.functional.silu(x))  # type: ignore[operator]


def test_a_spec_is_text_and_numbers_and_comes_back() -> None:
    spec = Spec("resnet18", 3, 64, dropout=0.2)
    assert Spec.from_dict(spec.as_dict()) == spec
    assert Spec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec
    spectra = {"rate": 8000, "fft": 256, "hop": 80, "mels": 48, "low": 20.0, "high": 4000.0}
    heard = Spec("compact", 3, 5600, sound=spectra)
    assert Spec.from_dict(json.loads(json.dumps(heard.as_dict()))) == heard


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (small().module.state_dict() for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)


# Names


def test_networks_by_name() -> None:
    everything = names()
    assert everything[0] == "compact"
    assert {"resnet152", "googlenet", "squeezenet1_0"} <= set(everything)
    assert len(everything) == len(set(everything))
    assert known("resnet152") == "torchvision"


def test_an_unknown_network_gets_did_you_mean() -> None:
    with pytest.raises(ChoiceError) as caught:
        build(Spec("googlnet", 2, 64))
    assert caught.value.hint == "Did you mean 'googlenet'?"


def test_a_network_like_no_other_is_told_where_to_look() -> None:
    pytest.importorskip("timm")
    with pytest.raises(ChoiceError, match="quickstudy networks"):
        known("xyzzy")


def test_timms_networks_build() -> None:
    pytest.importorskip("timm")
    network = small("resnet10t")
    assert known("resnet10t") == "timm"
    assert network.last.out_features == 3
    network.module.eval()
    x = torch.zeros(1, 3, 32, 32)
    assert scores(network.module, x).shape == (1, 3)
    with body_only(network) as body:
        assert body(x).shape == (1, 512)


# Weights


def state(network: Built) -> dict[str, Tensor]:
    return {k: v.contiguous() for k, v in network.module.state_dict().items()}


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt"])
def test_weights_come_back_from_a_file(name: str, tmp_path: Path) -> None:
    tensors = state(small())
    found = weights.read(saved(tmp_path / name, tensors))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[k], tensors[k]) for k in tensors)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
def test_wrapped_and_prefixed_weights_are_unwrapped(wrapper: str, tmp_path: Path) -> None:
    torch.save({wrapper: {"module.a": torch.ones(2)}, "epoch": 3}, tmp_path / "w.pth")
    assert list(weights.read(tmp_path / "w.pth")) == ["a"]


class Trap:
    """What an attacker would pickle; unpickled, it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, (str(self.folder),)


def test_a_pickled_object_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"a": Trap(tmp_path / "ran")}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="cannot be read safely"):
        weights.read(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(99), b"\x80"])
def test_files_that_are_no_weights_are_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        weights.read(path)
    assert caught.value.hint


def test_a_file_without_named_tensors_is_refused(tmp_path: Path) -> None:
    torch.save(torch.ones(3), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds no named tensors"):
        weights.read(tmp_path / "w.pth")


def test_the_body_is_taught_and_the_last_layer_stays_fresh() -> None:
    source, target = small(classes=9), small(classes=3)
    with torch.no_grad():
        for tensor in source.module.parameters():
            tensor.fill_(0.5)
    fresh = target.last.weight.clone()
    weights.put(target, state(source), "compact")
    assert torch.equal(target.last.weight, fresh)
    body = {k: v for k, v in target.module.named_parameters() if not k.startswith("head.")}
    assert all((v == 0.5).all() for v in body.values())


def test_resnet34s_weights_do_not_fit_resnet18() -> None:
    with pytest.raises(WeightsError) as caught:
        weights.put(paper("resnet18"), state(paper("resnet34")), "resnet18")
    message = caught.value.message
    assert "do not fit resnet18" in message
    assert "layer1.2.conv1.weight is not in the network" in message
    assert "more" in message


def test_shapes_and_names_that_do_not_fit_are_named() -> None:
    network = small()
    tensors = state(network)
    tensors["stem.0.weight"] = torch.ones(1, 2)
    tensors["extra"] = tensors.pop("stem.1.weight")
    before = state(small())
    with pytest.raises(WeightsError) as caught:
        weights.put(network, tensors, "compact")
    for said in (
        "stem.1.weight is not there",
        "stem.0.weight is (1, 2), not (32, 3, 3, 3)",
        "extra is not in the network",
    ):
        assert said in caught.value.message
    assert "--network" in caught.value.hint
    after = network.module.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_torchvisions_squeezenet_file_fits() -> None:
    import torchvision

    theirs = torchvision.models.squeezenet1_0(weights=None).eval()
    ours = small("squeezenet1_0")
    weights.put(ours, theirs.state_dict(), "squeezenet1_0")
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode(), body_only(ours) as body:
        body.eval()
        torch.testing.assert_close(body(x), theirs.features(x).mean((2, 3)))


def test_densenets_old_names_fit() -> None:
    """The published file says ``norm.1`` where torchvision's network says ``norm1``."""
    network = paper("densenet121")
    old = {
        k.replace("norm1.", "norm.1.").replace("conv1.", "conv.1.") if "denselayer" in k else k: v
        for k, v in state(network).items()
    }
    weights.put(network, old, "densenet121")


# Where weights are found


@pytest.mark.parametrize(
    ("file", "network"),
    [
        ("resnet18-f37072fd.pth", "resnet18"),
        ("wide_resnet50_2-95faca4d.pth", "wide_resnet50_2"),
        ("squeezenet1_0.safetensors", "squeezenet1_0"),
        ("ResNet152 mine.pth", "resnet152"),
    ],
)
def test_the_network_is_guessed_by_the_files_name(file: str, network: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    found = hub.from_file(tmp_path / file, None)
    assert found.network == network
    assert found.weights == str(tmp_path / file)
    assert found.why == f"you gave {file}"
    assert found.size == 224


def test_a_name_that_says_nothing_needs_the_network(tmp_path: Path) -> None:
    (tmp_path / "best.pth").touch()
    with pytest.raises(ChoiceError, match="--network NAME"):
        hub.from_file(tmp_path / "best.pth", None)
    assert hub.from_file(tmp_path / "best.pth", "resnet50").network == "resnet50"


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="There is no weights file"):
        hub.from_file(tmp_path / "resnet18.pth", None)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_the_normalisation_is_the_one_trained_with(name: str, tmp_path: Path) -> None:
    """These two came from TensorFlow: torchvision turns ImageNet's inputs into (x - 0.5) / 0.5."""
    (tmp_path / "w.pth").touch()
    found = hub.from_file(tmp_path / "w.pth", name)
    assert found.mean == pytest.approx((0.5,) * 3)
    assert found.std == pytest.approx((0.5,) * 3)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_the_caches_are_looked_through(hub_cache: Path) -> None:
    assert hub.cached("resnet18") is None
    assert hub.offers(None, None, reach=False)[0] == []
    file = hub_cache / "resnet18-f37072fd.pth"
    file.touch()
    assert hub.cached("resnet18") == file
    found, why = hub.offers(None, None, reach=False)
    assert [(o.network, o.weights) for o in found] == [("resnet18", str(file))]
    assert found[0].accuracy == pytest.approx(69.758)
    assert found[0].flops == pytest.approx(3.63e9, rel=0.01)
    assert why == ""
    assert hub.fetch(found[0].weights, print) == file


def test_offline_is_said_in_one_line(hub_cache: Path) -> None:
    found, why = hub.offers("resnet18", None, reach=False)
    assert found == []
    assert "out of reach" in why
    assert "\n" not in why


@pytest.mark.parametrize(("network", "asked"), [(None, "none"), ("compact", None)])
def test_none_asked_for_is_none(network: str | None, asked: str | None) -> None:
    assert hub.offers(network, asked)[0] == []


def test_a_hub_that_refuses_is_out_of_reach_at_once(hub_cache: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        began = time.perf_counter()
        assert not hub.reachable(f"http://127.0.0.1:{taken.getsockname()[1]}/", 60.0)
    assert time.perf_counter() - began < 30


def test_a_hub_that_is_silent_is_out_of_reach_when_patience_ends(hub_cache: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.perf_counter()
        assert not hub.reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.3)
    assert time.perf_counter() - began < 30  # or for ever


class _Hub(http.server.BaseHTTPRequestHandler):
    content = b"0123456789"
    promised = len(content)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(self.promised))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A hub on this computer that publishes ``net.pth`` for resnet18."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{running.server_address[1]}/net.pth"
        monkeypatch.setattr(hub, "_url", lambda _: url)
        yield url
        running.shutdown()
        thread.join()


def test_a_hub_that_answers_is_fetched_from(server: str, hub_cache: Path) -> None:
    assert hub.reachable(server, 3.0)
    found, _ = hub.offers("resnet18", None)
    assert [o.weights for o in found] == ["hub:resnet18"]
    said: list[str] = []
    assert hub.fetch("hub:resnet18", said.append).read_bytes() == _Hub.content
    assert "net.pth" in said[0]
    assert [p.name for p in hub_cache.iterdir()] == ["net.pth"]


def test_a_hub_that_fails_half_way_leaves_nothing(
    server: str, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Hub, "promised", 20)
    with pytest.raises(WeightsError, match=r"Fetching net\.pth failed"):
        hub.fetch("hub:resnet18", lambda _: None)
    assert list(hub_cache.iterdir()) == []


# Drawing


def test_a_drawing_adds_up() -> None:
    network = small()
    network.module.train()
    rows = draw(network.module, torch.zeros(1, 3, 32, 32))
    assert sum(row["parameters"] for row in rows) == parameters(network.module)
    assert sum(row["flops"] for row in rows) == pytest.approx(
        flops(network.module, torch.zeros(1, 3, 32, 32)), rel=0.01
    )
    assert rows[0]["function"] == "Conv2d"
    assert rows[0]["output"] == [32, 32, 32]
    assert (rows[-1]["function"], rows[-1]["output"]) == ("Linear", [3])
    assert network.module.training
    assert not any(layer._forward_hooks for layer in network.module.modules())


def test_drawing_changes_nothing() -> None:
    network = small()
    before = {k: v.clone() for k, v in state(network).items()}
    draw(network.module, torch.zeros(1, 3, 32, 32))
    flops(network.module, torch.zeros(1, 3, 32, 32))
    assert all(torch.equal(before[k], v) for k, v in state(network).items())


def test_flops_are_those_counted_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.Flatten(), nn.Linear(128, 2))
    conv, linear = 2 * (3 * 3 * 3) * 8 * 4 * 4, 2 * 128 * 2
    assert flops(network, torch.zeros(1, 3, 8, 8)) == conv + linear
    assert [row["flops"] for row in draw(network, torch.zeros(1, 3, 8, 8))] == [conv, 0, linear]


def test_a_network_with_auxiliary_classifiers_is_drawn_without() -> None:
    network = paper("googlenet", classes=2, auxiliary=True)
    rows = draw(network.module, torch.zeros(1, 3, 64, 64))
    assert not [row for row in rows if row["path"].startswith("aux")]


@pytest.mark.parametrize("name", [*hub.LADDER, "squeezenet1_0", "googlenet", "vit_b_16"])
def test_published_weights_fit_every_network_the_autopilot_may_fetch(name: str) -> None:
    """A state dict as torchvision publishes it goes in whole, but for the last layer."""
    import torchvision

    options = {"init_weights": False} if name == "googlenet" else {}
    published = torchvision.models.get_model(name, weights=None, **options)
    network = build(Spec(name, 3, 224))
    weights.put(network, published.state_dict(), name)
    body = {k: v for k, v in network.module.state_dict().items() if not k.startswith(network.head)}
    theirs = published.state_dict()
    assert all(torch.equal(theirs[key], tensor) for key, tensor in body.items() if key in theirs)
    assert sum(key not in theirs for key in body) == 0


def test_a_size_that_a_network_cannot_take_is_refused_by_name() -> None:
    network = paper("vit_b_16", 3)
    how = SimpleNamespace(size=64, start_size=64)
    recipe: Any = SimpleNamespace(network=SimpleNamespace(name="vit_b_16", channels=3), picture=how)
    with pytest.raises(ChoiceError, match="cannot take pictures of 64 pixels") as told:
        building._check_sees(network, recipe)
    assert "--set picture.size=224" in told.value.hint
    how.size = how.start_size = 224
    building._check_sees(network, recipe)

"""The pieces of a script that build the network."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from quickstudy.errors import ChoiceError
from quickstudy.functions import Function, activation
from quickstudy.network import Built, Spec, build, standard, weights
from quickstudy.script import sounds, stacks
from quickstudy.script.expressions import safe, written
from quickstudy.script.told import Told
from quickstudy.script.whole import WIDTH, why
from quickstudy.script.writing import filled, number, quoted_text

#: Networks that answer with several scores in training.
AUXILIARY = ("googlenet", "inception_v3")
#: All that the compact network is made of as it is written here.
_COMPACT = frozenset(
    {
        *("Compact", "Sequential", "Block", "Gate", "Conv2d", "BatchNorm2d", "SiLU", "ReLU"),
        *("Linear", "Head", "Identity", "AvgPool2d", "AdaptiveAvgPool2d"),
    }
)

_BLOCK = """
class Block(nn.Module):  # two convolutions, channels gated, added to what came in
    def __init__(self, ins, outs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outs, outs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outs), nn.BatchNorm2d(outs)
        self.gate, few = nn.Sequential(), max(8, outs // 8)
        self.gate.squeeze, self.gate.active = nn.Linear(outs, few), nn.ReLU()
        self.gate.excite, self.short = nn.Linear(few, outs), nn.Identity()
        if stride > 1 or ins != outs:
            pool, conv = nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(ins, outs, 1, bias=False)
            self.short = nn.Sequential(pool, conv, nn.BatchNorm2d(outs))
        nn.init.zeros_(self.norm2.weight)  # it begins as its short cut
    def forward(self, x):
        y = self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x)))))
        y = y * self.gate(y.mean((2, 3))).sigmoid()[:, :, None, None]
        return F.silu(y + self.short(x))
"""

_ACTIVE = """
class Active(nn.Module):  # the activation
#: if learns
    def __init__(self):
        super().__init__()
$learnt
#: end
    def forward(self, x):
$body
"""

_COMPACT_LINES = """
body = nn.Sequential()$why
body.stem = nn.Sequential($stem)
body.blocks = nn.Sequential($blocks)
#: if drops
body.drop = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout($dropout))
#: end
#: if not drops
body.pool, body.flat, body.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear($features, $k)
#: end
#: if drops
body.head = nn.Linear($features, $k)
#: end
for conv in (layer for layer in body.modules() if isinstance(layer, nn.Conv2d)):
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
"""

_STANDARD_LINES = """
body = $made
#: if squeezenet
body.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear($features, $k))
#: end
#: if not squeezenet
$last = nn.Linear($features, $k)
#: end
#: if drops
$last.register_forward_pre_hook(lambda layer, x: F.dropout(x[0], $dropout, layer.training))
#: end
"""

_LOADING = """
def load_body():  # trained weights for all but the last layer
    source = $source
#: if safe
    tensors = load_file(source)
#: end
#: if hub
    tensors = torchvision.models.get_model_weights(source).DEFAULT.get_state_dict()
#: end
#: if pickled
    tensors = torch.load(source, map_location="cpu", weights_only=True)$wrapper
#: end
#: if renamed
    names = {re.sub($old, r"\\1\\2.", name): name for name in tensors}  # DenseNet's older names
    tensors = {new: tensors[old] for new, old in names.items()}
#: end
#: if prefixed
    tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
#: end
    own = network.state_dict()
    fits = {k: v for k, v in tensors.items() if k in own and v.shape == own[k].shape}
    last = {"$head.weight", "$head.bias"}
    network.load_state_dict({k: v for k, v in fits.items() if k not in last}, strict=False)
"""


def network(told: Told) -> str:
    """Return the code that makes the network, and for sound what stands before it."""
    built = build(Spec.from_dict(told.model["network"]))
    head = built.head.removeprefix("body.") if told.kind == "sound" else built.head
    body = getattr(built.module, "body") if told.kind == "sound" else built.module  # noqa: B009
    if told.recipe["network.name"] == "stack":
        blocks, lines = "", stacks.stack(body)
    elif told.recipe["network.name"] == "compact":
        blocks, lines = _blocks(told), _compact(told, body)
    else:
        blocks, lines = "", _standard(told, body, built, head)
    if told.kind == "sound":
        lines += f"\n{sounds.hearing(told)}"
    else:
        lines += "\nnetwork = body.to(DEVICE)"
    parts = [blocks, lines]
    if told.loads_body:
        parts.append(_loading(told, head))
    return "\n\n".join(part for part in parts if part)


def _blocks(told: Told) -> str:
    """Return the compact network's blocks, with the run's activation."""
    if not told.recipe["network.activation"]:
        return _BLOCK.strip()
    block = _BLOCK.strip().replace("nn.ReLU()", "Active()")
    for turn in ("1", "2"):
        block = block.replace("F.silu(", f"self.active{turn}(", 1)
    made = "        self.active1, self.active2 = Active(), Active()\n"
    return f"{_active(told)}\n\n" + block.replace(
        "        if stride", f"{made}        if stride", 1
    )


def _active(told: Told) -> str:
    """Return the run's activation: one of torch's, or an expression written out."""
    made = activation(told.recipe["network.activation"])
    if not isinstance(made, Function):
        return f"Active = nn.{type(made).__name__}"
    learnt = {name: f"self.{safe(name)}" for name in made.values()}
    code = written(made.expression, ["x"], names=learnt)
    lines = [f"{learnt[n]} = nn.Parameter(torch.tensor({v}))" for n, v in made.values().items()]
    return filled(
        _ACTIVE,
        {"learns": bool(learnt)},
        learnt=textwrap.indent("\n".join(lines), "        "),
        body=textwrap.indent("\n".join([*code.lines, f"return {code.result}"]), "        "),
    )


def _compact(told: Told, module: Any) -> str:
    """Return the lines of the compact network as it was built: its stem, its blocks, its head."""
    active = type(activation(told.recipe["network.activation"] or "silu")).__name__
    strange = {type(part).__name__ for part in module.modules()} - _COMPACT - {active}
    if strange:
        raise ChoiceError(
            f"A script cannot write a compact network with {', '.join(sorted(strange))} yet.",
            "Leave the network's activation as it is for a script.",
        )
    convs = [layer for layer in module.stem if type(layer).__name__ == "Conv2d"]
    made = "Active" if told.recipe["network.activation"] else "nn.SiLU"
    stem = ", ".join(
        f"nn.Conv2d({c.in_channels}, {c.out_channels}, 3, {c.stride[0]}, 1, bias=False), "
        f"nn.BatchNorm2d({c.out_channels}), {made}()"
        for c in convs
    )
    sizes = [(b.conv1.in_channels, b.conv1.out_channels, b.conv1.stride[0]) for b in module.blocks]
    lines = filled(
        _COMPACT_LINES,
        {"drops": told.recipe["network.dropout"] > 0},
        stem=stem,
        blocks=", ".join(f"Block{size}" for size in sizes),
        why=why(told, "network.name", 60),
        features=module.head.in_features,
        k=len(told.classes),
        dropout=number(told.recipe["network.dropout"]),
    )
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="    ") if len(line) > WIDTH else line
        for line in lines.splitlines()
    )


def _standard(told: Told, module: Any, built: Built, head: str) -> str:
    """Return the lines of one of torchvision's or timm's networks with a last layer of our own."""
    name, k = told.recipe["network.name"], len(told.classes)
    maker = standard.known(name)
    _check_plain(told, module, name, k)
    extra = ", aux_logits=True, init_weights=True" if name in AUXILIARY else ""
    pretrained = ", pretrained=True" if told.from_timms_hub else ""
    made = {
        "torchvision": f'torchvision.models.get_model("{name}", num_classes={k}{extra})',
        "timm": f'timm.create_model("{name}", num_classes={k}{pretrained})',
    }[maker]
    dropout = float(getattr(built.last, "dropout", 0.0))
    lines = filled(
        _STANDARD_LINES,
        {"squeezenet": name.startswith("squeezenet"), "drops": dropout > 0},
        made=made,
        last=python_path("body", head),
        features=built.last.in_features,
        k=k,
        dropout=number(dropout),
    )
    own = [
        (path, layer)
        for path, layer in module.named_modules()
        if type(layer).__name__ == "Dropout" and layer.p == told.recipe["network.dropout"] > 0
    ]
    return lines + "".join(f"\n{python_path('body', p)}.p = {number(d.p)}" for p, d in own)


def _check_plain(told: Told, module: Any, name: str, k: int) -> None:
    """Raise `ChoiceError` unless the network has the published shape."""
    plain = standard.build(name, k, 0.0)[0]
    standard.drop_auxiliary(plain)
    shapes = [{n: v.shape for n, v in m.state_dict().items()} for m in (module, plain)]
    if shapes[0] != shapes[1]:
        raise ChoiceError(
            f"A script cannot write a {name} of another shape than the published one yet.",
            "Leave network.width, network.depth and network.stem as they are for a script.",
        )


def last_layer(told: Told) -> str:
    """Return the last layer as Python says it."""
    return python_path("network", build(Spec.from_dict(told.model["network"])).head)


def python_path(root: str, dotted: str) -> str:
    """Return a module's path as Python says it.

    >>> python_path("network", "classifier.6")
    'network.classifier[6]'
    """
    return root + "".join(f"[{w}]" if w.isdigit() else f".{w}" for w in dotted.split("."))


def _loading(told: Told, head: str) -> str:
    """Return the function that copies trained weights into the body."""
    source = str(told.recipe["network.weights"])
    names: list[str] = []
    from_hub, wrapper = source.startswith("hub:"), ""
    if from_hub:
        quoted = quoted_text(source.removeprefix("hub:"))
    else:
        wrapper, names = _looked_at(Path(source))
        quoted = quoted_text(source)
    densenet = str(told.recipe["network.name"]).startswith("densenet")
    safe = not from_hub and source.endswith(".safetensors")
    return filled(
        _LOADING,
        {
            "safe": safe,
            "hub": from_hub,
            "pickled": not from_hub and not safe,
            "renamed": densenet,
            "prefixed": any(name.startswith("module.") for name in names),
        },
        source=quoted,
        wrapper=wrapper,
        old='r"(denselayer\\d+\\.(?:norm|conv))\\.(\\d)\\."',
        head=head,
    )


def _looked_at(path: Path) -> tuple[str, list[str]]:
    """Return how the tensors are wrapped in a file of weights, and their names."""
    import torch

    tensors = weights.read(path)  # raises `WeightsError` where it has gone
    if path.suffix == ".safetensors":
        return "", list(tensors)
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    found = ""
    for wrapper in ("state_dict", "model", "model_state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded, found = loaded[wrapper], f'{found}["{wrapper}"]'
    return found, list(loaded)

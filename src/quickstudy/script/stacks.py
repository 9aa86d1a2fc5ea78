"""A network written as a stack -> the same as plain torch layers, its weights called the same."""

from __future__ import annotations

import textwrap
from typing import Any

from torch import nn

from quickstudy.errors import ChoiceError
from quickstudy.functions import Function
from quickstudy.network.compact import Gate
from quickstudy.network.stack.modules import Branches, ChannelNorm, GlobalPool, Residual
from quickstudy.network.standard import Head
from quickstudy.script.expressions import safe, written
from quickstudy.script.writing import number

WIDTH = 100

_ROW = """
def row(**layers):  # one after another, by name
    return nn.Sequential(OrderedDict(layers))
"""

_RESIDUAL = """
class Residual(nn.Module):  # added to what came in (He et al., 2015)
    def __init__(self, of, shortcut=None):
        super().__init__()
        self.of, self.shortcut = of, shortcut
    def forward(self, x):
        return self.of(x) + (x if self.shortcut is None else self.shortcut(x))
"""

_BRANCHES = """
class Branches(nn.ModuleDict):  # side by side, then joined (Szegedy et al., 2014)
    def forward(self, x):
        return torch.cat([branch(x) for branch in self.values()], 1)
"""

_POOL = """
def pool(kind):  # the whole picture to one number a channel
    return nn.Sequential(kind(1), nn.Flatten())
"""

_GATE = """
class Gate(nn.Module):  # scales each channel by a function of all channels' averages
    def __init__(self, channels, few):
        super().__init__()
        self.squeeze, self.excite = nn.Linear(channels, few), nn.Linear(few, channels)
    def forward(self, x):
        return x * self.excite(self.squeeze(x.mean((2, 3))).relu()).sigmoid()[:, :, None, None]
"""

_CHANNEL_NORM = """
class ChannelNorm(nn.LayerNorm):  # over the channels of each place
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
"""

_START = """
for layer in body.modules():
    if isinstance(layer, nn.Conv2d):  # by what goes out of each group (He et al., 2015)
        out = len(layer.weight) * layer.weight[0, 0].numel() / layer.groups
        nn.init.normal_(layer.weight, 0.0, (2 / out) ** 0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
"""

_PLAIN = (
    *(nn.Flatten, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d),
    *(nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d),
)


def stack(module: nn.Module) -> str:
    """Return the code that makes `body`, a built stack: the classes that it needs, its layers.

    Raises `ChoiceError` for a layer that has no plain form yet.
    """
    writer = _Writer()
    body = f"body = {writer.layer(module, 0)}"
    start = _START.strip() if any(isinstance(m, nn.Conv2d) for m in module.modules()) else ""
    needed = [text.strip() for text in writer.needed.values()]
    return "\n\n".join(part for part in (*needed, f"{body}\n{start}".strip()) if part)


class _Writer:
    """Writes layer by layer; notes what must be defined first."""

    def __init__(self) -> None:
        self.needed: dict[str, str] = {}
        self.functions: dict[str, str] = {}

    def layer(self, module: Any, deep: int) -> str:
        """Return a layer as code, its later lines indented `deep` times."""
        if isinstance(module, Residual):
            self.needed["residual"] = _RESIDUAL
            parts = [module.of, *([module.shortcut] if module.shortcut is not None else [])]
            return self.call("Residual", [self.layer(part, deep + 1) for part in parts], deep)
        if isinstance(module, Branches):
            return self.branches(module, deep)
        if isinstance(module, nn.Sequential):
            self.needed["row"] = _ROW
            return self.call("row", [f"{safe(n)}={self.layer(m, deep + 1)}"
                                     for n, m in module.named_children()], deep)  # fmt: skip
        if isinstance(module, Function):
            return self.function(module)
        return self.simple(module)

    def call(self, name: str, parts: list[str], deep: int) -> str:
        """Return a call, on one line where that is short, else packed into lines."""
        short = f"{name}({', '.join(parts)})"
        if "\n" not in short and len(short) + 4 * deep + 12 <= WIDTH:
            return short
        inside = "    " * (deep + 1)
        lines, now = [], inside
        for part in parts:
            first = part.split("\n", 1)[0]
            if now.strip() and ("\n" in now or len(now) + len(first) + 2 > WIDTH - 2):
                lines.append(now.rstrip())
                now = inside
            now += f"{part}, "
        return "\n".join([f"{name}(", *lines, now.rstrip(), f"{'    ' * deep})"])

    def branches(self, module: Branches, deep: int) -> str:
        """Return layers side by side."""
        if module.join != "concat":
            raise ChoiceError(
                f"A script cannot join branches by '{module.join}' yet.", "Join them by concat."
            )
        self.needed["branches"] = _BRANCHES
        parts = [f'"{n}": {self.layer(m, deep + 2)}' for n, m in module.items()]
        inside = "    " * (deep + 1)
        lines = "".join(f"\n{inside}    {part}," for part in parts)
        return f"Branches(\n{inside}{{{lines}\n{inside}}}\n{'    ' * deep})"

    def function(self, module: Function) -> str:
        """Return an expression in x as a layer of its own class."""
        expression = module.expression
        if expression.text not in self.functions:
            name = f"Function{len(self.functions) + 1}"
            self.functions[expression.text] = name
            first = dict(expression.learned)
            own = {n: f"self.{safe(n)}" for n in first}
            code = written(expression, ["x"], names=own)
            lines = [f"class {name}(nn.Module):"]
            if first:
                lines += ["    def __init__(self):", "        super().__init__()"]
                lines += [f"        {own[n]} = nn.Parameter(torch.tensor({v}))"
                          for n, v in first.items()]  # fmt: skip
            body = "\n".join([*code.lines, f"return {code.result}"])
            lines += ["    def forward(self, x):", textwrap.indent(body, "        ")]
            self.needed[name] = "\n".join(lines)
        return f"{self.functions[expression.text]}()"

    def simple(self, module: Any) -> str:
        """Return a layer that holds no layers."""
        kind = type(module).__name__
        if isinstance(module, Head):
            if module.dropout:
                raise ChoiceError("A script cannot write dense with dropout yet.",
                                  "Put 'dropout: RATE' before it.")  # fmt: skip
            bias = "" if module.bias is not None else ", bias=False"
            return f"nn.Linear({module.in_features}, {module.out_features}{bias})"
        own = self.own(module)
        if own:
            return own
        if isinstance(module, nn.Conv2d):
            return _conv(module)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            eps = "" if module.eps == 1e-5 else f", eps={number(module.eps)}"
            pace = "" if module.momentum == 0.1 else f", momentum={number(module.momentum or 0)}"
            return f"nn.{kind}({module.num_features}{eps}{pace})"
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            padding = "" if module.padding == (0, 0) else f", padding={_short(module.padding)}"
            ceil = ", ceil_mode=True" * module.ceil_mode
            size, stride = _short(module.kernel_size), _short(module.stride)
            return f"nn.{kind}({size}, {stride}{padding}{ceil})"
        if isinstance(module, nn.Dropout):
            return f"nn.Dropout({number(module.p)})"
        if isinstance(module, _PLAIN) or not list(module.parameters()):
            said = module.extra_repr().replace("inplace=True", "").replace("'", '"').rstrip(", ")
            return f"nn.{kind}({said if said != 'start_dim=1, end_dim=-1' else ''})"
        raise ChoiceError(f"A script cannot write the layer {kind} yet.", "Use another one.")

    def own(self, module: Any) -> str:
        """Return a layer that torch has not as one module, or nothing for others."""
        if isinstance(module, GlobalPool):
            self.needed["pool"] = _POOL
            return f"pool(nn.Adaptive{'Avg' if module.kind == 'average' else 'Max'}Pool2d)"
        if isinstance(module, Gate) and isinstance(module.active, nn.ReLU):
            self.needed["gate"] = _GATE
            return f"Gate({module.squeeze.in_features}, {module.squeeze.out_features})"
        if isinstance(module, ChannelNorm):
            self.needed["channel norm"] = _CHANNEL_NORM
            return f"ChannelNorm({module.normalized_shape[0]}, eps={number(module.eps)})"
        return ""


def _short(pair: Any) -> str:
    return str(pair[0]) if pair[0] == pair[1] else str(tuple(pair))


def _conv(conv: nn.Conv2d) -> str:
    text = f"nn.Conv2d({conv.in_channels}, {conv.out_channels}, {_short(conv.kernel_size)}"
    if conv.stride != (1, 1):
        text += f", {_short(conv.stride)}"
    if conv.padding != (0, 0):
        text += f", padding={_short(conv.padding)}"
    if conv.dilation != (1, 1):
        text += f", dilation={_short(conv.dilation)}"
    if conv.groups != 1:
        text += f", groups={conv.groups}"
    return text + ("" if conv.bias is not None else ", bias=False") + ")"

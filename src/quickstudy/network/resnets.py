"""torchvision's ResNets, ResNeXts and wide ResNets with another width, depth or stem.

He et al., 2015; Xie et al., 2016; Zagoruyko and Komodakis, 2016.
"""

from __future__ import annotations

from functools import cache

import torch
import torchvision
from torch import nn
from torchvision.models import resnet

from quickstudy.network.compact import scaled


def names() -> tuple[str, ...]:
    """Return the networks that this file builds."""
    return tuple(
        name
        for name in torchvision.models.list_models(module=torchvision.models)
        if torchvision.models.get_model_builder(name).__module__ == resnet.__name__
    )


class Residual(resnet.ResNet):  # type: ignore[misc]
    """`usual` with `depth` blocks a stage and `width` times its channels.

    With the usual width, depth and stem its parameters have the names, shapes and first values of
    torchvision's. `small` is the stem for pictures of some 32 pixels: 3 x 3, nothing shrunk.
    """

    def __init__(
        self,
        usual: resnet.ResNet,
        classes: int,
        *,
        width: float,
        depth: tuple[int, ...],
        small: bool,
        channels: int,
    ) -> None:
        nn.Module.__init__(self)  # torchvision's own would build the usual one first
        self.width = width
        self.groups, self.base_width = usual.groups, usual.base_width
        self.dilation, self._norm_layer = 1, nn.BatchNorm2d
        self.inplanes = scaled(64, width)
        side, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(channels, self.inplanes, side, stride, side // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        block = type(usual.layer1[0])
        depth = depth or _stages(usual)
        self.layer1 = self._make_layer(block, 64, depth[0])
        self.layer2 = self._make_layer(block, 128, depth[1], stride=2)
        self.layer3 = self._make_layer(block, 256, depth[2], stride=2)
        self.layer4 = self._make_layer(block, 512, depth[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(self.inplanes, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _make_layer(
        self,
        block: type[resnet.BasicBlock | resnet.Bottleneck],
        planes: int,
        blocks: int,
        stride: int = 1,
        dilate: bool = False,
    ) -> nn.Sequential:
        """Return one stage; a bottleneck's inner channels are scaled group by group."""
        ours, usual = scaled(planes, self.width), self.base_width
        if block is resnet.Bottleneck:
            inner = int(planes * usual / 64)  # in each group
            inner = (
                max(1, round(inner * self.width)) if self.groups > 1 else scaled(inner, self.width)
            )
            # torchvision takes int(planes * base_width / 64): half a channel more rounds to `inner`
            self.base_width = 64 * (inner + 0.5) / ours
        stage: nn.Sequential = super()._make_layer(block, ours, blocks, stride, dilate)
        self.base_width = usual
        return stage


def _stages(usual: resnet.ResNet) -> tuple[int, ...]:
    return tuple(map(len, (usual.layer1, usual.layer2, usual.layer3, usual.layer4)))


@cache
def _usual(name: str) -> resnet.ResNet:
    """Return torchvision's `name` without memory for its weights."""
    with torch.device("meta"):
        found: resnet.ResNet = torchvision.models.get_model(name, weights=None)
    return found


def depth(name: str) -> tuple[int, ...]:
    """Return the usual blocks of each stage.

    >>> depth("resnet152")
    (3, 8, 36, 3)
    """
    return _stages(_usual(name))


def build(
    name: str, classes: int, *, width: float, depth: tuple[int, ...], small: bool, channels: int
) -> Residual:
    """Return `name` with these changes and fresh weights: ``N channels S S -> N classes``."""
    return Residual(_usual(name), classes, width=width, depth=depth, small=small, channels=channels)

"""A network written as a stack of layers: YAML or a list -> checked data -> nn.Module."""

from quickstudy.network.stack.building import build_stack, same_weights
from quickstudy.network.stack.reading import read_stack

__all__ = ["build_stack", "read_stack", "same_weights"]

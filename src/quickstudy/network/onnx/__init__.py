"""An ONNX file of TensorFlow, Caffe2, MXNet, Gluon or PyTorch -> a network that trains."""

from quickstudy.network.onnx.ending import (
    HEAD,
    as_it_is,
    build_graph,
    outputs_of,
    weights_of,
)
from quickstudy.network.onnx.network import GraphNetwork
from quickstudy.network.onnx.operators import OPERATORS
from quickstudy.network.onnx.pictures import graph_input, highest_pixel, square_side
from quickstudy.network.onnx.reading import read_graph

__all__ = [
    "HEAD",
    "OPERATORS",
    "GraphNetwork",
    "as_it_is",
    "build_graph",
    "graph_input",
    "highest_pixel",
    "outputs_of",
    "read_graph",
    "square_side",
    "weights_of",
]

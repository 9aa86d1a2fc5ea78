"""A tree -> a straight line of torch calls: each thing computed once, constants folded.

Nothing is generated or evaluated as code: a program is a list of functions of torch with the
places of their arguments, so that torch.compile, torch.export and ONNX see torch's own operators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from quickstudy.functions import operations
from quickstudy.functions.grammar import Call, Name, Node, Number, Tree
from quickstudy.functions.operations import FUNCTIONS, LARGEST, LARGEST_HALF, Compute
from quickstudy.functions.tokens import fault


def lower(text: str, tree: Tree, fixed: Mapping[str, float], logs: Mapping[str, str]) -> Tree:
    """Fold constants, share what occurs twice, and keep logarithms finite.

    Logarithms of sigmoid(x), softmax(x) and 1 + exp(x) become logsigmoid, log_softmax, softplus.
    `logs` says which input is the logarithm of what: ``p -> log_p`` and ``1 - p -> log_not_p``.
    Raises `ChoiceError` where constants come to no finite number.
    """
    graph = _Graph(text, logs)
    places: list[int] = []
    for node in tree:
        if isinstance(node, Number):
            places.append(graph.number(node.value, node.at))
        elif isinstance(node, Name) and node.name in fixed:
            places.append(graph.number(fixed[node.name], node.at))
        elif isinstance(node, Name):
            places.append(graph.keep(("name", node.name), node))
        else:
            arguments = tuple(places[a] for a in node.arguments)
            places.append(graph.call(node.function, arguments, node.at))
    return _reached(graph.nodes, places[-1])


def _reached(nodes: list[Node], root: int) -> Tree:
    """Return the nodes that the root is made of, the root last."""
    wanted = {root}
    for place in range(root, -1, -1):
        node = nodes[place]
        if place in wanted and isinstance(node, Call):
            wanted.update(node.arguments)
    order = sorted(wanted)
    new = {old: place for place, old in enumerate(order)}
    kept: list[Node] = []
    for old in order:
        node = nodes[old]
        if isinstance(node, Call):
            node = Call(node.function, tuple(new[a] for a in node.arguments), node.at)
        kept.append(node)
    return tuple(kept)


@dataclass
class _Graph:
    """Nodes, each there once, each after what it is made of."""

    text: str
    logs: Mapping[str, str]
    nodes: list[Node] = field(default_factory=list)
    known: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def keep(self, key: tuple[Any, ...], node: Node) -> int:
        if key not in self.known:
            self.known[key] = len(self.nodes)
            self.nodes.append(node)
        return self.known[key]

    def number(self, value: float, at: int) -> int:
        return self.keep(("number", repr(value)), Number(value, at))  # 0.0 and -0.0 differ

    def call(self, function: str, arguments: tuple[int, ...], at: int) -> int:
        given = [self.nodes[a] for a in arguments]
        if function == "where" and isinstance(given[0], Number):
            return arguments[1] if given[0].value else arguments[2]
        if function == "clamp":
            self.check_bounds(given[1], given[2], at)
            if [isinstance(g, Number) for g in given] != [False, True, True]:
                x, low, high = arguments
                return self.call("minimum", (self.call("maximum", (x, low), at), high), at)
        if all(isinstance(g, Number) for g in given):
            return self.folded(function, [g.value for g in given if isinstance(g, Number)], at)
        if function in ("log", "log1p"):
            rewritten = self.logarithm(function, arguments[0], at)
            if rewritten is not None:
                return rewritten
        return self.keep((function, arguments), Call(function, arguments, at))

    def folded(self, function: str, values: list[float], at: int) -> int:
        if function in FUNCTIONS and not FUNCTIONS[function].elementwise:
            message = f"The {function} of a number alone is taken over nothing."
            raise fault(self.text, at, message, "Use an input or a learned parameter inside.")
        value = operations.on_numbers(function, values)
        if not abs(value) <= LARGEST:  # so is no number
            message = f"This comes to {value:g}, whatever the inputs are."
            raise fault(self.text, at, message, f"The largest is about {LARGEST:.1e}.")
        return self.number(value, at)

    def check_bounds(self, low: Node, high: Node, at: int) -> None:
        if isinstance(low, Number) and isinstance(high, Number) and low.value > high.value:
            message = "The lower bound is above the upper one."
            raise fault(self.text, at, message, f"Write {FUNCTIONS['clamp'].usage}.")

    def logarithm(self, function: str, place: int, at: int) -> int | None:
        """Return the node for log(...) or log1p(...) that stays finite, if it is a known form."""
        inside = self.nodes[place]
        if isinstance(inside, Name) and function == "log" and inside.name in self.logs:
            return self.input(self.logs[inside.name], at)
        if not isinstance(inside, Call):
            return None
        if function == "log1p":
            if inside.function == "exp":
                return self.call("softplus", inside.arguments, at)
            return self.of_complement(inside.arguments[0], at) if inside.function == "neg" else None
        if inside.function in ("sigmoid", "softmax"):
            name = {"sigmoid": "logsigmoid", "softmax": "log_softmax"}[inside.function]
            return self.call(name, inside.arguments, at)
        if inside.function == "sub" and self.is_one(inside.arguments[0]):
            return self.of_complement(inside.arguments[1], at)
        if inside.function == "add" and any(self.is_one(a) for a in inside.arguments):
            other = self.nodes[next(a for a in inside.arguments if not self.is_one(a))]
            if isinstance(other, Call) and other.function == "exp":
                return self.call("softplus", other.arguments, at)
        return None

    def is_one(self, place: int) -> bool:
        node = self.nodes[place]
        return isinstance(node, Number) and node.value == 1

    def of_complement(self, place: int, at: int) -> int | None:
        """Return the node for log(1 - a), if it is a known form."""
        inside = self.nodes[place]
        if isinstance(inside, Name) and f"1 - {inside.name}" in self.logs:
            return self.input(self.logs[f"1 - {inside.name}"], at)
        if isinstance(inside, Call) and inside.function == "sigmoid":
            return self.call("logsigmoid", (self.call("neg", inside.arguments, at),), at)
        return None

    def input(self, name: str, at: int) -> int:
        return self.keep(("name", name), Name(name, at))


#: (function, places of its arguments, place of its answer)
Step = tuple[Compute, tuple[int, ...], int]


@dataclass(frozen=True)
class Program:
    """Steps over a row of places: inputs, learned parameters, constants, what is in between."""

    constants: tuple[float, ...]
    steps: tuple[Step, ...]
    spare: int  # places for what is in between, each used again once its content is
    result: int

    def run(self, given: list[Any]) -> Tensor:
        """Compute the answer from the inputs and the learned parameters, in this order."""
        places = [*given, *self.constants, *[None] * self.spare]
        for function, arguments, target in self.steps:
            places[target] = function(*[places[a] for a in arguments])
        answer: Tensor = places[self.result]
        return answer


def compile_tree(
    tree: Tree, inputs: Sequence[str], learned: Sequence[str], elementwise: bool
) -> Program:
    """Return the program of a lowered tree; see `Function` for its meaning."""
    line = _Line([*inputs, *learned])
    for node in tree:
        line.write(node)
    depends = set(inputs) & {node.name for node in tree if isinstance(node, Name)}
    result = line.places[-1]
    if elementwise and not depends:
        result = line.step(operations.spread, result, *range(len(inputs)))
    elif isinstance(tree[-1], Number):
        result = line.step(operations.constant_like, 0, result)
    return line.program(result)


@dataclass
class _Line:
    """Steps being written: values have provisional numbers, constants and answers after inputs."""

    given: list[str]
    places: list[int] = field(default_factory=list)  # of each node of the tree
    constants: dict[int, float] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        self.count = len(self.given)

    def new(self) -> int:
        self.count += 1
        return self.count - 1

    def step(self, function: Compute, *arguments: int) -> int:
        target = self.new()
        self.steps.append((function, arguments, target))
        return target

    def write(self, node: Node) -> None:
        if isinstance(node, Name):
            self.places.append(self.given.index(node.name))
        elif isinstance(node, Number):
            self.places.append(self.new())
            self.constants[self.places[-1]] = node.value
        else:
            arguments = [self.places[a] for a in node.arguments]
            self.places.append(self.call(node.function, arguments))

    def call(self, function: str, arguments: list[int]) -> int:
        far = any(abs(self.constants.get(a, 0.0)) > LARGEST_HALF for a in arguments)
        if function == "atan2" or (far and function in ("maximum", "minimum", "clamp", "pow")):
            x = next(a for a in arguments if a not in self.constants)
            arguments = [self.tensor(a, x) if a in self.constants else a for a in arguments]
        numbers = [a in self.constants for a in arguments]
        if function in ("maximum", "minimum") and any(numbers):
            bound, x = sorted(arguments, key=lambda a: a not in self.constants)
            return self.step(
                operations.at_least if function == "maximum" else operations.at_most, x, bound
            )
        if function == "where" and all(numbers[1:]):
            arguments[1] = self.tensor(arguments[1], self.beside(arguments[0]))
        return self.step(operations.compute_of(function), *arguments)

    def tensor(self, constant: int, x: int) -> int:
        return self.step(operations.constant_like, x, constant)

    def beside(self, condition: int) -> int:
        """Return a tensor that a condition compares."""
        compared = next(arguments for _, arguments, target in self.steps if target == condition)
        return next(a for a in compared if a not in self.constants)

    def program(self, result: int) -> Program:
        """Give every value its final place; a place is free again after its last use."""
        final = {number: number for number in range(len(self.given))}
        for constant in self.constants:
            final[constant] = len(final)
        start = top = len(final)
        last = {a: when for when, (_, arguments, _) in enumerate(self.steps) for a in arguments}
        last[result] = len(self.steps)
        free: list[int] = []
        steps: list[Step] = []
        for when, (function, arguments, target) in enumerate(self.steps):
            read = tuple(final[a] for a in arguments)
            done = {final[a] for a in arguments if last[a] == when and final[a] >= start}
            free += sorted(done)
            if not free:
                free.append(top)
                top += 1
            final[target] = free.pop()
            steps.append((function, read, final[target]))
        constants = tuple(self.constants.values())
        return Program(constants, tuple(steps), top - start, final[result])

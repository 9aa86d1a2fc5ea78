"""A stack as YAML text, file or Python list -> checked plain data, every option written out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quickstudy.errors import ChoiceError, did_you_mean
from quickstudy.network.stack.layers import LAYERS, Layer
from quickstudy.network.stack.options import REQUIRED, Option, shown
from quickstudy.recipe.yaml_text import Lines, parse, read_file

#: Layers in all, repeats counted as often as they run, and lists within lists.
MOST_LAYERS, MOST_DEPTH = 10_000, 30
_MOST_FAULTS = 8
_FORM = "A stack is a YAML list: a line '- LAYER' or '- LAYER: {OPTION: VALUE}' each."
_SHORTER = "Write what comes again with 'repeat: {times: N, of: [...]}'."
_ALL = "Layers: " + ", ".join(LAYERS) + "; or an activation, as relu or 'x * sigmoid(x)'."


def read_stack(source: str | Path | list[Any] | dict[str, Any]) -> list[Any]:
    """Return the layers of a stack as plain data that reads back as itself.

    `source` is a `Path` or a name that ends in .yaml, .yml or .json; YAML text; or the list (or
    ``{"stack": list}``) that such a file holds. Raises `ChoiceError` that names every faulty layer,
    its line where there is one, and what was meant.

    >>> read_stack("[conv: 8, relu, dense: classes]")[1]
    {'activation': {'function': 'relu'}}
    """
    data, lines = _load(source)
    if isinstance(data, Mapping):
        if list(data) != ["stack"]:
            keys = ", ".join(shown(key) for key in list(data)[:5])
            raise ChoiceError(f"A stack has the one key 'stack', not {keys or 'none'}.", _ALL)
        data = data["stack"]
    reader = _Reader(lines)
    layers = reader.layers(data, "stack", 0, 1)
    reader.finish()
    return layers


def _load(source: Any) -> tuple[Any, Lines]:
    if isinstance(source, Path):
        where = f"The stack {source}"
        text = read_file(source, where, "Give a YAML file.")
        return parse(text, where, _FORM, shorter=_SHORTER)
    if isinstance(source, str):
        named = source.strip().lower().endswith((".yaml", ".yml", ".json"))
        if named and "\n" not in source.strip():
            return _load(Path(source.strip()))
        return parse(source, "The stack", _FORM, shorter=_SHORTER)
    return source, {}


class _Reader:
    """One reading: counts layers, and collects faults so as to tell them all at once."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.faults: list[ChoiceError] = []
        self.count = 0

    def finish(self) -> None:
        """Raise what was found."""
        if len(self.faults) == 1:
            raise self.faults[0]
        if self.faults:
            told = (
                f"- {fault.message} {'' if fault.hint == _ALL else fault.hint}".rstrip()
                for fault in self.faults
            )
            hint = _ALL if any(fault.hint == _ALL for fault in self.faults) else ""
            raise ChoiceError("The stack has these faults:\n" + "\n".join(told), hint)

    def fault(self, message: str, hint: str = "") -> None:
        """Note a fault; stop where there are many."""
        self.faults.append(ChoiceError(message, hint))
        if len(self.faults) >= _MOST_FAULTS:
            self.finish()

    def counted(self, times: int, path: str) -> None:
        """Raise `ChoiceError` once the stack would have too many layers."""
        self.count += times
        if self.count > MOST_LAYERS:
            raise ChoiceError(
                f"The stack has more than {MOST_LAYERS:,} layers by {path}.",
                "Write a smaller one; aliases and repeats count as often as they stand for layers.",
            )

    def layers(
        self, data: Any, path: str, depth: int, times: int, *, empty: bool = False
    ) -> list[Any]:
        """Return a list of layers that runs `times` times, normalised."""
        if depth > MOST_DEPTH:
            raise ChoiceError(
                f"{path[:60]}...: layers lie more than {MOST_DEPTH} deep within each other.",
                "Write them one after the other.",
            )
        if not isinstance(data, list | tuple) or not (data or empty):
            what = "is empty" if isinstance(data, list | tuple) else f"is {shown(data)}"
            self.fault(f"{path} {what}, and not a list of layers.", _ALL)
            return []
        lines = self.lines.get(id(data), [])
        made = []
        for number, item in enumerate(data):
            line = f"line {lines[number]}" if number < len(lines) else ""
            self.counted(times, f"{path}[{number}]")
            made += self.layer(item, f"{path}[{number}]", line, depth, times)
        return made

    def layer(self, item: Any, path: str, line: str, depth: int, times: int) -> list[Any]:
        """Return ``[{name: options}]``, or nothing for a faulty layer."""
        found = self.named(item, f"{path} ({line})" if line else path)
        if found is None:
            return []
        name, given = found
        layer, where = LAYERS[name], f"{path} ({name}, {line})" if line else f"{path} ({name})"
        given = self.said(layer, name, given, where)
        options = None if given is None else self.options(layer, name, given, where)
        if options is None:
            return []
        times *= options.get("times", 1)
        for key, option in layer.options.items():
            inner = f"{path}.{name}" + (".shortcut" if key == "shortcut" else "")
            if option.holds == "layers" and options[key] is not None:
                options[key] = self.layers(options[key], inner, depth + 1, times)
            elif option.holds == "lists":
                options[key] = self.lists(options[key], inner, depth + 1, times)
        return [{name: options}]

    def lists(self, data: Any, path: str, depth: int, times: int) -> list[Any]:
        """Return the lists of layers of branches; an empty one hands on what comes in."""
        if len(data) < 2:
            self.fault(
                f"{path} has {len(data)} branches.", "Give two or more lists, as [[...], [...]]."
            )
        made = []
        for number, branch in enumerate(data):
            self.counted(times, f"{path}[{number}]")
            made.append(self.layers(branch, f"{path}[{number}]", depth, times, empty=True))
        return made

    def named(self, item: Any, where: str) -> tuple[str, Any] | None:
        """Return the layer that an item names, and what is said of it."""
        if isinstance(item, str):
            if item in LAYERS:
                return item, {}
            return "activation", str(item)
        if not isinstance(item, Mapping) or not item:
            self.fault(f"{where} is {shown(item)}, and not a layer.", _ALL)
            return None
        name, given = next(iter(item.items()))
        if not isinstance(name, str) or name not in LAYERS:
            near = did_you_mean(name, LAYERS) if isinstance(name, str) else ""
            self.fault(f"{where}: there is no layer {shown(name)}.", near or _ALL)
            return None
        if len(item) > 1:
            others = ", ".join(shown(key) for key in list(item)[1:5])
            self.fault(
                f"{where}: {others} beside {name} in one item.",
                f"Each layer has its own '- '; options stand deeper, as {name}: {{OPTION: VALUE}}.",
            )
            return None
        return name, {} if given is None else given

    def said(self, layer: Layer, name: str, value: Any, where: str) -> Mapping[str, Any] | None:
        """Return the options that ``LAYER: VALUE`` stands for, or None where there is a fault."""
        if isinstance(value, Mapping):
            return value
        if layer.short:
            return {layer.short: value}
        known = ", ".join(layer.options)
        hint = f"Its options: {known}." if known else f"Write '- {name}'."
        self.fault(f"{where} takes no {shown(value)}.", hint)
        return None

    def options(
        self, layer: Layer, name: str, given: Mapping[str, Any], where: str
    ) -> dict[str, Any] | None:
        """Return all options of a layer, checked, or None where there is a fault."""
        before = len(self.faults)
        for key in given:
            if key not in layer.options:
                near = did_you_mean(key, layer.options) if isinstance(key, str) else ""
                known = ", ".join(layer.options) or "none"
                self.fault(
                    f"{where} has no option {shown(key)}.", near or f"Options of {name}: {known}."
                )
        options = {
            key: self.option(option, key, given, where) for key, option in layer.options.items()
        }
        if len(self.faults) > before:
            return None
        try:
            return layer.settle(options)
        except ChoiceError as problem:  # of an activation
            function = options["function"]
            near = did_you_mean(function, LAYERS) if function.isidentifier() else ""
            if function in ("softmax", "log_softmax"):
                near = "Leave it out: the loss takes it, and so does the model when it answers."
            self.fault(f"{where}: {problem.message}", near or problem.hint)
        except ValueError as problem:
            self.fault(f"{where}: {problem}.")
        return None

    def option(self, option: Option, key: str, given: Mapping[str, Any], where: str) -> Any:
        """Return the checked value of one option, or its default."""
        if key not in given:
            if option.default is REQUIRED:
                self.fault(f"{where}: {key} is missing: {option.words}.")
            return option.default
        try:
            return option.check(given[key])
        except (ValueError, OverflowError):
            self.fault(f"{where}: {key} is {shown(given[key])}, and not {option.words}.")
            return None

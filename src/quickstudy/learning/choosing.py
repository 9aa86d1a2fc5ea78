"""What somebody gives as network, loss or optimiser: a name, text, data or code -> choices."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quickstudy.catalog import column_names
from quickstudy.errors import ChoiceError, WeightsError, did_you_mean
from quickstudy.functions import as_text, check_loss, is_expression, parse
from quickstudy.kinds import NOUNS
from quickstudy.network import known
from quickstudy.network.own import PREFIX, called, check_kind
from quickstudy.network.stack import read_stack
from quickstudy.training import check_optimizer

_COLUMNS = ("path_column", "label_column", "split_column", "group_column", "target")
_PATTERNS = ("label_from", "group_from", "kind")
_STACKS = (".yaml", ".yml")


def columns_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return of the arguments of `learn` those that say where labels and groups stand."""
    names = {name: column_names(asked[name]) for name in _COLUMNS}
    return names | {name: asked[name] for name in _PATTERNS}


def choices(network: Any, loss: Any, optimizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return dotted recipe keys with their values, and what of it is code, by ``network`` ...

    A network is a name, an ONNX file, a stack (a YAML file, its text, a list), an expression in the
    columns of a table, an nn.Module or what makes one. A loss is a name, an expression or a
    function; an optimiser a name or a function of the parameters. Raises `ChoiceError`.
    """
    chosen: dict[str, Any] = {}
    code: dict[str, Any] = {}
    if network is not None:
        chosen |= _network(network, code)
    if loss is not None:
        chosen["loss.name"] = _function("loss", loss, code)
    if optimizer is not None:
        chosen["optimizer.name"] = _function("optimizer", optimizer, code)
    return chosen, code


def _network(network: Any, code: dict[str, Any]) -> dict[str, Any]:
    if isinstance(network, list | dict):
        return {"network.name": "stack", "network.stack": read_stack(network)}
    if isinstance(network, str | os.PathLike):
        text = os.fspath(network)
        if text.lower().endswith(_STACKS) or "\n" in text:
            source = text if "\n" in text else Path(text).expanduser()
            return {"network.name": "stack", "network.stack": read_stack(source)}
        if text.lower().endswith(".onnx"):
            path = Path(text).expanduser()
            if not path.is_file():
                raise WeightsError(f"There is no file {text}.", "Check the name.")
            return {"network.name": str(path.absolute())}
        return {"network.name": _no_code("network", text)}
    if not callable(network) and hasattr(network, "owner"):
        return {"network.name": as_text(network)}
    check_kind(network)
    code["network"] = network
    return {"network.name": called(network)}


def _function(what: str, given: Any, code: dict[str, Any]) -> str:
    if isinstance(given, str):
        return _no_code(what, given)
    if callable(given):
        if what == "loss":
            check_loss(given)
        code[what] = given
        return called(given)
    if what == "loss" and hasattr(given, "owner"):
        return as_text(given)
    raise ChoiceError(
        f"A {type(given).__name__} is no {what}.", "Give a name, or a function of the parameters."
    )


def _no_code(what: str, name: str) -> str:
    """Return a name; raise `ChoiceError` where it only says that somebody gave code once."""
    if name.startswith(PREFIX):
        raise ChoiceError(
            f"'{name}' is how a recipe calls a {what} that is code.",
            f"Give the code itself, in Python: qs.learn(..., {what}=...).",
        )
    return name


def with_stack(chosen: Mapping[str, tuple[Any, str]]) -> dict[str, tuple[Any, str]]:
    """Return choices with the name that goes with a stack, where only its layers were given.

    Raises `ChoiceError` where the layers stand beside another network.
    """
    layers, why = chosen.get("network.stack", (None, ""))
    if layers is None:
        return dict(chosen)
    name = chosen.get("network.name", ("stack", why))
    if name[0] != "stack":
        raise ChoiceError(
            f"The layers of network.stack stand beside another network, '{name[0]}'.",
            "Leave one of them out: a stack has the network.name 'stack'.",
        )
    return {**chosen, "network.name": name}


def check_choices(chosen: Mapping[str, tuple[Any, str]]) -> None:
    """Refuse unknown names before anything is read; what depends on the examples waits.

    Raises `ChoiceError`.
    """
    values = {key: value for key, (value, _) in chosen.items()}
    name = str(values.get("network.name", "compact"))
    if name == "stack":
        if not values.get("network.stack"):
            raise ChoiceError(
                "The network 'stack' has no layers.", "Give --network FILE.yaml, or network.stack."
            )
        read_stack(values["network.stack"])
    elif not (name == "tabm" or name.startswith(PREFIX) or name.lower().endswith(".onnx")):
        if is_expression(name):
            _check_formula(name)
        elif near := did_you_mean(name, ("tabm", "stack")):
            raise ChoiceError(f"There is no network '{name}'.", near)
        else:
            known(name)
    activation = str(values.get("network.activation", ""))
    if is_expression(activation) and activation:
        parse(activation)
    loss = str(values.get("loss.name", ""))
    if loss and not loss.startswith(PREFIX):
        check_loss(loss, values.get("task"))
    if "optimizer.name" in values and not str(values["optimizer.name"]).startswith(PREFIX):
        check_optimizer(str(values["optimizer.name"]))


def refuse_formula(name: str, kind: str) -> None:
    """Raise `ChoiceError` for a formula in place of a network where examples are not rows."""
    if kind == "table" or not is_expression(name):
        return
    try:
        known(name)
    except ChoiceError as unknown:
        try:
            parse(name)
        except ChoiceError:
            raise unknown from None
        raise ChoiceError(
            f"'{name}' is a formula in the columns of a table; these are {NOUNS[kind][1]}.",
            "Name a network (quickstudy networks), or give a stack of layers: FILE.yaml.",
        ) from unknown


def _check_formula(text: str) -> None:
    """Raise what helps most: a name of timm's may have signs in it as a formula has."""
    try:
        parse(text)
    except ChoiceError as problem:
        try:
            known(text)
        except ChoiceError as unknown:
            raise (unknown if "Did you mean" in unknown.hint else problem) from problem

"""The folder of a model: safetensors, JSON and text, with checksums; reading it runs no code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from quickstudy.errors import ChoiceError, ModelError
from quickstudy.folders import disk_errors, write_whole
from quickstudy.hardware import lay_out
from quickstudy.kinds import EXAMPLES
from quickstudy.network.weights import apart
from quickstudy.runtimes.checked import believing
from quickstudy.runtimes.choosing import SUMS, folder_of, no_model

FORMAT = 4
"""1 knew pictures alone, 2 one class an example, 3 no promises; `_as_now` reads their folders."""
PROMISES = "calibration.safetensors"
CARD = "README.md"
_LONGEST_CARD = 2**20  # bytes

Arrays = Mapping[str, NDArray[Any]]


def write(
    folder: Path,
    network: nn.Module,
    described: Mapping[str, Any],
    arrays: Arrays | None = None,
    card: str = "",
) -> Path:
    """Write a network, its description and its calibration's; raises `RunError` on a full disk.

    Without a `card` a short one is made. It has no checksum: people add to it, as a licence.
    """
    with disk_errors("the model"):
        folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {
        "weights.safetensors": save_tensors(apart(network.state_dict())),
        "model.json": json.dumps({"format": FORMAT, **described}, indent=2).encode(),
    }
    if arrays:
        files[PROMISES] = save_arrays({k: np.ascontiguousarray(v) for k, v in arrays.items()})
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()
    )
    for name, content in files.items():
        write_whole(folder / name, content)
    write_whole(folder / SUMS, sums)
    keep_card(folder, card or _short_card(described))
    return folder


def keep_card(folder: Path, card: str) -> None:
    """Write a model's card; raises `RunError` on a full disk."""
    write_whole(folder / CARD, card.encode("utf-8", "replace"))


def card_in(folder: Path) -> str:
    """Return the card of a model's folder, or of a run's; nothing where it has none."""
    inside = folder / "model" / CARD
    path = inside if inside.is_file() else folder / CARD
    if not path.is_file() or path.stat().st_size > _LONGEST_CARD:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _short_card(described: Mapping[str, Any]) -> str:
    """Return what a description tells alone: the card of a model whose run has not ended."""
    facts, file = described["facts"], EXAMPLES[described["kind"]]
    score = f"\n{facts['result']}\n" if facts.get("result") else ""
    what = {"classification": "It tells apart", "multilabel": "It finds any of"}
    says = what.get(described["task"]["name"], "It gives the numbers")
    listed = "\n".join(f"- {name}" for name in described["task"]["outputs"][:1000])
    return (
        "---\nlibrary_name: quickstudy\ntags:\n- quickstudy\n- pytorch\n---\n\n"
        f"# A Quickstudy model: {described['network']['name']}\n{score}\n"
        f"Use it: `quickstudy predict THIS_FOLDER {file}`, or in Python\n"
        f'`quickstudy.load("THIS_FOLDER").predict("{file}")`.\n\n'
        f"{says}:\n\n{listed}\n"
    )


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], Arrays]:
    """Return description, tensors and arrays of the calibration, as their checksums say.

    Raises `ModelError`.
    """
    files = _checked(folder)
    with believing(folder):
        described = json.loads(files["model.json"])
        newer = described["format"] > FORMAT
        if not newer:
            described = _as_now(described)
    if newer:
        raise ModelError(
            f"{folder} was made by a newer Quickstudy (format {str(described['format'])[:20]}).",
            "Update: pip install --upgrade quickstudy",
        )
    try:
        arrays = load_arrays(files[PROMISES]) if PROMISES in files else {}
        return described, load_tensors(files["weights.safetensors"]), arrays
    except SafetensorError as problem:
        raise ModelError(
            f"The weights in {folder} cannot be read: {problem}.", "Copy it again."
        ) from problem


def _as_now(described: dict[str, Any]) -> dict[str, Any]:
    """Return a description of an older format as it would be written today."""
    if described["format"] < 3:
        preparation = dict(described["preparation"])
        temperature = preparation.pop("temperature", 1.0)
        task = {"name": "classification", "outputs": described["classes"]}
        described["task"] = {**task, "temperature": temperature}
        described["preparation"] = preparation
    if described["format"] < 4:
        described["calibration"] = {"sets": None, "unknown": None}
    return described


def put(network: nn.Module, tensors: dict[str, Tensor], folder: Path, device: str | None) -> None:
    """Put tensors into a network, on its device, ready to answer.

    Raises `ModelError` where they do not fit, which is likely of a network given as code.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError as problem:
        what = next((line.strip() for line in str(problem).splitlines()[1:]), str(problem))
        raise ModelError(
            f"The weights in {folder} do not fit the network: {what}",
            "Give the network that it was learnt with: load(folder, network=...).",
        ) from problem
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        lay_out(network.to(where).eval(), "channels_last")
    except (RuntimeError, AssertionError) as problem:
        raise ChoiceError(
            f"The device '{where}' cannot be used here: {str(problem).splitlines()[0]}.",
            "Leave it out, or use cpu.",
        ) from problem


def _checked(folder: Path) -> dict[str, bytes]:
    """Return the files of a model's folder, or of a run's, each as its checksum says."""
    given, folder = folder, folder_of(folder)
    sums = folder / SUMS
    if not sums.is_file():
        raise no_model(given)
    lines = (line.partition("  ") for line in sums.read_text(errors="replace").splitlines())
    expected = {name: digest for digest, _, name in lines}
    found: dict[str, bytes] = {}
    for name in ("weights.safetensors", "model.json", *({PROMISES} & expected.keys())):
        path = folder / name
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != expected.get(name):
            raise ModelError(
                f"{path} is not what was saved: it was altered, cut short, or is missing.",
                "Copy the model's folder again from where it was made.",
            )
        found[name] = content
    return found

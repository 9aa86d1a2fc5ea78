"""What no script can say yet: refused by name, with what to do, never left out in silence."""

from __future__ import annotations

from typing import Any

from quickstudy.errors import ChoiceError, RunError
from quickstudy.recipe import PREFIX
from quickstudy.script import formulas, losses
from quickstudy.script.told import Told

#: Keys of a recipe that say how fast, how long or on what, not what is learnt; or that the script
#: reads from elsewhere.
_NO_MATTER = frozenset(
    {
        *("kind", "task", "budget", "test", "val", "rehearsal", "epochs"),
        *("suspects", "data_curve", "race", "cache"),
        *("compute.device", "compute.memory_format", "compute.threads"),
        *("compute.compile", "compute.allocator", "compute.sharding"),
        *("picture.max_pixels", "sound.long", "sound.span", "optimizer.restarts", "loss.name"),
        *("table.members", "table.bins", "table.trees"),
    }
)
#: Keys that the pieces write out whatever their value.
_WRITTEN = frozenset(
    {
        *(
            "loss.name",
            "patience",
            "seed",
            "method",
            "batch",
            "averaging",
            "balance",
            "network.name",
            "network.weights",
        ),
        *(
            "network.width",
            "network.depth",
            "network.activation",
            "network.dropout",
            "optimizer.lr",
        ),
        *("optimizer.momentum", "optimizer.weight_decay", "schedule.warmup"),
        "loss.label_smoothing",
        *(f"picture.{key}" for key in ("size", "start_size", "fit", "mean", "std")),
        *(f"sound.{key}" for key in ("rate", "window", "fft", "hop", "mels", "low", "high")),
        *(f"augment.{key}" for key in ("mirror", "crop", "rotate", "colour", "mixup", "cutmix")),
        *(f"augment.{key}" for key in ("shift", "speed", "gain", "noise")),
        *("augment.mask_time", "augment.mask_bands"),
    }
)
#: Keys of which only some values can be written.
_SOME: dict[str, tuple[Any, ...]] = {
    "network.stem": ("usual", ""),
    "network.channels": (3,),
    "optimizer.name": ("sgd", "adamw", "muon"),
    "schedule.shape": ("cosine", "linear", "constant"),
    "compute.precision": ("auto", "float32", "bfloat16"),
}
#: What ships of a search, where several networks made it.
_MADE = {
    "ensemble": "several networks as one (--ensemble)",
    "distilled": "a network that others taught (--distil)",
}
_USUAL = "The model itself runs anywhere that Quickstudy does; learn without that for a script."
_OWN = (
    "It is code of your own already: learn with one by name for a script, and put your own in its "
    "place there."
)


def refuse(told: Told) -> None:
    """Raise `ChoiceError` for all that the pieces cannot write out; `RunError` for lost files."""
    faults = _faults(told)
    if faults:
        own = any(PREFIX in fault for fault in faults)
        raise ChoiceError(
            f"A script cannot say this yet: {'; '.join(faults)}.", _OWN if own else _USUAL
        )
    odd = next((name for name in told.classes if ";" in name), None)
    if told.asks == "multilabel" and odd is not None:
        raise ChoiceError(f"A script cannot read labels with a semicolon: '{odd}'.", "Rename it.")
    if told.kind == "table" and not told.has_cells:
        raise ChoiceError(
            "That run's table was too large to keep beside it, or an older Quickstudy made it.",
            "Learn from fewer rows for a script, or learn again.",
        )
    if told.kind != "table" and not told.decoded and not all(row["path"] for row in told.rows):
        raise ChoiceError(
            "That run learnt from a Python object too large to keep beside it.",
            "Learn from files (a folder or a table) for a script.",
        )
    gone = next((path for path in told.paths() if not path.is_file()), None)
    if gone is not None:
        raise RunError(
            f"The run's examples have gone: {gone} is not there.", "Put them back where they were."
        )


def _faults(told: Told) -> list[str]:
    """Return all that the pieces cannot write out."""
    faults = [_MADE[told.ships]] if told.ships in _MADE else []
    name = str(told.recipe["network.name"])
    plain = told.kind in ("image", "sound") and name == "stack"
    if name.lower().endswith(".onnx") or ":" in name or (name == "stack" and not plain):
        faults.append(f"network.name = {name}")
    activation = told.recipe["network.activation"]
    if activation and name != "compact":
        faults.append(f"network.activation = {activation} in {name}")
    if told.recipe.get("patience") and told.kind != "table":
        faults.append(f"patience = {told.recipe['patience']}")
    for key, value in told.recipe.items():
        if key == "network.stack" and plain:
            continue
        if key in _SOME and not told.formula:
            fine = value in _SOME[key]
        else:
            fine = key in _NO_MATTER or key in _WRITTEN or key in _SOME or not value
        if not fine:
            faults.append(f"{key} = {value}")
    more = formulas.fault(told) if told.formula else losses.fault(told)
    return [*faults, *([more] if more else [])]

"""facts + hardware + budget -> Recipe. Pure: no torch, no files, no clock.

The one dial is the budget; everything else is derived here, in numbered steps, each with its
reason. A choice that somebody already made (``--set``, ``--recipe``) is kept, and the later steps
see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quickstudy.errors import ChoiceError
from quickstudy.facts import Facts
from quickstudy.hardware import Hardware
from quickstudy.kinds import NOUNS
from quickstudy.recipe import disk, pictures, sounds, tables
from quickstudy.recipe.draft import PREFIX, Draft, Offer, is_formula
from quickstudy.recipe.types import KEYS_OF, SECTIONS, Recipe

_REHEARSAL = 0.3
_ONNX = "A network from an ONNX file"
#: What of a network by name may be another, and what it is unasked.
_SHAPES = {**pictures.SHAPES, "network.activation": ""}

#: Task -> its loss, and why.
LOSSES = {
    "classification": ("cross_entropy", "least when the probabilities are right"),
    "multilabel": ("binary_cross_entropy", "asks for each label on its own"),
    "regression": ("mean_squared_error", "least when the mean of what may be is said"),
}


def plan(
    facts: Facts,
    machine: Hardware,
    budget: float,
    offers: Sequence[Offer],
    *,
    seed: int = 0,
    own: Mapping[str, tuple[Any, str]] | None = None,
    no_offer: str = "",
    native: int | None = None,
) -> Recipe:
    """Choose every hyper-parameter; `own` maps a key to (value, reason) that is kept as it is.

    `native` is the size in pixels that a network named by somebody is made for.
    `no_offer` says why there are no weights to start from. Raises `ChoiceError` where somebody's
    own choices contradict each other.
    """
    p = Draft(own or {})
    kind = p.choose("kind", facts.kind, "what the files are")
    if kind != facts.kind:
        raise ChoiceError(
            f"This recipe is for {NOUNS[kind][1]}; these are {NOUNS[facts.kind][1]}.",
            "Leave its line 'kind' out, or say --kind.",
        )
    _check_keys(p, kind)
    p.choose("task", facts.task, facts.task_why)
    budget = p.choose("budget", float(budget), "you gave it")
    p.choose("seed", seed, "any number will do; the same one gives the same split and start")
    _holdout(p, facts)
    training = budget * (1 - p.values["rehearsal"])
    offer = None
    if kind == "table":
        tables.network(p, facts)
    elif kind == "sound":
        _network_for_sound(p)
        sounds.spectra(p, facts, machine, training)
    else:
        offer = pictures.network(p, facts, machine, training, offers, no_offer)
        if offer is None:
            pictures.from_scratch(p, facts, machine, training, native)
        else:
            pictures.for_weights(p, facts, offer)
    _shape(p)
    method = _method(p, offer)
    learnt = max(1, int(facts.learnable * (0.9 if facts.test_given else 0.75)))
    if kind == "table":
        tables.training(p, facts, learnt)
    _training(p, facts, machine, method, learnt)
    if kind == "sound":
        sounds.augmentation(p, facts)
    elif kind == "image":
        pictures.augmentation(p, facts, method)
    disk.streaming(p, facts)
    _computing(p, machine)
    return p.recipe()


def _check_keys(p: Draft, kind: str) -> None:
    """Refuse settings of another kind: they would change nothing."""
    strange = [key for key in p.own if key not in KEYS_OF[kind]]
    if strange:
        sections = ", ".join(f"{name}.*" for name in SECTIONS[kind])
        raise ChoiceError(
            f"These are {NOUNS[kind][1]}: {', '.join(strange)} has no meaning for them.",
            f"Leave it out. Settings there are: {sections}; see docs/recipe.md.",
        )


def _network_for_sound(p: Draft) -> None:
    """Step 2 for sound: from scratch, on spectra."""
    if p.own.get("network.weights", ("none", ""))[0] != "none":
        raise ChoiceError(
            "There are no trained weights for recordings: those of pictures have never heard.",
            "Leave --weights out.",
        )
    p.choose("network.name", "compact", "a small residual network on spectra suits small data")
    p.choose("network.weights", "none", "there are none for sound")


def _holdout(p: Draft, facts: Facts) -> None:
    """Step 1: what is kept back. A test of 15 % of 2,000 has an interval of about 4 points."""
    why = "the source brings its own test" if facts.test_given else "enough for an honest interval"
    p.choose("test", 0.15, why)
    p.choose("val", 0.1, "steers the run; small, because what is held out is not learnt from")
    p.choose(
        "rehearsal",
        _REHEARSAL if facts.suggested else 0.0,
        f"{facts.suggested}: a second training without some tells how it does on new ones"
        if facts.suggested
        else "no groups to be new to",
    )


def _method(p: Draft, offer: Offer | None) -> str:
    """Step 4: how much of the network is learnt."""
    if offer is None:
        method = p.choose("method", "scratch", "there are no weights to start from")
    else:
        method = p.choose(
            "method",
            "finetune",
            "the last layer first, in seconds; the rest in what time is left, "
            "if val says that it helps",
        )
    _suspects(p, method)
    p.choose("data_curve", "if_quick", "whether more data would help, where seconds tell")
    if method != "scratch" and offer is None:
        raise ChoiceError(
            f"The method '{method}' needs trained weights, and there are none: "
            f"{p.why['network.weights']}.",
            "Give --weights FILE, or leave the method out.",
        )
    return str(method)


def _suspects(p: Draft, method: str) -> None:
    """Step 4, second part: labels that are probably wrong, where there is time to tell."""
    if p.values["task"] != "classification":
        p.choose("suspects", "keep", "only classes can be doubted")
    elif p.values["kind"] == "table":
        p.choose("suspects", "list", "rows that trees get wrong are often only hard to tell")
    elif method == "scratch":
        p.choose("suspects", "list", "when they can be told, the network has learnt from all")
    else:
        p.choose("suspects", "leave_out", "a label that is certainly wrong teaches what is wrong")


def _shape(p: Draft) -> None:
    """Step 3, last part: what of a network by name may be another; nothing is, unasked.

    Raises `ChoiceError` where the network is none by name, and would not heed it.
    """
    if what := _as_it_is(p):
        fixed = {**_SHAPES, "network.dropout": 0.0}
        if what == _ONNX:
            del fixed["network.dropout"]
        other = [key for key, value in fixed.items() if p.own.get(key, (value,))[0] != value]
        if other:
            raise ChoiceError(
                f"{what} is taken as it is: {', '.join(other)} would change nothing.",
                "Leave it out, or name a network: quickstudy networks.",
            )
        for key, value in fixed.items():
            p.choose(key, value, "the network is taken as it is")
    p.choose("network.activation", "", "the network's own")
    p.choose("network.depth", (), "the usual one")
    p.choose("network.stem", "usual", "the usual one")
    p.choose("network.channels", 3, "colours may tell")
    p.choose("network.stack", None, "a network by name")


def _as_it_is(p: Draft) -> str:
    """Return what the network is, where it is none by name; else nothing."""
    name = str(p.values["network.name"])
    if name.startswith(PREFIX):
        return "A network of your own code"
    if name == "stack":
        return "A stack"
    if name.lower().endswith(".onnx"):
        return _ONNX
    return "A formula" if is_formula(name, p.values["kind"]) else ""


def _training(p: Draft, facts: Facts, machine: Hardware, method: str, learnt: int) -> None:
    """Step 5: loss, optimiser, schedule, averaging."""
    scratch = method == "scratch"
    p.choose("epochs", None, "as many as the budget allows")
    p.choose("patience", None, "all the time there is")
    p.choose("race", *_race(p, scratch))
    p.choose("batch", *_batch(learnt, machine.device, scratch))
    p.choose(
        "network.dropout",
        0.0 if scratch else 0.2,
        "augmentation regularises" if scratch else "few examples, many features",
    )
    if scratch:
        p.choose(
            "optimizer.name",
            "muon",
            "its steps move a layer in all directions alike: more is learnt in few passes",
        )
    else:
        p.choose("optimizer.name", "adamw", "moves trained weights gently, each at its own rate")
    if p.values["optimizer.name"] == "lbfgs" and p.values["kind"] != "table":
        raise ChoiceError(
            "L-BFGS takes all examples at once: it is for formulas and tables.",
            "Take adamw or muon here.",
        )
    p.choose("optimizer.lr", None, "found by a range test on your data")
    p.choose("optimizer.momentum", 0.9, "the usual value")
    p.choose("optimizer.weight_decay", 0.05, "the usual value for decoupled decay")
    p.choose("optimizer.restarts", 32, "of L-BFGS: the lowest of several ends")
    p.choose("schedule.shape", "cosine", "ends gently whatever the length")
    p.choose("schedule.warmup", 0.05, "statistics settle before the large steps")
    p.choose("loss.name", *LOSSES[p.values["task"]])
    classes = p.values["task"] == "classification"
    p.choose(
        "loss.label_smoothing",
        0.1 if classes else 0.0,
        "keeps the network from being sure of everything" if classes else "only of classes",
    )
    p.choose("averaging", 0.998, "the average of the last steps is better than the last one")
    uneven = classes and facts.largest_class > 1.5 * facts.smallest_class
    p.choose(
        "balance",
        0.5 if uneven else 0.0,
        f"the largest class has {facts.imbalance:.1f} times "
        "the smallest: rare ones count more, by the square root"
        if uneven
        else "the classes are about equal",
    )


def _race(p: Draft, scratch: bool) -> tuple[int | None, str]:
    """Return how many recipes race, and why."""
    if p.values["epochs"] is not None:
        return 1, "the epochs are given: nothing may depend on the clock"
    if p.values["kind"] == "table" or p.values["patience"] is not None:
        return 1, "learnt until val gets no better, mostly in seconds"
    if not scratch:
        return 1, "trained weights leave little to choose"
    return None, "as many as time allows: settled when training begins"


def _batch(learnt: int, device: str, scratch: bool) -> tuple[int, str]:
    """Return examples per step: a power of 2, at least 16 steps a pass where that is possible."""
    if device != "cpu":
        largest, why = 256, "the usual one on a GPU"
    elif scratch:
        largest = 64  # benchmarks/autotune.py --batches
        why = "on a CPU 32 do 9 to 14 % fewer pictures/s, 128 only 5 to 6 % more"
    else:
        largest, why = 16, "the body's layers at full size take memory: under 2 GB so"
    batch = largest
    while batch > 8 and learnt < 16 * batch:
        batch //= 2
    return batch, why if batch == largest else f"{learnt} examples: {learnt // batch} steps a pass"


def _computing(p: Draft, machine: Hardware) -> None:
    """Step 7: how it is computed here; what can be measured is settled by measuring."""
    p.choose("compute.device", machine.device, "the fastest here")
    if p.values["kind"] == "table":
        p.choose("compute.precision", "float32", "small layers: there is nothing to gain")
        p.choose("compute.memory_format", "contiguous", "rows have no other order")
        p.choose("compute.allocator", "return", "rows are too small to gain from it")
    p.choose("compute.precision", "auto", "measured when training begins")
    p.choose("compute.memory_format", "auto", "measured when training begins")
    p.choose("compute.threads", "auto", "measured when training begins")
    p.choose("compute.allocator", "auto", "measured when training begins")
    p.choose("compute.compile", "auto", "measured when training begins, in a long run")
    p.choose("compute.sharding", "auto", "settled by the memory of all, where several learn")

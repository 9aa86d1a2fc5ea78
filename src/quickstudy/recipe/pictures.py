"""Pictures: which network, how large they are, how they are varied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quickstudy.facts import Facts
from quickstudy.hardware import Hardware
from quickstudy.recipe.draft import Draft, Offer

_TINY = 48  # pixels: pictures up to here are used as they are
_ROOMY = 96  # pixels: from here on the network's stem shrinks by 4
_LARGEST = 224  # pixels: more has not paid from scratch on the budgets measured
_PASSES = 60  # fewer and a smaller size ends better
#: What of a network may be another than what its weights fit, and what it is unasked.
SHAPES: dict[str, Any] = {"network.width": 1.0, "network.depth": (), "network.stem": "usual"}
_GROWING = 0.8  # of the cost at full size: training begins on smaller ones


def network(
    p: Draft,
    facts: Facts,
    machine: Hardware,
    budget: float,
    offers: Sequence[Offer],
    no_offer: str,
) -> Offer | None:
    """Step 2: the network, and whether somebody has already taught it to see."""
    fitting = [o for o in offers if _fits(o, facts, machine, budget)]
    wanted = p.own.get("network.name", (None, ""))[0]
    asked = p.own.get("network.weights", (None, ""))[0]
    offer: Offer | None = None
    named = wanted not in (None, "compact")
    other = [k for k, usual in SHAPES.items() if named and p.own.get(k, (usual,))[0] != usual]
    if asked == "none":
        why = "you asked for none"
    elif other:
        why = f"weights fit the network as published, not with another {', '.join(other)}"
    elif asked is not None or named:
        offer = next((o for o in offers if wanted in (None, o.network)), None)
        why = offer.why if offer else (no_offer or "none found for this network")
    elif facts.picture.short_side < 32:
        why = f"trained networks expect photographs; these are {facts.picture.short_side} px"
    elif fitting:
        offer = max(fitting, key=lambda o: (o.accuracy, -o.flops))
        why = f"{offer.why}; the most accurate at hand that fits the budget"
    else:
        why = no_offer or "none at hand is quick enough for this budget here"
    p.choose(
        "network.name",
        offer.network if offer else (wanted or "compact"),
        "its weights are at hand" if offer else "a small residual network suits small data",
    )
    p.choose("network.weights", offer.weights if offer else "none", why)
    # 300 passes at 64 px and twice the width
    compact = p.values["network.name"] == "compact"
    rich = compact and machine.gigaflops * 1e9 * budget > 300 * facts.learnable * 3 * compact_flops(
        64, 2.0
    )
    p.choose(
        "network.width",
        2.0 if rich else 1.0,
        "there is time for a wider one"
        if rich
        else "suits two cores and thousands of examples"
        if compact
        else "as published",
    )
    return offer


def _fits(offer: Offer, facts: Facts, machine: Hardware, budget: float) -> bool:
    """Whether one pass of the frozen body over all pictures takes under half of the budget."""
    return 0.7 * facts.examples * offer.flops / (machine.gigaflops * 1e9) < 0.5 * budget


def for_weights(p: Draft, facts: Facts, offer: Offer) -> None:
    """Step 3, with weights: what the weights were trained on decides."""
    size = p.choose("picture.size", offer.size, "what these weights were trained at")
    p.choose("picture.start_size", size, "the weights expect one size")
    p.choose("picture.fit", "squash", _fit_reason(facts))
    p.choose("picture.mean", offer.mean, offer.scaling)
    p.choose("picture.std", offer.std, offer.scaling)
    p.choose("picture.max_pixels", 200_000_000, "larger claims are usually attacks or mistakes")


def _fit_reason(facts: Facts) -> str:
    shape = f"the median picture is {facts.picture.width} x {facts.picture.height} px"
    return f"{shape}; nothing at the edges is lost"


def from_scratch(
    p: Draft, facts: Facts, machine: Hardware, budget: float, native: int | None
) -> None:
    """Step 3, from scratch: as large as leaves time for about 60 passes; small ones first.

    A standard network gets the size it is made for, `native`: some take no other.
    """
    size, why = _own_size(facts), f"the median short side is {facts.picture.short_side} px"
    if native is not None:
        size, why = native, f"what {p.values['network.name']} is made for"
    elif size > _TINY:
        largest = min(size, _LARGEST)
        width = p.values["network.width"]
        passes = {
            s: 0.8 * budget * machine.gigaflops * 1e9
            / (max(1, facts.learnable) * 3 * _GROWING * compact_flops(s, width))
            for s in (range(_ROOMY, largest + 1, 16) if largest >= _ROOMY else (largest,))
        }  # fmt: skip
        affordable = [s for s, number in passes.items() if number >= _PASSES]
        size = affordable[-1] if affordable else min(passes)
        why += f"; at {size} px there is time for about {passes[size]:.0f} passes here"
    size = p.choose("picture.size", size, why)
    grows = size > _TINY and p.values["network.name"] == "compact"
    start = max(_TINY, round(size * 0.72 / 16) * 16) if grows else size
    grows = start < size
    p.choose(
        "picture.start_size",
        min(start, size),
        "small ones first: many quick passes, then the details" if grows else "one size throughout",
    )
    p.choose("picture.fit", "squash", _fit_reason(facts))
    p.choose("picture.mean", facts.picture.mean, "measured on a sample of your pictures")
    p.choose("picture.std", facts.picture.std, "measured on a sample of your pictures")
    p.choose("picture.max_pixels", 200_000_000, "larger claims are usually attacks or mistakes")


def _own_size(facts: Facts) -> int:
    """The pictures' own size as a multiple of 8, at least 16 so that there is room to pool."""
    return max(16, -(-facts.picture.short_side // 8) * 8)


def compact_flops(size: int, width: float = 1.0) -> float:
    """Forward FLOPs of the compact network, one picture; a test compares them with torch's count.

    The blocks see the picture shrunk by `stem_stride`: 128 million at 32 pixels, by the area.
    """
    stride = stem_stride(size)
    return 128e6 * (size / stride / 32) ** 2 * width**2 * (1.085 if stride == 4 else 1.0)


def stem_stride(size: int) -> int:
    """Return how much the compact network shrinks the picture before its blocks.

    By 4 from 96 pixels on: at equal cost 128 px shrunk by 4 end better on photographs than 64 px
    shrunk by 2 (benchmarks/results/2026-11-23-picture-size.md).
    """
    return 1 if size <= _TINY else 2 if size < _ROOMY else 4


def augmentation(p: Draft, facts: Facts, method: str) -> None:
    """Step 6: what does not change the label. Small pictures are shifted, photographs cropped."""
    small = facts.picture.short_side < 48
    if facts.picture.mirror is None:
        p.choose(
            "augment.mirror",
            not facts.picture.grey,
            "photographs: left and right are alike"
            if not facts.picture.grey
            else "grey pictures may be characters: left and right may matter",
        )
    else:
        p.choose(
            "augment.mirror",
            facts.picture.mirror,
            "mirrored pictures are told apart as well as the others"
            if facts.picture.mirror
            else "mirrored pictures are told apart much worse: left and right matter here",
        )
    gentle = method != "scratch"
    p.choose(
        "augment.crop",
        0.7 if small else 0.5 if gentle else 0.35,
        "the thing fills small pictures" if small else "things are near and far",
    )
    p.choose("augment.rotate", 10.0 if small or gentle else 15.0, "cameras and hands tilt")
    p.choose(
        "augment.colour",
        0.0 if facts.picture.grey else 0.2,
        "grey pictures" if facts.picture.grey else "light differs from picture to picture",
    )
    p.choose(
        "augment.mixup",
        0.0 if gentle else 0.2,
        "too strong for a short fine-tuning" if gentle else "blends discourage learning by heart",
    )
    p.choose(
        "augment.cutmix",
        0.0 if gentle else 0.3,
        "too strong for a short fine-tuning" if gentle else "a part must be enough to tell",
    )

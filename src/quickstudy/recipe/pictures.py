"""How large the pictures are that the network sees, and how files are brought to that size."""

from __future__ import annotations

from quickstudy.facts import Facts
from quickstudy.hardware import Hardware
from quickstudy.recipe.draft import Draft, Offer

_TINY = 48  # pixels: pictures up to here are used as they are
_ROOMY = 96  # pixels: from here on the network's stem shrinks by 4
_LARGEST = 224  # pixels: more has not paid from scratch on the budgets measured
_PASSES = 60  # fewer and a smaller size ends better
_GROWING = 0.8  # of the cost at full size: training begins on smaller ones


def for_weights(p: Draft, facts: Facts, offer: Offer) -> None:
    """Step 3, with weights: what the weights were trained on decides."""
    size = p.choose("picture.size", offer.size, "what these weights were trained at")
    p.choose("picture.start_size", size, "the weights expect one size")
    p.choose("picture.fit", "squash", _fit_reason(facts))
    p.choose("picture.mean", offer.mean, "belongs to the weights")
    p.choose("picture.std", offer.std, "belongs to the weights")
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
    start = (
        size if size <= _TINY or native is not None else max(_TINY, round(size * 0.72 / 16) * 16)
    )
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

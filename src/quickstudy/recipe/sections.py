"""The sections of a recipe: each field typed, with its meaning under it.

docs/recipe.md is made from these docstrings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Network:
    """Which function is fitted."""

    name: str
    """``compact``, ``tabm`` for tables, any of torchvision's or timm's, ``stack``, an ONNX file, or
    for tables an expression in their columns, as ``m*x + c``."""
    weights: str
    """``none``, or the file the starting weights come from."""
    width: float
    """Times the usual channels (``compact``: 32, 64, 128, 256; ``tabm``: 128)."""
    dropout: float
    """Share of the features dropped before the last layer."""
    activation: str
    """In place of every activation: a name, as ``gelu``, or an expression in `x`; empty: the
    network's own."""
    depth: tuple[int, ...]
    """Blocks of each stage; empty: the usual ones."""
    stem: Literal["usual", "small"]
    """``small``: nothing is shrunk before the first stage, for pictures of some 32 pixels."""
    channels: int
    """Of the input: 3, or 1 to see pictures in grey."""
    stack: list[Any] | None
    """The layers of the network ``stack``."""


@dataclass(frozen=True)
class Picture:
    """What the network gets to see."""

    size: int
    """Pixels, side of the square the network is tested and used at."""
    start_size: int
    """Pixels, side at the beginning of training; grows to `size`."""
    fit: Literal["crop", "squash", "pad"]
    """How a picture that is not square becomes one."""
    mean: tuple[float, ...]
    """Subtracted from each colour (pixels are 0 to 1)."""
    std: tuple[float, ...]
    """Divides each colour."""
    max_pixels: int
    """A file that claims more pixels is refused, not decoded."""


@dataclass(frozen=True)
class Sound:
    """What the network gets to hear."""

    rate: int
    """Hz: every file is resampled to this."""
    window: float
    """Seconds heard at once; longer recordings are heard in overlapping windows."""
    fft: int
    """Samples of the frame that one spectrum is taken of."""
    hop: int
    """Samples from one frame to the next."""
    mels: int
    """Bands that a spectrum is summed up in, evenly spaced to the ear."""
    low: float
    """Hz: the lowest band begins here."""
    high: float
    """Hz: the highest band ends here; at most half of the rate."""
    long: float
    """Seconds: what is longer is answered with a timeline as well."""
    span: float
    """Seconds that a timeline listens to at once, at most the window; it steps by a third."""


@dataclass(frozen=True)
class Table:
    """What is made of the rows of a table."""

    members: int
    """Networks in one that share most of their weights; their answers are averaged."""
    bins: int
    """Corners of the curve that each number goes through, at its quantiles."""
    trees: bool
    """Fit scikit-learn's gradient-boosted trees to the same rows, for the report to compare."""


@dataclass(frozen=True)
class SoundAugment:
    """How recordings are varied, so that the network learns what does not matter."""

    shift: float
    """How much of the room in the window a recording is moved about in: 0 none, 1 all of it."""
    speed: float
    """Slower or quicker, and lower or higher with it, by at most this share."""
    gain: float
    """Decibels by which the level rises or falls through the window, at most."""
    noise: float
    """Share of the recordings that get noise added, 10 to 40 dB under them."""
    mask_time: float
    """Share of the window blanked out at random, at most."""
    mask_bands: float
    """Share of the bands blanked out at random, at most."""
    mixup: float
    """Beta parameter of mixing two recordings and their labels; 0 is off."""


@dataclass(frozen=True)
class Augment:
    """How pictures are varied, so that the network learns what does not matter."""

    mirror: bool
    """Swap left and right, half the time; and average both views when predicting."""
    crop: float
    """Least share of the picture's area that is kept."""
    rotate: float
    """Degrees, at most, either way."""
    colour: float
    """Brightness, contrast, saturation: at most this share up or down."""
    mixup: float
    """Beta parameter of blending two pictures and their labels; 0 is off."""
    cutmix: float
    """Share of batches in which a patch of another picture is pasted in."""


@dataclass(frozen=True)
class Optimizer:
    """How the parameters are moved."""

    name: str
    """``sgd``, ``adam``, ``adamw``, ``lion``, ``muon``, ``lbfgs`` for small problems, or one of
    timm's."""
    lr: float | None
    """Learning rate at its highest; null: found by a range test on the data."""
    momentum: float
    """Share of the last step's direction that is kept."""
    weight_decay: float
    """Pull of every weight towards zero."""
    restarts: int
    """Of ``lbfgs``: starting points tried; the best end ships."""


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves through the run."""

    shape: Literal[
        "cosine", "linear", "constant", "one_cycle", "step", "exponential", "inverse_sqrt"
    ]
    """How the rate falls from its highest, after the warm-up."""
    warmup: float
    """Share of training in which the rate climbs from nothing."""


@dataclass(frozen=True)
class Loss:
    """What says how wrong the network is."""

    name: str
    """A name, one of torch.nn's, or an expression in `p`, `prediction`, `scores`, `target`."""
    label_smoothing: float
    """Share of the truth spread over all classes."""


@dataclass(frozen=True)
class Compute:
    """How it is computed here. None of these should change what is learnt."""

    device: str
    """``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    """Of the arithmetic in training; ``auto`` is settled by measuring."""
    memory_format: Literal["auto", "channels_last", "contiguous"]
    """Order of a picture's numbers in memory; ``auto`` is settled by measuring."""
    threads: Literal["auto"] | int
    """CPU threads of one operation; ``auto`` is settled by measuring."""
    allocator: Literal["auto", "keep", "return"] = "auto"
    """What the C library does with large buffers: ``keep`` them for the next, or ``return`` them to
    the system; ``auto`` is settled by measuring."""
    compile: Literal["auto", True, False, "reduce-overhead"] = False
    """Train through `torch.compile`; ``reduce-overhead``: with CUDA graphs as well; ``auto``:
    whichever is measured to pay."""
    sharding: Literal["auto", "replicate", "shard"] = "auto"
    """Of several processes, each keeps the whole network (``replicate``), or they ``shard`` its
    weights and all that goes with them; ``auto``: that where a GPU has no room for the whole."""

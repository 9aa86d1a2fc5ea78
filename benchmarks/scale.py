"""An ImageNet-sized run, planned: hours, money and disk for 8 and 64 GPUs.

    python benchmarks/scale.py measure                 # what can be measured on one machine
    python benchmarks/scale.py page [--price 2.0 ...] > docs/scale.md

`measure` times the input pipeline and a training step of each network on one core, in seconds of
that core, so that others on the machine do not count; on a machine with a GPU it times the step
there. The figures are kept in results/scale.json. `page` makes docs/scale.md of
them, of figures that others have published (`CITED`, each with its source), and of assumptions,
each of which is an option. Nothing else is in the page's tables.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any

import measuring

KEPT = measuring.RESULTS / "scale.json"
NETWORKS = ("googlenet", "resnet50", "resnet152")
TRAIN, VAL, EPOCHS = 1_281_167, 50_000, 90  # pictures; passes, by the published recipes
STEERING = 0.01  # of the training pictures, not learnt from
SIZE, KEPT_AT = 224, 280  # pixels: trained at; of the side of the decoded copy
CHANCE = SimpleNamespace(mirror=True, crop=0.08, rotate=0.0, colour=0.0)  # as the recipes have it

_NVIDIA = (
    "[NVIDIA DeepLearningExamples, ResNet50 v1.5 for PyTorch]"
    "(https://github.com/NVIDIA/DeepLearningExamples/tree/master/PyTorch/Classification/ConvNets/"
    "resnet50v1.5), DGX A100 80 GB, mixed precision"
)
_TIMM = (
    "[timm, benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv]"
    "(https://github.com/huggingface/pytorch-image-models/tree/main/results), one RTX 3090"
)
_VISION = "metadata of torchvision's weights"
#: Figures of others: name -> (value, what it is, where it stands).
CITED: dict[str, tuple[float, str, str]] = {
    "a100_1": (2470, "ResNet-50 in training, one A100, pictures/s", _NVIDIA),
    "a100_8": (16621, "ResNet-50 in training, eight A100, pictures/s", _NVIDIA),
    "a100_8_hours": (3, "ResNet-50, 90 passes on eight A100, hours (about)", _NVIDIA),
    "resnet50": (1218.01, "ResNet-50 in training, pictures/s", _TIMM),
    "resnet152": (501.44, "ResNet-152 in training, pictures/s", _TIMM),
    "inception_v3": (782.35, "Inception v3 at 299 px in training, pictures/s", _TIMM),
    "gflops_googlenet": (1.498, "GoogLeNet, one picture, 10⁹ multiply-adds", _VISION),
    "gflops_inception_v3": (5.713, "Inception v3, one picture, 10⁹ multiply-adds", _VISION),
    "train_gib": (138, "ILSVRC2012_img_train.tar, GiB", "image-net.org, the download page"),
    "val_gib": (6.3, "ILSVRC2012_img_val.tar, GiB", "image-net.org, the download page"),
}

TRAIN_BYTES = CITED["train_gib"][0] * 2**30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    timed = commands.add_parser("measure")
    timed.add_argument("--pictures", type=int, default=200)
    timed.add_argument("--seconds", type=float, default=5.0, help="for each figure, at least")
    timed.add_argument("--batch", type=int, default=0, help="of a step (16, or 128 on a GPU)")
    timed.add_argument("--only", choices=("input", "steps"), help="keep the other as it is")
    made = commands.add_parser("page")
    made.add_argument("--price", type=float, default=2.0, help="US dollars of one GPU for an hour")
    made.add_argument(
        "--spread", type=float, default=0.9, help="of 8 times the speed, by 8 machines"
    )
    made.add_argument("--cores", type=int, default=16, help="CPU cores beside each GPU")
    asked = parser.parse_args()
    if asked.command == "measure":
        import torch

        torch.set_num_threads(1)
        found = json.loads(KEPT.read_text(encoding="utf-8")) if asked.only else {}
        found |= {"date": date.today().isoformat(), "machine": measuring.machine()}
        if asked.only != "steps":
            found |= measured_input(asked.pictures, asked.seconds)
        if asked.only != "input":
            found |= measured_steps(asked.batch, asked.seconds)
        KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(found, indent=1))
    else:
        found = json.loads(KEPT.read_text(encoding="utf-8"))
        sys.stdout.write(page(found, asked.price, asked.spread, asked.cores))


def measured_input(pictures: int, seconds: float) -> dict[str, Any]:
    """Return what one core decodes and varies a second."""
    raws = imagenet_sized(pictures)
    decode, vary = on_one_core(raws, seconds)
    return {
        "picture_bytes": statistics.mean(map(len, raws)),
        "decoded_per_core": decode,
        "varied_per_core": vary,
    }


def measured_steps(batch: int, seconds: float) -> dict[str, Any]:
    """Return the pictures a second of each network in training."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = batch or (128 if device == "cuda" else 16)
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "one core",
        "batch": batch,
        "trained": {name: trained(name, device, batch, seconds) for name in NETWORKS},
    }


def imagenet_sized(number: int) -> list[bytes]:
    """Return photographs of cats and dogs as JPEG of ImageNet's usual size and weight.

    They are enlarged to 500 x 375 px and compressed as little as makes them, on average, as heavy
    as ImageNet's (138 GiB / 1,281,167): what a decoder has to do grows with both.
    """
    from PIL import Image

    files = sorted((measuring.SHARED / "data" / "cats_dogs").rglob("*.jpg"))
    if not files:
        raise SystemExit("needs the shared data folder beside the checkout, which is absent")
    chosen = files[:: max(1, len(files) // number)][:number]
    enlarged = []
    for file in chosen:
        picture = Image.open(file).convert("RGB")
        tall = picture.height > picture.width
        enlarged.append(
            picture.resize((375, 500) if tall else (500, 375), Image.Resampling.BICUBIC)
        )
    wanted = TRAIN_BYTES / TRAIN
    best: list[bytes] = []
    for quality in (85, 90, 93, 95, 97, 98, 99, 100):
        raws = []
        for picture in enlarged:
            out = io.BytesIO()
            picture.save(out, "JPEG", quality=quality)
            raws.append(out.getvalue())
        if not best or abs(statistics.mean(map(len, raws)) - wanted) < abs(
            statistics.mean(map(len, best)) - wanted
        ):
            best = raws
    return best


def on_one_core(raws: list[bytes], seconds: float) -> tuple[float, float]:
    """Return pictures a second that one core decodes, and varies for training."""
    import torch

    from quickstudy.kinds.image.preparation import Preparation

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    how = Preparation(KEPT_AT, SIZE, "crop", mean, std, mirror=True)
    some = raws[:64]
    decode = per_second(lambda: [how.decode(raw) for raw in some], len(some), seconds)
    pieces = [how.decode(raw).values for raw in some]
    gathered = [torch.cat([torch.from_numpy(piece) for piece in pieces])]
    draws = torch.Generator().manual_seed(0)
    vary = per_second(lambda: how.vary(gathered, SIZE, CHANCE, draws), len(pieces), seconds)
    return decode, vary


def trained(name: str, device: str, batch: int, seconds: float) -> float:
    """Return pictures a second in training: forward, backward and a step of SGD on 224 px."""
    import torch
    from torch.nn import functional as F

    from quickstudy.network import Spec, build, main_and_auxiliary

    module = build(Spec(name, 1000, SIZE, auxiliary=name == "googlenet")).module.to(
        device, memory_format=torch.channels_last
    )
    module.train()
    steps = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    x = torch.rand(batch, 3, SIZE, SIZE, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.arange(batch, device=device) % 1000

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            scores, auxiliary = main_and_auxiliary(module(x))
            loss = F.cross_entropy(scores, y)
            for one in auxiliary:
                loss = loss + 0.3 * F.cross_entropy(one, y)
        steps.zero_grad()
        loss.backward()
        steps.step()
        if device == "cuda":
            torch.cuda.synchronize()

    clock = time.perf_counter if device == "cuda" else time.process_time
    return per_second(step, batch, seconds, clock)


def per_second(
    call: Callable[[], object],
    items: int,
    seconds: float,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """Return items a second by the median of the calls in `seconds`, one before not counted."""
    call()
    took: list[float] = []
    while len(took) < 3 or sum(took) < seconds:
        start = clock()
        call()
        took.append(clock() - start)
    return items / statistics.median(took)


def speeds(spread: float) -> dict[str, dict[int, float]]:
    """Return pictures a second in training, network -> GPUs -> speed, from what is cited."""
    c = {name: value for name, (value, _, _) in CITED.items()}
    # GoogLeNet is in neither source: at the arithmetic a second of its nearest relative.
    like = c["inception_v3"] * c["gflops_inception_v3"] / c["gflops_googlenet"]
    share = {"googlenet": like, "resnet50": c["resnet50"], "resnet152": c["resnet152"]}
    return {
        name: {
            gpus: c["a100_8"] * share[name] / c["resnet50"] * (spread * gpus / 8 if gpus > 8 else 1)
            for gpus in (8, 64)
        }
        for name in NETWORKS
    }


def page(found: dict[str, Any], price: float, spread: float, cores: int) -> str:
    """Return docs/scale.md."""
    lines = [
        "# An ImageNet-sized run",
        "",
        "1.28 million photographs, 1,000 classes, 90 passes: what the published recipes",
        "(`--recipe imagenet-resnet152`, `imagenet-googlenet`) ask of a cluster. No such run has",
        "been made with Quickstudy. This page extrapolates, and says of each figure whether it was",
        "**measured** by us, is **cited** from others, or **assumed**. It is made by",
        "`python benchmarks/scale.py page`; every assumption is an option of it.",
        "",
        "## Hours and money",
        "",
        *_plan(found, price, spread, cores),
        "",
        "## The input",
        "",
        *_input(found, spread, cores),
        "",
        "## Disk",
        "",
        *_disk(),
        "",
        "## Where the figures come from",
        "",
        *_sources(found, price, spread, cores),
    ]
    return "\n".join(lines) + "\n"


def _hours(speed: float) -> float:
    return EPOCHS * TRAIN * (1 - STEERING) / speed / 3600


def _plan(found: dict[str, Any], price: float, spread: float, cores: int) -> Iterator[str]:
    yield "| network | GPUs | pictures/s | hours | GPU-hours | US dollars |"
    yield "|---|---|---|---|---|---|"
    for name, by_gpus in speeds(spread).items():
        for gpus, speed in by_gpus.items():
            hours = _hours(speed)
            spent = gpus * hours
            yield (
                f"| {name} | {gpus} | {speed:,.0f} | {hours:.2g} | {spent:,.0f} | "
                f"{spent * price:,.0f} |"
            )
    yield ""
    yield "The GPUs are A100 of 80 GB, in mixed precision, when the input keeps up. ResNet-50 on"
    yield "eight is cited; the others are as much quicker or slower as on the GPU that both were"
    yield "timed on; GoogLeNet, timed in neither source, at Inception v3's arithmetic a second."
    yield "64 GPUs are eight machines of eight."
    told, made = CITED["a100_8_hours"][0], _hours(speeds(spread)["resnet50"][8])
    yield f"NVIDIA names about {told:g} hours for the run of ResNet-50 that these pictures/s would"
    yield f"make in {made:.1f}: what lies between the steps (validating, saving) is not in the"
    yield "table. Such speeds take some 256 pictures a GPU and step; the recipes' `batch` of 256 in"
    yield "all gives each of 64 GPUs four. Raise `batch` and `optimizer.lr` together for them; the"
    yield "accuracy that the recipe names then has nobody's word."
    slow = found["trained"]["resnet152"]
    years = _hours(slow) / 24 / 365
    yield f"Where we measure ({found['device']}, batch {found['batch']}) the same"
    yield f"steps of ResNet-152 run at {slow:.3g} pictures/s: {_long(years)}."


def _long(years: float) -> str:
    return f"{years:.1f} years" if years >= 1 else f"{years * 365:.1f} days"


def _input(found: dict[str, Any], spread: float, cores: int) -> Iterator[str]:
    decode, vary = found["decoded_per_core"], found["varied_per_core"]
    both = 1 / (1 / decode + 1 / vary)
    yield f"One core decodes {decode:,.0f} JPEG a second to {KEPT_AT} px, and varies {vary:,.0f}"
    yield f"a second at {SIZE} px (crop, mirror, normalise): {both:,.0f} a second of both. With a"
    yield "GPU the varying is done there, and only decoding is left to the cores; from the decoded"
    yield "cache neither is."
    yield ""
    yield "| network | pictures/s of a GPU | cores, decoding | cores, both | MB/s of JPEG, 8 GPUs |"
    yield "|---|---|---|---|---|"
    weight = TRAIN_BYTES / TRAIN / 1e6  # MB
    limits = []
    for name, by_gpus in speeds(spread).items():
        each = by_gpus[8] / 8
        yield (
            f"| {name} | {each:,.0f} | {each / decode:.1f} | {each / both:.1f} | "
            f"{by_gpus[8] * weight:,.0f} |"
        )
        if each / decode > cores:
            limits.append(f"{name} would train at {cores * decode / each:.0%} of its speed")
    yield ""
    yield f"With {cores} cores beside each GPU, streaming and decoding in every pass,"
    yield "; ".join(limits) + "." if limits else "decoding is the limit for none of the three."


def _disk() -> Iterator[str]:
    shards = (CITED["train_gib"][0] + CITED["val_gib"][0]) * 2**30 / 1e9
    cache = (TRAIN + VAL) * (3 * KEPT_AT**2 + 3 * 16 * 16) / 1e9
    yield "| what | GB | where |"
    yield "|---|---|---|"
    yield f"| the JPEG files, or shards of them | {shards:,.0f} | once, or in a bucket |"
    yield f"| all decoded to {KEPT_AT} px, where there is room | {cache:,.0f} | on each machine |"
    yield ""
    yield "Streamed from shards, a machine needs no more than its bounded cache (`cache`, in GB)."


def _sources(found: dict[str, Any], price: float, spread: float, cores: int) -> Iterator[str]:
    yield "| figure | value | kind | source |"
    yield "|---|---|---|---|"
    here = f"{found['date']}, {found['machine']}"
    decode, vary = found["decoded_per_core"], found["varied_per_core"]
    yield f"| JPEG decoded to {KEPT_AT} px, a core, a second | {decode:,.0f} | measured | {here} |"
    yield f"| varied at {SIZE} px, a core, a second | {vary:,.0f} | measured | the same |"
    what = f"{found['device']}, batch {found['batch']}"
    for name, speed in found["trained"].items():
        yield f"| {name} in training, pictures/s | {speed:.3g} | measured | the same: {what} |"
    weight = found["picture_bytes"] / 1000
    yield (
        f"| a photograph decoded, KB | {weight:.0f} | measured | cats and dogs, enlarged to "
        "500 x 375 px and compressed to about ImageNet's weight |"
    )
    for value, what, where in CITED.values():
        yield f"| {what} | {value:,g} | cited | {where} |"
    yield f"| US dollars of an A100 for an hour | {price:g} | assumed | `--price` |"
    yield f"| of 8 times the speed, reached by 8 machines | {spread:g} | assumed | `--spread` |"
    yield f"| cores beside each GPU | {cores} | assumed | `--cores` |"
    yield f"| passes | {EPOCHS} | cited | torchvision's references, see the recipes |"


if __name__ == "__main__":
    main()

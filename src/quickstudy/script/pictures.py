"""The pieces of a script about pictures: read, vary, ask."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from quickstudy.errors import ChoiceError, RunError
from quickstudy.script.told import Told
from quickstudy.script.whole import why
from quickstudy.script.writing import filled, number

_LARGE = 2**30  # bytes of decoded pictures that are kept on disk instead of in memory

_READING = '''
#: if files
def picture(path):
    """Return a file as the network is shown it: RGB, ``$kept $kept 3``."""
    with Image.open(path) as file:
#: end
#: if files and jpeg
        file.draft(None, ($twice, $twice))  # a large JPEG is decoded small at once
#: end
#: if files and not turned
        image = file.convert("$mode")
#: end
#: if files and turned
        image = ImageOps.exif_transpose(file)  # cameras note which way is up
#: end
#: if files and deep
    if image.mode.startswith("I"):  # 16 bits
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
#: end
#: if files and clear
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        image = Image.new("RGB", clear.size, "white")
        image.paste(clear, mask=clear.getchannel("A"))
#: end
#: if files and any
    image = image.convert("RGB")
#: end
#: if files and squash
    size = ($kept, $kept)  # $why_fit
    return np.array(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))
#: end
#: if files and crop
    side, size = min(image.size), ($kept, $kept)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.array(image.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=3.0))
#: end
#: if files and pad
    width, height = (max(1, round(side * $kept / max(image.size))) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    paper = Image.new("RGB", ($kept, $kept), (128, 128, 128))
    paper.paste(image, (($kept - width) // 2, ($kept - height) // 2))
    return np.array(paper)
#: end
#: if files


#: end
def read(*parts):
    """Return the pictures of some parts, ``N $kept $kept 3`` in 8 bits, and their classes ``N``."""
    with (RUN / "examples.csv").open($how) as file:
#: if files
        rows = [row for row in csv.DictReader(file) if row["part"] in parts]
#: end
#: if files and large
    pictures = np.memmap(tempfile.TemporaryFile(), np.uint8, shape=(len(rows), $kept, $kept, 3))
    with ThreadPoolExecutor() as pool:
        for place, read_one in enumerate(pool.map(picture, [row["path"] for row in rows])):
            pictures[place] = read_one
#: end
#: if files and not large
    with ThreadPoolExecutor() as pool:
        pictures = np.stack(list(pool.map(picture, [row["path"] for row in rows])))
#: end
#: if not files
        rows = list(csv.DictReader(file))
    wanted = [place for place, row in enumerate(rows) if row["part"] in parts]
    rows = [rows[place] for place in wanted]
    pictures = np.load(RUN / "examples.npz")["examples"][wanted]  # as the run was given them
#: end
    return torch.from_numpy(pictures), torch.tensor([CLASSES.index(row["label"]) for row in rows])
'''

_PREPARING = '''
def prepare(pictures):
    """Return ``N 3 $size $size``, the colours about 0 with a spread of about 1."""
    x = pictures.to(DEVICE).permute(0, 3, 1, 2).float()
#: if shrunk
    x = F.interpolate(x, ($size, $size), mode="bilinear", antialias=True)
#: end
    return (x / 255 - MEAN) / STD
'''

_VARYING = '''
def vary(pictures, size):
    """Crop, stretch, shift, $tilt each by one warp$recolour: ``N 3 size size``."""
    n, x = len(pictures), pictures.to(DEVICE).permute(0, 3, 1, 2).float()
#: if shrinks
    if x.shape[-1] > 1.5 * size / $root:  # far more pixels than wanted
        side = math.ceil(size / $root)
        x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
#: end
    area = $crop + $rest * torch.rand(n)  # $why_crop
    stretch = 1.25 ** (2 * torch.rand(n) - 1)  # width over height
    wide, high = (area * stretch).sqrt().clamp(max=1), (area / stretch).sqrt().clamp(max=1)
    across, down = ((2 * torch.rand(n) - 1) * (1.1 - side) for side in (wide, high))
    turn = math.radians($rotate) * (2 * torch.rand(n) - 1)  # $why_rotate
    cos, sin = turn.cos(), turn.sin()
#: if mirror
    flip = torch.where(torch.rand(n) < 0.5, 1.0, -1.0)  # $why_mirror
    warp = [cos * wide * flip, -sin * high, across, sin * wide * flip, cos * high, down]
#: end
#: if not mirror
    warp = [cos * wide, -sin * high, across, sin * wide, cos * high, down]
#: end
    warp = torch.stack(warp, 1).view(n, 2, 3).to(DEVICE)
    grid = F.affine_grid(warp, (n, 3, size, size), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False) / 255
#: if colour
    level, grey = x[:, :, ::4, ::4].mean((1, 2, 3), keepdim=True), x.mean(1, keepdim=True)
    bright, contrast, saturate, tint = (
        (1 + most * (2 * torch.rand(n, many, 1, 1) - 1)).to(DEVICE)  # $why_colour
        for most, many in (($colour, 1), ($colour, 1), ($twice_colour, 1), ($half_colour, 3))
    )
    x = tint * (contrast * (grey + saturate * (x - grey)) + level * (bright - contrast))
#: end
    return (x - MEAN) / STD
'''

_BLENDING = '''
def blend(x, target):
    """Mix each picture and its target with another of the batch: $words."""
    other = torch.randperm(len(x)).to(DEVICE)
#: if both
    if torch.rand(()) >= $cutmix:
        keep = torch.distributions.Beta($mixup, $mixup).sample().item()
        return torch.lerp(x[other], x, keep), torch.lerp(target[other], target, keep)
#: end
#: if mixup and not both
    keep = torch.distributions.Beta($mixup, $mixup).sample().item()
    return torch.lerp(x[other], x, keep), torch.lerp(target[other], target, keep)
#: end
#: if cutmix and not both
    if torch.rand(()) >= $cutmix:
        return x, target
#: end
#: if cutmix
    size = x.shape[-1]
    side = int(size * math.sqrt(0.5 * torch.rand(()).item()))
    top, left = torch.randint(size - side + 1, (2,)).tolist()
    patch = (..., slice(top, top + side), slice(left, left + side))
    x, there, keep = x.clone(), x[other], 1 - (side / size) ** 2
    x[patch] = there[patch]
    return x, torch.lerp(target[other], target, keep)
#: end
'''

_ANSWERING = '''
@torch.inference_mode()
def probabilities(pictures):
    """Return ``N $k``$averaged."""
    network.eval()
    found = []
    for some in pictures.split(32):
#: if mirror
        x = prepare(some)
        shares = [(network(view) / $temperature).softmax(1) for view in (x, x.flip(-1))]
        found.append((shares[0] + shares[1]).cpu() / 2)
#: end
#: if not mirror
        found.append((network(prepare(some)) / $temperature).softmax(1).cpu())
#: end
    return torch.cat(found)
'''


def reading(told: Told) -> str:
    """Return how the pictures are read, and prepared."""
    how, files = told.model["preparation"], not told.decoded
    kept, size = how["decode_size"], how["size"]
    seen = _looked_at(told.paths()) if files else {}
    turned = seen.get("turned", False)
    any_ = turned or seen.get("clear", False) or seen.get("deep", False)
    uses = {
        "files": files,
        "jpeg": False,
        "clear": False,
        "deep": False,
        **seen,
        "turned": any_,
        "any": any_,
        "large": len(told.part("train")) * kept * kept * 3 > _LARGE,
        **{name: how["fit"] == name for name in ("squash", "crop", "pad")},
    }
    read = filled(
        _READING,
        uses,
        kept=kept,
        twice=2 * kept,
        mode="RGB",
        why_fit=why(told, "picture.fit", 60),
        how=opened(told),
    )
    prepared = filled(_PREPARING, {"shrunk": kept != size}, size=size)
    return f"{read}\n\n\n{prepared}"


def opened(told: Told) -> str:
    """Return how the list of examples is opened."""
    try:
        "".join(row["path"] for row in told.rows).encode()
    except UnicodeEncodeError:  # file names that are not UTF-8
        return 'encoding="utf-8", errors="surrogateescape", newline=""'
    return 'encoding="utf-8", newline=""'


def _looked_at(paths: list[Path]) -> dict[str, bool]:
    """Say what reading these files takes, from their headers."""
    from PIL import Image

    def look(path: Path) -> tuple[str, bool, bool, bool]:
        try:
            with Image.open(path) as file:
                turned = file.getexif().get(0x0112, 1) != 1
                return file.mode, file.has_transparency_data, turned, file.format == "JPEG"
        except Exception as problem:  # Pillow raises anything on damaged files
            raise RunError(f"{path} cannot be read: {problem}.", "Put it back.") from problem

    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(look, paths))
    modes = {mode for mode, *_ in seen}
    if strange := modes & {"I", "F"}:
        raise ChoiceError(
            f"A script cannot read pictures of mode {', '.join(sorted(strange))} (32 bits) yet.",
            "Convert them to 8 or 16 bits.",
        )
    return {
        "deep": any(mode.startswith("I;") for mode in modes),
        "clear": any(clear for _, clear, _, _ in seen),
        "turned": any(turned for _, _, turned, _ in seen),
        "jpeg": any(jpeg for *_, jpeg in seen),
    }


def learning(told: Told) -> str:
    """Return how pictures are varied and blended."""
    recipe = told.recipe
    crop, colour = recipe["augment.crop"], recipe["augment.colour"]
    mirror, root = recipe["augment.mirror"], math.sqrt(crop)
    kept = told.model["preparation"]["decode_size"]
    varied = filled(
        _VARYING,
        {
            "mirror": mirror,
            "colour": colour > 0,
            "shrinks": kept > 1.5 * recipe["picture.start_size"] / root,
        },
        tilt="tilt and mirror" if mirror else "and tilt",
        recolour=", then recolour" if colour else "",
        root=number(root),
        crop=number(crop),
        rest=number(1 - crop),
        why_crop=f"of it is kept at least: {why(told, 'augment.crop', 40)}",
        rotate=number(recipe["augment.rotate"]),
        why_rotate=why(told, "augment.rotate", 30),
        why_mirror=why(told, "augment.mirror", 40),
        colour=number(colour),
        twice_colour=number(min(1.0, 2 * colour)),
        half_colour=number(colour / 2),
        why_colour=why(told, "augment.colour", 35),
    )
    return f"{varied}\n\n\n{_blending(told)}" if blends(told) else varied


def blends(told: Told) -> bool:
    """Whether examples are blended with one another."""
    keys = ("augment.mixup", "augment.cutmix")
    return any(told.recipe.get(key) for key in keys)


def _blending(told: Told) -> str:
    mixup, cutmix = told.recipe["augment.mixup"], told.recipe["augment.cutmix"]
    cut = f"CutMix in {number(100 * cutmix)} % of batches"
    uses: dict[str, Any] = {"mixup": mixup, "cutmix": cutmix, "both": mixup and cutmix}
    return filled(
        _BLENDING,
        uses,
        words=" or ".join([*(["mixup"] if mixup else []), *([cut] if cutmix else [])]),
        mixup=number(mixup),
        cutmix=number(cutmix),
    )


def answering(told: Told) -> str:
    """Return how the network is asked."""
    mirror = bool(told.model["preparation"]["mirror"])
    return filled(
        _ANSWERING,
        {"mirror": mirror},
        k=len(told.classes),
        averaged=": the mean over a picture and its mirror image" if mirror else "",
        temperature=number(told.temperature),
    )

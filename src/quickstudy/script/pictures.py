"""The pieces of a script about pictures: read, vary, ask."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from quickstudy.errors import ChoiceError, RunError
from quickstudy.script import asked
from quickstudy.script.told import Told
from quickstudy.script.whole import why
from quickstudy.script.writing import filled, number

_LARGE = 2**30  # bytes of decoded pictures that are kept on disk instead of in memory

_READING = """
def read(*parts):  # pictures N $kept $kept 3 in 8 bits, upright; $truth
    with (RUN / "examples.csv").open($how) as file:
#: if not files
        rows = list(csv.DictReader(file))
    wanted = [place for place, row in enumerate(rows) if row["part"] in parts]
    pictures = np.load(RUN / "examples.npz")["examples"][wanted]  # as the run was given them
    rows = [rows[place] for place in wanted]
#: end
#: if files
        rows = [row for row in csv.DictReader(file) if row["part"] in parts]
#: end
#: if files and not large
    pictures = np.empty((len(rows), $kept, $kept, 3), np.uint8)
#: end
#: if files and large
    pictures = np.memmap(tempfile.TemporaryFile(), np.uint8, shape=(len(rows), $kept, $kept, 3))
#: end
#: if files
    for place, row in enumerate(rows):
        with Image.open(row["path"]) as file:
#: end
#: if files and jpeg
            file.draft(None, ($twice, $twice))  # a large JPEG is decoded small at once
#: end
#: if files and plain
            image = $upright.convert("RGB")
#: end
#: if files and not plain
            image = ImageOps.exif_transpose(file)
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
#: if files and not plain
        image = image.convert("RGB")
#: end
#: if files and crop
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, 0, left + side, image.height)
        wide = image.resize(($kept, image.height), Image.BILINEAR, box)
        pictures[place] = wide.resize(($kept, $kept), Image.BILINEAR, (0, top, $kept, top + side))
#: end
#: if files and squash
        wide = image.resize(($kept, image.height), Image.BILINEAR)
        pictures[place] = wide.resize(($kept, $kept), Image.BILINEAR)
#: end
#: if files and pad
        width, height = (max(1, round(side * $kept / max(image.size))) for side in image.size)
        small = image.resize((width, image.height), Image.BILINEAR)
        small = small.resize((width, height), Image.BILINEAR)
        image = Image.new("RGB", ($kept, $kept), (128, 128, 128))
        image.paste(small, (($kept - width) // 2, ($kept - height) // 2))
        pictures[place] = image
#: end
#: if others
$labels
#: end
    return torch.from_numpy(pictures), $true
"""

_PREPARING = """
def prepare(pictures):  # N 3 $size $size, the colours about 0 with a spread of about 1
    x = pictures.to(DEVICE).permute(0, 3, 1, 2) / 255
#: if shrunk
    x = F.interpolate(x, ($size, $size), mode="bilinear", antialias=True)
#: end
    return (x - MEAN) / STD
"""

_VARYING = """
def vary(pictures, size):  # crop, stretch, shift, $ways: each in its own way
    n, x = len(pictures), pictures.to(DEVICE).permute(0, 3, 1, 2).float()
#: if shrinks
    if x.shape[-1] > 1.5 * size / $root:  # far more pixels than wanted
        side = math.ceil(size / $root)
        x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
#: end
    area, stretch = $crop + $rest * torch.rand(n), 1.25 ** (2 * torch.rand(n) - 1)$why_crop
    wide, high = (area * stretch).sqrt().clamp(max=1), (area / stretch).sqrt().clamp(max=1)
    across, down = ((2 * torch.rand(n) - 1) * (1.1 - side) for side in (wide, high))
    turn = $radians * (2 * torch.rand(n) - 1)$why_rotate
    cos, sin = turn.cos(), turn.sin()
#: if mirror
    wide = wide * torch.where(torch.rand(n) < 0.5, 1.0, -1.0)$why_mirror
#: end
    warp = torch.stack([cos * wide, -sin * high, across, sin * wide, cos * high, down], 1)
    grid = F.affine_grid(warp.view(n, 2, 3), (n, 3, size, size), align_corners=False).to(DEVICE)
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False) / 255
#: if colour
    level, grey = x[:, :, ::4, ::4].mean((1, 2, 3), keepdim=True), x.mean(1, keepdim=True)
    most = torch.tensor([$colour, $colour, $twice_colour] + 3 * [$half_colour])$why_colour
    change = (1 + most * (2 * torch.rand(n, 6) - 1))[:, :, None, None].to(DEVICE)
    bright, contrast, saturate, tint = change.split([1, 1, 1, 3], 1)
    x = tint * (contrast * (grey + saturate * (x - grey)) + level * (bright - contrast))
#: end
    return (x - MEAN) / STD
"""

_BLENDING = """
def blend(x, target):  # mix each with another of the batch: $words
    other = torch.randperm(len(x), device=DEVICE)
#: if cutmix
    if torch.rand(()) < $cutmix:
        size, side = x.shape[-1], int(x.shape[-1] * math.sqrt(torch.rand(()).item() / 2))
        top, left = torch.randint(size - side + 1, (2,)).tolist()
        patch = (..., slice(top, top + side), slice(left, left + side))
        x, there, keep = x.clone(), x[other][patch], 1 - (side / size) ** 2
        x[patch] = there
        return x, torch.lerp(target[other], target, keep)
#: end
#: if mixup
    keep = torch.distributions.Beta($mixup, $mixup).sample().item()
    return torch.lerp(x[other], x, keep), torch.lerp(target[other], target, keep)
#: end
#: if not mixup
    return x, target
#: end
"""

_ANSWERING = """
@torch.inference_mode()
def $function(pictures):  # N $k$averaged
    network.eval()
    found = []
    for some in pictures.split(32):
#: if prepared
        x = prepare(some)
#: end
#: if shrunk and not prepared
        x = some.to(DEVICE).permute(0, 3, 1, 2).float()
        x = F.interpolate(x, ($size, $size), mode="bilinear", antialias=True)
        x = (x / 255 - MEAN) / STD
#: end
#: if not prepared and not shrunk
        x = (some.to(DEVICE).permute(0, 3, 1, 2) / 255 - MEAN) / STD
#: end
#: if mirror
        found.append(sum($asked_twice for y in (x, x.flip(-1))).cpu() / 2)
#: end
#: if not mirror
        found.append($asked.cpu())
#: end
    return $answers
"""


def reading(told: Told) -> str:
    """Return how the pictures are read, and prepared."""
    how, files = told.model["preparation"], not told.decoded
    kept, size = how["decode_size"], how["size"]
    seen = _looked_at(told.paths()) if files else {}
    uses = {
        "others": told.asks != "classification",
        **dict.fromkeys(("jpeg", "clear", "deep", "turned"), False),
        **seen,
        "files": files,
        "large": len(told.part("train")) * kept * kept * 3 > _LARGE,
        **{name: how["fit"] == name for name in ("squash", "crop", "pad")},
    }
    uses["plain"] = not (uses["clear"] or uses["deep"])
    upright = "ImageOps.exif_transpose(file)" if uses["turned"] else "file"
    values = {"kept": kept, "twice": 2 * kept, "how": opened(told), "upright": upright}
    values |= {"truth": asked.words(told), "labels": asked.truth(told), "true": asked.true(told)}
    read = filled(_READING, uses, **values)
    if not told.fits_head:
        return read
    return f"{read}\n\n{filled(_PREPARING, {'shrunk': kept != size}, size=size)}"


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
    ways = ["tilt", *(["mirror"] if mirror else []), *(["recolour"] if colour else [])]
    varied = filled(
        _VARYING,
        {
            "mirror": mirror,
            "colour": colour > 0,
            "shrinks": kept > 1.5 * recipe["picture.start_size"] / root,
        },
        ways=", ".join(ways),
        root=number(root),
        crop=number(crop),
        rest=number(1 - crop),
        why_crop=why(told, "augment.crop", 12),
        radians=number(math.radians(recipe["augment.rotate"])),
        why_rotate=why(told, "augment.rotate", 45),
        why_mirror=why(told, "augment.mirror", 30),
        colour=number(colour),
        twice_colour=number(min(1.0, 2 * colour)),
        half_colour=number(colour / 2),
        why_colour=why(told, "augment.colour", 30),
    )
    return f"{varied}\n\n{_blending(told)}" if blends(told) else varied


def blends(told: Told) -> bool:
    """Whether examples are blended with one another."""
    keys = ("augment.mixup", "augment.cutmix")
    return any(told.recipe.get(key) for key in keys)


def _blending(told: Told) -> str:
    mixup, cutmix = told.recipe["augment.mixup"], told.recipe["augment.cutmix"]
    cut = f"CutMix in {number(100 * cutmix)} % of batches"
    return filled(
        _BLENDING,
        {"mixup": mixup, "cutmix": cutmix},
        words=", ".join([*([cut] if cutmix else []), *(["else mixup"] if mixup else [])]),
        mixup=number(mixup),
        cutmix=number(cutmix),
    )


def answering(told: Told) -> str:
    """Return how the network is asked."""
    how = told.model["preparation"]
    return filled(
        _ANSWERING,
        {
            "mirror": how["mirror"],
            "prepared": told.fits_head,
            "shrunk": how["decode_size"] != how["size"],
        },
        k=len(told.classes),
        averaged=": the mean over a picture and its mirror image" if how["mirror"] else "",
        size=how["size"],
        asked=asked.shares(told, "network(x)"),
        asked_twice=asked.shares(told, "network(y)"),
        function=asked.function(told),
        answers=asked.scaled(told, "torch.cat(found)"),
    )

"""Oracle: Pillow's own conversions, and arithmetic on known pixels."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from quickstudy.errors import ExampleError
from quickstudy.kinds.image import decode
from quickstudy.kinds.image.decode import fit, header, identify, open_picture, suffix_mismatch


def scene(width: int = 48, height: int = 32) -> Image.Image:
    """A smooth picture with no symmetry."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    rgb = np.stack([across, down, across * down], axis=-1)
    return Image.fromarray((rgb * 255).astype(np.uint8))


def png(width: int, height: int, bits: int = 1) -> bytes:
    """A PNG whose header claims a size, with next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def values(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def message(example: object) -> str:
    with pytest.raises(ExampleError) as caught:
        open_picture(example)  # type: ignore[arg-type]
    return caught.value.message


FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF",
    ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_every_format_opens_as_pillow_would(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    scene().save(path)
    with Image.open(path) as oracle:
        expected = values(oracle.convert("RGB"))
    picture = open_picture(path)
    assert picture.mode == "RGB"
    assert np.array_equal(values(picture), expected)
    assert np.array_equal(values(open_picture(path.read_bytes())), expected)
    assert header(path) == decode.Header(48, 32, FORMATS[suffix], False)
    assert suffix in decode.SUFFIXES
    assert suffix_mismatch(path) is None


@pytest.mark.parametrize("mode", ["L", "1", "P", "YCbCr", "HSV", "CMYK"])
def test_opaque_modes_convert_as_pillow_does(mode: str) -> None:
    picture = scene().convert(mode)
    assert np.array_equal(values(open_picture(picture)), values(picture.convert("RGB")))
    assert header(picture).grey == (mode in ("L", "1"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_transparency_is_composited_on_white(mode: str) -> None:
    clear = scene().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    by_way = {"La": "LA", "RGBa": "RGBA"}.get(mode, mode)
    picture = clear.convert(by_way) if by_way != "PA" else clear.convert("RGB").convert("P")
    if mode == "PA":
        picture = picture.convert("PA")
        picture.putalpha(clear.getchannel("A"))
    picture = picture.convert(mode)
    rgba = picture.convert("LA").convert("RGBA") if mode == "La" else picture.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    expected = values(Image.alpha_composite(paper, rgba).convert("RGB"))
    assert np.abs(values(open_picture(picture)) - expected).max() <= 2


def test_palette_transparency_both_kinds(tmp_path: Path) -> None:
    picture = scene().quantize(16)
    one, several = tmp_path / "one.png", tmp_path / "several.png"
    corner = picture.getpixel((0, 0))
    picture.save(one, transparency=corner)
    picture.save(several, transparency=bytes([0, 128] + [255] * 14))
    assert open_picture(one).getpixel((0, 0)) == (255, 255, 255)
    with Image.open(several) as image:
        rgba = image.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    expected = values(Image.alpha_composite(paper, rgba).convert("RGB"))
    assert np.abs(values(open_picture(several)) - expected).max() <= 1


def test_rgb_png_with_a_transparent_colour(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4), (10, 20, 30)).save(path, transparency=(10, 20, 30))
    assert open_picture(path).getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (32, 32), (250, 20, 20)).convert("CMYK").save(path, quality=95)
    assert b"Adobe" in path.read_bytes()
    red, green, blue = open_picture(path).getpixel((16, 16))  # type: ignore[misc]
    assert red > 230 and green < 40 and blue < 40


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_is_divided_by_257(tmp_path: Path, suffix: str) -> None:
    deep = (np.arange(64 * 64, dtype=np.uint32).reshape(64, 64) * 16).astype(np.uint16)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(deep).save(path)
    expected = np.rint(deep / 257)
    assert np.array_equal(values(open_picture(path))[..., 1], expected)
    assert header(path).grey


def test_16_bit_big_endian_and_32_bit_grey() -> None:
    deep = np.array([[0, 257, 65535]], dtype=np.uint16)
    big = Image.frombytes("I;16B", (3, 1), deep.astype(">u2").tobytes())
    assert values(open_picture(big))[0, :, 0].tolist() == [0, 1, 255]
    wide = Image.fromarray(deep.astype(np.int32))
    assert wide.mode == "I"
    assert values(open_picture(wide))[0, :, 0].tolist() == [0, 1, 255]


def rgb16_tiff() -> bytes:
    """A 2 x 1 uncompressed 16-bit RGB TIFF: (65535, 0, 32896) and (0, 65535, 257)."""
    pixels = struct.pack("<6H", 65535, 0, 32896, 0, 65535, 257)
    tags = [
        (256, 4, 1, 2), (257, 4, 1, 1), (258, 3, 3, 8 + len(pixels)), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3), (278, 4, 1, 1), (279, 4, 1, len(pixels)),
    ]  # fmt: skip
    bits = struct.pack("<3H", 16, 16, 16)
    ifd = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags)
    start = 8 + len(pixels) + len(bits)
    return b"II*\0" + struct.pack("<I", start) + pixels + bits + ifd + b"\0\0\0\0"


def test_16_bit_rgb_tiff() -> None:
    assert values(open_picture(rgb16_tiff())).tolist() == [[[255, 0, 128], [0, 255, 1]]]


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_tiff_by_its_maximum(tmp_path: Path, top: float) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.array([[0, 0.2, 1]], dtype=np.float32) * np.float32(top)).save(path)
    assert values(open_picture(path))[0, :, 2].tolist() == [0, 51, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_exif_orientation_as_pillow_applies_it(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene().save(path, exif=exif)
    with Image.open(path) as image:
        image.load()
        expected = ImageOps.exif_transpose(image).convert("RGB")
    picture = open_picture(path)
    assert picture.size == ((32, 48) if orientation > 4 else (48, 32))
    assert np.array_equal(values(picture), values(expected))
    assert (header(path).width, header(path).height) == picture.size


def test_damaged_exif_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    scene().save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\x01")
    assert open_picture(path).size == (48, 32)
    assert header(path).width == 48


def test_animations_give_their_first_frame(tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    for suffix in (".gif", ".webp", ".png"):
        path = tmp_path / f"a{suffix}"
        red.save(path, save_all=True, append_images=[blue])
        pixel = open_picture(path).getpixel((4, 4))
        assert np.abs(np.subtract(pixel, (255, 0, 0))).max() <= 3


def test_draft_keeps_the_short_side_at_twice_the_size(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    scene(1600, 1200).save(path, quality=95)
    small = open_picture(path, size=128)
    assert 256 <= min(small.size) < 600
    assert open_picture(path, size=601).size == (1600, 1200)
    apart = fit(small, 128, "crop").astype(int) - fit(open_picture(path), 128, "crop")
    assert np.abs(apart).mean() < 1.5


def test_a_picture_in_memory_is_not_altered(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    scene(800, 600).save(path)
    with Image.open(path) as mine:
        assert open_picture(mine, size=64).size == (800, 600)
        assert mine.size == (800, 600)
    loaded = scene()
    assert open_picture(loaded) is not loaded


@pytest.mark.parametrize("how", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(48, 32), (32, 48), (300, 7), (5, 5)])
def test_fit_shapes(how: decode.Fit, size: tuple[int, int]) -> None:
    fitted = fit(scene(*size), 24, how)
    assert fitted.shape == (24, 24, 3) and fitted.dtype == np.uint8


def test_fit_against_pillow() -> None:
    picture = scene(96, 64)
    bilinear = Image.Resampling.BILINEAR
    assert np.array_equal(fit(picture, 32, "squash"), picture.resize((32, 32), bilinear))
    cropped = ImageOps.fit(picture, (32, 32), bilinear)
    assert np.abs(fit(picture, 32, "crop").astype(int) - values(cropped)).max() <= 1
    wide = scene(96, 48)
    padded = ImageOps.pad(wide, (32, 32), bilinear, color=decode.PAD)
    assert np.abs(fit(wide, 32, "pad").astype(int) - values(padded)).max() <= 1


def test_arrays_of_every_type() -> None:
    grey = np.array([[0, 51, 255]], dtype=np.uint8)
    expected = [[[0] * 3, [51] * 3, [255] * 3]]
    same = [
        grey,
        grey[..., None],
        np.repeat(grey[..., None], 3, axis=2),
        grey.astype(np.uint16) * 257,
        grey / 255,
        grey.astype(np.float32),
        grey.astype(np.int64),
    ]
    for array in same:
        assert values(open_picture(array)).tolist() == expected, array.dtype
    assert values(open_picture(np.array([[True, False]])))[0, :, 0].tolist() == [255, 0]
    clear = np.zeros((1, 1, 4), dtype=np.uint8)
    assert open_picture(clear).getpixel((0, 0)) == (255, 255, 255)
    assert header(np.zeros((3, 5))) == decode.Header(5, 3, "array", True)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full((2, 2), np.nan), "not numbers"),
        (np.full((2, 2), np.inf), "not numbers"),
        (np.full((2, 2), -1.0), "below 0"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.zeros(4), "shape"),
        (np.zeros((0, 4)), "zero pixels"),
        (np.array([["a"]]), "type"),
    ],
)
def test_arrays_that_are_no_picture(array: np.ndarray, reason: str) -> None:
    assert reason in message(array)


def test_files_that_are_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    assert message(path) == "no such file"
    path.write_bytes(b"")
    assert message(path) == "empty file"
    path.write_text("a text that somebody renamed")
    assert message(path) == "not a picture"
    assert suffix_mismatch(path) == "not a picture"
    assert message(tmp_path) == "a folder, not a picture"
    path.write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 50)
    assert message(path) == "HEIC pictures are not read"
    assert message(png(0, 5)) == "zero pixels"
    assert message(Image.new("RGB", (0, 5))) == "zero pixels"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert message(tmp_path / "a.jpg") == "no permission to read it"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".bmp", ".tif"])
def test_truncated_and_scrambled_files(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = BytesIO()
    Image.fromarray(noise).save(whole, FORMATS[suffix])
    data = whole.getvalue()
    path = tmp_path / f"a{suffix}"
    for length in (3, 20, len(data) // 3, len(data) * 2 // 3):
        path.write_bytes(data[:length])
        assert message(path).split(":")[0] in (
            "truncated",
            "damaged",
            "not a picture",
            "zero pixels",
        )
    rng = np.random.default_rng(1)
    for _ in range(40):
        bad = bytearray(data)
        for place in rng.integers(0, min(len(data), 200), 8):
            bad[place] = rng.integers(256)
        try:
            assert open_picture(bytes(bad), max_pixels=10_000_000).mode == "RGB"
            header(bytes(bad), max_pixels=10_000_000)
        except ExampleError as error:
            assert error.message


def test_a_truncated_jpeg_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    scene(400, 300).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    assert message(path).startswith("truncated")
    assert header(path).width == 400


def test_a_png_called_jpg_is_read_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    scene().save(path, "PNG")
    assert np.array_equal(values(open_picture(path)), values(scene()))
    assert suffix_mismatch(path) == "PNG"
    assert suffix_mismatch(path.rename(tmp_path / "a.unknown")) is None


@pytest.mark.parametrize("side", [14_178, 60_000])
def test_too_many_pixels_are_refused_before_decoding(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    bomb = png(side, side)
    for call in (open_picture, header):
        with pytest.raises(ExampleError, match="claims more than 200,000,000 pixels"):
            call(bomb)


def test_between_pillows_limit_and_ours_all_is_quiet() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert header(png(11_000, 11_000)).width == 11_000
    assert limit == Image.MAX_IMAGE_PIXELS
    with pytest.raises(ExampleError, match="more than 100 pixels"):
        open_picture(scene(), max_pixels=100)


def test_threads_leave_pillow_and_warnings_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    scene(64, 64).save(path)
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)

    def work() -> None:
        for pixels in (5_000, 10_000) * 20:
            open_picture(path, max_pixels=pixels)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit == Image.MAX_IMAGE_PIXELS
    assert list(warnings.filters) == filters


def test_identify_does_not_decode_but_explains() -> None:
    file = BytesIO()
    scene().save(file, "JPEG")
    assert identify(file.getvalue()).size == (48, 32)
    with pytest.raises(ExampleError, match="not a picture"):
        identify(b"no")

"""One contract, held by every kind: the same tests over pictures and over recordings."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import draw
from quickstudy import checking, kinds
from quickstudy.errors import ExampleError
from quickstudy.kinds import Piece, Preparation
from quickstudy.kinds.views import averaged, in_views
from quickstudy.recipe.types import Augment, SoundAugment

pytestmark = pytest.mark.usefixtures("one_thread")

MOST_PIXELS = 1_000_000
RATE, WINDOW = 8_000, 4_000
STILL = SoundAugment(
    shift=0.0, speed=0.0, gain=0.0, noise=0.0, mask_time=0.0, mask_bands=0.0, mixup=0.0
)


@dataclass(frozen=True)
class Case:
    """A kind, files of it, and what is known of them."""

    kind: str
    how: Preparation
    files: list[Path]
    items: list[int]
    """How many items each file has once decoded."""
    memory: list[Any]
    """The first file again, as things in memory."""
    strong: Any
    still: Any
    facts: dict[str, Any]

    def pieces(self) -> list[Piece]:
        return [self.how.decode(file) for file in self.files]

    def views(self, values: np.ndarray) -> torch.Tensor:
        starts = self.how.starts(len(values)).tolist()
        return torch.from_numpy(np.stack([self.how.view(values, start) for start in starts]))

    def vary(self, values: list[np.ndarray], augment: Any, seed: int = 0) -> torch.Tensor:
        gathered = self.how.gather(values, augment, np.random.default_rng(seed))
        generator = torch.Generator().manual_seed(seed)
        return self.how.vary(gathered, self.how.size, augment, generator)


def pictures(folder: Path) -> Case:
    files = []
    for number, name in enumerate(("a.png", "b.jpg", "c.webp", "d.bmp", "e.gif", "f.tiff")):
        picture = draw("disc", number, side=40).resize((60 + number, 40))
        files.append(folder / name)
        (picture.convert("L") if name == "d.bmp" else picture).save(files[-1])
    with Image.open(files[0]) as first:
        first.load()
    kept = {"decode_size": 32, "size": 24, "fit": "crop", "mean": (0.4, 0.5, 0.6), "mirror": True}
    return Case(
        "image",
        kinds.restored("image", {**kept, "std": (0.2, 0.25, 0.3)}),
        files,
        [1] * len(files),
        [first, np.asarray(first)],
        Augment(mirror=True, crop=0.4, rotate=15.0, colour=0.4, mixup=0.4, cutmix=0.5),
        Augment(mirror=False, crop=1.0, rotate=0.0, colour=0.0, mixup=0.0, cutmix=0.0),
        {"width": 62, "height": 40, "short_side": 40, "grey": False},
    )


def tone(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """A falling tone with noise, under full scale."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * (900 * time - 100 * time**2)) + 0.3 * rng.uniform(-1, 1, time.size)
    return 0.5 * wave


def recordings(folder: Path) -> Case:
    made = {
        "a.wav": (0.5, 8_000, 1), "b.flac": (0.3, 44_100, 2), "c.ogg": (1.7, 16_000, 1),
        "d.mp3": (0.8, 22_050, 1), "e.aiff": (1.3, 8_000, 1),
    }  # fmt: skip
    files = []
    for number, (name, (seconds, rate, channels)) in enumerate(made.items()):
        wave = np.stack([tone(seconds, rate, number)] * channels, 1)
        files.append(folder / name)
        soundfile.write(files[-1], wave, rate)
    whole = soundfile.read(files[0], dtype="int16")[0]
    return Case(
        "sound",
        kinds.restored(
            "sound",
            {"rate": RATE, "size": WINDOW, "span": 2_000, "long": 9_000},
        ),
        files,
        [round(seconds * RATE) for seconds, _, _ in made.values()],
        [(whole, RATE), (whole[:, None], RATE), (whole.astype(np.float32) / 32768, RATE)],
        SoundAugment(
            shift=1.0, speed=0.1, gain=6.0, noise=1.0, mask_time=0.2, mask_bands=0.2, mixup=0.4
        ),
        STILL,
        {"rate": 8_000, "highest_rate": 44_100, "seconds": 0.8, "longest": 1.7, "channels": 2},
    )


MADE = {"image": pictures, "sound": recordings}


@pytest.fixture(scope="module", params=sorted(MADE))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return MADE[request.param](tmp_path_factory.mktemp(request.param))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# What there is


def test_every_kind_is_tested_and_named() -> None:
    assert set(kinds.SUFFIXES) == set(MADE)  # kinds whose files hold one example
    assert set(kinds.NOUNS) == {*MADE, "table"}  # rows: see test_table_kind
    every = [suffix for suffixes in kinds.SUFFIXES.values() for suffix in suffixes]
    assert len(every) == len(set(every))
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in every)
    nouns = [noun for both in kinds.NOUNS.values() for noun in both]
    assert len(nouns) == len(set(nouns)) == 2 * len(kinds.NOUNS)


def test_a_preparation_has_all_that_the_contract_says(case: Case) -> None:
    members = {name for name in vars(Preparation) if not name.startswith("_")}
    members |= set(Preparation.__annotations__)
    assert {"kind", "decode", "blank", "timeline", "key"} <= members
    assert [name for name in sorted(members) if not hasattr(case.how, name)] == []
    assert case.how.kind == case.kind and case.how.passes in (1, 2)


def test_facts(case: Case) -> None:
    looks = [kinds.look(case.kind, file, MOST_PIXELS) for file in case.files]
    labels = np.zeros(len(looks), np.int64)
    facts = kinds.summed_up(case.kind, looks, labels, (), np.random.default_rng(0))
    for name, expected in case.facts.items():
        assert getattr(facts, name) == pytest.approx(expected, abs=0.01), name
    json.dumps(facts.as_dict())
    assert kinds.unseen(case.kind, looks) >= 1
    one = kinds.look(case.kind, case.memory[0], MOST_PIXELS)
    for name, value in vars(looks[0]).items():
        np.testing.assert_array_equal(getattr(one, name), value)


def test_facts_of_nothing(case: Case) -> None:
    nothing = np.empty(0, np.int64)
    facts = kinds.summed_up(case.kind, [], nothing, (), np.random.default_rng(0))
    json.dumps(facts.as_dict())
    assert kinds.unseen(case.kind, []) in (1, 2)  # of sound, decoding does twice what a look does


def test_facts_tell_how_much_was_not_heard() -> None:
    """A minute at 44.1 kHz is more than a look listens to; a second is not."""
    rng = np.random.default_rng(0)
    looks = [
        kinds.look("sound", (rng.normal(size=44_100 * seconds), 44_100), 0) for seconds in (60, 1)
    ]
    listened = 4 * 2**18 / 44_100 + 1
    assert kinds.unseen("sound", looks) == pytest.approx(2 * 61 / listened)
    assert kinds.unseen("sound", looks[1:]) == 2


# Files


def test_decoded_as_declared(case: Case) -> None:
    for piece, items in zip(case.pieces(), case.items, strict=True):
        assert piece.values.dtype == np.dtype(case.how.dtype)
        assert piece.values.shape == (items, *case.how.item)
        assert piece.thumb.shape == (16, 16, 3) and piece.thumb.dtype == np.uint8
        assert piece.thumb.std() > 1 and piece.remark == ""


def test_the_same_file_gives_the_same_bits(case: Case) -> None:
    for file, first in zip(case.files, case.pieces(), strict=True):
        for again in (case.how.decode(file), case.how.decode(file.read_bytes())):
            assert again.values.tobytes() == first.values.tobytes()
            assert again.thumb.tobytes() == first.thumb.tobytes()


def test_what_is_in_memory_gives_the_same_bits(case: Case) -> None:
    first = case.how.decode(case.files[0])
    for raw in case.memory:
        before = np.array(raw[0] if isinstance(raw, tuple) else raw)
        again = case.how.decode(raw)
        assert again.values.tobytes() == first.values.tobytes()
        assert again.thumb.tobytes() == first.thumb.tobytes()
        np.testing.assert_array_equal(before, raw[0] if isinstance(raw, tuple) else raw)


def test_a_wrong_suffix_is_a_remark(case: Case, tmp_path: Path) -> None:
    file = tmp_path / case.files[1].with_suffix(case.files[0].suffix).name
    file.write_bytes(case.files[1].read_bytes())
    piece = case.how.decode(file)
    assert piece.values.tobytes() == case.how.decode(case.files[1]).values.tobytes()
    assert piece.remark in ("is JPEG", "is FLAC")


def empty(case: Case, folder: Path) -> list[Any]:
    (folder / case.files[0].name).write_bytes(b"")
    return [folder / case.files[0].name, b""]


def text(case: Case, folder: Path) -> list[Any]:
    (folder / case.files[0].name).write_text("Dear diary. " * 50)
    return [folder / case.files[0].name, b"text"]


def cut_short(case: Case, folder: Path) -> list[Any]:
    cut = []
    for file in case.files:
        for share in (0.02, 0.4):
            whole = file.read_bytes()
            cut.append(folder / f"{share}{file.name}")
            cut[-1].write_bytes(whole[: round(share * len(whole))])
    return cut


def absent(case: Case, folder: Path) -> list[Any]:
    return [folder / case.files[0].name]


def a_folder(case: Case, folder: Path) -> list[Any]:
    return [folder]


def foreign(case: Case, folder: Path) -> list[Any]:
    array = np.zeros((4, 5, 6, 7), np.float32)
    either = [(array, RATE)] if case.kind == "sound" else [array]
    return [None, 3, "a text", ["a", "list"], {"a": 1}, object(), Case, *either]


@pytest.mark.parametrize("broken", [empty, text, cut_short, absent, a_folder, foreign])
def test_what_cannot_be_read_has_a_reason(
    case: Case,
    broken: Callable[[Case, Path], list[Any]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for raw in broken(case, tmp_path):
        with pytest.raises(ExampleError) as caught:
            case.how.decode(raw)
        reason = caught.value.message
        assert reason[0].islower() and not reason.endswith("."), reason
        assert "\n" not in reason and str(tmp_path) not in reason and "Error" not in reason
    capfd.readouterr()  # libmpg123 writes to the terminal


def test_a_tuple_that_is_no_sound_has_a_readable_reason() -> None:
    how = recordings_how()
    wave = tone(0.5, RATE)
    for raw in ((wave,), (wave, RATE, "label"), ()):
        with pytest.raises(ExampleError) as caught:
            how.decode(raw)
        assert "_of_array" not in caught.value.message


def recordings_how(rate: int = RATE) -> Preparation:
    return kinds.restored("sound", {"rate": rate, "size": WINDOW, "span": 2_000, "long": 9_000})


def test_samples_far_beyond_full_scale_stay_numbers() -> None:
    """Floats on the scale of 24-bit whole numbers: odd, told in a remark, and used."""
    wave = tone(0.5, RATE)
    piece = recordings_how().decode((wave * 2**23, RATE))
    assert piece.remark.startswith("beyond full scale")
    values = piece.values.astype(np.float64)
    assert np.isfinite(values).all()
    assert np.corrcoef(values, wave)[0, 1] > 0.999_99  # and not cut off


# Views


def test_views_show_all_of_an_example(case: Case) -> None:
    lengths = [1] if case.kind == "image" else [1, 2, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW]
    shape = case.views(case.pieces()[0].values).shape[1:]
    for items in lengths:
        marks = np.arange(1, 1 + items * math.prod(case.how.item)).reshape(-1, *case.how.item)
        shown = case.views(marks)
        assert shown.shape[1:] == shape
        assert set(np.unique(shown)) - {0} == set(np.unique(marks))


@given(n=st.integers(1, 5_000), size=st.integers(8, 600))
def test_windows_overlap_by_half_and_end_with_the_recording(n: int, size: int) -> None:
    how = kinds.restored("sound", {"rate": RATE, "size": size, "span": size, "long": 2 * size})
    starts = how.starts(n)
    heard = np.zeros(n, np.int64)
    for start in starts.tolist():
        view = how.view(np.arange(1, n + 1), start)
        assert view.shape == (size,)
        heard[view[view > 0] - 1] += 1
    assert heard.min() >= 1 and starts[0] == 0
    assert starts[-1] == max(0, n - size)
    assert (np.diff(starts) > 0).all() and np.diff(starts).max(initial=0) <= -(-size // 2)
    assert len(starts) <= 2 + 2 * n / size  # and no more than that takes


def test_a_short_recording_lies_in_the_middle() -> None:
    view = recordings_how().view(np.ones(1_000, np.float16), 0)
    assert np.flatnonzero(view).tolist() == list(range(1_500, 2_500))


def test_prepared_and_blank_are_what_the_network_takes(case: Case) -> None:
    for piece in case.pieces():
        views = case.views(piece.values)
        x = case.how.prepare(views)
        blank = case.how.blank(len(views), case.how.size)
        assert x.shape == blank.shape and x.dtype == blank.dtype == torch.float32
        assert x.stride() == blank.stride()
        assert torch.isfinite(x).all() and not blank.any()
    assert case.how.blank(2, 2 * case.how.size).shape[-1] == 2 * case.how.size


def test_prepared_against_the_definition(case: Case) -> None:
    views = case.views(case.pieces()[0].values)
    x = case.how.prepare(views)
    if case.kind == "sound":
        expected = soundfile.read(case.files[0], dtype="float32")[0]
        np.testing.assert_allclose(x[0].numpy(), expected, atol=2**-11)
    else:
        small = torch.nn.functional.interpolate(
            views.permute(0, 3, 1, 2).float(), (24, 24), mode="bilinear", antialias=True
        )
        mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
        expected = (small / 255 - mean[:, None, None]) / std[:, None, None]
        torch.testing.assert_close(x, expected, check_stride=False)


def test_in_views_and_averaged_are_a_plain_loop(case: Case) -> None:
    pieces = [piece.values for piece in case.pieces()]
    expected = [
        (owner, case.how.view(values, start))
        for owner, values in enumerate(pieces)
        for start in case.how.starts(len(values)).tolist()
    ]
    for batch in (1, 4, 1_000):
        found = list(in_views(iter(pieces), case.how, batch))
        assert all(len(owners) == len(views) == batch for owners, views in found[:-1])
        assert 1 <= len(found[-1][0]) <= batch
        owners = np.concatenate([owners for owners, _ in found])
        views = np.concatenate([views for _, views in found])
        assert owners.tolist() == [owner for owner, _ in expected]
        np.testing.assert_array_equal(views, np.stack([view for _, view in expected]))
    answers = np.random.default_rng(0).random((len(owners), 3))
    means = averaged(owners, answers, len(pieces))
    for owner, mean in enumerate(means):
        mine = [answer for whose, answer in zip(owners, answers, strict=True) if whose == owner]
        np.testing.assert_allclose(mean, sum(mine) / len(mine))


def test_most_limits_the_views_and_spreads_them() -> None:
    how = recordings_how()
    long, short = np.arange(10 * WINDOW), np.arange(WINDOW)
    for most in (1, 2, 3, 7):
        ((owners, views),) = in_views([long, short], how, 100, most=most)
        assert owners.tolist() == [0] * most + [1]
        starts = views[:-1, 0]
        if most > 1:
            assert starts[0] == 0 and views[-2, -1] == 10 * WINDOW - 1
            assert np.ptp(np.diff(starts)) <= WINDOW / 2  # of the views there are, every so many
    ((owners, _),) = in_views([long, short], how, 100, most=1_000)
    assert len(owners) == len(how.starts(len(long))) + 1


def test_a_timeline_only_of_what_is_long(case: Case) -> None:
    asked: list[int] = []
    classes = ("a", "b", "c")

    def ask(views: np.ndarray) -> np.ndarray:
        assert views.shape[1:] == shape and views.dtype == np.dtype(case.how.dtype)
        asked.append(len(views))
        return np.tile(np.float32([0.7, 0.2, 0.1]), (len(views), 1))

    pieces = case.pieces()
    shape = case.views(pieces[0].values).shape[1:]
    told = [case.how.timeline(piece.values, ask, classes) for piece in pieces]
    long = [case.kind == "sound" and items > 9_000 for items in case.items]
    assert [bool(segments) for segments in told] == long
    for segments, items in zip(told, case.items, strict=True):
        if segments:
            (only,) = segments
            assert (only.start, only.label) == (0, "a")
            assert only.end == pytest.approx(items / RATE, abs=1e-3)
            assert only.probability == pytest.approx(0.7)
    hops = [-(-items // 667) for items, heard in zip(case.items, long, strict=True) if heard]
    assert sum(asked) == sum(hops) - 2 * len(hops)  # three hops a window


def test_what_is_exactly_as_long_has_no_timeline() -> None:
    how = recordings_how()
    values = np.ones(9_001, np.float16)

    def ask(views: np.ndarray) -> np.ndarray:
        return np.ones((len(views), 1), np.float32)

    assert how.timeline(values[:9_000], ask, ("a",)) == ()
    assert len(how.timeline(values, ask, ("a",))) == 1


# Learning


def test_the_same_seed_varies_the_same(case: Case) -> None:
    values = [piece.values for piece in case.pieces()]
    first = case.vary(values, case.strong)
    assert first.shape == case.how.blank(len(values), case.how.size).shape
    assert first.dtype == torch.float32 and torch.isfinite(first).all()
    assert torch.equal(first, case.vary(values, case.strong))
    other = case.vary(values, case.strong, seed=1)
    assert all(not torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_long_recordings_are_learnt_from_everywhere_and_short_ones_whole() -> None:
    """Numbers that float16 holds, so that each sample says where it was."""
    how, strong = recordings_how(), dataclasses.replace(STILL, speed=0.1)
    long, short = np.repeat(np.arange(2_000), 10).astype(np.float16), np.ones(900, np.float16)
    rows, lengths = how.gather([long] * 400 + [short], strong, np.random.default_rng(0))
    most = math.ceil(1.1 * WINDOW)  # enough for the quickest
    assert lengths.tolist() == [most] * 400 + [900] and rows.shape == (401, most)
    assert (rows[-1, :900] == 1).all() and not rows[-1, 900:].any()
    firsts = rows[:-1, 0].numpy().astype(int)
    assert firsts.min() < 20 and firsts.max() > 1_540  # of 0 to 1,560
    assert np.abs(np.histogram(firsts, bins=4, range=(0, 1_560))[0] / 400 - 0.25).max() < 0.07
    assert (np.diff(rows[:-1, ::10].numpy()) == 1).all()
    again = how.gather([long] * 400 + [short], strong, np.random.default_rng(0))
    assert torch.equal(rows, again[0]) and torch.equal(lengths, again[1])


def test_two_of_one_example_are_varied_apart(case: Case) -> None:
    one, two = case.vary([case.pieces()[-1].values] * 2, case.strong)
    assert not torch.allclose(one, two, atol=0.01)


def test_another_size(case: Case) -> None:
    gathered = case.how.gather([case.pieces()[0].values], case.strong, np.random.default_rng(0))
    size = case.how.size // 2
    x = case.how.vary(gathered, size, case.strong, generator())
    assert x.shape == case.how.blank(1, size).shape


@pytest.mark.parametrize("short", [0, 1, 2, 3, 4, 5, 1_000])
def test_with_all_strengths_at_zero_learning_hears_what_predicting_hears(short: int) -> None:
    how = recordings_how()
    values = [tone(0.5, RATE)[: WINDOW - short].astype(np.float16)] * 2
    expected = how.prepare(torch.from_numpy(np.stack([how.view(one, 0) for one in values])))
    gathered = how.gather(values, STILL, np.random.default_rng(0))
    heard = how.vary(gathered, WINDOW, STILL, generator())
    torch.testing.assert_close(heard, expected, rtol=0, atol=1e-5)


def test_with_all_strengths_at_zero_a_plain_picture_stays() -> None:
    """A still picture is yet moved a little: one colour shows that nothing else happens to it."""
    how = kinds.restored(
        "image",
        {
            **{"decode_size": 32, "size": 24, "fit": "crop", "mean": (0.4, 0.5, 0.6)},
            **{"std": (0.2, 0.25, 0.3), "mirror": False},
        },
    )
    still = Augment(mirror=False, crop=1.0, rotate=0.0, colour=0.0, mixup=0.0, cutmix=0.0)
    values = [np.full((1, 32, 32, 3), (200, 90, 10), np.uint8)] * 3
    gathered = how.gather(values, still, np.random.default_rng(0))
    expected = how.prepare(torch.from_numpy(np.concatenate(values)))
    torch.testing.assert_close(
        how.vary(gathered, 24, still, generator()), expected, rtol=0, atol=1e-5
    )


def test_blended_targets_add_up(case: Case) -> None:
    x = case.vary([piece.values for piece in case.pieces()], case.strong)
    target = torch.eye(3)[torch.arange(len(x)) % 3]
    changed = 0
    for seed in range(8):
        before = x.clone()
        mixed, shares = case.how.blend(x, target, case.strong, generator(seed))
        again = case.how.blend(x, target, case.strong, generator(seed))
        assert torch.equal(mixed, again[0]) and torch.equal(shares, again[1])
        assert mixed.shape == x.shape and torch.isfinite(mixed).all()
        torch.testing.assert_close(shares.sum(1), torch.ones(len(x)))
        assert shares.min() >= 0
        assert torch.equal(x, before)  # what came in is not changed
        changed += int(not torch.equal(shares, target))
    assert changed >= 4
    mixed, shares = case.how.blend(x, target, case.still, generator())
    assert torch.equal(mixed, x) and torch.equal(shares, target)


# Answers


def test_an_answer_is_the_mean_over_the_looks(case: Case) -> None:
    x = case.how.prepare(case.views(case.pieces()[0].values))
    weights = torch.randn(x[0].numel(), 4, generator=generator()) / x[0].numel() ** 0.5

    def scores(x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ weights

    answer = case.how.answer(scores, x)
    looks = [x, x.flip(-1)] if case.how.passes == 2 else [x]
    torch.testing.assert_close(answer, sum(map(scores, looks)) / len(looks))


def test_a_preparation_survives_json(case: Case) -> None:
    kept = json.loads(json.dumps(case.how.as_dict()))
    again = kinds.restored(case.kind, kept)
    assert again == case.how and again.as_dict() == case.how.as_dict()
    assert again.key == case.how.key


def test_the_key_is_of_what_the_cache_depends_on(case: Case) -> None:
    kept = case.how.as_dict()
    alters = {"rate": 16_000} if case.kind == "sound" else {"decode_size": 40, "fit": "pad"}
    for name, value in {**alters, "size": 20}.items():
        other = kinds.restored(case.kind, {**kept, name: value})
        assert (other.key != case.how.key) == (name in alters), name


def test_shown_in_the_report(case: Case) -> None:
    for file in case.files:
        shown = kinds.shown(case.kind, file, MOST_PIXELS)
        assert set(shown) == {"picture", "sound"}
        head, _, content = str(shown["picture"]).partition(",")
        assert head.startswith("data:image/") and head.endswith(";base64")
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            picture.load()
        assert np.asarray(picture.convert("L")).std() > 5
        if case.kind == "image":
            assert shown["sound"] is None
            continue
        sound = base64.b64decode(str(shown["sound"]).partition(",")[2])
        wave, rate = soundfile.read(io.BytesIO(sound))
        assert len(wave) / rate == pytest.approx(soundfile.info(file).duration, abs=0.1)
        assert 0.3 < np.abs(wave).max() <= 1.1
    with pytest.raises(ExampleError):
        kinds.shown(case.kind, file.with_name("gone" + file.suffix), MOST_PIXELS)


# Near-duplicates of recordings


def chirp(seed: int, rate: int = 44_100) -> np.ndarray:
    """A noisy chirp that swells and fades, half of full scale."""
    rng = np.random.default_rng([7, seed])
    time = np.arange(rate) / rate
    low, high = rng.uniform(150, 900, 2)
    wave = np.sin(2 * np.pi * (low * time + (high - low) * time**2 / 2))
    wave += 0.3 * rng.normal(size=time.size)
    wave *= np.exp(-(((time - rng.uniform(0.3, 0.7)) / rng.uniform(0.08, 0.4)) ** 2))
    return 0.45 * wave / np.abs(wave).max()


def knock(seed: int, rate: int = 44_100) -> np.ndarray:
    """A struck bar: one moment is clearly the loudest."""
    rng = np.random.default_rng([8, seed])
    time = np.arange(-0.25, 0.5, 1 / rate)
    ring = np.exp(-np.abs(time) / np.where(time < 0, 0.001, rng.uniform(0.01, 0.02)))
    wave = sum(np.cos(2 * np.pi * f * time) / 2 for f in rng.uniform(150, 500, 3))
    wave = ring * wave + 0.02 * rng.normal(size=time.size)
    return 0.45 * wave / np.abs(wave).max()


def coded(wave: np.ndarray, rate: int, format_: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=format_, subtype=subtype)
    return file.getvalue()


def resampled(wave: np.ndarray, rate: int) -> bytes:
    return coded(soxr.resample(wave, rate, 16_000), 16_000)


COPIES: dict[str, Callable[[np.ndarray, int], bytes]] = {
    "louder": lambda wave, rate: coded(2 * wave, rate),
    "quieter": lambda wave, rate: coded(wave / 10, rate),
    "in 24 bits": lambda wave, rate: coded(wave, rate, "WAV", "PCM_24"),
    "FLAC": lambda wave, rate: coded(wave, rate, "FLAC"),
    "OGG": lambda wave, rate: coded(wave, rate, "OGG"),
    "MP3": lambda wave, rate: coded(wave, rate, "MP3"),
    "16 kHz": resampled,
    "silence before": lambda wave, rate: coded(np.r_[np.zeros(12_347), wave], rate),
    "both trimmed": lambda wave, rate: coded(wave[1_501:-1_001], rate),
}
EXACT = ["louder", "quieter", "in 24 bits", "FLAC", "16 kHz"]


def groups(raws: list[bytes], rate: int = 16_000) -> np.ndarray:
    how = recordings_how(rate)
    thumbs = np.stack([how.decode(raw).thumb for raw in raws])
    return checking.duplicates(np.arange(len(raws), dtype=np.uint64), thumbs, "sound").group


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_copies_of_a_sound_with_one_loudest_moment_are_found(rate: int) -> None:
    for seed in range(6):
        wave = knock(seed)
        copies = [coded(wave, 44_100), *(copy(wave, 44_100) for copy in COPIES.values())]
        found = dict(zip(["itself", *COPIES], groups(copies, rate).tolist(), strict=True))
        assert found == dict.fromkeys(found, 0), seed


def twins(waves: list[np.ndarray], rate: int, copy: str) -> float:
    """Share of the recordings whose copy is found, and none is taken for another's."""
    raws = [coded(wave, rate) for wave in waves] + [COPIES[copy](wave, rate) for wave in waves]
    group = groups(raws)
    one, two = np.split(group, 2)
    assert np.bincount(group[group >= 0], minlength=1).max() <= 2
    return float(np.mean((one == two) & (one >= 0)))


@pytest.mark.parametrize("copy", EXACT)
def test_copies_of_noisy_sounds_are_found(copy: str) -> None:
    assert twins([chirp(seed) for seed in range(16)], 44_100, copy) == 1


@pytest.mark.parametrize(("copy", "share"), [*[(copy, 0.95) for copy in EXACT], ("OGG", 0.7)])
def test_copies_of_real_words_are_found(shared: Path, copy: str, share: float) -> None:
    files = sorted((shared / "data" / "spoken_digits" / "test").rglob("*.flac"))[::10]
    waves = [soundfile.read(file)[0] for file in files]
    waves = [0.45 * wave / np.abs(wave).max() for wave in waves]
    assert len(waves) == 30
    assert twins(waves, 8_000, copy) >= share


def test_different_sounds_are_not_copies() -> None:
    assert (groups([coded(chirp(seed), 44_100) for seed in range(60)]) == -1).all()


def test_different_real_words_are_not_copies(shared: Path) -> None:
    """Not even the same word by the same speaker."""
    files = sorted((shared / "data" / "spoken_digits" / "train").rglob("3_*.flac"))
    assert len(files) >= 60
    assert (groups([file.read_bytes() for file in files[:120]], 8_000) == -1).all()

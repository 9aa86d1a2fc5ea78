"""What names of files tell: the kind, labels and groups by a pattern, groups nobody declared."""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quickstudy.catalog import (
    FREE,
    TEST,
    TRAIN,
    Catalog,
    Suggested,
    catalog_suggested,
    merge,
    scan,
    suggested,
)
from quickstudy.catalog.patterns import pattern
from quickstudy.errors import ChoiceError, QuickstudyError, SourceError
from quickstudy.kinds import SUFFIXES

DIGITS = "{digit}_{speaker}_{n}"
SPEAKERS = ("anna", "ben", "cleo", "dov", "eva", "finn")
Look = Callable[..., Catalog]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    def call(source: object, **options: object) -> Catalog:
        return scan(source, cache=tmp_path / "cache", **options)  # type: ignore[arg-type]

    return call


def put(root: Path, *names: str) -> Path:
    """Files of these names; a scan decodes nothing, so that any bytes will do."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def spoken(takes: int = 2, suffix: str = ".wav") -> list[str]:
    return [
        f"{digit}_{who}_{n}{suffix}" for digit in (3, 7) for who in SPEAKERS for n in range(takes)
    ]


def reasons(found: Catalog) -> dict[str, str]:
    return {one.name: one.reason for one in found.left_out}


def wrong(look: Look, fault: type[QuickstudyError], source: object, **options: object) -> str:
    with pytest.raises(fault) as caught:
        look(source, **options)
    assert caught.value.hint
    return str(caught.value)


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


# --- the kind -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".wav", "sound"), (".FLAC", "sound"), (".JPG", "image")]
)
def test_a_folder_is_of_the_kind_of_its_files(
    tmp_path: Path, look: Look, suffix: str, kind: str
) -> None:
    found = look(put(tmp_path / "in", *(f"{c}/{n}{suffix}" for c in "ab" for n in range(5))))
    assert found.kind == kind and len(found) == 10 and found.notes == ()


def test_the_commonest_kind_wins_and_the_other_is_left_out_by_name(
    tmp_path: Path, look: Look
) -> None:
    root = put(tmp_path / "in", *(f"{c}/{n}.wav" for c in "ab" for n in range(6)))
    alone = look(root)
    put(root, *(f"{c}/{n}.png" for c in "ab" for n in range(5)), "a/notes.txt", "c/0.png")
    found = look(root)
    assert found.kind == "sound" and found.counts() == {"a": 6, "b": 6}
    assert {found.read(i).suffix for i in range(12)} == {".wav"}  # type: ignore[union-attr]
    why = reasons(found)
    assert why[str(Path("b", "4.png"))] == "a picture, not a recording"
    assert why[str(Path("a", "notes.txt"))] == "not a recording: .txt"
    assert len(why) == 12
    assert "Only its recordings are used: 11 pictures are left out." in found.notes
    assert found.stamp == alone.stamp  # files of another kind come and go
    forced = look(root, kind="image", learnable=False)
    assert forced.kind == "image" and len(forced) == 11
    assert reasons(forced)[str(Path("a", "0.wav"))] == "a recording, not a picture"


def test_equally_many_of_both_are_pictures(tmp_path: Path, look: Look) -> None:
    names = [f"{c}/{n}{suffix}" for c in "ab" for n in range(5) for suffix in (".png", ".wav")]
    assert look(put(tmp_path / "in", *names)).kind == "image"


def test_words_where_the_kind_is_known_and_where_not(tmp_path: Path, look: Look) -> None:
    text = wrong(look, SourceError, put(tmp_path / "none", "a/b/x.txt", "a/c/x.txt"))
    assert "There are no pictures or recordings in" in text
    assert ".wav" in text and ".png" in text and "Found instead: .txt." in text
    text = wrong(look, SourceError, put(tmp_path / "flat", "1.wav", "2.wav", "3.png"))
    assert "2 recordings but no class folders" in text and "--label-from" in text
    text = wrong(look, SourceError, put(tmp_path / "other", "a/1.png", "b/1.png"), kind="sound")
    assert "There are no recordings in" in text and "Found instead: pictures" in text
    assert ".wav" in text and ".png" not in text


def test_an_unknown_kind(look: Look) -> None:
    text = wrong(look, ChoiceError, [("a.wav", "a")], kind="sounds")
    assert "Did you mean 'sound'?" in text and "image" in text


def test_a_table_is_of_the_kind_of_its_paths(tmp_path: Path, look: Look) -> None:
    names = [f"{n}.wav" for n in range(10)]
    put(tmp_path, *names, "x.png", "y")
    rows = [(name, "ab"[n % 2]) for n, name in enumerate(names)]
    found = look(write(tmp_path / "t.csv", ("audio", "label"), [*rows, ("x.png", "a"), ("y", "b")]))
    assert found.kind == "sound" and len(found) == 11  # a name that tells nothing stays
    assert reasons(found) == {"x.png": "a picture, not a recording"}
    pictures = look(tmp_path / "t.csv", kind="image", learnable=False)
    assert pictures.kind == "image" and pictures.names == ["x.png", "y"]
    plain = put(tmp_path, *map(str, range(10)))
    assert look([(plain / str(n), n % 2) for n in range(10)]).kind == "image"


def test_lists_of_samples_and_of_pictures(tmp_path: Path, look: Look) -> None:
    waves = [(np.full(8, n, dtype=np.float32), 8000) for n in range(10)]
    pairs: list[tuple[Any, Any]] = [(wave, n % 2) for n, wave in enumerate(waves)]
    found = look([*pairs, (np.zeros((4, 4), np.uint8), 0)])
    assert found.kind == "sound" and reasons(found) == {"row 10": "a picture, not a recording"}
    samples, rate = found.read(7)  # type: ignore[misc]
    assert (samples == 7).all() and type(rate) is int and rate == 8000
    slower = [((wave, np.int64(4000)), label) for (wave, _), label in pairs]
    assert look(pairs).stamp == look(pairs).stamp != look(slower).stamp
    put(tmp_path, *(f"{n}.ogg" for n in range(5)))
    mixed = [*pairs, *((tmp_path / f"{n}.ogg", 0) for n in range(5))]
    assert look(mixed).kind == "sound" and len(look(mixed)) == 15
    assert "Item 0" in wrong(look, SourceError, [((waves[0][0], 8000.5), 0)])


def test_arrays_stay_pictures(look: Look) -> None:
    arrays = (np.zeros((10, 4, 4), np.uint8), np.arange(10) % 2)
    assert look(arrays).kind == look(arrays, kind="image").kind == "image"
    assert "not recordings" in wrong(look, ChoiceError, arrays, kind="sound")


@pytest.fixture
def hub(tmp_path: Path) -> Any:
    """A data set of nine sound files and the bytes of a tenth, made without its own encoder."""
    datasets = pytest.importorskip("datasets")
    pa = pytest.importorskip("pyarrow")
    put(tmp_path, *(f"{n}.wav" for n in range(9)))
    features = datasets.Features(
        {"audio": datasets.Audio(), "word": datasets.ClassLabel(names=["no", "yes"])}
    )
    held = [{"bytes": None, "path": str(tmp_path / f"{n}.wav")} for n in range(9)]
    columns = {"audio": [*held, {"bytes": b"ab", "path": None}], "word": [0, 1] * 5}
    return datasets.Dataset(pa.table(columns, schema=features.arrow_schema))


def test_hub_data_sets_of_sound(tmp_path: Path, hub: Any, look: Look) -> None:
    datasets = pytest.importorskip("datasets")
    assert type(hub.features["audio"]).__name__ == "Audio"
    found = look(hub)
    assert found.kind == "sound" and found.classes == ("no", "yes")
    assert found.read(3) == tmp_path / "3.wav" and found.read(9) == b"ab"
    parts = look(datasets.DatasetDict({"train": hub, "test": hub}))
    assert parts.kind == "sound" and parts.read(13) == tmp_path / "3.wav"
    assert "a recording, not a picture" in wrong(look, SourceError, hub, kind="image")


def test_hub_data_sets_without_a_type_for_sound(tmp_path: Path, look: Look) -> None:
    datasets = pytest.importorskip("datasets")
    label = [n % 2 for n in range(10)]
    files = [*(f"{n}.wav" for n in range(9)), "x.png"]
    found = look(datasets.Dataset.from_dict({"file": files, "label": label}), learnable=False)
    assert found.kind == "sound" and reasons(found) == {"row 9": "a picture, not a recording"}
    few = datasets.Dataset.from_dict({"file": ["a.png"], "label": [0]})
    whole = datasets.Dataset.from_dict({"file": files, "label": label})
    parts = look(datasets.DatasetDict({"train": whole, "test": few}), learnable=False)
    assert parts.kind == "sound" and set(reasons(parts)) == {"train[9]", "test[0]"}
    decoded = [{"array": [0.5, float(n)], "sampling_rate": 8000} for n in range(10)]
    heard = look(datasets.Dataset.from_dict({"audio": decoded, "label": label}))
    samples, rate = heard.read(4)  # type: ignore[misc]
    assert heard.kind == "sound" and samples.tolist() == [0.5, 4.0] and rate == 8000


class Waves:
    """A torch data set of ((samples, rate), label); counts what is fetched."""

    fetched = 0

    def __len__(self) -> int:
        return 10

    def __getitem__(self, row: int) -> tuple[tuple[np.ndarray, int], int]:
        self.fetched += 1
        return (np.full(4, row, dtype=np.float32), 8000), row % 2


def test_a_torch_data_set_of_sound(look: Look) -> None:
    found = look(Waves())
    samples, rate = found.read(6)  # type: ignore[misc]
    assert found.kind == "sound" and samples.tolist() == [6.0] * 4 and rate == 8000
    assert "recordings, not pictures" in wrong(look, ChoiceError, Waves(), kind="image")


def test_kinds_are_not_merged(look: Look) -> None:
    pictures = look([(Image.new("L", (2, 2)), n % 2) for n in range(10)])
    with pytest.raises(SourceError, match="holds recordings"):
        merge(pictures, look(Waves()))


# --- patterns -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "told"),
    [
        (DIGITS, "x/3_anna_17.wav", {"digit": "3", "speaker": "anna", "n": "17"}),
        ("{speaker}/{take}", "a/b/anna/1_2.x.wav", {"speaker": "anna", "take": "1_2.x"}),
        ("{who}-{rest}", "a-b-c.wav", {"who": "a", "rest": "b-c"}),
        ("{a}__{b}", "x_y__z.wav", {"a": "x_y", "b": "z"}),
        ("take.{n}(final)", "take.7(final).wav", {"n": "7"}),
        ("{word}{n}", "ab12.wav", {"word": "a", "n": "b12"}),
        ("{größe}_{n}", "weit_1.wav", {"größe": "weit", "n": "1"}),
        ("{d}_{n}", "3.wav", None),
        ("{d}_{n}", "_3.wav", None),
        ("{d}_x", "3_y.wav", None),
        ("take.{n}", "takeX7.wav", None),
        ("{speaker}/{take}", "1.wav", None),
        ("{a}_x", "1_x_x.wav", None),  # the field may not hold the literal after it
    ],
)
def test_what_a_pattern_reads(text: str, path: str, told: dict[str, str] | None) -> None:
    assert pattern(text).read(path.replace("/", os.sep)) == told


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{}_{n}", "'{}'"),
        ("{a}_{a}", "'{a}' stands twice"),
        ("{2nd}_{n}", "'{2nd}'"),
        ("{a b}", "'{a b}'"),
        ("{a_{b}", "partner"),
        ("a}_{b}", "partner"),
        ("plain", "no field"),
        ("", "no field"),
        ("/{a}", "'/'"),
    ],
)
def test_faulty_patterns(look: Look, text: str, word: str) -> None:
    assert word in wrong(look, ChoiceError, [("a.wav", "a")], label_from=text)


def test_every_fault_of_a_pattern_is_named(look: Look) -> None:
    text = wrong(look, ChoiceError, [("a.wav", "a")], group_from="{}_{b}_{b}")
    assert "'{}'" in text and "'{b}' stands twice" in text


# --- labels and groups by a pattern ---------------------------------------------------------


def test_labels_of_a_flat_folder(tmp_path: Path, look: Look) -> None:
    root = put(tmp_path / "in", *spoken(), "noise.wav", "readme.txt")
    found = look(root, label_from=DIGITS, target="digit", group_from="{d}_{group}_{n}")
    assert found.kind == "sound" and found.counts() == {"3": 12, "7": 12}
    assert found.group_names == SPEAKERS
    for row, name in enumerate(found.names):
        digit, who, _ = name.split("_")
        assert found.classes[found.labels[row]] == digit
        assert found.group_names[found.groups[row]] == who
        assert found.read(row) == root / name
    assert reasons(found) == {
        "noise.wav": f"its name does not fit '{DIGITS}'",
        "readme.txt": "not a recording: .txt",
    }
    other = look(root, label_from=DIGITS, target="speaker", learnable=False)
    assert other.classes == SPEAKERS and set(other.groups.tolist()) == {-1}
    stamps = {found.stamp, other.stamp, look(root, label_from=DIGITS, target="digit").stamp}
    assert len(stamps) == 3
    (root / "noise.wav").rename(root / "3_ben_9.wav")
    assert look(root, label_from=DIGITS, target="digit").stamp not in stamps


def test_the_stamp_follows_what_a_pattern_keeps_and_calls_it(tmp_path: Path, look: Look) -> None:
    root = put(
        tmp_path / "in", *(f"{c}/{s}1_{n}.wav" for c in "ab" for s in "st" for n in range(5))
    )
    one, other = look(root, group_from="s{group}_{n}"), look(root, group_from="t{group}_{n}")
    assert one.labels.tolist() == other.labels.tolist() and one.group_names == other.group_names
    assert one.stamp != other.stamp == look(root, group_from="t{group}_{n}").stamp
    rows = [(one.names[n], "ab"[n % 2], "who") for n in range(10)]
    table = write(root / "t.csv", ("path", "label", "group"), rows)
    before = look(table).stamp
    write(table, ("path", "label", "group"), [(path, label, "they") for path, label, _ in rows])
    assert look(table).stamp != before  # equal words of two catalogs are one group: words count


def test_class_folders_give_way_to_a_pattern(tmp_path: Path, look: Look) -> None:
    root = put(tmp_path / "in", *(f"{name[0]}/{name}" for name in spoken()))
    assert look(root).classes == ("3", "7")
    assert look(root, label_from="{d}_{label}_{n}", learnable=False).classes == SPEAKERS
    grouped = look(root, group_from="{d}_{group}_{n}")
    assert grouped.classes == ("3", "7") and grouped.group_names == SPEAKERS
    assert grouped.stamp != look(root).stamp


@pytest.mark.parametrize("inner", ["", "deep/er/"])
def test_parts_count_beside_a_pattern(tmp_path: Path, look: Look, inner: str) -> None:
    root = put(tmp_path / "in", *(f"train/{inner}{name}" for name in spoken()))
    put(root, "test/3_gil_0.wav", "test/7_gil_0.wav", "else/3_gil_1.wav")
    found = look(root, label_from=DIGITS, target="digit", group_from="{d}_{group}_{n}")
    assert [int((found.given == part).sum()) for part in (TRAIN, TEST, FREE)] == [24, 2, 0]
    assert "outside" in reasons(found)["else"]


def test_a_pattern_reads_folders_also_inside_a_wrapper(tmp_path: Path, look: Look) -> None:
    names = [f"set/{who}/{n}.wav" for who in SPEAKERS for n in range(5)]
    root = put(tmp_path / "in", *names)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.write(root / name, name)
    for source in (root, tmp_path / "a.zip"):
        found = look(source, label_from="{speaker}/{take}", target="speaker")
        assert found.classes == SPEAKERS and found.read(0).is_file()  # type: ignore[union-attr]
        wrapped = look(source, group_from="{group}/{speaker}/{take}")
        assert wrapped.group_names == ("set",)
        text = wrong(look, ChoiceError, source, group_from="{a}/{group}/{speaker}/{take}")
        assert "'set/anna/0'" in text  # the source ends there: no cache folder is read


def test_a_table_needs_no_label_column(tmp_path: Path, look: Look) -> None:
    put(tmp_path / "w", *spoken(), "noise.wav")
    rows = [(f"w/{name}", "train") for name in [*spoken(), "noise.wav"]]
    table = write(tmp_path / "t.csv", ("path", "split"), rows)
    assert "label" in wrong(look, SourceError, table)
    found = look(table, label_from=DIGITS, target="digit")
    assert found.counts() == {"3": 12, "7": 12} and set(found.given.tolist()) == {TRAIN}
    assert "does not fit" in reasons(found)["w/noise.wav"]
    assert look(table, label_from="w/" + DIGITS, target="speaker", learnable=False).classes == (
        SPEAKERS
    )
    write(tmp_path / "t.csv", ("path", "label"), [(path, "") for path, _ in rows])
    assert len(look(table, label_from=DIGITS, target="digit")) == 24


def test_lists_of_paths_with_a_pattern(tmp_path: Path, look: Look) -> None:
    put(tmp_path, *spoken())
    paths = [tmp_path / name for name in spoken()]
    for source in (paths, [(str(path), "no matter") for path in paths]):
        found = look(source, label_from=DIGITS, target="digit")
        assert found.counts() == {"3": 12, "7": 12} and found.read(5) == paths[5]
    assert "Item 0" in wrong(look, SourceError, paths)
    wave = (np.zeros(4, np.float32), 8000)
    mixed: list[Any] = [*paths, (wave, "3")]
    found = look(mixed, label_from=DIGITS, target="digit")
    assert reasons(found) == {"row 24": "it has no file name"} and len(found) == 24
    assert look(mixed, label_from="{d}_{label}_{n}", learnable=False).read(23) == paths[23]


@pytest.mark.parametrize(
    "source",
    [
        (np.zeros((10, 4, 4), np.uint8), np.arange(10) % 2),
        [((np.zeros(4), 8000), n % 2) for n in range(10)],
        Waves(),
    ],
)
def test_sources_without_file_names(look: Look, source: object) -> None:
    for options in ({"label_from": "{label}_{n}"}, {"group_from": "{group}_{n}"}):
        assert "no file names" in wrong(look, ChoiceError, source, **options)
    assert getattr(source, "fetched", 0) == 0  # said before a data set decodes everything


def test_no_name_fits(tmp_path: Path, look: Look) -> None:
    root = put(tmp_path / "in", *spoken())
    text = wrong(look, ChoiceError, root, label_from="{label}-{n}")
    assert "'{label}-{n}'" in text and "'3_anna_0'" in text
    text = wrong(look, ChoiceError, root, label_from="{label}_{who}_{n}.wav")
    assert "Leave out '.wav'" in text
    text = wrong(look, ChoiceError, root, label_from=DIGITS, target="digit", group_from="{group}-")
    assert "'{group}-'" in text


def test_which_field_is_the_label(tmp_path: Path, look: Look) -> None:
    root = put(tmp_path / "in", *spoken(5))
    assert look(root, label_from="{label}_{who}_{n}").classes == ("3", "7")
    put(tmp_path / "plain", "a/cat.wav")
    assert look(tmp_path / "plain", label_from="{what}", learnable=False).classes == ("cat",)
    text = wrong(look, ChoiceError, root, label_from=DIGITS)
    assert "digit, speaker, n" in text and "--target" in text
    text = wrong(look, ChoiceError, root, label_from=DIGITS, target="speeker")
    assert "Did you mean 'speaker'?" in text and "digit, speaker, n" in text


def test_options_that_do_not_go_together(tmp_path: Path, look: Look) -> None:
    put(tmp_path, *spoken())
    rows = [(name, name[0], "x") for name in spoken()]
    table = write(tmp_path / "t.csv", ("path", "label", "group"), rows)
    assert "'digit'" in wrong(look, SourceError, table, target="digit")
    both = {"target": "label", "label_column": "group"}
    assert "--target or --label-column" in wrong(look, ChoiceError, table, **both)
    own = {"group_from": "{d}_{group}_{n}"}
    assert "group" in wrong(look, ChoiceError, table, group_column="group", **own)
    assert look(table, **own).group_names == SPEAKERS  # a column merely guessed gives way
    assert look(table).group_names == ("x",)
    text = wrong(look, ChoiceError, table, label_column="label", label_from="{label}_{n}")
    assert "--label-column or --label-from" in text
    assert "{group}" in wrong(look, ChoiceError, table, group_from="{groop}_{n}")


def test_equal_words_are_one_group_when_merged(tmp_path: Path, look: Look) -> None:
    options: dict[str, Any] = {"group_from": "{d}_{group}_{n}", "learnable": False}
    train = look(put(tmp_path / "one", *(f"{name[0]}/{name}" for name in spoken())), **options)
    names = [f"{d}_{who}_9.wav" for d in (3, 7, 8) for who in ("zoe", "dov", "anna")]
    test = look(put(tmp_path / "two", *(f"{name[0]}/{name}" for name in names)), **options)
    both = merge(train, test)
    assert both.group_names == (*SPEAKERS, "zoe")
    for name, group in zip(both.names, both.groups.tolist(), strict=True):
        assert both.group_names[group] == name.split("_")[1]
    assert len(both) == 24 + 6
    alone = Catalog(**{**vars(test), "group_names": (), "groups": np.full(len(test), -1)})
    assert merge(train, alone).group_names == SPEAKERS
    assert set(merge(train, alone).groups[24:].tolist()) == {-1}
    assert merge(alone, train).group_names == SPEAKERS
    nameless = Catalog(**{**vars(test), "group_names": ()})
    apart = merge(train, nameless)
    assert set(apart.groups[:24]).isdisjoint(apart.groups[24:])
    assert apart.group_names == (*SPEAKERS, "", "", "")
    behind = merge(nameless, train)
    assert behind.group_names == ("", "", "", *SPEAKERS)
    assert set(behind.groups[:9]).isdisjoint(behind.groups[9:])


# --- groups that nobody declared ------------------------------------------------------------


def told(names: Sequence[str], labels: Sequence[object]) -> Suggested | None:
    number = {label: index for index, label in enumerate(dict.fromkeys(labels))}
    return suggested(names, np.array([number[label] for label in labels], dtype=np.int64))


def every(form: str, takes: int = 10, **values: Sequence[object]) -> list[str]:
    """All names of a form, such as ``{label}_{who}_{n}``."""
    names = [form]
    for field, own in {**values, "n": range(takes)}.items():
        names = [name.replace(f"{{{field}}}", str(one)) for name in names for one in own]
    return names


def by_first(names: Sequence[str]) -> Suggested | None:
    """Suggest; the label is what stands before the first ``_`` or ``/``."""
    return told(names, [name.replace("/", "_").split("_")[0] for name in names])


def test_a_speaker_in_the_name_is_found() -> None:
    names = every("{d}_{who}_{n}.wav", d=range(10), who=SPEAKERS)
    names += ["3_odd.wav"] * 30  # 5 % of other names are no matter
    found = told(names, [name[0] for name in names])
    assert found is not None and found.field == "the 2nd part of the file name"
    assert found.words == SPEAKERS and found.example == "0_anna_0.wav"
    assert found.group.dtype == np.int64 and found.group.shape == (630,)
    for name, group in zip(names, found.group.tolist(), strict=True):
        assert group == -1 if "odd" in name else found.words[group] == name.split("_")[1]
    assert told([*names, *["odd.wav"] * 10], [name[0] for name in [*names, *["odd"] * 10]]) is None


@pytest.mark.parametrize(
    "form", ["{d}-{who}-{n}", "{d}.{who}.{n}", "{d} {who} {n}", "x/{d}_{who}{n}", "{d}{who}{n}"]
)
def test_however_the_parts_are_set_apart(form: str) -> None:
    names = every(form + ".wav", d=range(5), who=SPEAKERS)
    found = told(names, [name.removeprefix("x/")[0] for name in names])
    assert found is not None and found.words == SPEAKERS


@pytest.mark.parametrize("who", ["s{}", "spk{:03d}", "sub-{:02d}", "speaker {}", "P{}"])
def test_numbered_people_are_found(who: str) -> None:
    names = every("{d}_{who}_{n}.wav", d=range(5), who=[who.format(n) for n in range(1, 9)])
    found = by_first(names)
    assert found is not None and len(found.words) == 8


@pytest.mark.parametrize(
    "form",
    [
        "{d}_{k}_{n}.wav",  # a plain number counts
        "{d}_take{k}_{n}.wav",
        "{d}_IMG{k}_{n}.jpg",
        "{d}/IMG_{k}.jpg",
        "{d}_{n}.wav",
    ],
)
def test_counters_are_no_groups(form: str) -> None:
    assert by_first(every(form, d=range(10), k=range(1, 13))) is None


def test_letters_that_count_are_no_group_but_initials_are() -> None:
    assert by_first(every("{d}_{k}_{n}.wav", d=range(5), k="abcdef")) is None
    found = by_first(every("{d}_{k}_{n}.wav", d=range(5), k="bkmtw"))
    assert found is not None and found.words == tuple("bkmtw")


def test_cameras_dates_and_cats_are_no_groups() -> None:
    assert by_first([f"{c}/IMG_{1000 + n}.jpg" for c in "abcdefghij" for n in range(50)]) is None
    dates = every("{d}/{y}-{m}-{n}.jpg", d="ab", y=(2023, 2024), m=["05", "06", "07"], takes=28)
    assert by_first(dates) is None
    assert by_first([f"{c}/{c}.{n}.jpg" for c in ("cat", "dog") for n in range(500)]) is None
    assert by_first(["row 1"] * 3) is None and told([], []) is None


def test_hex_ids_are_found_where_three_have_one() -> None:
    ids = [f"{n * 2654435761 % 2**32:08x}" for n in range(120)]
    names = [f"w{(n + k) % 30}/{one}_nohash_{k}.wav" for n, one in enumerate(ids) for k in range(3)]
    found = by_first(names)
    assert found is not None and found.field == "the 1st part of the file name"
    assert len(found.words) == 120 and np.bincount(found.group).tolist() == [3] * 120
    assert by_first([name for name in names if "_2." not in name]) is None  # two each: in doubt
    few = [name for name in names if name.split("/")[1].split("_")[0] in ids[:40]]
    assert by_first(few) is None  # of 40, eight must have one


def test_how_many_and_how_large_groups_are() -> None:
    assert by_first(every("{d}_{who}_{n}.wav", d="ab", who=SPEAKERS, takes=4)) is not None
    assert by_first(every("{d}_{who}_{n}.wav", d="ab", who=SPEAKERS, takes=3)) is None
    assert by_first(every("{d}_anna_{n}.wav", d="ab", takes=99)) is None
    many = every("{d}_{who}_{n}.wav", d="ab", who=SPEAKERS[:4], takes=20)
    for rare, fine in ((3, True), (5, False)):  # the median of 7 groups has 40, of 9 has 2
        who = [f"x{one}" for one in SPEAKERS[:rare]]
        found = by_first(many + every("{d}_{who}_{n}.wav", d="ab", who=who, takes=1))
        assert (found is not None) == fine


def test_the_label_in_other_words_is_no_group() -> None:
    words = ("zero", "one", "two", "three")
    pairs = [(f"{n}_{word}_{k}.wav", n) for n, word in enumerate(words) for k in range(50)]
    assert told(*zip(*pairs, strict=True)) is None
    slips = [(name, (n + (k % 20 == 0)) % 4) for k, (name, n) in enumerate(pairs)]
    assert told(*zip(*slips, strict=True)) is None  # 5 % of slips hide nothing
    halves = [("x", "y"), ("x", "y"), "x", "y", "x"]  # the labels that occur with each group
    mixed = [
        (f"{w}_{k}.wav", own[k % len(own)])
        for w, own in zip(SPEAKERS, halves, strict=False)
        for k in range(20)
    ]
    assert told(*zip(*mixed, strict=True)) is None  # most files lie in a group of one label
    breeds = [
        (f"{b}_{k}.jpg", b in ("pug", "lab")) for b in ("pug", "lab", "manx") for k in range(99)
    ]
    assert told(*zip(*breeds, strict=True)) is None  # the breed tells the label
    wide = [
        (f"{w[0] < 'm'}_{w}_{k}.jpg", w) for w in ("ant", "bee", "oak", "yew") for k in range(50)
    ]
    assert told(*zip(*wide, strict=True)) is None  # the label tells animal or plant


def test_folders_between_class_and_file() -> None:
    names = [f"train/{c}/{who}/{n:03d}.wav" for c in "xyz" for who in SPEAKERS for n in range(9)]
    found = told(names, [name.split("/")[1] for name in names])
    assert found is not None and found.words == SPEAKERS
    assert found.field == "the folder that holds the file" and found.example == names[0]
    deeper = [name.replace("/0", "/day/0") for name in names]
    found = told(deeper, [name.split("/")[1] for name in deeper])
    assert found is not None and found.field == "the 2nd folder above the file"
    parts = [f"{p}/{c}/{n:03d}.wav" for p in ("train", "test") for c in "xyz" for n in range(30)]
    assert told(parts, [name.split("/")[1] for name in parts]) is None


def test_of_several_parts_one_or_none() -> None:
    both = every("{d}_{who}_{sex}_{n}.wav", d=range(5), who=SPEAKERS, sex=("f", "m"))
    found = by_first(both)
    assert found is not None and found.words == SPEAKERS  # two words are a mere condition
    assert by_first(every("{d}_{sex}_{n}.wav", d=range(5), sex=("fem", "mas"))) is not None
    rooms = ("attic", "barn", "cellar", "den")
    assert by_first(every("{d}_{who}_{room}_{n}.wav", d=range(5), who=SPEAKERS, room=rooms)) is None
    nested = every(
        "{d}_{who}_{n}.wav", d=range(5), who=[f"{w}_{w}{s}" for w in SPEAKERS for s in "jk"]
    )
    found = by_first(nested)
    assert found is not None and found.words == SPEAKERS  # a speaker holds its sessions


def test_nothing_is_suggested_where_groups_are_declared(tmp_path: Path, look: Look) -> None:
    root = put(tmp_path / "in", *(f"{name[0]}/{name}" for name in spoken(8)))
    found = catalog_suggested(look(root))
    assert found is not None and found.words == SPEAKERS
    assert catalog_suggested(look(root, group_from="{d}_{group}_{n}")) is None


# --- real files -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def digits(shared: Path) -> Path:
    folder = shared / "data" / "spoken_digits"
    if not folder.is_dir():
        pytest.skip("needs the spoken digits in the shared data folder, which are absent")
    return folder


def test_spoken_digits(digits: Path, look: Look) -> None:
    found = look(digits)
    assert found.kind == "sound" and found.classes == tuple("0123456789") and not found.left_out
    groups = catalog_suggested(found)
    assert groups is not None and len(groups.words) == 6 and "jackson" in groups.words
    speakers = look(digits, label_from=DIGITS, target="speaker")
    assert set(speakers.classes) == set(groups.words) and len(speakers) == len(found)
    assert catalog_suggested(speakers) is None  # learning who speaks, no part is left over
    options: dict[str, Any] = {"group_from": "{d}_{group}_{n}", "learnable": False}
    both = merge(look(digits / "train", **options), look(digits / "test", **options))
    assert set(both.group_names) == set(groups.words)
    assert set(both.groups[both.given == TEST]) == set(both.groups[both.given != TEST])


def test_cats_and_dogs(shared: Path, look: Look) -> None:
    if not (shared / "data" / "cats_dogs").is_dir():
        pytest.skip("needs the cats and dogs in the shared data folder, which are absent")
    found = look(shared / "data" / "cats_dogs")
    assert found.kind == "image" and catalog_suggested(found) is None


def test_the_kinds_share_no_suffix() -> None:
    assert not SUFFIXES["image"] & SUFFIXES["sound"]
